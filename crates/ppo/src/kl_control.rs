//! The weight of the KL penalty over time.

use preflab_config::KlControl;

/// The weight of the KL penalty, and how it follows the measured KL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlController {
    control: KlControl,
    weight: f64,
}

impl KlController {
    /// At its first weight.
    pub fn new(control: KlControl) -> Self {
        let weight = match control {
            KlControl::Fixed(weight) => weight.get(),
            KlControl::Adaptive(adaptive) => adaptive.initial.get(),
        };
        Self { control, weight }
    }

    /// The weight now.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Goes on from a weight that was reached earlier.
    pub(crate) fn set_weight(&mut self, weight: f64) {
        self.weight = weight;
    }

    /// After `episodes` more completions, whose mean KL was `kl`, nats per completion.
    ///
    /// Adaptive: `beta <- beta (1 + clip(kl / target - 1, -0.2, 0.2) episodes / horizon)`; Ziegler et al. 2019,
    /// [arXiv:1909.08593](https://arxiv.org/abs/1909.08593), section 2.2. Fixed: nothing.
    pub fn update(&mut self, kl: f64, episodes: usize) {
        match self.control {
            KlControl::Fixed(_) => {}
            KlControl::Adaptive(adaptive) => {
                let error = (kl / adaptive.target.get() - 1.0).clamp(-0.2, 0.2);
                self.weight *= 1.0 + error * episodes as f64 / adaptive.horizon.get();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::{AdaptiveKl, NonNegative, Positive};

    #[test]
    fn a_fixed_weight_stays() {
        let mut controller = KlController::new(KlControl::Fixed(NonNegative::of(0.05)));
        controller.update(100.0, 512);
        assert_eq!(controller.weight(), 0.05);
    }

    #[test]
    fn an_adaptive_weight_moves_towards_the_target_at_a_bounded_speed() {
        let adaptive = AdaptiveKl {
            initial: Positive::of(0.2),
            target: Positive::of(6.0),
            horizon: Positive::of(10_000.0),
        };
        let mut controller = KlController::new(KlControl::Adaptive(adaptive));
        controller.update(6.0, 512);
        assert_eq!(controller.weight(), 0.2);
        controller.update(1e9, 1000);
        assert!((controller.weight() - 0.2 * 1.02).abs() < 1e-15);
        controller.update(-5.0, 1000);
        assert!((controller.weight() - 0.2 * 1.02 * 0.98).abs() < 1e-15);
    }
}
