//! What scores the completions of a rollout.

use preflab_data::TokenExample;
use preflab_training::Work;

/// Gives completions their reward: a reward model, or a task's own judge.
pub trait Scorer {
    /// Scores of `rows`, higher is better; `prompts` are the indices of their prompts among the training prompts.
    fn score(&self, prompts: &[usize], rows: &[TokenExample]) -> Scored;
}

/// Scores of completions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// What is maximised.
    pub rewards: Vec<f64>,
    /// The task's own score, where it is watched; never trained on.
    pub gold: Option<Vec<f64>>,
    /// What scoring cost.
    pub work: Work,
}

impl<F: Fn(&[usize], &[TokenExample]) -> Scored> Scorer for F {
    fn score(&self, prompts: &[usize], rows: &[TokenExample]) -> Scored {
        self(prompts, rows)
    }
}
