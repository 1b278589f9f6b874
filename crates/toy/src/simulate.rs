//! From settings to runs: blocks of seeds, side by side.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use preflab_config::{ToyArm, ToySettings};

use crate::error::ToyError;
use crate::outcome::Outcome;
use crate::preference;
use crate::program;

/// Computes every run. `progress` is told how many seeds are done, and of how many.
///
/// Blocks of [`ToySettings::seeds_at_once`] seeds are tensor programs of their own, as many at a time as there are cores; the
/// outcome depends on neither number.
///
/// # Errors
/// If settings do not go together.
pub fn simulate(
    settings: &ToySettings,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Outcome, ToyError> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    simulate_on(settings, cores, progress)
}

/// [`simulate`] on so many threads.
pub(crate) fn simulate_on(
    settings: &ToySettings,
    threads: usize,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Outcome, ToyError> {
    check(settings)?;
    let seeds: Vec<u64> = (0..settings.seeds.get() as u64).collect();
    let blocks: Vec<&[u64]> = seeds.chunks(settings.seeds_at_once.get()).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let parts: Vec<Mutex<Option<Outcome>>> = blocks.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..threads.min(blocks.len()) {
            scope.spawn(|| {
                while let Some(block) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    blocks.get(place).map(|block| (place, *block))
                } {
                    let (place, block) = block;
                    let outcome = program::train(settings, block);
                    let mut slot = parts[place].lock().expect("a slot of one thread");
                    *slot = Some(outcome);
                    let before = done.fetch_add(block.len(), Ordering::Relaxed);
                    progress(before + block.len(), seeds.len());
                }
            });
        }
    });
    let parts = parts.into_iter().map(|part| {
        let part = part.into_inner().expect("no thread panicked");
        part.expect("every block was computed")
    });
    Ok(Outcome::joined(parts.collect()))
}

/// Whether settings go together.
///
/// # Errors
/// With the first that do not.
pub fn check(settings: &ToySettings) -> Result<(), ToyError> {
    let conflict = |key: &str, message: &str, hint| {
        Err(ToyError::Conflict {
            key: key.to_owned(),
            message: message.to_owned(),
            hint,
        })
    };
    let most = settings.on_policy.get().max(settings.off_policy.get());
    if most * 8.0 >= 1.0 {
        return conflict(
            "on_policy",
            "eight responses of this probability leave nothing for the other two",
            "choose probabilities below 0.125",
        );
    }
    if settings.on_policy.get().min(settings.off_policy.get()) <= 0.0 {
        return conflict(
            "off_policy",
            "a response of probability 0 has no likelihood to learn from",
            "choose probabilities above 0",
        );
    }
    if settings.scenarios.is_empty() {
        return conflict(
            "scenarios",
            "nothing to run",
            "name at least one of \"1\" to \"4\"",
        );
    }
    if settings.arms.is_empty() {
        return conflict("arms", "nothing to train", "name at least one arm");
    }
    for (name, arm) in &settings.arms {
        let problem = match arm {
            ToyArm::Preference(objective) => preference::unfit(objective, settings.batch.get()),
            ToyArm::PolicyGradient(_) | ToyArm::Ppo(_) => None,
        };
        if let Some(problem) = problem {
            return conflict(
                &format!("arms.{name}"),
                problem,
                "choose another objective for this arm",
            );
        }
    }
    Ok(())
}
