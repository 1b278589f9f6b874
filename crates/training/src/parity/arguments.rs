//! The settings of a recorded run, as transformers' `TrainingArguments` name them.

use preflab_config::{Momentum, NonNegative, OptimizerSettings, Positive, Schedule};

use super::{Node, ParityError};

/// The part of a run's settings that every trainer has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingArguments {
    /// AdamW, its schedule and clipping.
    pub optimizer: OptimizerSettings,
    /// Examples in one forward and backward pass.
    pub micro_batch: usize,
    /// Micro-batches in one update.
    pub accumulation: usize,
    /// Updates.
    pub steps: usize,
}

impl TrainingArguments {
    /// Reads them from a run's `config`.
    ///
    /// # Errors
    /// If one is missing, or names a schedule that is not known here.
    pub fn read(config: &Node<'_>) -> Result<Self, ParityError> {
        let number = |key: &str| config.get(key)?.number();
        let index = |key: &str| config.get(key)?.index();
        let schedule = config.get("lr_scheduler_type")?;
        Ok(Self {
            optimizer: OptimizerSettings {
                learning_rate: Positive::of(number("learning_rate")?),
                betas: [
                    Momentum::of(number("adam_beta1")?),
                    Momentum::of(number("adam_beta2")?),
                ],
                epsilon: Positive::of(number("adam_epsilon")?),
                weight_decay: NonNegative::of(number("weight_decay")?),
                max_grad_norm: NonNegative::of(number("max_grad_norm")?),
                schedule: match schedule.text()? {
                    "constant" | "constant_with_warmup" => Schedule::Constant,
                    "linear" => Schedule::Linear,
                    "cosine" => Schedule::Cosine,
                    other => return Err(schedule.unknown(other)),
                },
                warmup: index("warmup_steps")?,
            },
            micro_batch: index("per_device_train_batch_size")?,
            accumulation: index("gradient_accumulation_steps")?,
            steps: index("max_steps")?,
        })
    }

    /// Rows of each update over `rows` rows taken as they stand; a pass ends with what is left.
    pub fn batches(&self, rows: usize) -> Vec<Vec<usize>> {
        let batch = self.micro_batch * self.accumulation;
        let of_pass = rows.div_ceil(batch);
        (0..self.steps)
            .map(|step| {
                let first = step % of_pass * batch;
                (first..(first + batch).min(rows)).collect()
            })
            .collect()
    }
}
