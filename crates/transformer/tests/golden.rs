//! Equality with transformers, by golden figures.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::Device;
use preflab_transformer::checkpoint::{self, Config, SaveOptions};
use preflab_transformer::{CausalLm, ScalarModel, parity};

/// The directory of golden figures.
pub fn golden() -> PathBuf {
    match std::env::var_os("PREFLAB_GOLDEN") {
        Some(dir) => dir.into(),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")),
    }
}

/// Golden figures, and those of the families that they leave out.
pub fn directories() -> [PathBuf; 2] {
    [
        golden(),
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/families")),
    ]
}

/// Every checkpoint, and whether it is a reward model.
pub fn checkpoints() -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    for dir in directories() {
        for entry in std::fs::read_dir(dir.join("checkpoints")).unwrap() {
            let path = entry.unwrap().path();
            let config = std::fs::read_to_string(path.join("config.json")).unwrap();
            found.push((path, config.contains("ForSequenceClassification")));
        }
    }
    found.sort();
    found
}

#[test]
fn every_figure_of_every_model_agrees() {
    for dir in directories() {
        let agreements = parity::models(&dir).unwrap();
        assert!(!agreements.is_empty());
        let wrong: Vec<_> = agreements
            .iter()
            .filter(|agreement| !agreement.holds())
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Name, number type, shape and bytes of every tensor of a checkpoint, in one file or several.
fn stored(dir: &std::path::Path) -> BTreeMap<String, (safetensors::Dtype, Vec<usize>, Vec<u8>)> {
    let mut stored = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "safetensors") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for (name, tensor) in safetensors::SafeTensors::deserialize(&bytes)
            .unwrap()
            .iter()
        {
            let held = (
                tensor.dtype(),
                tensor.shape().to_vec(),
                tensor.data().to_vec(),
            );
            assert!(
                stored.insert(name.to_owned(), held).is_none(),
                "{name} twice"
            );
        }
    }
    stored
}

#[test]
fn a_saved_checkpoint_is_the_one_loaded() {
    for (original, scalar) in checkpoints() {
        let copy = tempfile::tempdir().unwrap();
        let expected = Config::read(&original).unwrap();
        let options = SaveOptions {
            number: expected.number(),
            ..Default::default()
        };
        if scalar {
            let (model, config) =
                checkpoint::load::<ScalarModel>(&original, &Device::flex()).unwrap();
            checkpoint::save(&model, &config, options, copy.path()).unwrap();
        } else {
            let (model, config) = checkpoint::load::<CausalLm>(&original, &Device::flex()).unwrap();
            checkpoint::save(&model, &config, options, copy.path()).unwrap();
        }
        let config = Config::read(copy.path()).unwrap();
        assert_eq!(
            config.architecture().unwrap(),
            expected.architecture().unwrap()
        );
        assert_eq!(config.special_tokens(), expected.special_tokens());
        assert_eq!(config.number(), expected.number());
        assert!(
            stored(copy.path()) == stored(&original),
            "{}",
            original.display()
        );
    }
}

#[test]
fn the_hash_of_named_tensors_is_that_of_the_trajectories() {
    use sha2::{Digest, Sha256};
    let directory = golden().join("trajectories");
    if !directory.is_dir() {
        eprintln!("skipped: {} is absent", directory.display());
        return;
    }
    let mut compared = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let run: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (Some(start), Some(expected)) =
            (run["start"].as_str(), run["init_weights_sha"].as_str())
        else {
            continue;
        };
        let dir = golden().join(start);
        let named = match checkpoint::load::<CausalLm>(&dir, &Device::flex()) {
            Ok((model, config)) => checkpoint::tensors(&model, &config).unwrap(),
            Err(_) => {
                let (model, config) =
                    checkpoint::load::<ScalarModel>(&dir, &Device::flex()).unwrap();
                checkpoint::tensors(&model, &config).unwrap()
            }
        };
        let mut hash = Sha256::new();
        for (name, (_, values)) in &named {
            hash.update(name);
            values
                .iter()
                .for_each(|value| hash.update(value.to_le_bytes()));
        }
        let found: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, expected, "{}", path.display());
        compared += 1;
    }
    assert!(compared > 0);
}
