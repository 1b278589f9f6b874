//! What can be wrong with a checkpoint.

use std::path::{Path, PathBuf};

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A text file that is too large to be what it is named.
    #[error("{}: {size} bytes, at most {limit} expected", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, bytes.
        size: u64,
        /// Most bytes read.
        limit: u64,
    },
    /// Not the JSON expected.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A value of `config.json` that is missing or cannot be used.
    #[error("{}: `{key}`: expected {expected}, found {found}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What would be right.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A model family that is not known here.
    #[error(
        "{}: unknown `model_type` `{found}`\n\nhint: known are {known}",
        path.display()
    )]
    UnknownFamily {
        /// The `config.json`.
        path: PathBuf,
        /// What stands there.
        found: String,
        /// What could.
        known: String,
    },
    /// No safetensors file.
    #[error(
        "{}: neither `model.safetensors` nor `model.safetensors.index.json` is here\n\nhint: a checkpoint in \
         another format is converted by loading it with transformers and calling `save_pretrained`",
        dir.display()
    )]
    NoWeights {
        /// The checkpoint directory.
        dir: PathBuf,
    },
    /// A safetensors file whose header or length is wrong.
    #[error(
        "{}: not a valid safetensors file: {problem}\n\nhint: it may be cut off or have been changed: copy or download it again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A shard that is not a plain file name.
    #[error(
        "{}: shard `{name}` of `{tensor}` is not the name of a safetensors file of the same directory\n\nhint: an index \
         names files beside it, such as `model-00001-of-00002.safetensors`",
        path.display()
    )]
    ShardName {
        /// The index.
        path: PathBuf,
        /// What it names.
        name: String,
        /// A tensor said to be in it.
        tensor: String,
    },
    /// A shard that the index names and that is not there.
    #[error(
        "{}: there is no shard `{name}`, which is said to hold `{tensor}`\n\nhint: copy every file that the index names",
        path.display()
    )]
    NoShard {
        /// The index.
        path: PathBuf,
        /// What it names.
        name: String,
        /// A tensor said to be in it.
        tensor: String,
    },
    /// Tensors the model needs are not in the file.
    #[error(
        "{}: missing {}\n\nhint: the weights must belong to this `config.json`; a policy is a language model, a reward \
         model a sequence classifier",
        dir.display(),
        listed(names)
    )]
    Missing {
        /// The checkpoint.
        dir: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// Tensors of the file that the model has no place for.
    #[error(
        "{}: the model has no place for {}\n\nhint: the weights must belong to this `config.json`: check its sizes",
        dir.display(),
        listed(names)
    )]
    Extra {
        /// The checkpoint.
        dir: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// A tensor of another shape.
    #[error(
        "{}: tensor `{name}` has shape {found:?}, expected {expected:?}\n\nhint: the weights must belong to this \
         `config.json`: check its sizes",
        path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The model's shape, as the file should hold it.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
    /// A tensor in numbers that are not read here.
    #[error("{}: tensor `{name}` holds {found} numbers\n\nhint: F32, F16 and BF16 are read", path.display())]
    Numbers {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The number type.
        found: String,
    },
    /// No adapter where one is to be.
    #[error("{}: no adapter of any projection", dir.display())]
    NoAdapter {
        /// The adapter's directory.
        dir: PathBuf,
    },
    /// A model that is saved under a configuration of another shape.
    #[error("the model's architecture is not the one its configuration describes")]
    OtherArchitecture,
}

impl CheckpointError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn damaged(path: &Path, problem: impl ToString) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// The first few names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len() {
        0..=SHOWN => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - SHOWN),
    }
}
