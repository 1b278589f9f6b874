//! `preflab data check`: what is wrong with data, before anything is trained on them.

use std::process::ExitCode;

use preflab_data::check::{CheckSettings, Checker, Severity, draw_pairs};
use preflab_data::{
    ChatTemplate, DataError, Preprocessor, RowKind, Selection, TokenPair, Tokenizer,
};
use preflab_training::DeviceChoice;

use crate::args::{DataArguments, DataCheckArguments, DataCommand};
use crate::failure::Failure;
use crate::{output, selection};

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
    let kind: Option<RowKind> = arguments
        .kind
        .as_ref()
        .map(|kind| kind.parse())
        .transpose()
        .map_err(|error| {
            Failure::request(format!(
                "`--as`: {error}\n\nhint: without it, the kind is told from the columns"
            ))
        })?;
    let columns = selection::columns(&arguments.columns)?;
    let [first, other] = [
        ("--where", &arguments.rows),
        ("--against-where", &arguments.against_where),
    ]
    .map(|(option, assignments)| {
        Ok::<_, Failure>(Selection {
            columns: columns.clone(),
            rows: selection::rows(option, assignments)?,
        })
    });
    let (first, other) = (first?, other?);
    let against = match (arguments.split_against.as_slice(), other.rows.is_empty()) {
        ([], false) => arguments.files.as_slice(),
        (files, _) => files,
    };
    let split = match against {
        [] => "data",
        _ => "first split",
    };
    for file in &arguments.files {
        checker
            .add_file(split, file, &first, kind)
            .map_err(refused)?;
    }
    for file in against {
        checker
            .add_file("split against", file, &other, kind)
            .map_err(refused)?;
    }
    let mut report = checker.finish();
    if let (Some(model), Some(preprocessor)) = (&arguments.model, preprocessor) {
        if let Some(other) = report.kinds().find(|kind| *kind != RowKind::Pairs) {
            return Err(Failure::request(format!(
                "`--model` says how likely it finds pairs, and these are {other}\n\nhint: give the tokenizer alone, with `--tokenizer DIR`"
            )));
        }
        let rows = draw_pairs(&arguments.files, &first, arguments.pairs.get()).map_err(refused)?;
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
