//! Log-probs under the reference, kept in the run's directory with the hash of all they depend on.

use std::fs;
use std::path::Path;

use burn::module::Module;
use preflab_experiment::hash_value;
use preflab_transformer::CausalLm;
use preflab_transformer::checkpoint::weights_hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::run_directory::{RunDirectory, read_json, write_whole};
use crate::{FinetuneError, Observer};

/// File of the log-probs in the run's directory.
const FILE: &str = "reference_logps.json";

/// Rows that are scored together.
pub(crate) const ROWS: usize = 32;

/// Log-probs with what they were computed from.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<L> {
    /// Hash of the reference's weights.
    model: String,
    /// Hash of the token ids of all rows, in order; with it tokenizer, template, truncation and split are covered.
    rows: String,
    train: Vec<L>,
    held_out: Vec<L>,
}

/// Log-probs of the training and of the held-out rows.
pub(crate) struct Logps<L> {
    pub train: Vec<L>,
    pub held_out: Vec<L>,
}

/// The kept log-probs if they are those of this model on these rows, and new ones otherwise, as `score` gives them.
pub(crate) fn of<R: Serialize, L: Serialize + DeserializeOwned>(
    run: &RunDirectory,
    reference: &CausalLm,
    train: &[R],
    held_out: &[R],
    score: impl Fn(&CausalLm, &[R]) -> Vec<L>,
    observer: &dyn Observer,
) -> Result<Logps<L>, FinetuneError> {
    let path = run.checkpoints().join(FILE);
    let model = weights_hash(reference);
    let rows = hash_value(&(train, held_out));
    if path.is_file() {
        match read_json::<Kept<L>>(&path) {
            Ok(kept) if kept.model == model && kept.rows == rows => {
                observer.note("reference log-probs: those on disk, of this model and these rows");
                return Ok(Logps {
                    train: kept.train,
                    held_out: kept.held_out,
                });
            }
            Ok(_) => observer.warn(
                "reference log-probs: those on disk are of another model or other rows, and are computed anew",
            ),
            Err(error) => observer.warn(&format!("{error}; they are computed anew")),
        }
        remove(&path)?;
    }
    let reference = reference.valid();
    let kept = Kept {
        model,
        rows,
        train: score(&reference, train),
        held_out: score(&reference, held_out),
    };
    let text = serde_json::to_vec(&kept).expect("plain data");
    write_whole(&path, &text)?;
    Ok(Logps {
        train: kept.train,
        held_out: kept.held_out,
    })
}

fn remove(path: &Path) -> Result<(), FinetuneError> {
    fs::remove_file(path).map_err(FinetuneError::io("delete", path))
}
