//! What a preference objective reads: log-probabilities of both completions under policy and reference.

use burn::tensor::{DType, Int, Tensor};
use preflab_config::TokenAggregation;
use preflab_data::Pair;

/// Log-probabilities of one completion per row, under one model. Nats.
#[derive(Debug, Clone)]
pub struct Logps {
    /// `log π(y|x)`: the sum over completion tokens, `[b]`.
    pub sum: Tensor<1>,
    /// Number of completion tokens, the end-of-sequence token included, `[b]`, in the dtype of `sum`.
    pub lengths: Tensor<1>,
    /// The terms of the sum; only objectives that look at single tokens need them.
    pub tokens: Option<TokenTerms>,
}

/// Log-probabilities token by token.
#[derive(Debug, Clone)]
pub struct TokenTerms {
    /// `log π(y_t|x, y_<t)`, `[b, c]`: token `t` in column `t`, 0 beyond the length.
    pub logps: Tensor<2>,
    /// `log Σ_v π(v|x, y_<t)²`, `[b, c]`, 0 beyond the length: the expected probability of a token that the policy
    /// itself would sample. Only WPO with sampled alignment needs it.
    pub log_collision: Option<Tensor<2>>,
}

impl Logps {
    /// Sums and lengths alone, `[b]` each.
    pub fn from_sums(sum: Tensor<1>, lengths: Tensor<1>) -> Self {
        Self {
            sum,
            lengths,
            tokens: None,
        }
    }

    /// From `logps` `[b, c]` (0 beyond the length) and `lengths` `[b]`.
    pub fn from_tokens(logps: Tensor<2>, lengths: Tensor<1>) -> Self {
        Self {
            sum: logps.clone().sum_dim(1).squeeze_dim(1),
            lengths,
            tokens: Some(TokenTerms {
                logps,
                log_collision: None,
            }),
        }
    }

    /// `log π(y|x) / |y|`, `[b]`; a completion of no tokens counts as one token long.
    pub fn mean(&self) -> Tensor<1> {
        per_token(self.sum.clone(), self.lengths.clone())
    }

    /// The sum or the mean, `[b]`.
    pub fn aggregate(&self, aggregation: TokenAggregation) -> Tensor<1> {
        match aggregation {
            TokenAggregation::Sum => self.sum.clone(),
            TokenAggregation::Mean => self.mean(),
        }
    }

    /// The terms of the sum.
    ///
    /// # Panics
    /// If only sums are known.
    pub fn terms(&self) -> &TokenTerms {
        self.tokens
            .as_ref()
            .expect("this objective reads log-probabilities token by token")
    }

    /// The same completions with every log-probability 0.
    #[must_use]
    pub fn zeroed(&self) -> Self {
        let zero = |terms: &TokenTerms| TokenTerms {
            logps: terms.logps.zeros_like(),
            log_collision: None,
        };
        Self {
            sum: self.sum.zeros_like(),
            lengths: self.lengths.clone(),
            tokens: self.tokens.as_ref().map(zero),
        }
    }

    /// The column of each token, `[1, c]`, in the dtype of the log-probabilities.
    pub(crate) fn columns(&self) -> Tensor<2> {
        let logps = &self.terms().logps;
        let dtype: DType = logps.dtype();
        Tensor::<1, Int>::arange(0..logps.dims()[1] as i64, &logps.device())
            .float()
            .cast(dtype)
            .unsqueeze_dim(0)
    }
}

/// `sum / max(length, 1)`.
pub(crate) fn per_token(sum: Tensor<1>, lengths: Tensor<1>) -> Tensor<1> {
    sum / lengths.clamp_min(1.0)
}

/// Everything an objective may read of a batch of `b` pairs.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Under the policy that is trained; gradients flow through `sum` and `tokens.logps`.
    pub policy: Pair<Logps>,
    /// Under the reference policy; constants.
    pub reference: Pair<Logps>,
    /// What single objectives need besides.
    pub context: Context,
}

/// What single objectives need besides log-probabilities.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The judge's score of the chosen completion minus that of the rejected one, `[b]`: ODPO.
    pub score_gaps: Option<Tensor<1>>,
    /// `max(0, mean(log π − log π_ref))` over unrelated completions, `[1]`, nats: KTO.
    pub kl: Option<Tensor<1>>,
    /// The reward shift, `[1]`: BCO with a running mean.
    pub reward_shift: Option<Tensor<1>>,
    /// Mean length of the chosen completions of the whole update, `[1]`, tokens: `sft` with `batch-mean`. Absent: the
    /// mean of the pairs at hand.
    pub mean_chosen_length: Option<Tensor<1>>,
}

impl Inputs {
    /// Pairs with nothing but log-probabilities.
    pub fn new(policy: Pair<Logps>, reference: Pair<Logps>) -> Self {
        Self {
            policy,
            reference,
            context: Context::default(),
        }
    }

    /// `log π(y|x) − log π_ref(y|x)`, summed over tokens, `[b]` each.
    pub fn log_ratios(&self) -> Pair<Tensor<1>> {
        self.policy
            .as_ref()
            .zip(self.reference.as_ref())
            .map(|(policy, reference)| policy.sum.clone() - reference.sum.clone())
    }

    /// Log-ratios summed over tokens or averaged, `[b]` each.
    pub fn aggregated_log_ratios(&self, aggregation: TokenAggregation) -> Pair<Tensor<1>> {
        let sums = self.log_ratios();
        match aggregation {
            TokenAggregation::Sum => sums,
            TokenAggregation::Mean => self.per_token(sums),
        }
    }

    /// A value of each completion divided by its length, `[b]` each.
    pub fn per_token(&self, values: Pair<Tensor<1>>) -> Pair<Tensor<1>> {
        values
            .zip(self.policy.as_ref())
            .map(|(value, logps)| per_token(value, logps.lengths.clone()))
    }

    /// Lengths of both completions, `[b]` each, tokens.
    pub fn lengths(&self) -> Pair<Tensor<1>> {
        self.policy.as_ref().map(|logps| logps.lengths.clone())
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.policy.chosen.sum.dims()[0]
    }
}

/// `chosen − rejected`, `[b]`.
pub fn margin(values: &Pair<Tensor<1>>) -> Tensor<1> {
    values.chosen.clone() - values.rejected.clone()
}
