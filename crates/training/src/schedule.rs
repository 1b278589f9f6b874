//! The learning rate of each update.

use std::f64::consts::PI;

use preflab_config::{OptimizerSettings, Schedule};

/// Learning rate of `update` (counted from 0) out of `total`, as transformers' `get_scheduler` gives it.
///
/// During warm-up `peak * update / warmup` (so the first update has rate 0); after it
/// `peak * factor(progress)` with `progress = (update - warmup) / (total - warmup)`: 1 for constant, `1 - progress` for
/// linear, `(1 + cos(pi * progress)) / 2` for cosine.
pub fn learning_rate(settings: &OptimizerSettings, update: usize, total: usize) -> f64 {
    let peak = settings.learning_rate.get();
    if update < settings.warmup {
        return peak * update as f64 / settings.warmup as f64;
    }
    let length = total.saturating_sub(settings.warmup).max(1) as f64;
    let progress = (update - settings.warmup) as f64 / length;
    peak * match settings.schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => (1.0 - progress).max(0.0),
        Schedule::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_equal_transformers() {
        // transformers 5.23, optimization.py: get_linear_schedule_with_warmup(warmup 3, total 20), lr 1e-3.
        let mut settings = OptimizerSettings::with_learning_rate(1e-3);
        settings.warmup = 3;
        settings.schedule = Schedule::Linear;
        assert_eq!(learning_rate(&settings, 0, 20), 0.0);
        assert!((learning_rate(&settings, 1, 20) - 1e-3 / 3.0).abs() < 1e-18);
        assert_eq!(learning_rate(&settings, 3, 20), 1e-3);
        assert!((learning_rate(&settings, 19, 20) - 1e-3 / 17.0).abs() < 1e-12);
        settings.schedule = Schedule::Cosine;
        assert!(
            (learning_rate(&settings, 10, 20) - 5e-4 * (1.0 + (PI * 7.0 / 17.0).cos())).abs()
                < 1e-15
        );
    }
}
