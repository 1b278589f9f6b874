//! Reward at a given KL, read off points measured along a run.

use crate::error::{StatsError, check_count, check_finite, check_pairs};
use crate::interval::Interval;
use crate::summary::mean;

/// Points of KL and reward in the order they were measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Frontier {
    path: Vec<(f64, f64)>,
    sorted: Vec<(f64, f64)>,
}

/// A place where the path crosses a KL level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossing {
    /// Segment `i` joins points `i` and `i + 1`.
    pub segment: usize,
    /// Reward there, interpolated.
    pub reward: f64,
}

impl Frontier {
    /// At least one point, all finite.
    pub fn new(kl: &[f64], reward: &[f64]) -> Result<Self, StatsError> {
        check_pairs(kl, reward)?;
        check_count("a frontier", kl, 1)?;
        check_finite(kl)?;
        check_finite(reward)?;
        let path: Vec<(f64, f64)> = kl.iter().copied().zip(reward.iter().copied()).collect();
        let mut ordered = path.clone();
        ordered.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let average = |points: &[(f64, f64)]| {
            let rewards: Vec<f64> = points.iter().map(|(_, reward)| *reward).collect();
            (points[0].0, mean(&rewards))
        };
        let sorted = ordered.chunk_by(|a, b| a.0 == b.0).map(average).collect();
        Ok(Self { path, sorted })
    }

    /// The KL values covered.
    pub fn range(&self) -> Interval {
        Interval {
            low: self.sorted[0].0,
            high: self.sorted[self.sorted.len() - 1].0,
        }
    }

    /// Reward at `kl` by linear interpolation of the points sorted by KL, rewards at one KL averaged; `None` outside the range.
    pub fn reward_at(&self, kl: f64) -> Option<f64> {
        self.range().contains(kl).then(|| self.reward_near(kl))
    }

    /// As [`Frontier::reward_at`], with the reward of the nearest end outside the range.
    pub fn reward_near(&self, kl: f64) -> f64 {
        let above = self.sorted.partition_point(|(at, _)| *at < kl);
        let Some(&right) = self.sorted.get(above) else {
            return self.sorted[self.sorted.len() - 1].1;
        };
        if above == 0 || right.0 == kl {
            return right.1;
        }
        between(self.sorted[above - 1], right, kl)
    }

    /// Every crossing of the level along the path. A vertex on the level counts once, with the segment that reaches it; a segment along the level
    /// gives its first point only.
    pub fn crossings(&self, kl: f64) -> Vec<Crossing> {
        let mut crossings = Vec::new();
        if self.path[0].0 == kl {
            crossings.push(Crossing {
                segment: 0,
                reward: self.path[0].1,
            });
        }
        for (segment, ends) in self.path.windows(2).enumerate() {
            let (left, right) = (ends[0], ends[1]);
            let reached = right.0 == kl && left.0 != kl;
            let passed = (left.0 - kl) * (right.0 - kl) < 0.0;
            if reached {
                let reward = right.1;
                crossings.push(Crossing { segment, reward });
            } else if passed {
                let reward = between(left, right, kl);
                crossings.push(Crossing { segment, reward });
            }
        }
        crossings
    }
}

fn between(left: (f64, f64), right: (f64, f64), kl: f64) -> f64 {
    left.1 + (right.1 - left.1) * ((kl - left.0) / (right.0 - left.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_point_is_known_at_its_own_kl_only() {
        let frontier = Frontier::new(&[2.0], &[0.5]).unwrap();
        assert_eq!(frontier.reward_at(2.0), Some(0.5));
        assert_eq!(frontier.reward_at(2.1), None);
        assert_eq!(frontier.reward_near(9.0), 0.5);
        assert_eq!(frontier.crossings(2.0).len(), 1);
        assert!(frontier.crossings(1.0).is_empty());
    }

    #[test]
    fn nothing_and_nan_are_errors() {
        assert!(Frontier::new(&[], &[]).is_err());
        assert!(Frontier::new(&[f64::NAN], &[0.0]).is_err());
        assert!(Frontier::new(&[0.0], &[]).is_err());
    }
}
