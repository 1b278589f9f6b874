//! Our training steps beside those of TRL, transformers and PyTorch: same shape, same tokens, same threads, by turns.
//!
//! ```text
//! PREFLAB_PYTHON=VENV/bin/python PREFLAB_TRL_1_12=DIR cargo bench --bench peers
//! cargo bench --bench peers -- dpo/fixed ppo        # some cases
//! cargo bench --bench peers -- growth               # how our own time grows
//! ```
//!
//! `benches/peers/README.md` says how to install the peers and how to read the table.

#![expect(clippy::print_stdout, reason = "tables are what it makes")]

mod cases;
mod compare;
mod growth;
mod lengths;
mod ours;
mod rounds;
mod table;
mod workload;

use std::error::Error;
use std::ffi::{c_int, c_long};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::cases::Python;
use crate::compare::{Repetition, alone, compare};
use crate::lengths::Lengths;
use crate::workload::Workload;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Sets an option of mimalloc, as the binary does.
    fn mi_option_set(option: c_int, value: c_long);
}

/// Side-by-side figures of training steps.
#[derive(Debug, Parser)]
struct Arguments {
    /// Cases to run: those whose name starts with one of these; `growth` for our own growth [default: all cases]
    cases: Vec<String>,
    /// Rounds that count
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Rounds before them
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Threads of both sides
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Measure our side alone
    #[arg(long)]
    alone: bool,
    /// Pairs whose lengths are taken, as JSON lines (gzip or plain) [default: the recorded lengths of HH-RLHF]
    #[arg(long)]
    hh: Option<PathBuf>,
    /// Peers to run: those whose script, release or note contains this
    #[arg(long)]
    peer: Option<String>,
    /// Append every comparison to this file, as a line of JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Work on this file in rounds (for the runner itself)
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
    /// What cargo passes to a benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.child {
        Some(path) => child(path),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn child(path: &Path) -> Result<(), Box<dyn Error>> {
    /// `mi_option_purge_delay`, never: see the binary's `main`.
    const PURGE_DELAY: c_int = 15;
    // SAFETY: the allocator's own function, with an option it has.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
    let workload = Workload::read(path)?;
    let logs = tempfile::tempdir()?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workload.threads)
        .build()?;
    pool.install(|| ours::run(&workload, logs.path()).map_err(|error| error.to_string()))?;
    Ok(())
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let repetition = Repetition {
        warmup: arguments.warmup,
        rounds: arguments.rounds.max(1),
    };
    if arguments.cases.iter().any(|case| case == "growth") {
        growth::of_updates(arguments.threads, repetition, directory.path())?;
        println!();
        return growth::of_runs(arguments.threads, directory.path());
    }
    let hh = match &arguments.hh {
        Some(path) => Lengths::of_file(path)?,
        None => Lengths::recorded(),
    };
    let asked = |name: &str| {
        arguments.cases.is_empty() || arguments.cases.iter().any(|case| name.starts_with(case))
    };
    let cases = cases::all(arguments.threads, &hh);
    let cases = cases.iter().filter(|case| asked(case.name));
    let python = match arguments.alone {
        true => None,
        false => Python::of_environment(),
    };
    let Some(python) = python else {
        println!("| case | s/step: median (least–most) | tokens/s | peak MiB | tokens computed |");
        println!("|---|---|---|---|---|");
        for case in cases {
            let ours = alone(case, repetition, directory.path())?;
            let seconds = table::Spread::of(&ours.seconds);
            println!(
                "| {} | {:.4} ({:.4}–{:.4}) | {:.0} | {:.0} | {:.0} % |",
                case.name,
                seconds.median,
                seconds.least,
                seconds.most,
                case.workload.tokens_per_step() / seconds.median,
                ours.peak.unwrap_or(f64::NAN),
                100.0 * ours.computed,
            );
        }
        if !arguments.alone {
            eprintln!("\nhint: set PREFLAB_PYTHON to compare; see benches/peers/README.md");
        }
        return Ok(());
    };
    println!("{}", table::HEAD);
    for case in cases {
        for peer in &case.peers {
            let described = format!("{} {:?} {}", peer.script, peer.trl, peer.note).to_lowercase();
            if arguments
                .peer
                .as_ref()
                .is_some_and(|wanted| !described.contains(&wanted.to_lowercase()))
            {
                continue;
            }
            match compare(case, peer, &python, repetition, directory.path()) {
                Ok(Some(comparison)) => {
                    println!("{}", table::row(&comparison));
                    if let Some(path) = &arguments.json {
                        let mut file = std::fs::OpenOptions::new()
                            .create(true)
                            .append(true)
                            .open(path)?;
                        writeln!(file, "{}", serde_json::to_string(&comparison)?)?;
                    }
                }
                Ok(None) => eprintln!(
                    "{} beside TRL 1.12 is left out: PREFLAB_TRL_1_12 is not set",
                    case.name
                ),
                Err(error) => eprintln!("{} beside {}: {error}", case.name, peer.script),
            }
        }
    }
    Ok(())
}
