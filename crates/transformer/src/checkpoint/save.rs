//! Writing of a checkpoint directory.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{ModuleVisitor, Param};
use burn::tensor::Tensor;
use safetensors::Dtype;
use safetensors::tensor::{SafeTensorError, View, serialize_to_file};
use serde_json::{Map, Value, json};

use super::error::CheckpointError;
use super::number::Number;
use super::{Config, Form, Model, Slot};
use crate::lora::merged;

/// How a checkpoint is written.
#[derive(Debug, Clone, Copy)]
pub struct SaveOptions {
    /// Number type of the weights. Default: f32.
    pub number: Number,
    /// Most bytes of weights in one file; a model of more is written in several. Default: 5 GB, as transformers 4.
    pub shard: usize,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            number: Number::F32,
            shard: 5_000_000_000,
        }
    }
}

/// Writes a checkpoint directory that transformers loads: weights, `config.json`, `generation_config.json`.
///
/// Adapters are folded into the weights; [`lora::save`](crate::lora::save) writes them alone.
/// `config` is the one the model was loaded with, or [`Config::llama`]. The directory is created; files of a checkpoint
/// that is there already are replaced.
///
/// # Errors
/// If `config` describes another architecture, or the disk refuses.
pub fn save<M: Model>(
    model: &M,
    config: &Config,
    options: SaveOptions,
    dir: &Path,
) -> Result<(), CheckpointError> {
    let stored = stored(model, config)?;
    std::fs::create_dir_all(dir).map_err(CheckpointError::io(dir))?;
    write_json(
        &dir.join("config.json"),
        &config_of::<M>(config, options.number),
    )?;
    let tokens = config.special_tokens();
    let generation = json!({
        "_from_model_config": true,
        "bos_token_id": tokens.beginning,
        "eos_token_id": tokens.end_value(),
        "pad_token_id": tokens.padding,
    });
    write_json(&dir.join("generation_config.json"), &generation)?;

    let mut shards: Vec<Vec<(String, Encoded)>> = vec![Vec::new()];
    let mut filled = 0;
    for (name, tensor) in stored {
        let tensor = Encoded {
            tensor,
            number: options.number,
        };
        let size = tensor.data_len();
        if filled > 0 && filled + size > options.shard {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += size;
        shards
            .last_mut()
            .expect("at least one shard")
            .push((name, tensor));
    }
    let count = shards.len();
    if count == 1 {
        return write_shard(&dir.join("model.safetensors"), shards.remove(0));
    }
    let (mut of_name, mut total) = (Map::new(), 0);
    for (index, shard) in shards.into_iter().enumerate() {
        let file = format!("model-{:05}-of-{count:05}.safetensors", index + 1);
        for (name, tensor) in &shard {
            of_name.insert(name.clone(), json!(file));
            total += tensor.data_len();
        }
        write_shard(&dir.join(file), shard)?;
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": of_name });
    write_json(&dir.join("model.safetensors.index.json"), &index)
}

/// Shape and numbers of each tensor, by name.
pub type NamedTensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The tensors of a model under the names and in the shapes of its checkpoint, in f32.
///
/// # Errors
/// If `config` describes another architecture.
pub fn tensors<M: Model>(model: &M, config: &Config) -> Result<NamedTensors, CheckpointError> {
    let stored = stored(model, config)?;
    Ok(stored
        .into_iter()
        .map(|(name, tensor)| (name, (tensor.shape.clone(), tensor.values())))
        .collect())
}

/// What becomes of each tensor of the file, by name.
fn stored<M: Model>(
    model: &M,
    config: &Config,
) -> Result<BTreeMap<String, Stored>, CheckpointError> {
    let architecture = model.decoder().architecture();
    if config.architecture()? != *architecture {
        return Err(CheckpointError::OtherArchitecture);
    }
    let mut parts = Parts::default();
    merged(model).visit(&mut parts);
    let mut stored: BTreeMap<String, Stored> = BTreeMap::new();
    for (slot, shape, values) in parts.found {
        let (mut names, form) = config
            .family()
            .stored(slot, architecture.attention.heads)
            .ok_or(CheckpointError::OtherArchitecture)?;
        let tensor = stored
            .entry(names.swap_remove(0))
            .or_insert_with(|| Stored {
                shape: form.file_shape(&shape),
                parts: Vec::new(),
            });
        tensor.parts.push((form, shape, values));
    }
    Ok(stored)
}

/// The parameters of a model.
#[derive(Default)]
struct Parts {
    path: Vec<String>,
    found: Vec<(Slot, Vec<usize>, Tensor<1>)>,
}

impl ModuleVisitor for Parts {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let value = parameter.val();
        let shape = value.dims();
        let flat = value.reshape([shape.iter().product::<usize>()]);
        self.found
            .push((Slot::at(&self.path.join(".")), shape.to_vec(), flat));
    }
}

/// A tensor of the file, made of one parameter or several.
struct Stored {
    shape: Vec<usize>,
    parts: Vec<(Form, Vec<usize>, Tensor<1>)>,
}

impl Stored {
    fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.shape.iter().product()];
        for (form, shape, part) in &self.parts {
            let part = part
                .clone()
                .try_into_vec_as::<f32>()
                .expect("weights are read as f32");
            form.insert(&part, shape, &mut values);
        }
        values
    }
}

/// A tensor as it is written; its bytes are made when it is its turn.
struct Encoded {
    tensor: Stored,
    number: Number,
}

impl View for Encoded {
    fn dtype(&self) -> Dtype {
        self.number.dtype()
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.number.encode(&self.tensor.values()).into()
    }

    fn data_len(&self) -> usize {
        self.tensor.shape.iter().product::<usize>() * self.number.size()
    }
}

/// `config.json` of a model of class `M` in numbers `number`.
fn config_of<M: Model>(config: &Config, number: Number) -> Value {
    let mut values = config.values().clone();
    values.insert(
        "architectures".into(),
        json!([format!("{}{}", config.family().class(), M::CLASS)]),
    );
    let key = if values.contains_key("torch_dtype") {
        "torch_dtype"
    } else {
        "dtype"
    };
    values.insert(key.into(), json!(number.name()));
    for key in ["id2label", "label2id", "num_labels", "problem_type"] {
        values.remove(key);
    }
    if M::CLASS == <crate::ScalarModel as Model>::CLASS {
        values.insert("id2label".into(), json!({ "0": "LABEL_0" }));
        values.insert("label2id".into(), json!({ "LABEL_0": 0 }));
    }
    Value::Object(values)
}

fn write_shard(path: &Path, shard: Vec<(String, Encoded)>) -> Result<(), CheckpointError> {
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize_to_file(shard, Some(format), path).map_err(|error| not_written(path, error))
}

/// The reason why a safetensors file was not written.
pub(crate) fn not_written(path: &Path, error: SafeTensorError) -> CheckpointError {
    match error {
        SafeTensorError::IoError(source) => CheckpointError::io(path)(source),
        other => CheckpointError::damaged(path, other),
    }
}

pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| CheckpointError::Json {
        path: path.to_owned(),
        source,
    })?;
    std::fs::write(path, text + "\n").map_err(CheckpointError::io(path))
}
