//! `preflab run`: an experiment from its file to its report.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use preflab_experiment::{
    Conclusion, Engine, Estimate, Interrupt, Outline, Store, StoreError, bytes, side_by_side,
};
use preflab_report::Written;
use preflab_stages::LocalRunner;
use preflab_training::DeviceChoice;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::args::RunArguments;
use crate::commands::report::{self, Files};
use crate::failure::Failure;
use crate::output;
use crate::progress::observer;
use crate::request::Request;

/// Exit code of a run that the user stopped: 128 and the number of the signal.
pub const INTERRUPTED: u8 = 130;

/// How a run ended, for machines.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    directory: &'a Path,
    computed: usize,
    reused: usize,
    interrupted: bool,
    failures: Vec<FailureLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Files<'a>>,
}

#[derive(Debug, Serialize)]
struct FailureLine<'a> {
    stage: &'a str,
    message: &'a str,
    cells: usize,
}

/// Plans, computes what is not on disk yet, reports.
pub fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let request = Request::new(&arguments.experiment)?;
    let threads = arguments
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let jobs = match (arguments.jobs, request.device) {
        (Some(jobs), _) => jobs,
        (None, DeviceChoice::Cpu) => {
            let estimate = Estimate::of(&request.plan, &request.directory);
            side_by_side(&estimate, threads, available_memory())
        }
        (None, DeviceChoice::Cuda(_)) => NonZeroUsize::MIN,
    };
    let runner = LocalRunner::new(request.device).map_err(Failure::request)?;
    let interrupt = Interrupt::new();
    catch_signals(&interrupt).map_err(Failure::work)?;
    let store = Store::open(&request.directory).map_err(Failure::request)?;
    if !arguments.quiet {
        tell_memory(&request, jobs);
    }
    let observer = observer(arguments.quiet);
    let engine = Engine {
        plan: &request.plan,
        store: &store,
        runner: &runner,
        observer: observer.as_ref(),
        interrupt,
        jobs,
        threads,
    };
    let conclusion = engine.run();
    drop(observer);
    let conclusion = conclusion.map_err(|error: StoreError| Failure::work(error))?;
    let written = if conclusion.interrupted {
        None
    } else {
        Some(report::write(&request.directory, Vec::new())?)
    };
    conclude(arguments, &request.directory, &conclusion, written.as_ref())
}

/// Says how much memory the run is going to take, and warns where that is more than there is.
fn tell_memory(request: &Request, jobs: NonZeroUsize) {
    let outline = Outline::new(&request.plan, &request.directory);
    eprintln!("{}", outline.memory());
    let wanted = outline.memory_bytes() * jobs.get() as f64;
    if request.device == DeviceChoice::Cpu
        && let Some(available) = available_memory()
        && wanted > available
    {
        eprintln!(
            "warning: {} may need about {}, and {} are available\n\n\
             hint: `--jobs 1`, a smaller `micro_batch_size`, `memory.recompute = true` or `lora` take less",
            counted(jobs.get(), "stage"),
            bytes(wanted),
            bytes(available),
        );
    }
}

/// Memory that programs can have, bytes, where the system tells it.
fn available_memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

/// A first Ctrl-C asks to stop between two updates, a second one stops at once.
pub fn catch_signals(interrupt: &Interrupt) -> std::io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), interrupt.flag())?;
        flag::register(signal, interrupt.flag())?;
    }
    Ok(())
}

fn conclude(
    arguments: &RunArguments,
    directory: &Path,
    conclusion: &Conclusion,
    written: Option<&Written>,
) -> Result<ExitCode, Failure> {
    if arguments.experiment.json {
        output::json(&Summary {
            directory,
            computed: conclusion.computed,
            reused: conclusion.reused,
            interrupted: conclusion.interrupted,
            failures: conclusion
                .failures
                .iter()
                .map(|failure| FailureLine {
                    stage: &failure.label,
                    message: &failure.message,
                    cells: failure.cells,
                })
                .collect(),
            report: written.map(Files::from),
        })?;
    } else if let Some(written) = written {
        output::line(written.html.display())?;
    }
    if conclusion.interrupted {
        eprintln!("interrupted: finished stages are kept; run the same command again to continue");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if conclusion.failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let cells: usize = conclusion
        .failures
        .iter()
        .map(|failure| failure.cells)
        .sum();
    eprintln!(
        "error: {} failed, and {} with it; the report is made from the others\n\n\
         hint: run the same command again to try what failed once more",
        counted(conclusion.failures.len(), "stage"),
        counted(cells, "cell"),
    );
    Ok(ExitCode::FAILURE)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
