//! The value model's side of an update.

use burn::module::Module;
use preflab_config::{Aggregation, OptimizerSettings, Positive, ValueClip};
use preflab_data::TokenExample;
use preflab_training::{
    Accumulated, Optimizer, OptimizerProgress, StateError, StateReader, StateWriter, Update,
};
use preflab_transformer::{Completions, ScalarModel, gradients};

use crate::aggregation::{Totals, aggregate};
use crate::experience::{Experience, ValueTargets};
use crate::rollout::token_rows;
use crate::rows::{Rows, from_tensor, to_tensor};
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
}

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
        let examples: Vec<TokenExample> = rows
            .iter()
            .map(|&row| experience.examples[row].clone())
            .collect();
        let completions = Completions::new(&token_rows(&extended(&examples, &steps)), &device);
        let values = self.model.values(&completions);
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
        // Read when the device has its work for the backward pass.
        ValueMeasured {
            loss: f64::from(loss.inner().into_scalar::<f32>()),
            values: from_tensor(values.inner(), &steps),
        }
    }

    /// Norm of the gradient accumulated so far, coefficient included.
    pub fn gradient_norm(&mut self) -> f64 {
        self.gradients.norm(&self.model)
    }

    /// One optimiser update with what was accumulated.
    pub fn step(&mut self) -> Update {
        let (model, update) = self
            .optimizer
            .step(self.model.clone(), self.gradients.take());
        self.model = model;
        update
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
