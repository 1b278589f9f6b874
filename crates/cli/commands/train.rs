//! `preflab train`: a model trained on the user's own data.

use std::path::PathBuf;
use std::process::ExitCode;

use preflab_experiment::Interrupt;
use preflab_finetune::{FinetuneError, TrainJob, TrainRequest, document, on_threads};
use serde::Serialize;

use crate::args::TrainArguments;
use crate::commands::run::{INTERRUPTED, catch_signals};
use crate::failure::Failure;
use crate::request::device;
use crate::training_progress::Speaker;
use crate::{output, selection};

/// How training ended, for machines.
#[derive(Debug, Serialize)]
struct Report<'r> {
    directory: &'r PathBuf,
    /// Whether there was nothing left to do.
    already_finished: bool,
    #[serde(flatten)]
    summary: &'r preflab_finetune::Summary,
}

/// Trains, or goes on training.
pub fn train(arguments: &TrainArguments) -> Result<ExitCode, Failure> {
    let request = request(arguments)?;
    if arguments.settings {
        output::line(request.to_toml().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(out) = &arguments.out else {
        return Err(Failure::request(
            "where is the model to be saved?\n\nhint: `--out DIR` names a directory that is empty or not there yet",
        ));
    };
    let job = TrainJob {
        request,
        out: out.clone(),
        device: device(&arguments.computing.device)?,
        command: command(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let interrupt = Interrupt::new();
    catch_signals(&interrupt).map_err(Failure::work)?;
    let speaker = Speaker::new(arguments.computing.quiet);
    let threads = arguments.computing.threads();
    let finished = on_threads(threads, || {
        preflab_finetune::train(&job, &speaker, &interrupt)
    })?;
    drop(speaker);
    let finished = match finished {
        Ok(finished) => finished,
        Err(FinetuneError::Interrupted) => {
            eprintln!("{}", FinetuneError::Interrupted);
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(error) => return Err(error.into()),
    };
    if arguments.computing.json {
        output::json(&Report {
            directory: out,
            already_finished: finished.already,
            summary: &finished.summary,
        })?;
    } else {
        output::line(out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn request(arguments: &TrainArguments) -> Result<TrainRequest, Failure> {
    let options: Vec<(&str, &str, String)> = [
        ("--model", "model", &arguments.model),
        ("--reference", "reference_model", &arguments.reference),
        ("--reward", "reward_model", &arguments.reward),
    ]
    .into_iter()
    .filter_map(|(option, key, value)| Some((option, key, value.clone()?)))
    .collect();
    let lists = [
        ("--data", "data", arguments.data.clone()),
        ("--eval", "eval", arguments.eval.clone()),
    ];
    let numbers = [
        ("eval_share", &arguments.eval_share),
        ("seed", &arguments.seed),
    ];
    let set: Vec<String> = numbers
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)))
        .chain(arguments.set.iter().cloned())
        .collect();
    let mut document = document(arguments.config.as_deref(), &options, &lists, &set)
        .map_err(FinetuneError::from)?;
    for (option, key, assignments) in [
        ("--where", "rows", &arguments.rows),
        ("--eval-where", "eval_rows", &arguments.eval_where),
    ] {
        for (column, wanted) in selection::rows(option, assignments)?.0 {
            let values: Vec<String> = wanted.0.iter().map(ToString::to_string).collect();
            document.set_texts(option, &[key, &column], &values);
        }
    }
    let request =
        TrainRequest::read(document, arguments.method.as_deref()).map_err(FinetuneError::from)?;
    Ok(request)
}

/// The command as it was typed, with quotes where a shell needs them.
fn command() -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@+%".contains(c);
    let words = std::env::args().enumerate().map(|(place, word)| {
        let word = match place {
            0 => "preflab".to_owned(),
            _ => word,
        };
        match !word.is_empty() && word.chars().all(plain) {
            true => word,
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
