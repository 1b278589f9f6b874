//! `preflab run`: an experiment from its file to its report.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use preflab_experiment::{Conclusion, Engine, Interrupt, Store, StoreError};
use preflab_report::Written;
use preflab_stages::LocalRunner;
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
    let each = NonZeroUsize::new(threads.get() / arguments.jobs.get()).unwrap_or(NonZeroUsize::MIN);
    let runner = LocalRunner::new(request.device)
        .map_err(Failure::request)?
        .with_threads(each);
    let interrupt = Interrupt::new();
    catch_signals(&interrupt).map_err(Failure::work)?;
    let store = Store::open(&request.directory).map_err(Failure::request)?;
    let observer = observer(arguments.quiet);
    let engine = Engine {
        plan: &request.plan,
        store: &store,
        runner: &runner,
        observer: observer.as_ref(),
        interrupt,
        jobs: arguments.jobs,
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
