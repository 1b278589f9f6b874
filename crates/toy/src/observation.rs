//! What is seen of one run at one epoch.

use preflab_metrics::Metric;

use crate::world::{CELLS, Group, PROMPTS, RESPONSES, group};

/// A policy: `log π(y|x)`, prompts by responses, nats.
pub type Policy = [f64; CELLS];

/// Everything measured of one run at one epoch. Likelihoods are kept as logs: they fall far below what a number can hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Log of the mean over prompts of the likelihood of the prompt's chosen response.
    pub log_chosen_mean: f64,
    /// Log of the smallest.
    pub log_chosen_min: f64,
    /// Log of the mean over prompts and dimensions 5 to 8.
    pub log_rejected_mean: f64,
    /// Log of the largest.
    pub log_rejected_max: f64,
    /// Log of the mean over prompts and dimensions 9 and 10.
    pub log_unseen_mean: f64,
    /// Mean over prompts of the probability on the own chosen response.
    pub mass_chosen: f64,
    /// On other prompts' chosen responses.
    pub mass_other_chosen: f64,
    /// On dimensions 5 to 8.
    pub mass_rejected: f64,
    /// On dimensions 9 and 10.
    pub mass_unseen: f64,
    /// Mean over prompts of the log-likelihood of the chosen response: what trainers of real models log.
    pub logp_chosen: f64,
    /// Mean over prompts and dimensions 5 to 8 of the log-likelihood.
    pub logp_rejected: f64,
    /// Mean over pairs of `log |∂ loss / ∂ π(y_w|x)|`; NaN where all are 0.
    pub log_gradient_chosen: f64,
    /// The same for `y_l`.
    pub log_gradient_rejected: f64,
    /// Largest over pairs of the relative distance of the two gradients' ratio from corollary 1's `−π(y_l) / π(y_w)`; NaN
    /// where no pair has a gradient, and for arms without pairs.
    pub ratio_error: f64,
    /// Mean over pairs of the loss (reward arms: minus the regularised expected reward).
    pub loss: f64,
    /// Mean over prompts of the total variation distance from the optimum.
    pub total_variation: f64,
    /// Mean over prompts of `KL(π ‖ optimum)`, nats.
    pub kl_to_optimum: f64,
    /// Mean over prompts of `KL(π ‖ start)`, nats.
    pub kl_to_start: f64,
    /// Mean over prompts of the entropy, nats.
    pub entropy: f64,
}

/// What the pairs of the mini-batch say about the gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PairGradients {
    pub(crate) log_chosen: f64,
    pub(crate) log_rejected: f64,
    pub(crate) ratio_error: f64,
}

impl Observation {
    pub(crate) fn new(
        policy: &Policy,
        start: &Policy,
        optimum: &Policy,
        gradients: PairGradients,
        loss: f64,
    ) -> Self {
        let of = |wanted: Group| -> Vec<f64> {
            (0..CELLS)
                .filter(|cell| group(cell / RESPONSES, cell % RESPONSES) == wanted)
                .map(|cell| policy[cell])
                .collect()
        };
        let per_prompt = |sum: f64| sum / PROMPTS as f64;
        let mass = |logs: &[f64]| per_prompt(logs.iter().map(|log| log.exp()).sum());
        let mean = |logs: &[f64]| logs.iter().sum::<f64>() / logs.len() as f64;
        let (chosen, rejected, unseen) =
            (of(Group::Chosen), of(Group::Rejected), of(Group::Unseen));
        let expected = |value: &dyn Fn(usize) -> f64| {
            per_prompt(
                (0..CELLS)
                    .map(|cell| policy[cell].exp() * value(cell))
                    .sum(),
            )
        };
        Self {
            log_chosen_mean: log_mean(&chosen),
            log_chosen_min: chosen.iter().copied().fold(f64::INFINITY, f64::min),
            log_rejected_mean: log_mean(&rejected),
            log_rejected_max: rejected.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            log_unseen_mean: log_mean(&unseen),
            mass_chosen: mass(&chosen),
            mass_other_chosen: mass(&of(Group::OtherChosen)),
            mass_rejected: mass(&rejected),
            mass_unseen: mass(&unseen),
            logp_chosen: mean(&chosen),
            logp_rejected: mean(&rejected),
            log_gradient_chosen: gradients.log_chosen,
            log_gradient_rejected: gradients.log_rejected,
            ratio_error: gradients.ratio_error,
            loss,
            total_variation: per_prompt(
                (0..CELLS)
                    .map(|cell| 0.5 * (policy[cell].exp() - optimum[cell].exp()).abs())
                    .sum(),
            ),
            kl_to_optimum: expected(&|cell| policy[cell] - optimum[cell]),
            kl_to_start: expected(&|cell| policy[cell] - start[cell]),
            entropy: expected(&|cell| -policy[cell]),
        }
    }

    /// What is logged, by tag.
    pub fn metrics(&self) -> [(Metric, f64); 16] {
        [
            (Metric::ToyLogChosenMean, self.log_chosen_mean),
            (Metric::ToyLogChosenMin, self.log_chosen_min),
            (Metric::ToyLogRejectedMean, self.log_rejected_mean),
            (Metric::ToyLogRejectedMax, self.log_rejected_max),
            (Metric::ToyLogUnseenMean, self.log_unseen_mean),
            (Metric::ToyMassChosen, self.mass_chosen),
            (Metric::ToyMassOtherChosen, self.mass_other_chosen),
            (Metric::ToyMassRejected, self.mass_rejected),
            (Metric::ToyMassUnseen, self.mass_unseen),
            (Metric::ToyLogGradientChosen, self.log_gradient_chosen),
            (Metric::ToyLogGradientRejected, self.log_gradient_rejected),
            (Metric::ToyLoss, self.loss),
            (Metric::ToyTotalVariation, self.total_variation),
            (Metric::ToyKlToOptimum, self.kl_to_optimum),
            (Metric::ToyKlToStart, self.kl_to_start),
            (Metric::ToyEntropy, self.entropy),
        ]
    }
}

impl PairGradients {
    /// From the derivatives of each pair's own loss by the two log-likelihoods, `∂l/∂log π`, and these log-likelihoods:
    /// `∂l/∂π = (∂l/∂log π) / π`. A side whose derivative is 0 in all pairs has none to speak of: NaN.
    pub(crate) fn of_pairs(slopes: [&[f32]; 2], logps: [&[f32]; 2]) -> Self {
        let log = |side: usize| {
            let logs = slopes[side].iter().zip(logps[side]);
            finite_mean(logs.map(|(slope, logp)| f64::from(slope.abs()).ln() - f64::from(*logp)))
        };
        let errors = slopes[0]
            .iter()
            .zip(slopes[1])
            .filter(|(_, rejected)| **rejected != 0.0);
        let errors = errors
            .map(|(chosen, rejected)| (f64::from(*chosen) / -f64::from(*rejected) - 1.0).abs());
        Self {
            log_chosen: log(0),
            log_rejected: log(1),
            ratio_error: errors.fold(f64::NAN, f64::max),
        }
    }

    /// From the derivatives by the two likelihoods themselves.
    pub(crate) fn of_likelihoods(chosen: &[f64], rejected: &[f64]) -> Self {
        let log = |side: &[f64]| finite_mean(side.iter().map(|gradient| gradient.abs().ln()));
        Self {
            log_chosen: log(chosen),
            log_rejected: log(rejected),
            ratio_error: f64::NAN,
        }
    }
}

/// `log mean exp`.
fn log_mean(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - top).exp()).sum();
    top + (sum / logs.len() as f64).ln()
}

/// Mean of the finite values; NaN without any.
fn finite_mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uniform_policy_is_what_it_is() {
        let uniform: Policy = [-10f64.ln(); CELLS];
        let none = PairGradients::of_likelihoods(&[], &[]);
        let seen = Observation::new(&uniform, &uniform, &uniform, none, 0.0);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(seen.log_rejected_mean, -10f64.ln());
        close(seen.mass_chosen, 0.1);
        close(seen.mass_other_chosen, 0.3);
        close(seen.mass_rejected, 0.4);
        close(seen.mass_unseen, 0.2);
        close(seen.entropy, 10f64.ln());
        close(seen.kl_to_start, 0.0);
        close(seen.total_variation, 0.0);
    }

    #[test]
    fn likelihoods_below_any_number_keep_their_logs() {
        let mut policy: Policy = [-1000.0; CELLS];
        for prompt in 0..PROMPTS {
            policy[prompt * RESPONSES + prompt] = 0.0;
        }
        let none = PairGradients::of_likelihoods(&[], &[]);
        let seen = Observation::new(&policy, &policy, &policy, none, 0.0);
        assert_eq!(seen.log_rejected_mean, -1000.0);
        assert_eq!(seen.log_chosen_mean, 0.0);
    }
}
