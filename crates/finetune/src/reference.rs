//! Log-probs under the reference, kept in the run's directory with the hash of all they depend on.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use burn::module::Module;
use preflab_data::{RowFile, RowWriter, Rows, Words};
use preflab_transformer::CausalLm;
use preflab_transformer::checkpoint::weights_hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::run_directory::{RunDirectory, read_json, write_whole};
use crate::{FinetuneError, Observer};

/// What the log-probs in the run's directory were computed from.
const FILE: &str = "reference_logps.json";

/// The log-probs themselves, training rows first.
const NUMBERS: &str = "reference_logps.bin";

/// Rows that are scored together.
pub(crate) const ROWS: usize = 32;

/// What log-probs were computed from.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    /// Hash of the reference's weights.
    model: String,
    /// Hash of the token ids of all rows, in order; with it tokenizer, template, truncation and split are covered.
    rows: String,
    train: usize,
    held_out: usize,
}

/// Log-probs of the training and of the held-out rows.
pub(crate) struct Logps<L> {
    pub train: RowFile<L>,
    pub held_out: RowFile<L>,
}

/// Takes log-probs row by row.
pub(crate) type Keep<'k, L> = &'k mut dyn FnMut(L) -> io::Result<()>;

/// The kept log-probs if they are those of this model on these rows, and new ones otherwise, as `score` gives them.
pub(crate) fn of<R: Words, L: Words>(
    run: &RunDirectory,
    reference: &CausalLm,
    train: Rows<'_, R>,
    held_out: Rows<'_, R>,
    score: impl Fn(&CausalLm, Rows<'_, R>, Keep<'_, L>) -> io::Result<()>,
    observer: &dyn Observer,
) -> Result<Logps<L>, FinetuneError> {
    let directory = run.checkpoints();
    let (path, numbers) = (directory.join(FILE), directory.join(NUMBERS));
    let origin = Origin {
        model: weights_hash(reference),
        rows: hash_of(&[train, held_out])
            .map_err(FinetuneError::io("read a row in", &directory))?,
        train: train.len(),
        held_out: held_out.len(),
    };
    if path.is_file() {
        match read_json::<Origin>(&path) {
            Ok(kept) if kept == origin => match found(&numbers, &origin) {
                Ok(logps) => {
                    observer
                        .note("reference log-probs: those on disk, of this model and these rows");
                    return Ok(logps);
                }
                Err(error) => observer.warn(&format!(
                    "reference log-probs: `{}`: {error}; they are computed anew",
                    numbers.display()
                )),
            },
            Ok(_) => observer.warn(
                "reference log-probs: those on disk are of another model or other rows, and are computed anew",
            ),
            Err(error) => observer.warn(&format!("{error}; they are computed anew")),
        }
        remove(&path)?;
    }
    let reference = reference.valid();
    let partial = directory.join(format!(".{NUMBERS}.partial"));
    let write = || -> io::Result<()> {
        let mut file = RowWriter::new(File::create(&partial)?);
        for rows in [train, held_out] {
            score(&reference, rows, &mut |logps| file.push(&logps))?;
        }
        file.seal()?;
        fs::rename(&partial, &numbers)
    };
    write().map_err(FinetuneError::io("write", &numbers))?;
    let text = serde_json::to_vec(&origin).expect("plain data");
    write_whole(&path, &text)?;
    found(&numbers, &origin).map_err(FinetuneError::io("read", &numbers))
}

/// The log-probs in a file.
fn found<L: Words>(numbers: &Path, origin: &Origin) -> io::Result<Logps<L>> {
    let all = RowFile::sealed(File::open(numbers)?)?;
    if all.len() != origin.train + origin.held_out {
        let problem = "the file has another number of rows than it should";
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(Logps {
        train: all.select(0..origin.train),
        held_out: all.select(origin.train..all.len()),
    })
}

/// A hash of the token ids of rows.
fn hash_of<R: Words>(parts: &[Rows<'_, R>]) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut words = Vec::new();
    for rows in parts {
        hash.update((rows.len() as u64).to_le_bytes());
        for index in 0..rows.len() {
            words.clear();
            rows.row(index)?.write(&mut words);
            hash.update((words.len() as u64).to_le_bytes());
            for word in &words {
                hash.update(word.to_le_bytes());
            }
        }
    }
    let bytes = hash.finalize();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn remove(path: &Path) -> Result<(), FinetuneError> {
    fs::remove_file(path).map_err(FinetuneError::io("delete", path))
}
