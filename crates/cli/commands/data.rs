//! `preflab data check`: what is wrong with preference data, before anything is trained on them.

use std::process::ExitCode;

use preflab_data::check::{CheckSettings, Checker, Severity, draw_pairs};
use preflab_data::{ChatTemplate, DataError, Preprocessor, TokenPair, Tokenizer};
use preflab_training::DeviceChoice;

use crate::args::{DataArguments, DataCheckArguments, DataCommand};
use crate::failure::Failure;
use crate::output;

/// Does what was asked about data.
pub fn data(arguments: &DataArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        DataCommand::Check(arguments) => check(arguments),
    }
}

fn check(arguments: &DataCheckArguments) -> Result<ExitCode, Failure> {
    let device: DeviceChoice = arguments
        .device
        .parse()
        .map_err(|error| Failure::request(format!("`--device`: {error}")))?;
    let tokenizer = tokenizer(arguments)?;
    let template = template(tokenizer.as_ref())?;
    let preprocessor = tokenizer
        .as_ref()
        .map(|tokenizer| Preprocessor::new(tokenizer, template.as_ref()));
    let settings = CheckSettings {
        max_length: arguments.max_length.map(|length| length.get()),
        examples: arguments.examples,
    };
    let mut checker = Checker::new(preprocessor, settings);
    let (split, other) = if arguments.split_against.is_empty() {
        ("pairs", "")
    } else {
        ("first split", "split against")
    };
    for file in &arguments.files {
        checker.add_file(split, file).map_err(refused)?;
    }
    for file in &arguments.split_against {
        checker.add_file(other, file).map_err(refused)?;
    }
    let mut report = checker.finish();
    if let (Some(model), Some(preprocessor)) = (&arguments.model, preprocessor) {
        let rows = draw_pairs(&arguments.files, arguments.pairs.get()).map_err(refused)?;
        let pairs: Vec<TokenPair> = rows
            .iter()
            .map(|row| preprocessor.pair(row).map(|(pair, _)| pair))
            .collect::<Result<_, _>>()
            .map_err(refused)?;
        let device = device.open().map_err(Failure::request)?;
        let tokenizer = preprocessor.tokenizer();
        let found = preflab_stages::on_policy(model, tokenizer, &pairs, &device);
        report.on_policy = Some(found.map_err(Failure::request)?);
    }
    if arguments.json {
        output::json(&report)?;
    } else {
        output::line(&report)?;
    }
    Ok(match report.severity() {
        None | Some(Severity::Note) => ExitCode::SUCCESS,
        Some(Severity::Warning | Severity::Error) => ExitCode::FAILURE,
    })
}

/// The tokenizer asked for, or the model's.
fn tokenizer(arguments: &DataCheckArguments) -> Result<Option<Tokenizer>, Failure> {
    let source = arguments.tokenizer.as_ref().or(arguments.model.as_ref());
    if source.is_none() && arguments.max_length.is_some() {
        return Err(Failure::request(
            "`--max-length` counts tokens, and there is no tokenizer\n\nhint: give one with `--tokenizer DIR` or `--model DIR`",
        ));
    }
    source
        .map(|path| Tokenizer::load(path))
        .transpose()
        .map_err(refused)
}

/// The tokenizer's chat template; transcripts where it has none.
fn template(tokenizer: Option<&Tokenizer>) -> Result<Option<ChatTemplate>, Failure> {
    let Some(tokenizer) = tokenizer else {
        return Ok(None);
    };
    let own = tokenizer.chat_template().map_err(refused)?;
    own.map_or_else(|| ChatTemplate::transcript(tokenizer.special()), Ok)
        .map(Some)
        .map_err(refused)
}

fn refused(error: DataError) -> Failure {
    Failure::request(format!("{error}\n\nhint: {}", error.hint()))
}
