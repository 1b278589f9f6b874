//! Lengths of prompts and completions.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

/// Tokens of a prompt and of its two completions, the end-of-sequence token included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lengths {
    pub(crate) prompt: usize,
    pub(crate) chosen: usize,
    pub(crate) rejected: usize,
}

/// Pairs of a data set that are used.
const PAIRS: usize = 64;

/// Lengths of 64 pairs of HH-RLHF, harmless (Bai et al. 2022, arXiv:2204.05862), counted by [`words`].
const RECORDED: &str = include_str!("hh_lengths.csv");

impl Lengths {
    /// `count` pairs of one length.
    pub(crate) fn equal(prompt: usize, completion: usize, count: usize) -> Vec<Self> {
        let lengths = Self {
            prompt,
            chosen: completion,
            rejected: completion,
        };
        vec![lengths; count]
    }

    /// The recorded lengths of HH-RLHF.
    pub(crate) fn recorded() -> Vec<Self> {
        let number = |field: &str| field.trim().parse().expect("a number in hh_lengths.csv");
        let row = |line: &str| {
            let fields: Vec<usize> = line.split(',').map(number).collect();
            Self {
                prompt: fields[0],
                chosen: fields[1],
                rejected: fields[2],
            }
        };
        RECORDED.lines().skip(1).map(row).collect()
    }

    /// Lengths of pairs evenly spread over a file of JSON lines, gzip or plain, with `prompt`, `chosen` and `rejected`.
    pub(crate) fn of_file(path: &Path) -> Result<Vec<Self>, Box<dyn std::error::Error>> {
        #[derive(Deserialize)]
        struct Row {
            prompt: String,
            chosen: String,
            rejected: String,
        }
        let bytes = std::fs::read(path)?;
        let mut text = String::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            GzDecoder::new(bytes.as_slice()).read_to_string(&mut text)?;
        } else {
            text = String::from_utf8(bytes)?;
        }
        let lines: Vec<&str> = text.lines().collect();
        let step = (lines.len() / PAIRS).max(1);
        lines
            .iter()
            .step_by(step)
            .take(PAIRS)
            .map(|line| {
                let row: Row = serde_json::from_str(line)?;
                Ok(Self {
                    prompt: words(&row.prompt).max(1),
                    chosen: words(&row.chosen) + 1,
                    rejected: words(&row.rejected) + 1,
                })
            })
            .collect()
    }
}

/// Runs of letters and digits, and every other character that is not a space: close to what a trained tokenizer of
/// English makes, and needs none.
fn words(text: &str) -> usize {
    let mut count = 0;
    let mut inside = false;
    for character in text.chars() {
        let word = character.is_alphanumeric();
        if !(character.is_whitespace() || (word && inside)) {
            count += 1;
        }
        inside = word;
    }
    count
}
