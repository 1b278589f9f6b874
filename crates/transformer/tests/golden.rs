//! Equality with transformers, by golden figures.

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

#[test]
fn every_figure_of_every_model_agrees() {
    let agreements = parity::models(&golden()).unwrap();
    assert!(!agreements.is_empty());
    let wrong: Vec<_> = agreements
        .iter()
        .filter(|agreement| !agreement.holds())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_saved_checkpoint_is_the_one_loaded() {
    let mut compared = 0;
    for entry in std::fs::read_dir(golden().join("checkpoints")).unwrap() {
        let original = entry.unwrap().path();
        let copy = tempfile::tempdir().unwrap();
        let class = Config::read(&original).unwrap();
        if std::fs::read_to_string(original.join("config.json"))
            .unwrap()
            .contains("ForSequenceClassification")
        {
            let (model, config) =
                checkpoint::load::<ScalarModel>(&original, &Device::flex()).unwrap();
            checkpoint::save(&model, &config, SaveOptions::default(), copy.path()).unwrap();
        } else {
            let (model, config) = checkpoint::load::<CausalLm>(&original, &Device::flex()).unwrap();
            checkpoint::save(&model, &config, SaveOptions::default(), copy.path()).unwrap();
        }
        assert_eq!(
            Config::read(copy.path()).unwrap().architecture().unwrap(),
            class.architecture().unwrap()
        );
        let bytes = |dir: &std::path::Path| std::fs::read(dir.join("model.safetensors")).unwrap();
        assert!(
            bytes(copy.path()) == bytes(&original),
            "{}",
            original.display()
        );
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn the_hash_of_named_tensors_is_that_of_the_trajectories() {
    use sha2::{Digest, Sha256};
    let mut compared = 0;
    for entry in std::fs::read_dir(golden().join("trajectories")).unwrap() {
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
