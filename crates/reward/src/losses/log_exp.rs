//! OpenRLHF's other form of the Bradley-Terry loss.

use burn::tensor::Tensor;
use preflab_data::Pair;

use super::log_sigmoid;

/// `log(1 + exp(r_rejected - r_chosen))`, `[b]`: OpenRLHF's `LogExpLoss`, after Bai et al. 2022,
/// [arXiv:2204.05862](https://arxiv.org/abs/2204.05862), section 2.4. It ignores any margin.
///
/// Equal to [`bradley_terry`](super::bradley_terry()) without margin and smoothing; written out as OpenRLHF has it, it is
/// infinite in 32-bit floats once the gap passes 88, which this is not.
pub fn log_exp(scores: &Pair<Tensor<1>>) -> Tensor<1> {
    -log_sigmoid(scores.chosen.clone() - scores.rejected.clone())
}
