//! What an update learns from.

use preflab_data::TokenExample;

use crate::aggregation::Totals;
use crate::rows::Rows;

/// A rollout with its advantages. Rows hold one number for each completion token.
#[derive(Debug, Clone, PartialEq)]
pub struct Experience {
    /// Prompts with completions.
    pub examples: Vec<TokenExample>,
    /// `log policy` at sampling time, nats.
    pub old_logps: Rows,
    /// `log reference`, nats; read by a sampled KL term in the loss.
    pub reference_logps: Rows,
    /// Advantages as the policy loss uses them.
    pub advantages: Rows,
    /// Factors on the policy loss, where sampler and trainer disagree.
    pub weights: Option<Rows>,
    /// What the value model learns from; none for critic-free methods.
    pub targets: Option<ValueTargets>,
}

/// What a value model learns from. Rows hold one number for each completion token, or one more for the step after the last.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueTargets {
    /// Values at sampling time.
    pub values: Rows,
    /// Returns.
    pub returns: Rows,
}

impl Experience {
    /// Tokens and completions of some rows.
    pub fn totals(&self, rows: &[usize]) -> Totals {
        Totals::of(rows.iter().map(|&row| self.advantages[row].len()))
    }
}

impl ValueTargets {
    /// Steps and completions of some rows.
    pub fn totals(&self, rows: &[usize]) -> Totals {
        Totals::of(rows.iter().map(|&row| self.returns[row].len()))
    }
}
