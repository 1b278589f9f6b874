//! Which tokens gained probability since the start: where the mass goes that rejected completions lose.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use preflab_transformer::{CausalLm, Completions};

use super::probes::Row;

/// Numbers kept of the start's distributions, at most.
const LIMIT: usize = 1 << 24;

/// Tokens named in a look.
const NAMED: usize = 10;

/// Follows the next-token distributions at the positions of a few completions.
#[derive(Debug)]
pub struct TokenGains {
    completions: Completions,
    /// Next-token probabilities at the start, `[n, v]`.
    start: Tensor<2>,
}

/// What changed since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenGainsLook {
    /// The tokens whose mean probability over the positions gained most, and by how much; most first.
    pub tokens: Vec<(u32, f64)>,
    /// Sum over tokens that are not the completion's own at a position of their gains there, mean over positions.
    pub outside: f64,
}

impl TokenGainsLook {
    /// The largest gain of one token.
    pub fn max(&self) -> f64 {
        self.tokens.first().map_or(f64::NAN, |(_, gain)| *gain)
    }

    /// The tokens as a Markdown table, with the text that `name` gives each.
    pub fn table(&self, name: impl Fn(u32) -> String) -> String {
        let row =
            |(token, gain): &(u32, f64)| format!("| {token} | `{}` | {gain:+.5} |\n", name(*token));
        let rows: String = self.tokens.iter().map(row).collect();
        format!("| id | token | gain of mean probability |\n|---|---|---|\n{rows}")
    }
}

impl TokenGains {
    /// At the positions of `rows` under `policy`; none where there are no rows, or too many numbers to keep.
    pub(super) fn new(rows: &[&Row], policy: &CausalLm) -> Option<Self> {
        let positions: usize = rows.iter().map(|(_, completion)| completion.len()).sum();
        let numbers = positions * policy.architecture().vocabulary;
        if positions == 0 || numbers > LIMIT {
            return None;
        }
        let rows: Vec<(&[u32], &[u32])> = rows
            .iter()
            .map(|(prompt, completion)| (prompt.as_slice(), completion.as_slice()))
            .collect();
        let completions = Completions::new(&rows, &policy.device());
        Some(Self {
            start: probabilities(policy, &completions),
            completions,
        })
    }

    /// The gains under `policy`.
    pub fn look(&self, policy: &CausalLm) -> TokenGainsLook {
        let gains = probabilities(policy, &self.completions) - self.start.clone();
        let [positions, _] = gains.dims();
        let means: Vec<f64> = gains
            .clone()
            .mean_dim(0)
            .into_data()
            .iter::<f64>()
            .collect();
        let mut tokens: Vec<(u32, f64)> = (0..).zip(means).collect();
        tokens.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        tokens.truncate(NAMED);
        let own: Tensor<2, Int> = self.completions.targets().unsqueeze_dim(1);
        let positive = gains.clamp_min(0.0);
        let outside = positive.clone().sum() - positive.gather(1, own).sum();
        TokenGainsLook {
            tokens,
            outside: outside.into_data().iter::<f64>().sum::<f64>() / positions as f64,
        }
    }
}

fn probabilities(policy: &CausalLm, completions: &Completions) -> Tensor<2> {
    log_softmax(policy.completion_logits(completions), 1).exp()
}
