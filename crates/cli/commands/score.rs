//! `preflab score`: rewards or log-probs of completions under a saved model.

use std::process::ExitCode;

use preflab_finetune::{Score, ScoreSummary, ScoredRow, on_threads};

use crate::args::ScoreArguments;
use crate::failure::Failure;
use crate::output;
use crate::request::device;

/// Scores every row of a file, in order, and says what the scores are together.
pub fn score(arguments: &ScoreArguments) -> Result<ExitCode, Failure> {
    let device = device(&arguments.computing.device)?;
    let json = arguments.computing.json;
    let summary = on_threads(arguments.computing.threads(), || {
        preflab_finetune::score(
            &arguments.model,
            &arguments.data,
            device,
            |row: ScoredRow| match json {
                true => output::json_line(&row),
                false => output::line(words(&row)),
            },
        )
    })??;
    if json {
        output::json_line(&serde_json::json!({ "summary": summary }))?;
    } else if !arguments.computing.quiet {
        eprintln!("{}", together(&summary));
    }
    Ok(ExitCode::SUCCESS)
}

/// A row as tab-separated columns: line, score, or line, chosen, rejected, margin.
fn words(row: &ScoredRow) -> String {
    match row {
        ScoredRow::Single { line, score } => format!("{line}\t{}", number(score)),
        ScoredRow::Pair {
            line,
            chosen,
            rejected,
            margin,
        } => format!(
            "{line}\t{}\t{}\t{margin:.6}",
            number(chosen),
            number(rejected)
        ),
    }
}

fn number(score: &Score) -> String {
    format!("{:.6}", score.value())
}

fn together(summary: &ScoreSummary) -> String {
    let left_out = match summary.left_out {
        0 => String::new(),
        rows => format!(" ({rows} empty or too long, left out)"),
    };
    let mut text = format!(
        "{} rows{left_out}: mean score {:.4}",
        summary.rows, summary.mean
    );
    if let Some(pairs) = &summary.pairs {
        let [low, high] = pairs.accuracy_interval;
        text += &format!(
            "; chosen above rejected in {:.1} % (95 % interval {:.1} to {:.1}), mean margin {:.4}",
            100.0 * pairs.accuracy,
            100.0 * low,
            100.0 * high,
            pairs.margin
        );
    }
    text
}
