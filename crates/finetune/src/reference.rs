//! Log-probs under the reference, kept in the run's directory with the hash of all they depend on.

use std::fs;
use std::path::Path;

use burn::module::Module;
use preflab_data::TokenPair;
use preflab_dpo::{ReferenceLogps, reference_logps};
use preflab_experiment::hash_value;
use preflab_transformer::CausalLm;
use preflab_transformer::checkpoint::weights_hash;
use serde::{Deserialize, Serialize};

use crate::run_directory::{RunDirectory, read_json, write_whole};
use crate::{FinetuneError, Observer};

/// File of the log-probs in the run's directory.
const FILE: &str = "reference_logps.json";

/// Pairs that are scored together.
const ROWS: usize = 32;

/// Log-probs with what they were computed from.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Hash of the reference's weights.
    model: String,
    /// Hash of the token ids of all pairs, in order; with it tokenizer, template, truncation and split are covered.
    pairs: String,
    train: Vec<ReferenceLogps>,
    held_out: Vec<ReferenceLogps>,
}

/// Log-probs of the training and of the held-out pairs.
pub(crate) struct Logps {
    pub train: Vec<ReferenceLogps>,
    pub held_out: Vec<ReferenceLogps>,
}

/// The kept log-probs if they are those of this model on these pairs, and new ones otherwise.
pub(crate) fn of(
    run: &RunDirectory,
    reference: &CausalLm,
    train: &[TokenPair],
    held_out: &[TokenPair],
    observer: &dyn Observer,
) -> Result<Logps, FinetuneError> {
    let path = run.checkpoints().join(FILE);
    let model = weights_hash(reference);
    let pairs = hash_value(&(train, held_out));
    if path.is_file() {
        match read_json::<Kept>(&path) {
            Ok(kept) if kept.model == model && kept.pairs == pairs => {
                observer.note("reference log-probs: those on disk, of this model and these pairs");
                return Ok(Logps {
                    train: kept.train,
                    held_out: kept.held_out,
                });
            }
            Ok(_) => observer.warn(
                "reference log-probs: those on disk are of another model or other pairs, and are computed anew",
            ),
            Err(error) => observer.warn(&format!("{error}; they are computed anew")),
        }
        remove(&path)?;
    }
    let reference = reference.valid();
    let (of_train, _) = reference_logps(&reference, train, ROWS);
    let (of_held_out, _) = reference_logps(&reference, held_out, ROWS);
    let kept = Kept {
        model,
        pairs,
        train: of_train,
        held_out: of_held_out,
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
