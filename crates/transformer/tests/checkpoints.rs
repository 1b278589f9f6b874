//! Checkpoints of older layouts and other number types, and exact weights.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use preflab_transformer::checkpoint::{
    self, CheckpointError, Config, Number, SaveOptions, SpecialTokens, load_weights, save_weights,
    weights_hash,
};
use preflab_transformer::{Architecture, CausalLm, Family, Positions, RotaryScaling, Sequences};
use serde_json::{Value, json};

use crate::spoilt::{Checkpoint, file};
use crate::support::{VOCABULARY, architecture, floats, model, settings, tokens};

#[test]
fn older_layouts_are_read() {
    let expected = Checkpoint::new().load().unwrap();
    let row = tokens(8, 1);
    let logits = |model: &CausalLm| {
        floats(model.forward(&Sequences::right_padded(&[&row], &Device::flex())))
    };

    // transformers 4: the base beside the other values, and a copy of constants.
    let old = Checkpoint::new()
        .set("rope_parameters", Value::Null)
        .set("rope_theta", json!(500.0));
    let old = old.load().unwrap();
    let Positions::Rotary(rotary) = &old.architecture().positions else {
        panic!("rotary")
    };
    assert_eq!((rotary.theta, rotary.scaling), (500.0, RotaryScaling::None));
    assert_ne!(logits(&old), logits(&expected));

    // A file of the decoder alone lacks the prefix.
    let strip = |header: &mut Value| {
        let old = header.as_object().unwrap().clone();
        *header = old
            .into_iter()
            .map(|(name, info)| (name.trim_start_matches("model.").to_owned(), info))
            .collect();
    };
    assert_eq!(
        logits(&Checkpoint::new().header(strip).load().unwrap()),
        logits(&expected)
    );

    // Constants of old files, and the copy of a tied head, are no extra tensors.
    let tied = Checkpoint::of(&model());
    let expected = logits(&tied.load().unwrap());
    let bytes = tied.weights();
    let size = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let held = bytes.len() - 8 - size;
    let head = 4 * VOCABULARY * 24;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + size]).unwrap();
    header["lm_head.weight"] =
        json!({ "dtype": "F32", "shape": [VOCABULARY, 24], "data_offsets": [held, held + head] });
    header["model.layers.0.self_attn.rotary_emb.inv_freq"] =
        json!({ "dtype": "F32", "shape": [3], "data_offsets": [held + head, held + head + 12] });
    let data = [&bytes[8 + size..], &vec![0; head + 12]].concat();
    let tied = tied.write("model.safetensors", file(&header.to_string(), &data));
    assert_eq!(logits(&tied.load().unwrap()), expected);
}

#[test]
fn half_precision_is_rounded_once() {
    let checkpoint = Checkpoint::new();
    let model = checkpoint.load().unwrap();
    let config = Config::read(checkpoint.0.path()).unwrap();
    for (number, relative) in [(Number::F16, 1.0 / 2048.0), (Number::Bf16, 1.0 / 256.0)] {
        let copy = tempfile::tempdir().unwrap();
        checkpoint::save(
            &model,
            &config,
            SaveOptions {
                number,
                ..Default::default()
            },
            copy.path(),
        )
        .unwrap();
        assert_eq!(Config::read(copy.path()).unwrap().number(), number);
        let (rounded, _) = checkpoint::load::<CausalLm>(copy.path(), &Device::flex()).unwrap();
        let weights = |model: &CausalLm| floats(model.decoder.layers[0].mlp.up_proj.weight.val());
        for (rounded, exact) in weights(&rounded).iter().zip(weights(&model)) {
            assert!(
                (rounded - exact).abs() <= relative * exact.abs() + 1e-7,
                "{rounded} {exact}"
            );
        }
        let again = tempfile::tempdir().unwrap();
        checkpoint::save(
            &rounded,
            &config,
            SaveOptions {
                number,
                ..Default::default()
            },
            again.path(),
        )
        .unwrap();
        let (twice, _) = checkpoint::load::<CausalLm>(again.path(), &Device::flex()).unwrap();
        assert_eq!(weights_hash(&twice), weights_hash(&rounded));
    }
}

#[test]
fn a_model_is_not_saved_under_another_configuration() {
    let config = Config::llama(
        &Architecture::new(&settings(false), VOCABULARY),
        &SpecialTokens::default(),
    );
    let out = tempfile::tempdir().unwrap();
    let error = checkpoint::save(
        &model(),
        &config,
        SaveOptions::default(),
        &out.path().join("model"),
    )
    .unwrap_err();
    assert!(matches!(error, CheckpointError::OtherArchitecture));
    assert!(!out.path().join("model").exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let out = tempfile::tempdir().unwrap();
    let blocked = out.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let config = Config::llama(&architecture(), &SpecialTokens::default());
    let error = checkpoint::save(
        &model(),
        &config,
        SaveOptions::default(),
        &blocked.join("model"),
    )
    .unwrap_err();
    assert!(matches!(error, CheckpointError::Io { .. }), "{error}");
    let error = save_weights(&model(), &blocked.join("weights")).unwrap_err();
    assert!(matches!(error, CheckpointError::Io { .. }), "{error}");
}

#[test]
fn special_tokens_are_kept() {
    let tokens = SpecialTokens {
        beginning: Some(2),
        end: vec![1, 5],
        padding: None,
    };
    let config = Config::llama(&architecture(), &tokens);
    assert_eq!(config.special_tokens(), tokens);
    assert_eq!(config.family(), Family::Llama);
    let other = SpecialTokens {
        beginning: None,
        end: vec![3],
        padding: Some(0),
    };
    assert_eq!(config.with_special_tokens(&other).special_tokens(), other);
}

fn weights_file(dir: &Path) -> PathBuf {
    dir.join("weights.safetensors")
}

#[test]
fn exact_weights_round_trip_and_keep_training() {
    let out = tempfile::tempdir().unwrap();
    let path = weights_file(out.path());
    let trained = CausalLm::init(&architecture(), 1, &Device::flex().autodiff());
    save_weights(&trained, &path).unwrap();
    let other = CausalLm::init(&architecture(), 2, &Device::flex().autodiff());
    assert_ne!(weights_hash(&other), weights_hash(&trained));
    let loaded = load_weights(other, &path).unwrap();
    assert_eq!(weights_hash(&loaded), weights_hash(&trained));
    assert!(loaded.decoder.norm.weight.val().is_require_grad());
    let plain = load_weights(CausalLm::init(&architecture(), 2, &Device::flex()), &path).unwrap();
    assert_eq!(weights_hash(&plain), weights_hash(&trained.valid()));
    assert!(!plain.decoder.norm.weight.val().is_require_grad());
    assert!(plain.train().decoder.norm.weight.val().is_require_grad());
}

#[test]
fn exact_weights_of_another_module_are_refused() {
    let out = tempfile::tempdir().unwrap();
    let path = weights_file(out.path());
    save_weights(&model(), &path).unwrap();
    let untied = CausalLm::init(
        &Architecture::new(&settings(false), VOCABULARY),
        1,
        &Device::flex(),
    );
    let error = load_weights(untied, &path).unwrap_err().to_string();
    assert!(error.contains("missing `lm_head.weight`\n"), "{error}");
    let wider = CausalLm::init(
        &Architecture::new(&settings(true), VOCABULARY + 1),
        1,
        &Device::flex(),
    );
    let error = load_weights(wider, &path).unwrap_err().to_string();
    assert!(
        error.contains("has shape [40, 24], expected [41, 24]"),
        "{error}"
    );
    let error = load_weights(model().decoder, &path).unwrap_err();
    assert!(matches!(error, CheckpointError::Missing { .. }), "{error}");
}

#[test]
fn the_hash_sees_a_change_of_one_bit() {
    let one = model();
    let mut other = one.clone();
    other.decoder.norm.weight = other
        .decoder
        .norm
        .weight
        .map(|weight| weight * (1.0 + f32::EPSILON));
    assert_ne!(weights_hash(&one), weights_hash(&other));
}
