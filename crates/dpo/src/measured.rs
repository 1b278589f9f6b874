//! What an update or an evaluation measures of pairs.

use preflab_data::Pair;

/// What an update measured before it changed the policy, or an evaluation of held-out pairs. Vectors hold one number a pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// The objective (AOT: in order of rank).
    pub losses: Vec<f64>,
    /// Implicit rewards.
    pub rewards: Pair<Vec<f64>>,
    /// Log-probabilities under the policy, nats.
    pub logps: Pair<Vec<f64>>,
    /// Log-probabilities under the reference, nats.
    pub reference_logps: Pair<Vec<f64>>,
    /// Derivative of a pair's own loss with respect to the log-probability of a completion, mean over its tokens.
    pub slopes: Pair<Vec<f64>>,
    /// Sum over completion tokens of the entropy of the next-token distribution, nats.
    pub entropy: f64,
    /// Completion tokens.
    pub completion_tokens: usize,
    /// Sums over the tokens of logits; only where they were asked for.
    pub logits: Option<LogitSums>,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
}

/// Sums over completion tokens of what their logits say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LogitSums {
    /// Of the mean logit over the vocabulary.
    pub mean_logit: Pair<f64>,
    /// Completion tokens of either side.
    pub tokens: Pair<usize>,
    /// Of the chosen completions' tokens: how many were the policy's most probable one.
    pub correct: f64,
}

impl LogitSums {
    /// Of every completion token's mean logit and whether it is the most probable one, for rows of these `lengths`: those of
    /// the chosen completions, then those of the rejected ones.
    pub(crate) fn of(mean_logits: &[f64], correct: &[f64], lengths: &[usize]) -> Self {
        let (chosen, rejected) = lengths.split_at(lengths.len() / 2);
        let tokens: Pair<usize> = Pair { chosen, rejected }.map(|side| side.iter().sum());
        let sides = |values: &[f64]| {
            let (chosen, rest) = values.split_at(tokens.chosen);
            Pair {
                chosen: chosen.iter().sum::<f64>(),
                rejected: rest[..tokens.rejected].iter().sum(),
            }
        };
        Self {
            mean_logit: sides(mean_logits),
            tokens,
            correct: sides(correct).chosen,
        }
    }

    /// Mean logit over the vocabulary and the tokens of either side.
    pub fn mean_logits(&self) -> Pair<f64> {
        self.mean_logit
            .zip(self.tokens)
            .map(|(sum, tokens)| sum / tokens as f64)
    }

    /// Share of the chosen completions' tokens that were the policy's most probable one.
    pub fn accuracy(&self) -> f64 {
        self.correct / self.tokens.chosen as f64
    }

    fn add(&mut self, other: Self) {
        self.mean_logit.chosen += other.mean_logit.chosen;
        self.mean_logit.rejected += other.mean_logit.rejected;
        self.tokens.chosen += other.tokens.chosen;
        self.tokens.rejected += other.tokens.rejected;
        self.correct += other.correct;
    }
}

impl Measured {
    /// Mean over pairs of the objective.
    pub fn loss(&self) -> f64 {
        mean(&self.losses)
    }

    /// Mean over pairs of the implicit rewards.
    pub fn mean_rewards(&self) -> Pair<f64> {
        self.rewards.as_ref().map(|side| mean(side))
    }

    /// Chosen minus rejected implicit reward of each pair.
    pub fn margins(&self) -> Vec<f64> {
        let sides = self.rewards.chosen.iter().zip(&self.rewards.rejected);
        sides.map(|(chosen, rejected)| chosen - rejected).collect()
    }

    /// Share of pairs whose chosen reward is strictly above the rejected one.
    pub fn accuracy(&self) -> f64 {
        let margins = self.margins();
        margins.iter().filter(|margin| **margin > 0.0).count() as f64 / margins.len() as f64
    }

    /// Mean over pairs of the log-probabilities under the policy, nats.
    pub fn mean_logps(&self) -> Pair<f64> {
        self.logps.as_ref().map(|side| mean(side))
    }

    /// Mean over pairs of the log-probabilities under the reference, nats.
    pub fn mean_reference_logps(&self) -> Pair<f64> {
        self.reference_logps.as_ref().map(|side| mean(side))
    }

    /// Entropy per completion token, nats.
    pub fn mean_entropy(&self) -> f64 {
        self.entropy / self.completion_tokens.max(1) as f64
    }

    /// Mean over pairs of `|dl/dlog π|` of either side.
    pub fn mean_slopes(&self) -> Pair<f64> {
        let size = |side: &Vec<f64>| side.iter().map(|slope| slope.abs()).sum::<f64>();
        self.slopes
            .as_ref()
            .map(|side| size(side) / side.len() as f64)
    }

    /// The paper's gradients with respect to the likelihoods of the two sides: `log |dl/dπ| = log |dl/dlog π| − log π`,
    /// averaged over pairs as likelihood gradients are (the log of their mean).
    ///
    /// Nothing under- or overflows: a completion of probability `e^-300` has a gradient of about `e^300`. Pairs without
    /// gradient are left out; none with one gives -infinity.
    pub fn log_likelihood_gradients(&self) -> Pair<f64> {
        self.log_gradients()
            .map(|logs| log_mean_exp(logs.filter(|log| log.is_finite())))
    }

    /// Mean over pairs of `log |dl/dπ_l| − log |dl/dπ_w|`; pairs without a gradient on both sides are left out.
    pub fn log_gradient_ratio(&self) -> f64 {
        let logs = self.log_gradients();
        let ratios = logs.rejected.zip(logs.chosen).map(|(l, w)| l - w);
        mean(&ratios.filter(|ratio| ratio.is_finite()).collect::<Vec<_>>())
    }

    fn log_gradients(&self) -> Pair<impl Iterator<Item = f64> + '_> {
        self.slopes
            .as_ref()
            .zip(self.logps.as_ref())
            .map(|(slopes, logps)| {
                let log = |(slope, logp): (&f64, &f64)| slope.abs().ln() - logp;
                slopes.iter().zip(logps).map(log)
            })
    }

    /// Takes the pairs of another micro-batch in.
    pub(crate) fn extend(&mut self, other: Self) {
        let join = |into: &mut Pair<Vec<f64>>, from: Pair<Vec<f64>>| {
            into.chosen.extend(from.chosen);
            into.rejected.extend(from.rejected);
        };
        self.losses.extend(other.losses);
        join(&mut self.rewards, other.rewards);
        join(&mut self.logps, other.logps);
        join(&mut self.reference_logps, other.reference_logps);
        join(&mut self.slopes, other.slopes);
        self.entropy += other.entropy;
        self.completion_tokens += other.completion_tokens;
        if let Some(logits) = other.logits {
            self.logits.get_or_insert_default().add(logits);
        }
    }
}

/// The mean; NaN of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `log(mean(exp(logs)))`; -infinity of none.
fn log_mean_exp(logs: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = logs.collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihood_gradients_of_tiny_likelihoods_stay_finite() {
        let measured = Measured {
            slopes: Pair {
                chosen: vec![-0.05, 0.0],
                rejected: vec![0.05, 0.0],
            },
            logps: Pair {
                chosen: vec![-10.0, -10.0],
                rejected: vec![-900.0, -10.0],
            },
            ..Measured::default()
        };
        let logs = measured.log_likelihood_gradients();
        assert!((logs.chosen - (0.05f64.ln() + 10.0)).abs() < 1e-12);
        // corollary 1 of arXiv:2406.07327: the ratio of the gradients is that of the likelihoods, the other way round
        assert!((logs.rejected - logs.chosen - 890.0).abs() < 1e-12);
        assert!((measured.log_gradient_ratio() - 890.0).abs() < 1e-12);
    }

    #[test]
    fn the_mean_is_taken_of_gradients_not_of_their_logs() {
        let logs = [0.0, 2.0f64.ln()].into_iter();
        assert!((log_mean_exp(logs) - 1.5f64.ln()).abs() < 1e-12);
        assert_eq!(log_mean_exp([].into_iter()), f64::NEG_INFINITY);
    }

    #[test]
    fn a_tie_is_no_win() {
        let measured = Measured {
            rewards: Pair {
                chosen: vec![0.0, 1.0, 2.0, -1.0],
                rejected: vec![0.0, 0.0, 0.0, 0.0],
            },
            ..Measured::default()
        };
        assert_eq!(measured.accuracy(), 0.5);
        assert_eq!(measured.margins(), [0.0, 1.0, 2.0, -1.0]);
    }
}
