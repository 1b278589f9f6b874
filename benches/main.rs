//! Micro-benchmarks: every fused operation beside the one composed of burn's, a training step, generation, and the toy model.
//!
//! ```text
//! cargo bench --bench main                      # all, about three minutes
//! cargo bench --bench main -- attention         # one operation
//! cargo bench --bench main -- /forward/         # one pass of all
//! RAYON_NUM_THREADS=1 cargo bench --bench main  # one thread
//! ```
//!
//! Compare only figures of one run on a quiet machine: `fused` and `composed` of one shape follow each other.

mod adamw;
mod attention;
mod generation;
mod linear;
mod models;
mod rms_norm;
mod rotary;
mod support;
mod swiglu;
mod token_logps;
mod toy;
mod training_step;

use std::time::Duration;

use criterion::Criterion;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let settings = || {
        Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .configure_from_args()
    };
    // Inside the thread pool, where handing work to the other threads costs least.
    rayon::scope(|_| {
        let criterion = &mut settings();
        linear::bench(criterion);
        attention::bench(criterion);
        token_logps::bench(criterion);
        rms_norm::bench(criterion);
        rotary::bench(criterion);
        swiglu::bench(criterion);
        adamw::bench(criterion);
        training_step::bench(criterion);
        generation::bench(criterion);
        toy::bench(criterion);
        criterion.final_summary();
    });
}
