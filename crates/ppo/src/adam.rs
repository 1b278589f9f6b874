//! Where Adam adds its epsilon: the two published placements, on plain numbers.

/// Where epsilon is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpsilonPlacement {
    /// `lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`: PyTorch, and algorithm 1 of the paper.
    Corrected,
    /// `lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)`: TensorFlow, and so lm-human-preferences ("epsilon hat" in
    /// section 2 of the paper). Early on, where `1 - b2^t` is small, its epsilon acts up to `1 / sqrt(1 - b2)` times as strongly.
    Uncorrected,
}

/// Adam on plain numbers, without weight decay.
///
/// Kingma & Ba 2014, [arXiv:1412.6980](https://arxiv.org/abs/1412.6980), algorithm 1. Huang et al. 2023, "The N
/// implementation details of RLHF with PPO", found the placement to matter at the start of training. Trainers use
/// `preflab_training::Optimizer`, which is [`EpsilonPlacement::Corrected`].
#[derive(Debug, Clone)]
pub struct Adam {
    learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    placement: EpsilonPlacement,
    step: i32,
    moments: Vec<[f64; 2]>,
}

impl Adam {
    /// For `parameters` numbers.
    pub fn new(
        parameters: usize,
        learning_rate: f64,
        betas: [f64; 2],
        epsilon: f64,
        placement: EpsilonPlacement,
    ) -> Self {
        Self {
            learning_rate,
            betas,
            epsilon,
            placement,
            step: 0,
            moments: vec![[0.0; 2]; parameters],
        }
    }

    /// One update of `parameters` with `gradients`.
    ///
    /// # Panics
    /// If there are not as many of them as at the start.
    pub fn step(&mut self, parameters: &mut [f64], gradients: &[f64]) {
        assert!(parameters.len() == self.moments.len() && gradients.len() == self.moments.len());
        self.step += 1;
        let [b1, b2] = self.betas;
        let (first, second) = (1.0 - b1.powi(self.step), (1.0 - b2.powi(self.step)).sqrt());
        for ((parameter, g), [m, v]) in parameters.iter_mut().zip(gradients).zip(&mut self.moments)
        {
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            let direction = match self.placement {
                EpsilonPlacement::Corrected => *m / (v.sqrt() / second + self.epsilon),
                EpsilonPlacement::Uncorrected => *m * second / (v.sqrt() + self.epsilon),
            };
            *parameter -= self.learning_rate / first * direction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_gradient_moves_less_where_epsilon_is_not_corrected() {
        let moved = |placement| {
            let mut parameter = [0.0];
            Adam::new(1, 0.01, [0.9, 0.999], 1e-5, placement).step(&mut parameter, &[1e-5]);
            -parameter[0]
        };
        // m / sqrt(v) is 1 at the first step: 0.01 / (1 + eps / g), with eps sqrt(1000) times as strong in the second.
        assert!((moved(EpsilonPlacement::Corrected) - 0.005).abs() < 1e-9);
        let expected = 0.01 / (1.0 + 1000f64.sqrt());
        assert!((moved(EpsilonPlacement::Uncorrected) - expected).abs() < 1e-9);
    }
}
