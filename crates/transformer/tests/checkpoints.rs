//! Checkpoint files: what can be wrong with them, older layouts, and exact weights.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use preflab_transformer::checkpoint::{
    self, CheckpointError, Config, Model, Number, SaveOptions, SpecialTokens, load_weights,
    save_weights, weights_hash,
};
use preflab_transformer::{
    Architecture, CausalLm, Family, Positions, RotaryScaling, ScalarModel, Sequences,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{VOCABULARY, architecture, floats, model, settings, tokens};

/// A checkpoint directory of a small Llama, to be spoilt.
struct Checkpoint(TempDir);

impl Checkpoint {
    fn new() -> Self {
        Self::of(&CausalLm::init(
            &Architecture::new(&settings(false), VOCABULARY),
            11,
            &Device::flex(),
        ))
    }

    fn of<M: Model>(model: &M) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::llama(model.decoder().architecture(), &SpecialTokens::default());
        checkpoint::save(model, &config, SaveOptions::default(), dir.path()).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn weights(&self) -> Vec<u8> {
        std::fs::read(self.path("model.safetensors")).unwrap()
    }

    fn write(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path(name), bytes).unwrap();
        self
    }

    /// Changes a value of `config.json`; null removes it.
    fn set(self, key: &str, value: Value) -> Self {
        let mut config: Value =
            serde_json::from_slice(&std::fs::read(self.path("config.json")).unwrap()).unwrap();
        match value {
            Value::Null => drop(config.as_object_mut().unwrap().remove(key)),
            value => config[key] = value,
        }
        self.write("config.json", config.to_string())
    }

    /// Changes the header of the weights, keeping their bytes.
    fn header(self, change: impl FnOnce(&mut Value)) -> Self {
        let bytes = self.weights();
        let size = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + size]).unwrap();
        change(&mut header);
        let file = file(&header.to_string(), &bytes[8 + size..]);
        self.write("model.safetensors", file)
    }

    fn load(&self) -> Result<CausalLm, CheckpointError> {
        Ok(checkpoint::load::<CausalLm>(self.0.path(), &Device::flex())?.0)
    }

    /// The message with which loading fails, without the directory.
    #[track_caller]
    fn message(&self) -> String {
        let error = self.load().expect_err("loading fails").to_string();
        error
            .replace(&format!("{}/", self.0.path().display()), "")
            .replace(&self.0.path().display().to_string(), "DIR")
    }
}

/// A safetensors file.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

const NORM: &str = "model.norm.weight";

#[test]
fn a_header_longer_than_the_file_takes_no_memory() {
    for size in [u64::MAX, 1 << 40, 99_999_999] {
        let bytes = [&size.to_le_bytes()[..], b"{}"].concat();
        let message = Checkpoint::new()
            .write("model.safetensors", bytes)
            .message();
        assert_eq!(
            message,
            format!(
                "model.safetensors: not a valid safetensors file: a header of {size} bytes in a file of 10"
            )
        );
    }
}

#[test]
fn a_file_without_a_header_is_damaged() {
    let message = Checkpoint::new()
        .write("model.safetensors", b"abc")
        .message();
    assert_eq!(
        message,
        "model.safetensors: not a valid safetensors file: 3 bytes, too short for a header"
    );
    let message = Checkpoint::new()
        .write("model.safetensors", file("not json", b""))
        .message();
    assert!(
        message.starts_with("model.safetensors: not a valid safetensors file: expected"),
        "{message}"
    );
    let deep = "[".repeat(100_000);
    let message = Checkpoint::new()
        .write("model.safetensors", file(&deep, b""))
        .message();
    assert!(
        message.starts_with("model.safetensors: not a valid safetensors file:"),
        "{message}"
    );
}

#[test]
fn a_truncated_file_is_damaged() {
    let checkpoint = Checkpoint::new();
    let bytes = checkpoint.weights();
    let message = checkpoint
        .write("model.safetensors", &bytes[..bytes.len() - 5])
        .message();
    assert!(
        message.contains("the header promises") && message.contains("the file holds"),
        "{message}"
    );
    let checkpoint = Checkpoint::new();
    let message = checkpoint
        .write("model.safetensors", [bytes, vec![0; 3]].concat())
        .message();
    assert!(message.contains("the header promises"), "{message}");
}

#[test]
fn offsets_that_overlap_or_run_out_of_the_file_are_refused() {
    for offsets in [
        json!([0, 96]),
        json!([96, 0]),
        json!([u64::MAX - 95, u64::MAX]),
        json!([-4, 92]),
    ] {
        let message = Checkpoint::new()
            .header(|header| header[NORM]["data_offsets"] = offsets)
            .message();
        assert!(
            message.starts_with("model.safetensors: not a valid safetensors file:"),
            "{message}"
        );
    }
}

#[test]
fn a_shape_that_overflows_is_refused() {
    let shape = json!([1u64 << 40, 1u64 << 40]);
    let message = Checkpoint::new()
        .header(|header| header[NORM]["shape"] = shape)
        .message();
    assert!(
        message.starts_with("model.safetensors: not a valid safetensors file:"),
        "{message}"
    );
}

#[test]
fn a_tensor_named_twice_in_a_header_is_refused() {
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let message = Checkpoint::new()
        .write("model.safetensors", file(twice, &[0; 8]))
        .message();
    assert!(
        message.starts_with("model.safetensors: not a valid safetensors file:"),
        "{message}"
    );
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let message = Checkpoint::new()
        .set("intermediate_size", json!(50))
        .message();
    assert_eq!(
        message,
        "model.safetensors: tensor `model.layers.0.mlp.gate_proj.weight` has shape [48, 24], expected [50, 24]"
    );
}

#[test]
fn a_configuration_of_another_size_takes_no_memory() {
    let message = Checkpoint::new()
        .set("vocab_size", json!(1u64 << 32))
        .message();
    assert!(
        message
            .contains("`model.embed_tokens.weight` has shape [40, 24], expected [4294967296, 24]"),
        "{message}"
    );
    let message = Checkpoint::new()
        .set("num_hidden_layers", json!(1u64 << 32))
        .message();
    assert!(
        message.contains("at most 10000 blocks, found 4294967296"),
        "{message}"
    );
    let message = Checkpoint::new()
        .set("num_hidden_layers", json!(10_000))
        .message();
    assert!(
        message.contains("missing `model.layers.2.input_layernorm.weight`"),
        "{message}"
    );
}

#[test]
fn missing_and_extra_tensors_are_named() {
    let rename = |header: &mut Value| {
        let norm = header.as_object_mut().unwrap().remove(NORM).unwrap();
        header["model.other.weight"] = norm;
    };
    let missing = Checkpoint::new().header(rename).message();
    assert_eq!(missing, "DIR: missing `model.norm.weight`");
    let extra = Checkpoint::new()
        .set("num_hidden_layers", json!(1))
        .message();
    assert!(
        extra.starts_with("DIR: the model has no place for `model.layers.1.input_layernorm.weight`, `model.layers.1.mlp."),
        "{extra}"
    );
    assert!(extra.ends_with("and 4 more"), "{extra}");
}

#[test]
fn a_language_model_is_no_reward_model() {
    let checkpoint = Checkpoint::new();
    let error = checkpoint::load::<ScalarModel>(checkpoint.0.path(), &Device::flex())
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("missing `score.weight`"), "{error}");
    let reward = Checkpoint::of(&ScalarModel::init(
        &Architecture::new(&settings(false), VOCABULARY),
        1,
        &Device::flex(),
    ));
    assert_eq!(reward.message(), "DIR: missing `lm_head.weight`");
}

#[test]
fn numbers_that_are_not_read_are_named() {
    let message = Checkpoint::new()
        .header(|header| header[NORM]["dtype"] = json!("I32"))
        .message();
    assert_eq!(
        message,
        "model.safetensors: tensor `model.norm.weight` holds I32 numbers\n\nhint: F32, F16 and BF16 are read"
    );
}

#[test]
fn an_unknown_family_is_named_with_the_known_ones() {
    let message = Checkpoint::new()
        .set("model_type", json!("mamba"))
        .message();
    assert_eq!(
        message,
        "config.json: unknown `model_type` `mamba`\n\nhint: known are `llama`, `mistral`, `qwen2`, `qwen3`, `gemma2`, \
         `gpt2`, `gpt_neox`"
    );
}

#[test]
fn values_of_the_configuration_are_checked() {
    let cases = [
        (
            "model_type",
            Value::Null,
            "`model_type`: expected a name, found nothing",
        ),
        (
            "hidden_size",
            Value::Null,
            "`hidden_size`: expected a whole number above 0, found nothing",
        ),
        (
            "hidden_size",
            json!("wide"),
            "`hidden_size`: expected a whole number above 0, found \"wide\"",
        ),
        (
            "hidden_size",
            json!(-4),
            "`hidden_size`: expected a whole number above 0, found -4",
        ),
        (
            "num_attention_heads",
            json!(0),
            "`num_attention_heads`: expected a whole number above 0, found 0",
        ),
        (
            "num_key_value_heads",
            json!(3),
            "`num_key_value_heads`: expected a divisor of the 4 query heads, found 3",
        ),
        (
            "rms_norm_eps",
            json!(-1.0),
            "`rms_norm_eps`: expected a number above 0, found -1.0",
        ),
        (
            "tie_word_embeddings",
            json!(1),
            "`tie_word_embeddings`: expected true or false, found 1",
        ),
        (
            "hidden_act",
            json!("tanh"),
            "`hidden_act`: expected `silu`, `gelu`, `gelu_new`, `gelu_pytorch_tanh` or `relu`, found \"tanh\"",
        ),
        (
            "rope_parameters",
            json!([]),
            "`rope_parameters`: expected an object, found []",
        ),
        (
            "rope_parameters",
            json!({"rope_type": "yarn"}),
            "`rope_parameters`: expected `rope_type` to be `default`, `linear` or `llama3`, found {\"rope_type\":\"yarn\"}",
        ),
        (
            "rope_scaling",
            json!({"type": "linear"}),
            "`rope_scaling`: expected a value `factor`, found {\"type\":\"linear\"}",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4}),
            "`rope_scaling`: expected `low_freq_factor` below `high_freq_factor`",
        ),
        (
            "rope_parameters",
            json!({"partial_rotary_factor": 4.0}),
            "`rope_parameters`: expected rotated components within a head of 6",
        ),
    ];
    for (key, value, expected) in cases {
        let message = Checkpoint::new().set(key, value).message();
        assert!(
            message.starts_with(&format!("config.json: {expected}")),
            "{message}"
        );
    }
}

#[test]
fn a_directory_without_weights_says_what_is_expected() {
    let checkpoint = Checkpoint::new();
    std::fs::remove_file(checkpoint.path("model.safetensors")).unwrap();
    assert!(checkpoint.message().starts_with(
        "DIR: neither `model.safetensors` nor `model.safetensors.index.json` is here\n\nhint: a checkpoint in another"
    ));
    std::fs::remove_file(checkpoint.path("config.json")).unwrap();
    assert!(
        checkpoint
            .message()
            .starts_with("config.json: No such file")
    );
    let checkpoint = Checkpoint::new().write("config.json", "{");
    assert!(
        checkpoint
            .message()
            .starts_with("config.json: EOF while parsing")
    );
}

/// A checkpoint in several files.
fn sharded() -> Checkpoint {
    let checkpoint = Checkpoint::new();
    let model = checkpoint.load().unwrap();
    let config = Config::read(checkpoint.0.path()).unwrap();
    std::fs::remove_file(checkpoint.path("model.safetensors")).unwrap();
    checkpoint::save(
        &model,
        &config,
        SaveOptions {
            shard: 10_000,
            ..Default::default()
        },
        checkpoint.0.path(),
    )
    .unwrap();
    checkpoint
}

fn shards(checkpoint: &Checkpoint) -> Vec<PathBuf> {
    let files = std::fs::read_dir(checkpoint.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .collect();
    files.sort();
    files
}

#[test]
fn shards_are_put_together() {
    let checkpoint = sharded();
    assert!(!checkpoint.path("model.safetensors").exists());
    assert!(shards(&checkpoint).len() > 2);
    let expected = CausalLm::init(
        &Architecture::new(&settings(false), VOCABULARY),
        11,
        &Device::flex(),
    );
    assert_eq!(
        weights_hash(&checkpoint.load().unwrap()),
        weights_hash(&expected)
    );
}

#[test]
fn a_shard_is_a_file_of_the_same_directory() {
    let index = "model.safetensors.index.json";
    for name in [
        "../model.safetensors",
        "/tmp/model.safetensors",
        "a/b.safetensors",
        "..",
        "a\\b.safetensors",
        "weights.bin",
        "",
    ] {
        let checkpoint =
            sharded().write(index, json!({ "weight_map": { NORM: name } }).to_string());
        assert_eq!(
            checkpoint.message(),
            format!(
                "{index}: shard `{name}` of `{NORM}` is not the name of a safetensors file of the same directory"
            )
        );
    }
    let checkpoint = sharded().write(
        index,
        json!({ "weight_map": { NORM: "gone.safetensors" } }).to_string(),
    );
    assert!(
        checkpoint
            .message()
            .starts_with("gone.safetensors: No such file")
    );
    let checkpoint = sharded().write(index, "{}");
    assert!(
        checkpoint
            .message()
            .starts_with("model.safetensors.index.json: missing field `weight_map`")
    );
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let checkpoint = sharded();
    let files = shards(&checkpoint);
    std::fs::copy(&files[0], &files[1]).unwrap();
    let message = checkpoint.message();
    assert!(message.starts_with("model-00002-of-"), "{message}");
    assert!(message.ends_with("is also in another shard"), "{message}");
}

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
    assert!(error.ends_with("missing `lm_head.weight`"), "{error}");
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
