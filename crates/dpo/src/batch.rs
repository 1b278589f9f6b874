//! Pairs as tensors: what policy and reference say to a micro-batch.

use std::borrow::Cow;
use std::io;

use burn::tensor::{Device, Tensor, TensorData};
use preflab_data::{Pair, Rows, TokenPair};
use preflab_transformer::{CausalLm, Completions, TokenLogps};

use crate::inputs::{Logps, TokenTerms};
use crate::reference::ReferenceLogps;
use crate::statistics::TokenStatistics;

/// Pairs with what is known of them before training.
#[derive(Debug, Clone, Copy)]
pub struct ScoredPairs<'p> {
    /// Prompts with both completions.
    pub pairs: &'p [TokenPair],
    /// Log-probabilities under the reference, one a pair.
    pub reference: &'p [ReferenceLogps],
    /// The judge's score of the chosen completion minus that of the rejected one; needed by ODPO alone.
    pub score_gaps: Option<&'p [f64]>,
}

impl<'p> ScoredPairs<'p> {
    /// The first `count` pairs, or all there are.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        let count = count.min(self.pairs.len());
        Self {
            pairs: &self.pairs[..count],
            reference: &self.reference[..count],
            score_gaps: self.score_gaps.map(|gaps| &gaps[..count]),
        }
    }
}

/// The same where pairs and log-probabilities may stand in files.
#[derive(Debug, Clone, Copy)]
pub struct ScoredRows<'p> {
    /// As [`ScoredPairs::pairs`].
    pub pairs: Rows<'p, TokenPair>,
    /// As [`ScoredPairs::reference`].
    pub reference: Rows<'p, ReferenceLogps>,
    /// As [`ScoredPairs::score_gaps`].
    pub score_gaps: Option<&'p [f64]>,
}

impl<'p> From<ScoredPairs<'p>> for ScoredRows<'p> {
    fn from(data: ScoredPairs<'p>) -> Self {
        Self {
            pairs: Rows::Memory(data.pairs),
            reference: Rows::Memory(data.reference),
            score_gaps: data.score_gaps,
        }
    }
}

impl ScoredRows<'_> {
    /// The pairs at some places, in memory.
    ///
    /// # Errors
    /// If they stand in a file that cannot be read.
    pub fn taken(&self, places: &[usize]) -> io::Result<TakenPairs> {
        let pairs = self.pairs.rows(places)?;
        let reference = self.reference.rows(places)?;
        let gaps = |gaps: &[f64]| places.iter().map(|&place| gaps[place]).collect();
        Ok(TakenPairs {
            pairs: pairs.into_iter().map(Cow::into_owned).collect(),
            reference: reference.into_iter().map(Cow::into_owned).collect(),
            score_gaps: self.score_gaps.map(gaps),
        })
    }

    /// The pairs at some places, each followed by the one behind it in the data, which its unrelated completion is taken
    /// from: the pairs asked for stand at even places.
    pub(crate) fn taken_with_next(&self, places: &[usize]) -> io::Result<TakenPairs> {
        let count = self.pairs.len();
        let both = places
            .iter()
            .flat_map(|&place| [place, (place + 1) % count]);
        self.taken(&both.collect::<Vec<usize>>())
    }
}

/// Some pairs, in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TakenPairs {
    pairs: Vec<TokenPair>,
    reference: Vec<ReferenceLogps>,
    score_gaps: Option<Vec<f64>>,
}

impl TakenPairs {
    /// As trainers take them.
    pub fn scored(&self) -> ScoredPairs<'_> {
        ScoredPairs {
            pairs: &self.pairs,
            reference: &self.reference,
            score_gaps: self.score_gaps.as_deref(),
        }
    }
}

/// What a policy says to a micro-batch of `m` pairs.
pub(crate) struct Predicted {
    /// Their indices.
    pub pairs: Vec<usize>,
    /// `[2m, c]`, rows of the chosen completions first.
    pub logps: TokenLogps,
    completions: Completions,
    statistics: Option<TokenStatistics>,
}

/// One pass of the decoder over both completions of the pairs in `micro`; their prompts are computed once.
///
/// `statistics`: whether to look at the logits too.
pub(crate) fn predict(
    policy: &CausalLm,
    micro: &[usize],
    data: ScoredPairs<'_>,
    statistics: bool,
) -> Predicted {
    let side = |pick: fn(&TokenPair) -> &[u32]| {
        micro.iter().map(move |&index| {
            let pair = &data.pairs[index];
            (pair.prompt.as_slice(), pick(pair))
        })
    };
    let rows: Vec<(&[u32], &[u32])> = side(|pair| &pair.chosen)
        .chain(side(|pair| &pair.rejected))
        .collect();
    let completions = Completions::new(&rows, &policy.device());
    let hidden = policy.completion_hidden(&completions);
    let statistics = statistics.then(|| {
        let logits = policy.logits(hidden.clone());
        TokenStatistics::of(&logits, &completions.targets())
    });
    Predicted {
        pairs: micro.to_vec(),
        logps: policy.logps_of_hidden(hidden, &completions, 1.0),
        completions,
        statistics,
    }
}

impl Predicted {
    /// Log-probabilities of all completion tokens without autodiff, `[2m, c]`.
    pub fn values(&self) -> Tensor<2> {
        plain(self.logps.logps.clone())
    }

    /// 1 on completion tokens, 0 past the end, `[2m, c]`.
    pub fn inside(&self) -> Tensor<2> {
        plain(self.logps.mask.clone())
    }

    /// Completion tokens of each row, `[2m]`.
    pub fn lengths(&self) -> Tensor<1> {
        plain(self.logps.counts())
    }

    /// Both sides as objectives read them, from the log-probabilities `logps`, `[2m, c]`, in place of the policy's own.
    pub fn sides(&self, logps: &Tensor<2>) -> Pair<Logps> {
        let pairs = self.pairs.len();
        let lengths = self.lengths();
        let collision = self
            .statistics
            .as_ref()
            .map(|statistics| self.completions.spread(statistics.log_collision.clone()));
        let halves = Pair {
            chosen: 0,
            rejected: pairs,
        };
        halves.map(|first| {
            let rows = |values: &Tensor<2>| values.clone().narrow(0, first, pairs);
            let side = Logps::from_tokens(rows(logps), lengths.clone().narrow(0, first, pairs));
            let log_collision = collision.as_ref().map(rows);
            Logps {
                tokens: side.tokens.map(|terms| TokenTerms {
                    log_collision,
                    ..terms
                }),
                ..side
            }
        })
    }

    /// Mean logit of each completion token, and whether it is the most probable one, `[n]` each, where they were looked at.
    pub fn logits(&self) -> Option<[Tensor<1>; 2]> {
        let statistics = self.statistics.as_ref()?;
        Some([statistics.mean_logit.clone(), statistics.correct.clone()])
    }
}

/// Reference log-probabilities of the pairs in `taken`, `[2m, width]`, chosen rows first, 0 past the end.
pub(crate) fn reference_tensor(
    taken: &[usize],
    data: ScoredPairs<'_>,
    width: usize,
    device: &Device,
) -> Tensor<2> {
    let mut all = vec![0f32; 2 * taken.len() * width];
    let side = |pick: fn(&Pair<Vec<f32>>) -> &Vec<f32>| {
        taken
            .iter()
            .map(move |&index| pick(&data.reference[index].sides))
    };
    let rows = side(|pair| &pair.chosen).chain(side(|pair| &pair.rejected));
    for (row, logps) in all.chunks_mut(width).zip(rows) {
        row[..logps.len()].copy_from_slice(logps);
    }
    Tensor::from_data(TensorData::new(all, [2 * taken.len(), width]), device)
}

/// The numbers of a tensor.
pub(crate) fn numbers(values: &Tensor<1>) -> Vec<f64> {
    values.clone().into_data().iter::<f64>().collect()
}

/// The tensor without autodiff, whether it had it or not.
pub(crate) fn plain<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.is_autodiff() {
        tensor.inner()
    } else {
        tensor
    }
}
