//! The value model's side of an update.

use burn::module::Module;
use burn::tensor::Tensor;
use preflab_config::{Aggregation, OptimizerSettings, Positive, ValueClip};
use preflab_data::TokenExample;
use preflab_training::{
    Accumulated, Optimizer, OptimizerProgress, StateError, StateReader, StateWriter, Update,
    read_together,
};
use preflab_transformer::{Completions, ScalarModel, gradients};

use crate::aggregation::{Totals, aggregate};
use crate::experience::{Experience, ValueTargets};
use crate::rollout::token_rows;
use crate::rows::{Rows, from_cells, from_tensor, to_tensor};
use crate::value_loss::value_loss;

/// A value model of its own, with its optimiser and the gradients of an unfinished update.
///
/// Its loss is the mean over steps, whatever the aggregation of the policy's.
pub struct Critic {
    model: ScalarModel,
    optimizer: Optimizer,
    settings: OptimizerSettings,
    clip: ValueClip,
    coefficient: f64,
    gradients: Accumulated<ScalarModel>,
    kept: Vec<Kept>,
}

/// A forward pass of some completions whose backward pass is to come.
struct Kept {
    rows: Vec<usize>,
    completions: Completions,
    /// `[b, c]`.
    values: Tensor<2>,
}

/// Tokens of which forward passes are kept at most: their activations take memory beside those of the policy.
const KEPT_TOKENS: usize = 2048;

/// What a forward pass of some completions measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ValueMeasured {
    /// The share of the completions in the value loss of the update, before its coefficient.
    pub loss: f64,
    /// The values now, one for each step.
    pub values: Rows,
}

/// Name of the value model in a state.
const VALUE: &str = "value";

impl Critic {
    /// A critic that trains `model`, on an autodiff device; its schedule is stretched over `updates` updates.
    pub fn new(
        model: ScalarModel,
        optimizer: OptimizerSettings,
        clip: ValueClip,
        coefficient: f64,
        updates: usize,
    ) -> Self {
        Self {
            model,
            optimizer: Optimizer::new(optimizer, updates),
            settings: optimizer,
            clip,
            coefficient,
            gradients: Accumulated::new(),
            kept: Vec::new(),
        }
    }

    /// Sets the peak of the schedule for the updates to come.
    pub fn set_learning_rate(&mut self, rate: Positive) {
        self.optimizer.set_learning_rate(rate);
    }

    /// Stretches the schedule over `updates` updates, before the first of them.
    pub(crate) fn stretch(&mut self, updates: usize) {
        self.optimizer = Optimizer::new(self.settings, updates);
    }

    /// Writes value model, moments and progress into a state.
    pub(crate) fn save(&self, state: StateWriter<'_>) -> Result<OptimizerProgress, StateError> {
        state.learner(VALUE, &self.model, &self.optimizer)?;
        Ok(self.optimizer.progress())
    }

    /// Takes them up again.
    pub(crate) fn restore(
        &mut self,
        state: StateReader<'_>,
        progress: OptimizerProgress,
    ) -> Result<(), StateError> {
        self.optimizer.set_progress(progress);
        self.model = state.learner(VALUE, self.model.clone(), &mut self.optimizer)?;
        Ok(())
    }

    /// The value model as it is now.
    pub fn model(&self) -> &ScalarModel {
        &self.model
    }

    /// The value of the state before each token, for `steps[i]` steps: one for each completion token, and possibly one more
    /// for the state after the last.
    pub fn values(&self, examples: &[TokenExample], steps: &[usize], micro_batch: usize) -> Rows {
        let model = self.model.valid();
        let mut values = Rows::new();
        for (examples, steps) in examples.chunks(micro_batch).zip(steps.chunks(micro_batch)) {
            let extended = extended(examples, steps);
            let batch = Completions::new(&token_rows(&extended), &model.device());
            values.extend(from_tensor(model.values(&batch), steps));
        }
        values
    }

    /// [`Self::values`], computed as the first update will compute them.
    ///
    /// - `first`: the micro-batches of the update that comes next, by index.
    ///
    /// As many as hold 2048 tokens are passed through as that update will pass them, and the passes kept for it, unless
    /// activations are recomputed: that changes no bit. The values of the others are read as [`Self::values`] reads them.
    pub(crate) fn values_before(
        &mut self,
        examples: &[TokenExample],
        steps: &[usize],
        first: &[Vec<usize>],
        micro_batch: usize,
    ) -> Rows {
        self.kept.clear();
        let mut values: Vec<Option<Vec<f64>>> = vec![None; examples.len()];
        let mut left = KEPT_TOKENS;
        for rows in first {
            let tokens = rows.iter().map(|&row| examples[row].tokens()).sum();
            let Some(rest) = left.checked_sub(tokens) else {
                break;
            };
            left = rest;
            let steps: Vec<usize> = rows.iter().map(|&row| steps[row]).collect();
            let (completions, predicted) = self.predict(examples, rows, &steps);
            let read = from_tensor(predicted.clone().inner(), &steps);
            for (&row, read) in rows.iter().zip(read) {
                values[row] = Some(read);
            }
            if !self.model.decoder.recomputes() {
                self.kept.push(Kept {
                    rows: rows.clone(),
                    completions,
                    values: predicted,
                });
            }
        }
        let others: Vec<usize> = (0..examples.len())
            .filter(|&row| values[row].is_none())
            .collect();
        let of_others: Vec<TokenExample> =
            others.iter().map(|&row| examples[row].clone()).collect();
        let steps: Vec<usize> = others.iter().map(|&row| steps[row]).collect();
        let read = self.values(&of_others, &steps, micro_batch);
        for (row, read) in others.into_iter().zip(read) {
            values[row] = Some(read);
        }
        values.into_iter().flatten().collect()
    }

    /// Forgets the passes that [`Self::values_before`] kept.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    /// Values of some completions with their graph, `[b, c]`.
    fn predict(
        &self,
        examples: &[TokenExample],
        rows: &[usize],
        steps: &[usize],
    ) -> (Completions, Tensor<2>) {
        let examples: Vec<TokenExample> = rows.iter().map(|&row| examples[row].clone()).collect();
        let extended = extended(&examples, steps);
        let completions = Completions::new(&token_rows(&extended), &self.model.device());
        let values = self.model.values(&completions);
        (completions, values)
    }

    /// Adds the gradient of some completions to the update; arguments as in
    /// [`PolicyLearner::accumulate`](crate::PolicyLearner::accumulate).
    pub fn accumulate(
        &mut self,
        experience: &Experience,
        targets: &ValueTargets,
        rows: &[usize],
        totals: Totals,
        share: f64,
    ) -> ValueMeasured {
        let device = self.model.device();
        let steps: Vec<usize> = rows.iter().map(|&row| targets.returns[row].len()).collect();
        let kept = self.kept.iter().position(|kept| kept.rows == rows);
        let (completions, values) = match kept.map(|place| self.kept.remove(place)) {
            Some(kept) => (kept.completions, kept.values),
            None => self.predict(&experience.examples, rows, &steps),
        };
        let old = to_tensor(&targets.values, rows, &device);
        let returns = to_tensor(&targets.returns, rows, &device);
        let losses = value_loss(values.clone(), old, returns, self.clip);
        let loss = aggregate(
            losses,
            completions.mask.clone(),
            Aggregation::TokenMean,
            totals,
        );
        let weighted = loss.clone() * (self.coefficient * share);
        self.gradients
            .add(&self.model, gradients(&self.model, weighted));
        // Read at once, when the device has its work for the backward pass.
        let [b, c] = values.dims();
        let numbers = read_together(&[loss.inner(), values.inner().reshape([b * c])]);
        ValueMeasured {
            loss: numbers[0][0],
            values: from_cells(&numbers[1], c, &steps),
        }
    }

    /// Norm of the gradient accumulated so far, coefficient included.
    pub fn gradient_norm(&mut self) -> f64 {
        self.gradients.norm(&self.model)
    }

    /// One optimiser update with what was accumulated.
    pub fn step(&mut self) -> Update {
        self.forget();
        self.optimizer.step(&mut self.model, self.gradients.take())
    }
}

/// Completions with one token more where there is a step after the last: its value is that of the finished completion, and
/// which token follows does not matter.
fn extended(examples: &[TokenExample], steps: &[usize]) -> Vec<TokenExample> {
    let extend = |(example, &steps): (&TokenExample, &usize)| {
        let mut example = example.clone();
        example.completion.resize(steps, 0);
        example
    };
    examples.iter().zip(steps).map(extend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use preflab_config::{Count, ModelSettings};
    use preflab_transformer::Architecture;

    /// Rows of different lengths, no prompt twice, and one step more than tokens for some.
    fn experience() -> (Experience, Vec<usize>) {
        let example = |row: u32| TokenExample {
            prompt: (0..2 + row % 3).map(|i| (5 * row + i) % 20).collect(),
            completion: (0..1 + row % 4).map(|i| (7 * row + 3 * i) % 20).collect(),
        };
        let examples: Vec<TokenExample> = (0..7).map(example).collect();
        let steps: Vec<usize> = examples
            .iter()
            .enumerate()
            .map(|(row, example)| example.completion.len() + row % 2)
            .collect();
        let rows = |of: &[usize], value: f64| -> Rows {
            let row = |(row, &count)| vec![value + row as f64; count];
            of.iter().enumerate().map(row).collect()
        };
        let lengths: Vec<usize> = examples.iter().map(|e| e.completion.len()).collect();
        let experience = Experience {
            old_logps: rows(&lengths, -1.0),
            reference_logps: rows(&lengths, -1.0),
            advantages: rows(&lengths, 0.0),
            weights: None,
            targets: Some(ValueTargets {
                values: rows(&steps, 0.1),
                returns: rows(&steps, 0.5),
            }),
            examples,
        };
        (experience, steps)
    }

    fn critic() -> Critic {
        let shape = ModelSettings {
            width: Count::of(16),
            layers: Count::of(2),
            heads: Count::of(2),
            kv_heads: Count::of(1),
            feedforward: Count::of(32),
            context: Count::of(16),
            rope_theta: Positive::of(10_000.0),
            norm_epsilon: Positive::of(1e-6),
            tied: false,
            initializer_range: Positive::of(0.15),
        };
        let architecture = Architecture::new(&shape, 20);
        let model = ScalarModel::init(&architecture, 3, &Device::flex().autodiff());
        let optimizer = OptimizerSettings::with_learning_rate(1e-2);
        Critic::new(model, optimizer, ValueClip::default(), 0.1, 10)
    }

    #[test]
    fn kept_passes_give_the_values_and_the_update_of_passes_made_twice() {
        let (experience, steps) = experience();
        let (examples, targets) = (&experience.examples, experience.targets.as_ref().unwrap());
        let first = [vec![6, 2], vec![0, 4, 3]];
        let (mut keeping, mut twice) = (critic(), critic());
        let kept = keeping.values_before(examples, &steps, &first, 2);
        assert_eq!(keeping.kept.len(), 2);
        assert_eq!(kept, twice.values(examples, &steps, 3));
        for rows in &first {
            let totals = targets.totals(&[6, 2, 0, 4, 3]);
            let of =
                |critic: &mut Critic| critic.accumulate(&experience, targets, rows, totals, 1.0);
            assert_eq!(of(&mut keeping), of(&mut twice));
        }
        assert!(keeping.kept.is_empty());
        let norms = [&mut keeping, &mut twice].map(|critic| critic.step().grad_norm());
        assert_eq!(norms[0], norms[1]);
        let after = [&keeping, &twice].map(|critic| critic.values(examples, &steps, 4));
        assert!(after[0] == after[1] && after[0] != kept);
    }

    #[test]
    fn no_pass_is_kept_past_an_update() {
        let (experience, steps) = experience();
        let mut critic = critic();
        critic.values_before(&experience.examples, &steps, &[vec![1], vec![2]], 2);
        let targets = experience.targets.as_ref().unwrap();
        critic.accumulate(&experience, targets, &[1], targets.totals(&[1]), 1.0);
        critic.step();
        assert!(critic.kept.is_empty());
    }
}
