//! The model card: what a model is, what it was made from, and how.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::data::{DataReport, FileReport};

/// What a card says.
#[derive(Debug)]
pub(crate) struct Card<'c> {
    pub method: &'c str,
    /// Name of the checkpoint that training started from; none of a fresh model.
    pub base: Option<&'c str>,
    pub is_reward_model: bool,
    pub data: &'c DataReport,
    pub metrics: &'c BTreeMap<String, f64>,
    pub updates: u64,
    pub output: &'c str,
    pub settings: &'c str,
    pub inputs: &'c BTreeMap<String, String>,
    pub command: &'c str,
    pub version: &'c str,
}

impl Card<'_> {
    /// The card as Markdown with the front matter that the Hugging Face hub reads.
    pub fn text(&self) -> String {
        let mut text = String::from("---\nlibrary_name: transformers\n");
        if let Some(base) = self.base {
            // A JSON string is a YAML string, whatever is in it.
            let base = serde_json::Value::from(base);
            let _ = writeln!(text, "base_model: {base}");
        }
        let task = match self.is_reward_model {
            true => "text-classification",
            false => "text-generation",
        };
        let _ = writeln!(
            text,
            "pipeline_tag: {task}\ntags:\n- preflab\n- {}\n---\n",
            self.method
        );
        let what = match self.is_reward_model {
            true => "Reward model",
            false => "Language model",
        };
        let from = match self.base {
            Some(base) => format!("from `{base}`"),
            None => "from fresh weights".to_owned(),
        };
        let _ = writeln!(
            text,
            "# {what} trained with {}\n\nTrained {from} by preflab {} for {} updates; the weights are those {}.\n\n```sh\n{}\n```\n",
            self.method.to_uppercase(),
            self.version,
            self.updates,
            self.output,
            self.command
        );
        if self.is_reward_model {
            text += "One score for prompt and completion together, at the last token. preflab brings the scores to the scale in `normalisation.json` (`gain * score + bias`); transformers gives the raw ones.\n\n";
        }
        text += "## Data\n\n| file | use | rows | SHA-256 |\n| --- | --- | --- | --- |\n";
        let mut files = |files: &[FileReport], purpose: &str| {
            for file in files {
                let _ = writeln!(
                    text,
                    "| `{}` | {purpose} | {} | `{}` |",
                    file.path.display(),
                    file.rows,
                    file.sha256
                );
            }
        };
        files(&self.data.files, "training");
        files(&self.data.eval_files, "held out");
        let _ = writeln!(
            text,
            "\n{} rows were trained on, {} held out. Longest sequence: {} tokens.\n",
            self.data.train, self.data.held_out, self.data.max_length
        );
        for (reason, counted) in &self.data.counted {
            let verb = if reason.drops() { "dropped" } else { "kept" };
            let _ = writeln!(text, "- {verb}: {} {}", counted.rows, reason.words());
        }
        if !self.data.counted.is_empty() {
            text.push('\n');
        }
        text += "## Figures\n\nThe last value of each; `preflab metrics TAG` defines them.\n\n| metric | value |\n| --- | --- |\n";
        for (tag, value) in self.metrics {
            let _ = writeln!(text, "| `{tag}` | {value:.6} |");
        }
        text += "\n## Inputs\n\n| what | hash |\n| --- | --- |\n";
        for (what, hash) in self.inputs {
            let _ = writeln!(text, "| {what} | `{hash}` |");
        }
        let _ = writeln!(
            text,
            "\n## Settings\n\n```toml\n{}\n```",
            self.settings.trim_end()
        );
        text
    }
}
