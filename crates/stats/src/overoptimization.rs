//! Gold reward as a function of the distance from the start, and its fitted peak.
//!
//! Gao, Schulman and Hilton 2022, [arXiv:2210.10760](https://arxiv.org/abs/2210.10760), eq. 1: with `d = sqrt(KL)`, KL in nats,
//! `R(d) = d (α - β d)` for best-of-n and `R(d) = d (α - β ln d)` for reinforcement learning, rewards counted from the start.

use crate::distribution::t_critical;
use crate::error::{StatsError, check_count, check_finite, check_open_fraction, check_pairs};
use crate::interval::Interval;
use crate::summary::sum;

/// What optimised the proxy reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// `R(d) = d (α - β d)`.
    BestOfN,
    /// `R(d) = d (α - β ln d)`.
    ReinforcementLearning,
}

impl Optimizer {
    /// What α and β multiply: `[d, -d²]` or `[d, -d ln d]`, the latter 0 at 0.
    fn features(self, d: f64) -> [f64; 2] {
        match self {
            Self::BestOfN => [d, -d * d],
            Self::ReinforcementLearning if d == 0.0 => [0.0, 0.0],
            Self::ReinforcementLearning => [d, -d * d.ln()],
        }
    }
}

/// A least-squares fit of α and β.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OveroptimizationFit {
    /// The form fitted.
    pub optimizer: Optimizer,
    /// `[α, β]`.
    pub parameters: [f64; 2],
    /// Covariance of the two, `rss / (n - 2) (XᵀX)⁻¹`.
    pub covariance: [[f64; 2]; 2],
    /// Residual sum of squares.
    pub rss: f64,
    /// `n - 2`.
    pub df: f64,
    /// `1 - rss / Σ R²`: there is no intercept, so nothing is centred.
    pub r2_uncentered: f64,
}

/// Where the fitted reward is highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// `sqrt(KL)` at the peak.
    pub d: f64,
    /// Standard error of `d` by the delta method.
    pub d_se: f64,
    /// Reward there.
    pub reward: f64,
    /// Standard error of the reward by the delta method.
    pub reward_se: f64,
    /// The `d > 0` where the fitted reward is back at its start.
    pub zero_crossing_d: f64,
}

/// Fits α and β to points of KL (nats, at least 0) and gold reward minus that of the start, unweighted and without intercept.
///
/// Needs two points at different KL above 0. With two points in all the fit is exact and its errors are not defined (NaN).
pub fn fit_overoptimization(
    kl: &[f64],
    reward: &[f64],
    optimizer: Optimizer,
) -> Result<OveroptimizationFit, StatsError> {
    check_pairs(kl, reward)?;
    check_finite(kl)?;
    check_finite(reward)?;
    check_count("a fit of two parameters", kl, 2)?;
    if let Some(&found) = kl.iter().find(|&&kl| kl < 0.0) {
        return Err(StatsError::OutOfRange {
            what: "a KL divergence",
            expected: "at least 0",
            found,
        });
    }
    let rows: Vec<[f64; 2]> = kl.iter().map(|kl| optimizer.features(kl.sqrt())).collect();
    let dot = |f: &dyn Fn(usize) -> f64| sum(&(0..rows.len()).map(f).collect::<Vec<_>>());
    // Gram-Schmidt: the part of the second feature that the first does not explain keeps the digits normal equations lose.
    let first = dot(&|i| rows[i][0] * rows[i][0]);
    let slope = dot(&|i| rows[i][0] * rows[i][1]) / first;
    let rest = |i: usize| rows[i][1] - slope * rows[i][0];
    let second = dot(&|i| rest(i) * rest(i));
    let scale = dot(&|i| rows[i][1] * rows[i][1]);
    if first == 0.0 || scale == 0.0 || second <= 1e-14 * scale {
        return Err(StatsError::TooFew {
            what: "a fit of two parameters (different KL above 0)",
            needed: 2,
            found: usize::from(first > 0.0),
        });
    }
    let beta = dot(&|i| rest(i) * reward[i]) / second;
    let alpha = dot(&|i| rows[i][0] * reward[i]) / first - slope * beta;
    let rss = dot(&|i| (reward[i] - alpha * rows[i][0] - beta * rows[i][1]).powi(2));
    let df = (kl.len() - 2) as f64;
    let variance = if df > 0.0 { rss / df } else { f64::NAN };
    let cross = -slope / second * variance;
    Ok(OveroptimizationFit {
        optimizer,
        parameters: [alpha, beta],
        covariance: [
            [(1.0 / first + slope * slope / second) * variance, cross],
            [cross, variance / second],
        ],
        rss,
        df,
        r2_uncentered: 1.0 - rss / dot(&|i| reward[i] * reward[i]),
    })
}

impl OveroptimizationFit {
    /// Fitted reward at `d = sqrt(KL)`.
    pub fn predict(&self, d: f64) -> f64 {
        let [x, y] = self.optimizer.features(d);
        self.parameters[0] * x + self.parameters[1] * y
    }

    /// Standard errors of α and β.
    pub fn se(&self) -> [f64; 2] {
        [self.covariance[0][0].sqrt(), self.covariance[1][1].sqrt()]
    }

    /// Intervals of α and β by Student's t with `n - 2` degrees of freedom.
    pub fn intervals(&self, level: f64) -> Result<[Interval; 2], StatsError> {
        check_open_fraction("level", level)?;
        if self.df <= 0.0 {
            return Ok([Interval::UNDEFINED; 2]);
        }
        let t = t_critical(1.0 - level, self.df);
        let [alpha, beta] = self.parameters;
        let [se_alpha, se_beta] = self.se();
        Ok([
            Interval::around(alpha, t * se_alpha),
            Interval::around(beta, t * se_beta),
        ])
    }

    /// The peak; `None` where α or (for best-of-n) β is not above 0, or β is not, so that the reward has none.
    pub fn peak(&self) -> Option<Peak> {
        let [alpha, beta] = self.parameters;
        if alpha <= 0.0 && self.optimizer == Optimizer::BestOfN || beta <= 0.0 {
            return None;
        }
        let (d, reward, zero_crossing_d, d_gradient, reward_gradient) = match self.optimizer {
            Optimizer::BestOfN => (
                alpha / (2.0 * beta),
                alpha * alpha / (4.0 * beta),
                alpha / beta,
                [1.0 / (2.0 * beta), -alpha / (2.0 * beta * beta)],
                [alpha / (2.0 * beta), -(alpha * alpha) / (4.0 * beta * beta)],
            ),
            Optimizer::ReinforcementLearning => {
                let d = (alpha / beta - 1.0).exp();
                (
                    d,
                    beta * d,
                    (alpha / beta).exp(),
                    [d / beta, -d * alpha / (beta * beta)],
                    [d, d - d * alpha / beta],
                )
            }
        };
        Some(Peak {
            d,
            d_se: self.delta(d_gradient),
            reward,
            reward_se: self.delta(reward_gradient),
            zero_crossing_d,
        })
    }

    /// `sqrt(gᵀ C g)`.
    fn delta(&self, [a, b]: [f64; 2]) -> f64 {
        let [[aa, ab], [_, bb]] = self.covariance;
        let variance = a * a * aa + 2.0 * a * b * ab + b * b * bb;
        // Rounding may leave it below zero; NaN stays NaN.
        if variance < 0.0 { 0.0 } else { variance.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_the_curve_give_its_parameters_back() {
        for optimizer in [Optimizer::BestOfN, Optimizer::ReinforcementLearning] {
            let kl = [0.0, 0.5, 1.0, 4.0, 9.0];
            let reward = kl.map(|kl: f64| {
                let [x, y] = optimizer.features(kl.sqrt());
                1.5 * x + 0.25 * y
            });
            let fit = fit_overoptimization(&kl, &reward, optimizer).unwrap();
            assert!((fit.parameters[0] - 1.5).abs() < 1e-12);
            assert!((fit.parameters[1] - 0.25).abs() < 1e-12);
            let peak = fit.peak().unwrap();
            assert!((fit.predict(peak.d) - peak.reward).abs() < 1e-9);
            assert!(fit.predict(peak.zero_crossing_d).abs() < 1e-9);
        }
    }

    #[test]
    fn too_few_or_impossible_points_are_errors() {
        let fit = |kl: &[f64], reward: &[f64]| fit_overoptimization(kl, reward, Optimizer::BestOfN);
        assert!(fit(&[1.0], &[1.0]).is_err());
        assert!(fit(&[1.0; 4], &[1.0; 4]).is_err());
        assert!(fit(&[0.0; 4], &[1.0; 4]).is_err());
        assert!(fit(&[-1.0, 1.0, 2.0], &[0.0; 3]).is_err());
    }

    #[test]
    fn two_points_are_met_exactly_and_have_no_error() {
        let fit = fit_overoptimization(&[1.0, 4.0], &[1.0, 1.5], Optimizer::BestOfN).unwrap();
        assert!((fit.predict(2.0) - 1.5).abs() < 1e-12);
        assert!(fit.se()[0].is_nan() && fit.intervals(0.95).unwrap()[1].low.is_nan());
        assert!(fit.peak().unwrap().d_se.is_nan());
    }

    #[test]
    fn an_ever_rising_reward_has_no_peak() {
        let fit =
            fit_overoptimization(&[1.0, 4.0, 9.0], &[1.0, 3.0, 6.0], Optimizer::BestOfN).unwrap();
        assert_eq!(fit.peak(), None);
    }
}
