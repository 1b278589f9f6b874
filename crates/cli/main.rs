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

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;

/// Training allocates and frees the same sizes over and over.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::run(Arguments::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}
