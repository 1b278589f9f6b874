//! The `preflab` command: arguments in, exit code out. Everything it does is done by the crates.
//!
//! Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 something failed on the way, 2 the request was wrong,
//! 130 stopped by Ctrl-C.

mod args;
mod commands;
mod failure;
mod output;
mod progress;
mod request;
mod selection;
mod training_progress;

use std::ffi::{c_int, c_long};
use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;

/// Training allocates and frees the same sizes over and over.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Sets an option of mimalloc, in the order of `mi_option_t` in its header.
    fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay`: milliseconds until free memory goes back to the system; negative for never.
const PURGE_DELAY: c_int = 15;

fn main() -> ExitCode {
    // SAFETY: the allocator's own function, which may be called at any time, with an option it has. Tensors freed in
    // one step are taken again in the next: fetching their pages anew cost an eighth of a training step.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
    match commands::run(Arguments::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}
