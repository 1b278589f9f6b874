//! Threads to compute with.

use std::num::NonZeroUsize;

use crate::FinetuneError;

/// Does `work` inside a pool of `threads` threads; operations share out their work between the threads of the pool they are
/// called from. The results do not depend on how many they are.
///
/// # Errors
/// If the system gives no threads.
pub fn on_threads<T: Send>(
    threads: NonZeroUsize,
    work: impl FnOnce() -> T + Send,
) -> Result<T, FinetuneError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.get())
        .build()
        .map_err(|error| {
            FinetuneError::refused(
                format!("{threads} threads: {error}"),
                "ask for fewer with `--threads`",
            )
        })?;
    Ok(pool.install(work))
}
