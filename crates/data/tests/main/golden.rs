//! Golden figures: recorded ids of other programs.

use std::path::PathBuf;

use preflab_data::{ChatTemplate, Tokenizer};
use serde_json::Value;

/// The directory of golden files: `PREFLAB_GOLDEN`, else `tests/golden` of the repository.
pub fn directory() -> PathBuf {
    std::env::var_os("PREFLAB_GOLDEN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden"),
        PathBuf::from,
    )
}

/// A golden file.
pub fn read(name: &str) -> Value {
    let path = directory().join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The tokenizer that a golden file names as `ckpt/<checkpoint>`, with its chat template.
pub fn tokenizer(golden: &Value) -> (Tokenizer, ChatTemplate) {
    let name = golden["source"]["tokenizer"].as_str().unwrap();
    let name = name
        .strip_prefix("ckpt/")
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let path = directory().join("checkpoints").join(name);
    let tokenizer = Tokenizer::load(&path).unwrap();
    let template = ChatTemplate::load(&path, tokenizer.special())
        .unwrap()
        .unwrap();
    (tokenizer, template)
}

/// A list of ids.
pub fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
        .collect()
}
