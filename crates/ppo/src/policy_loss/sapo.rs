//! A soft gate in place of the clip.

use burn::tensor::{Tensor, activation};
use preflab_config::Sapo;

use super::PolicyBatch;

/// Soft Adaptive Policy Optimization: `-(4 / tau) sigmoid(tau (r - 1)) A`, `[b, t]`.
///
/// `tau` is `gates.positive` where `A > 0`, else `gates.negative`. Gao et al. 2025,
/// [arXiv:2511.20347](https://arxiv.org/abs/2511.20347). At `r = 1` its gradient is that of the unclipped surrogate.
pub fn sapo(batch: &PolicyBatch, gates: Sapo) -> Tensor<2> {
    let shift = batch.ratio() - 1.0;
    let gate = |tau: f64| activation::sigmoid(shift.clone() * tau) * (4.0 / tau);
    let positive = batch.advantages.clone().greater_elem(0.0);
    let gates = gate(gates.negative.get()).mask_where(positive, gate(gates.positive.get()));
    -(gates * batch.advantages.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_loss::tests::{batch, numbers};

    #[test]
    fn at_ratio_1_the_gradient_is_the_advantage() {
        let (batch, leaf) = batch(&[-1.0, -2.0], &[-1.0, -2.0], &[0.5, -3.0]);
        let gradients = sapo(&batch, Sapo::default()).sum().backward();
        for (ours, theirs) in numbers(leaf.grad(&gradients).unwrap())
            .iter()
            .zip([-0.5, 3.0])
        {
            assert!((ours - theirs).abs() < 1e-14);
        }
    }
}
