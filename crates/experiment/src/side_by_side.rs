//! How many stages to compute side by side.

use std::num::NonZeroUsize;

use crate::Estimate;

/// Parameters up to which one stage on one thread wastes less than one stage on all of them: its matrices are too small to
/// share out.
const SMALL: usize = 20_000_000;

/// Share of the free memory that the stages may take together.
const MEMORY: f64 = 0.7;

/// Stages to compute side by side where the user names no number: one for each thread if models are small, as far as
/// `free_memory` (bytes, where known) holds their models and activations; one if models are large.
///
/// The results are the same whatever the number.
pub fn side_by_side(
    estimate: &Estimate,
    threads: NonZeroUsize,
    free_memory: Option<f64>,
) -> NonZeroUsize {
    if estimate.parameters > SMALL {
        return NonZeroUsize::MIN;
    }
    let each = estimate
        .hungriest()
        .map_or(1.0, |stage| estimate.memory[stage].peak.max(1.0));
    let fit = free_memory.map_or(f64::INFINITY, |free| free * MEMORY / each);
    let fit = NonZeroUsize::new(fit as usize).unwrap_or(NonZeroUsize::MIN);
    threads.min(fit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::StageMemory;

    fn stages(parameters: usize, memory: f64, free_memory: Option<f64>) -> usize {
        let estimate = Estimate {
            vocabulary: 100,
            parameters,
            memory: vec![StageMemory {
                roles: Vec::new(),
                peak: memory,
            }],
            seconds: Vec::new(),
            finished: Vec::new(),
        };
        side_by_side(&estimate, NonZeroUsize::new(8).unwrap(), free_memory).get()
    }

    #[test]
    fn small_models_get_a_thread_each() {
        assert_eq!(stages(1_000_000, 1e8, Some(1e10)), 8);
        assert_eq!(stages(1_000_000, 1e8, None), 8);
    }

    #[test]
    fn memory_bounds_them() {
        assert_eq!(stages(1_000_000, 1e9, Some(5e9)), 3);
        assert_eq!(stages(1_000_000, 1e9, Some(1e8)), 1);
    }

    #[test]
    fn a_large_model_gets_all_threads() {
        assert_eq!(stages(100_000_000, 1e8, Some(1e11)), 1);
    }
}
