//! Checkpoint files from which nothing may be trusted: a clear message for each, and no memory taken.

use std::path::PathBuf;

use burn::tensor::Device;
use preflab_transformer::checkpoint::{self, Config, SaveOptions, weights_hash};
use preflab_transformer::{Architecture, CausalLm, ScalarModel};
use serde_json::{Value, json};

use crate::spoilt::{Checkpoint, NORM, file};
use crate::support::{VOCABULARY, settings};

/// What to do about a damaged file.
const AGAIN: &str = "\n\nhint: it may be cut off or have been changed: copy or download it again";

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
                "model.safetensors: not a valid safetensors file: a header of {size} bytes in a file of 10{AGAIN}"
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
        format!(
            "model.safetensors: not a valid safetensors file: 3 bytes, too short for a header{AGAIN}"
        )
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
        "model.safetensors: tensor `model.layers.0.mlp.gate_proj.weight` has shape [48, 24], expected [50, 24]\n\n\
         hint: the weights must belong to this `config.json`: check its sizes"
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
        message.contains("missing `model.layers.10.input_layernorm.weight`"),
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
    assert_eq!(
        missing,
        "DIR: missing `model.norm.weight`\n\nhint: the weights must belong to this `config.json`; a policy is a language \
         model, a reward model a sequence classifier"
    );
    let extra = Checkpoint::new()
        .set("num_hidden_layers", json!(1))
        .message();
    assert!(
        extra.starts_with("DIR: the model has no place for `model.layers.1.input_layernorm.weight`, `model.layers.1.mlp."),
        "{extra}"
    );
    assert!(extra.contains("and 4 more\n\nhint: "), "{extra}");
}

#[test]
fn a_language_model_is_no_reward_model() {
    let checkpoint = Checkpoint::new();
    let error = checkpoint::load::<ScalarModel>(checkpoint.0.path(), &Device::flex())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("missing `score.weight`\n\nhint: "),
        "{error}"
    );
    let reward = Checkpoint::of(&ScalarModel::init(
        &Architecture::new(&settings(false), VOCABULARY),
        1,
        &Device::flex(),
    ));
    let message = reward.message();
    assert!(
        message.starts_with("DIR: missing `lm_head.weight`\n"),
        "{message}"
    );
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
                "{index}: shard `{name}` of `{NORM}` is not the name of a safetensors file of the same directory\n\n\
                 hint: an index names files beside it, such as `model-00001-of-00002.safetensors`"
            )
        );
    }
    let checkpoint = sharded().write(
        index,
        json!({ "weight_map": { NORM: "gone.safetensors" } }).to_string(),
    );
    assert_eq!(
        checkpoint.message(),
        format!(
            "{index}: there is no shard `gone.safetensors`, which is said to hold `{NORM}`\n\nhint: copy every file that the \
             index names"
        )
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
    assert!(
        message.contains("is also in another shard\n\nhint: "),
        "{message}"
    );
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let header = [&4u64.to_le_bytes()[..], b"{\xff\"}"].concat();
    let message = Checkpoint::new()
        .write("model.safetensors", header)
        .message();
    assert!(
        message.starts_with("model.safetensors: not a valid safetensors file:"),
        "{message}"
    );
    let message = Checkpoint::new()
        .write("config.json", b"{\"model_type\": \"\xff\"}")
        .message();
    assert!(
        message.starts_with("config.json: invalid unicode code point"),
        "{message}"
    );
    let message = sharded()
        .write(
            "model.safetensors.index.json",
            b"{\"weight_map\": {\"a\": \"\xff\"}}",
        )
        .message();
    assert!(
        message.starts_with("model.safetensors.index.json: invalid unicode code point"),
        "{message}"
    );
}

#[test]
fn a_directory_in_place_of_a_shard_is_no_shard() {
    let checkpoint = sharded();
    let name = shards(&checkpoint)[0].file_name().unwrap().to_owned();
    std::fs::remove_file(checkpoint.path(name.to_str().unwrap())).unwrap();
    std::fs::create_dir(checkpoint.path(name.to_str().unwrap())).unwrap();
    let message = checkpoint.message();
    assert!(
        message.starts_with("model.safetensors.index.json: there is no shard `model-00001-of-"),
        "{message}"
    );
}

#[test]
fn nested_json_takes_no_stack() {
    let deep = format!("{{\"a\": {}", "[".repeat(200_000));
    for (file, problem) in [
        ("config.json", "recursion limit exceeded"),
        // An unknown key is passed over level by level, to the end of the file.
        ("model.safetensors.index.json", "EOF while parsing a list"),
    ] {
        let message = sharded().write(file, &deep).message();
        assert!(
            message.starts_with(&format!("{file}: {problem}")),
            "{message}"
        );
    }
}
