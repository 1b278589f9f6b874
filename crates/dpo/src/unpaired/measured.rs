//! What an update or an evaluation on single completions measured.

use preflab_data::Pair;

use crate::measured::mean;

/// Figures of a set of completions, before they changed the policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnpairedMeasured {
    /// Whether each completion is wanted.
    pub wanted: Vec<bool>,
    /// Loss of each, weighted.
    pub losses: Vec<f64>,
    /// Implicit reward of each.
    pub rewards: Vec<f64>,
    /// Log-probability of each under the policy, nats.
    pub logps: Vec<f64>,
    /// Under the reference, nats.
    pub reference_logps: Vec<f64>,
    /// Entropy summed over completion tokens, nats.
    pub entropy: f64,
    /// Completion tokens.
    pub completion_tokens: usize,
    /// KTO's baseline, nats; where it is estimated.
    pub kl: Option<f64>,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
}

impl UnpairedMeasured {
    /// Mean loss.
    pub fn loss(&self) -> f64 {
        mean(&self.losses)
    }

    /// Entropy per completion token, nats.
    pub fn mean_entropy(&self) -> f64 {
        self.entropy / self.completion_tokens.max(1) as f64
    }

    /// Of the values of wanted (`chosen`) and of unwanted (`rejected`) completions the means; none where there are none.
    pub fn means(&self, values: &[f64]) -> Pair<Option<f64>> {
        self.sides(values)
            .map(|side| (!side.is_empty()).then(|| mean(&side)))
    }

    /// How often a wanted completion has a higher reward than an unwanted one, over all combinations of one of each (the
    /// area under the ROC curve); ties are no win. None without either kind.
    pub fn accuracy(&self) -> Option<f64> {
        let Pair { chosen, rejected } = self.sides(&self.rewards);
        if chosen.is_empty() || rejected.is_empty() {
            return None;
        }
        let mut unwanted = rejected;
        unwanted.sort_by(f64::total_cmp);
        let wins: usize = chosen
            .iter()
            .map(|reward| unwanted.partition_point(|other| other < reward))
            .sum();
        Some(wins as f64 / (chosen.len() * unwanted.len()) as f64)
    }

    fn sides(&self, values: &[f64]) -> Pair<Vec<f64>> {
        let of = |label: bool| {
            let labelled = values.iter().zip(&self.wanted);
            labelled
                .filter(|(_, wanted)| **wanted == label)
                .map(|(value, _)| *value)
                .collect()
        };
        Pair {
            chosen: of(true),
            rejected: of(false),
        }
    }

    /// Takes the completions of another micro-batch in.
    pub(super) fn extend(&mut self, other: Self) {
        self.wanted.extend(other.wanted);
        self.losses.extend(other.losses);
        self.rewards.extend(other.rewards);
        self.logps.extend(other.logps);
        self.reference_logps.extend(other.reference_logps);
        self.entropy += other.entropy;
        self.completion_tokens += other.completion_tokens;
        self.kl = self.kl.or(other.kl);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_every_combination() {
        let measured = |rewards: &[f64], wanted: &[bool]| UnpairedMeasured {
            rewards: rewards.to_vec(),
            wanted: wanted.to_vec(),
            ..UnpairedMeasured::default()
        };
        let labels = [true, false, true, false, false];
        // wins: 3 of 3 against 2 (not the tie), 1 of 3
        let counted = measured(&[3.0, 2.0, 2.0, 1.0, 2.5], &labels);
        assert_eq!(counted.accuracy(), Some(4.0 / 6.0));
        assert_eq!(measured(&[3.0, 2.0], &[true, true]).accuracy(), None);
        assert_eq!(
            counted.means(&counted.rewards),
            Pair {
                chosen: Some(2.5),
                rejected: Some(5.5 / 3.0)
            }
        );
    }
}
