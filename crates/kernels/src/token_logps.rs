//! Log-probabilities of tokens, from hidden states and a head.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Shape, Tensor, activation};
use burn_flex::FlexTensor;

use crate::flex::{contiguous, differentiable, floats, integers, tensor, unwritten};
use crate::gemm::{self, Output, Store, View};
use crate::matrix::{like, view};
use crate::path::fused;
use crate::rows::{self, Shared};
use crate::scratch::Scratch;
use crate::simd::{self, Level, accumulate, exp, mul_add, vectorised};

/// Logits held at a time.
const LOGITS: usize = 1 << 20;

/// Logits of all rows together that the forward pass keeps for the backward pass; of more, none are kept.
const KEPT: usize = 1 << 23;

/// Log-probability of each target, and entropy, under `p = softmax(hidden·Wᵀ / temperature)`. Nats.
///
/// `logps_i = log p_i[target_i]`, `entropy_i = −Σ_j p_ij · log p_ij`. The logits of many tokens never exist together: they
/// are made for a few rows at a time, in the backward pass once more; up to 32 MiB of them are kept for it instead.
///
/// - `hidden`: `[n, d]`; `weight`: `[v, d]`, in either memory order (a transposed view costs nothing).
/// - `targets`: `[n]`, below `v`; a negative one skips its row: both results 0, no gradient.
/// - `temperature`: above 0.
///
/// Returns (`logps`, `entropy`), `[n]` each; gradients flow through both.
pub fn token_logps(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
) -> (Tensor<1>, Tensor<1>) {
    let [n, d] = hidden.dims();
    assert_eq!(weight.dims()[1], d, "hidden states and head of one width");
    assert_eq!(targets.dims(), [n], "one target a row");
    assert!(temperature > 0.0, "a temperature above 0");
    if fused(&hidden) && fused(&weight) {
        let (hidden, weight) = (hidden.into_dispatch(), weight.into_dispatch());
        let both =
            Dispatch::token_logps(hidden, weight, targets.into_dispatch(), temperature as f32);
        let both = Tensor::<2>::from_dispatch(both);
        let row = |i: usize| both.clone().narrow(0, i, 1).reshape([n]);
        (row(0), row(1))
    } else {
        composed(hidden, weight, targets, temperature)
    }
}

fn composed(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
) -> (Tensor<1>, Tensor<1>) {
    let [n, _] = hidden.dims();
    let skipped = targets.clone().lower_elem(0);
    let targets = targets.clamp_min(0).reshape([n, 1]);
    let mut logits = hidden.matmul(weight.transpose());
    if logits.dtype() != DType::F32 {
        logits = logits.cast(DType::F32);
    }
    let logps = activation::log_softmax(logits / temperature, 1);
    let chosen = logps.clone().gather(1, targets).reshape([n]);
    let entropy = (logps.clone().exp() * logps).sum_dim(1).neg().reshape([n]);
    (
        chosen.mask_fill(skipped.clone(), 0.0),
        entropy.mask_fill(skipped, 0.0),
    )
}

#[backend_extension(Autodiff, Flex)]
trait TokenLogpsOp: Backend {
    /// `[2, n]`: log-probabilities, entropies.
    fn token_logps(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        temperature: f32,
    ) -> FloatTensor<Self>;
}

impl TokenLogpsOp for Flex {
    fn token_logps(
        hidden: FlexTensor,
        weight: FlexTensor,
        targets: FlexTensor,
        temperature: f32,
    ) -> FlexTensor {
        let rows = Rows::new(hidden, weight, &targets, temperature);
        rows.forward(false).0
    }
}

impl<C: CheckpointStrategy> TokenLogpsOp for Autodiff<Flex, C> {
    fn token_logps(
        hidden: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        temperature: f32,
    ) -> FloatTensor<Self> {
        differentiable::<C, 2, _>([hidden, weight], |[hidden, weight]| {
            let rows = Rows::new(hidden, weight, &targets, temperature);
            let (both, log_sums, logits) = rows.forward(rows.n * rows.v <= KEPT);
            let entropies = floats(&both)[rows.n..].to_vec();
            let logits = Mutex::new(logits);
            let backward = move |gradient: FlexTensor, wanted: [bool; 2]| {
                let kept =
                    std::mem::take(&mut *logits.lock().unwrap_or_else(PoisonError::into_inner));
                rows.backward(&log_sums, &entropies, kept, &contiguous(gradient), wanted)
            };
            (both, backward)
        })
    }
}

/// The operands of one call.
struct Rows {
    hidden: FlexTensor,
    weight: FlexTensor,
    targets: Arc<[i64]>,
    scale: f32,
    n: usize,
    d: usize,
    v: usize,
}

impl Rows {
    fn new(hidden: FlexTensor, weight: FlexTensor, targets: &FlexTensor, temperature: f32) -> Self {
        let [n, d] = hidden.shape().dims();
        let [v, _] = weight.shape().dims();
        let targets = integers(targets);
        let highest = targets.iter().copied().max().unwrap_or(0);
        assert!(
            highest < v as i64,
            "target {highest} in a vocabulary of {v}"
        );
        Self {
            hidden: contiguous(hidden),
            weight,
            targets: targets.into(),
            scale: 1.0 / temperature,
            n,
            d,
            v,
        }
    }

    /// Rows whose logits are held at a time. Depends on nothing but the vocabulary: the order of sums is fixed by it.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> {
        let (n, step) = (self.n, (LOGITS / self.v).clamp(32, 512));
        (0..n.div_ceil(step)).map(move |i| i * step..((i + 1) * step).min(n))
    }

    fn logits(&self, chunk: &Range<usize>, to: &mut [f32]) {
        let hidden = &floats(&self.hidden)[chunk.start * self.d..chunk.end * self.d];
        let hidden = View::new(hidden, chunk.len(), self.d);
        gemm::parallel(
            Level::best(),
            hidden,
            view(&self.weight).t(),
            Output::new(to, chunk.len(), self.v),
            Store::Overwrite,
        );
    }

    /// Log-probabilities and entropies, `[2, n]`, the log of every row's sum of exponentials, and the logits of every chunk
    /// where they are to be kept.
    fn forward(&self, keep: bool) -> (FlexTensor, Vec<f32>, Vec<Scratch>) {
        let (n, v, level) = (self.n, self.v, Level::best());
        let (mut both, mut log_sums) = (unwritten(2 * n), unwritten(n));
        let (to, to_log_sums) = (Shared::new(&mut both), Shared::new(&mut log_sums));
        let mut kept = Vec::new();
        for chunk in self.chunks() {
            let mut logits = Scratch::new(chunk.len() * v);
            self.logits(&chunk, &mut logits);
            rows::each(chunk.len(), v, |part| {
                for row in part {
                    let (token, logits) = (chunk.start + row, &logits[row * v..(row + 1) * v]);
                    let target = self.targets[token];
                    let (log_sum, entropy) = log_sum_and_entropy(level, logits, self.scale);
                    let result = match usize::try_from(target) {
                        Ok(target) => [logits[target] * self.scale - log_sum, entropy],
                        Err(_) => [0.0, 0.0],
                    };
                    // SAFETY: every row belongs to one part.
                    unsafe {
                        to.slice(token..token + 1)[0] = result[0];
                        to.slice(n + token..n + token + 1)[0] = result[1];
                        to_log_sums.slice(token..token + 1)[0] = log_sum;
                    }
                }
            });
            if keep {
                kept.push(logits);
            }
        }
        (tensor(both, Shape::from([2, n])), log_sums, kept)
    }

    /// With `z` the logits, `L` the log-probability's and `H` the entropy's gradient:
    /// `dz_j = (L·(1[j = target] − p_j) − H·p_j·(log p_j + entropy)) / temperature`, `dhidden = dz·W`, `dW = dzᵀ·hidden`.
    /// Logits that were not kept are made once more.
    fn backward(
        &self,
        log_sums: &[f32],
        entropies: &[f32],
        kept: Vec<Scratch>,
        gradient: &FlexTensor,
        [hidden_wanted, weight_wanted]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let (n, d, v, level) = (self.n, self.d, self.v, Level::best());
        let (of_logps, of_entropy) = floats(gradient).split_at(n);
        let hidden = floats(&self.hidden);
        let mut dhidden = hidden_wanted.then(|| unwritten(n * d));
        let mut kept = kept.into_iter();
        let mut chunks = |dweight: Option<(Output, bool)>| {
            let mut dweight = dweight;
            let mut into = Store::Overwrite;
            for chunk in self.chunks() {
                let mut logits = kept.next().unwrap_or_else(|| {
                    let mut logits = Scratch::new(chunk.len() * v);
                    self.logits(&chunk, &mut logits);
                    logits
                });
                let shared = Shared::new(&mut logits);
                rows::each(chunk.len(), v, |part| {
                    for row in part {
                        let token = chunk.start + row;
                        // SAFETY: every row belongs to one part.
                        let logits = unsafe { shared.slice(row * v..(row + 1) * v) };
                        let Ok(target) = usize::try_from(self.targets[token]) else {
                            logits.fill(0.0);
                            continue;
                        };
                        let (of_logps, of_entropy) = (of_logps[token], of_entropy[token]);
                        let [a, b] = [of_logps + of_entropy * entropies[token], of_entropy];
                        logit_gradients(level, logits, self.scale, log_sums[token], a, b);
                        logits[target] += of_logps * self.scale;
                    }
                });
                let dlogits = View::new(&logits, chunk.len(), v);
                if let Some(dhidden) = &mut dhidden {
                    let to = &mut dhidden[chunk.start * d..chunk.end * d];
                    let to = Output::new(to, chunk.len(), d);
                    gemm::parallel(level, dlogits, view(&self.weight), to, Store::Overwrite);
                }
                if let Some((to, transposed)) = &mut dweight {
                    let hidden = View::new(&hidden[chunk.start * d..chunk.end * d], chunk.len(), d);
                    let (left, right) = if *transposed {
                        (hidden, dlogits)
                    } else {
                        (dlogits, hidden)
                    };
                    gemm::parallel(level, left.t(), right, to.reborrow(), into);
                    into = Store::Add;
                }
            }
            if let (Some((to, _)), Store::Overwrite) = (&mut dweight, into) {
                to.fill_zero();
            }
        };
        let dweight = if weight_wanted {
            Some(like(&self.weight, |out, transposed| {
                chunks(Some((out, transposed)))
            }))
        } else {
            chunks(None);
            None
        };
        [
            dhidden.map(|values| tensor(values, Shape::from([n, d]))),
            dweight,
        ]
    }
}

vectorised! {
    /// `log Σ e^(scale·z)` and the entropy of `softmax(scale·z)`.
    fn log_sum_and_entropy(logits: &[f32], scale: f32) -> (f32, f32) {
        let largest = simd::max(logits) * scale;
        let [sum, below] = accumulate([logits], |[logit]| {
            let shifted = mul_add::<FMA>(logit, scale, -largest);
            let weight = exp::<FMA>(shifted);
            // A weight of zero times negative infinity would not be a number.
            [weight, if weight > 0.0 { weight * shifted } else { 0.0 }]
        });
        (largest + sum.ln(), sum.ln() - below / sum)
    }
}

vectorised! {
    /// `z_j ← −scale · p_j · (a + b·log p_j)`.
    fn logit_gradients(logits: &mut [f32], scale: f32, log_sum: f32, a: f32, b: f32) {
        for logit in logits {
            let logp = *logit * scale - log_sum;
            let p = exp::<FMA>(logp);
            let pull = if p > 0.0 { a + b * logp } else { 0.0 };
            *logit = -scale * p * pull;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agree, differentiates, normal, same_for_any_threads, values};
    use burn::tensor::{Device, TensorData};

    fn ids(ids: Vec<i64>) -> Tensor<1, Int> {
        let n = ids.len();
        Tensor::from_data(TensorData::new(ids, [n]), &Device::flex())
    }

    /// Every fifth row is skipped.
    fn targets(n: usize, v: usize) -> Tensor<1, Int> {
        ids((0..n as i64)
            .map(|i| if i % 5 == 4 { -1 } else { i * 7 % v as i64 })
            .collect())
    }

    fn both(hidden: Tensor<2>, weight: Tensor<2>, temperature: f64) -> Tensor<1> {
        let ([n, _], [v, _]) = (hidden.dims(), weight.dims());
        let (logps, entropy) = token_logps(hidden, weight, targets(n, v), temperature);
        Tensor::cat(vec![logps, entropy], 0)
    }

    #[test]
    fn fused_equals_composed() {
        for [n, d, v] in [
            [1, 1, 2],
            [5, 8, 16],
            [7, 33, 150],
            [70, 32, 1000],
            [600, 16, 4096],
        ] {
            agree(
                [normal(vec![n, d], 1), normal(vec![v, d], 2)],
                1e-5,
                |[hidden, weight]| both(hidden.reshape([n, d]), weight.reshape([v, d]), 0.7),
            );
            agree(
                [normal(vec![n, d], 1), normal(vec![v, d], 2)],
                1e-5,
                |[hidden, weight]| {
                    both(
                        hidden.reshape([n, d]),
                        weight.reshape([d, v]).transpose(),
                        1.3,
                    )
                },
            );
        }
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let [n, d, v] = [600, 16, 4096];
        same_for_any_threads(
            [normal(vec![n, d], 1), normal(vec![v, d], 2)],
            |[hidden, weight]| both(hidden.reshape([n, d]), weight.reshape([v, d]), 1.0),
        );
    }

    #[test]
    fn logits_that_are_kept_give_what_those_made_once_more_give() {
        let [n, d, v] = [600, 16, 4096];
        let (hidden, weight) = (normal(vec![n, d], 1), normal(vec![v, d], 2));
        let hidden = tensor(hidden, Shape::from([n, d]));
        let weight = tensor(weight, Shape::from([v, d]));
        let targets = (0..n as i64).map(|i| if i % 5 == 4 { -1 } else { i });
        let rows = Rows {
            targets: targets.collect(),
            scale: 0.7,
            hidden,
            weight,
            n,
            d,
            v,
        };
        let gradient = tensor(normal(vec![2, n], 3), Shape::from([2, n]));
        let found = |keep: bool| {
            let (both, log_sums, kept) = rows.forward(keep);
            assert_eq!(kept.is_empty(), !keep);
            let entropies = floats(&both)[n..].to_vec();
            let gradients = rows.backward(&log_sums, &entropies, kept, &gradient, [true, true]);
            gradients.map(|gradient| floats(&gradient.unwrap()).to_vec())
        };
        assert!(found(true) == found(false));
    }

    #[test]
    fn more_logits_than_are_kept_equal_composed() {
        let [n, d, v] = [2100, 4, 4096];
        assert!(n * v > KEPT);
        agree(
            [normal(vec![n, d], 1), normal(vec![v, d], 2)],
            1e-5,
            |[hidden, weight]| both(hidden.reshape([n, d]), weight.reshape([v, d]), 1.0),
        );
    }

    #[test]
    fn gradients_equal_central_differences() {
        let [n, d, v] = [3, 4, 6];
        differentiates(
            [normal(vec![n, d], 1), normal(vec![v, d], 2)],
            1e-3,
            |[hidden, weight]| both(hidden.reshape([n, d]), weight.reshape([v, d]), 1.0),
        );
    }

    #[test]
    fn logits_of_ten_thousand_stay_finite() {
        let hidden = values(vec![1e4, -1e4]).reshape([2, 1]);
        let weight = values(vec![1.0, 0.0, -1.0]).reshape([3, 1]);
        let (logps, entropy) = token_logps(hidden, weight, ids(vec![0, 0]), 1.0);
        assert_eq!(logps.into_data().try_to_vec::<f32>().unwrap(), [0.0, -2e4]);
        assert_eq!(entropy.into_data().try_to_vec::<f32>().unwrap(), [0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "target 3 in a vocabulary of 3")]
    fn a_target_beyond_the_vocabulary_is_refused() {
        token_logps(
            values(vec![1.0]).reshape([1, 1]),
            values(vec![0.0; 3]).reshape([3, 1]),
            ids(vec![3]),
            1.0,
        );
    }
}
