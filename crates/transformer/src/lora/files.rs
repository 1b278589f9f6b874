//! Adapters as PEFT's directories hold them.
//!
//! ```text
//! adapter_config.json         rank, alpha, targets
//! adapter_model.safetensors   A and B of each projection, `[rank, inputs]` and `[outputs, rank]`; the head of a scalar model
//! ```

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::serialize_to_file;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::adapter::{Adapter, JointAdapter};
use super::attach::frozen;
use super::projections::{Projection, layer, layer_mut};
use crate::block::Block;
use crate::checkpoint::{
    BlockRole, CheckpointError, Config, Form, Model, Number, Tensors, not_written, read_json,
    write_json,
};
use crate::families::{BlockForm, Family};
use crate::lora::is_adapted;

/// What PEFT puts before the names of a model's modules.
const PREFIX: &str = "base_model.model.";
const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Writes the adapters of `model`, and the head of a scalar model, as a directory that PEFT loads; nothing of what is
/// frozen.
///
/// - `config`: the configuration of the model that the adapters belong to.
/// - `base`: where that model is, for `base_model_name_or_path`: a directory, or a name on the hub.
///
/// # Errors
/// If the model has no adapters, `config` describes another architecture, or the disk refuses.
pub fn save<M: Model>(
    model: &M,
    config: &Config,
    base: &str,
    dir: &Path,
) -> Result<(), CheckpointError> {
    if config.architecture()? != *model.decoder().architecture() {
        return Err(CheckpointError::OtherArchitecture);
    }
    if !is_adapted(model) {
        return Err(CheckpointError::NoAdapter {
            dir: dir.to_owned(),
        });
    }
    let family = config.family();
    let heads = model.decoder().architecture().attention.heads;
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut add = |name: String, shape: Vec<usize>, values: &[f32]| {
        tensors.push((name, shape, Number::F32.encode(values)));
    };
    let (mut rank, mut scale) = (0, 0.0);
    for (index, block) in model.decoder().layers.iter().enumerate() {
        for projection in Projection::of(block, family) {
            let Some(found) = adapter(block, projection) else {
                continue;
            };
            let path = projection.path(family, index);
            (rank, scale) = (found.a.shape()[1], found.scale);
            let (shape, values) = transposed(found.a);
            add(format!("{PREFIX}{path}.lora_A.weight"), shape, &values);
            let mut shape = Vec::new();
            let mut values = Vec::new();
            for (role, b) in found.b {
                let own = b.shape().to_vec();
                let form = form_of_b(family, role, heads);
                shape = form.file_shape(&own);
                values.resize(shape.iter().product(), 0.0);
                form.insert(&numbers(b), &own, &mut values);
            }
            add(format!("{PREFIX}{path}.lora_B.weight"), shape, &values);
        }
    }
    if let Some(score) = model.score() {
        let (shape, values) = transposed(&score.weight);
        add(format!("{PREFIX}score.weight"), shape, &values);
    }

    std::fs::create_dir_all(dir).map_err(CheckpointError::io(dir))?;
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Number::F32.dtype(), shape.clone(), bytes)
            .expect("as many bytes as the shape says");
        (name.as_str(), view)
    });
    let path = dir.join(WEIGHTS);
    let format = Some([("format".to_owned(), "pt".to_owned())].into());
    serialize_to_file(views, format, &path).map_err(|error| not_written(&path, error))?;
    write_json(
        &dir.join(CONFIG),
        &json!({
            "alpha_pattern": {},
            "auto_mapping": null,
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": family.stores_inputs_first(),
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": whole(scale * rank as f64),
            "lora_dropout": 0.0,
            "modules_to_save": model.score().map(|_| ["score"]),
            "peft_type": "LORA",
            "r": rank,
            "rank_pattern": {},
            "revision": null,
            "target_modules": targets(model, family),
            "task_type": if model.score().is_some() { "SEQ_CLS" } else { "CAUSAL_LM" },
            "use_dora": false,
            "use_rslora": false,
        }),
    )
}

/// `model` with the adapters of a PEFT directory, and its head where there is one; everything else is frozen.
///
/// # Errors
/// If a file is missing, malformed, or holds what has no place in the model; if the adapters are of a kind that is not
/// implemented: DoRA, trained biases, ranks that differ between projections.
pub fn load<M: Model>(model: M, config: &Config, dir: &Path) -> Result<M, CheckpointError> {
    let settings = AdapterConfig::read(dir)?;
    let tensors = Tensors::of_file(&dir.join(WEIGHTS))?;
    let family = config.family();
    let heads = model.decoder().architecture().attention.heads;
    let device = model.decoder().embed_tokens.weight.val().device();
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut model = frozen(model);
    for (index, block) in model.decoder_mut().layers.iter_mut().enumerate() {
        for projection in Projection::of(block, family) {
            let path = projection.path(family, index);
            let [a, b] = ["A", "B"].map(|side| format!("{PREFIX}{path}.lora_{side}.weight"));
            if !tensors.contains(&a) && !tensors.contains(&b) {
                continue;
            }
            let mut read = Reading {
                tensors: &tensors,
                family,
                heads,
                rank: settings.r,
                device: &device,
            };
            read.place(block, projection, settings.scale(), [&a, &b])?;
            used.extend([a, b]);
        }
    }
    let name = format!("{PREFIX}score.weight");
    if let Some(score) = model.score_mut()
        && tensors.contains(&name)
    {
        let own = score.weight.shape().to_vec();
        score.weight = parameter(&tensors, &name, Form::Transposed, &own, &device)?;
        used.insert(name);
    }
    let extra: Vec<String> = tensors
        .names()
        .filter(|name| !used.contains(*name))
        .map(str::to_owned)
        .collect();
    if !extra.is_empty() {
        return Err(CheckpointError::Extra {
            dir: dir.to_owned(),
            names: extra,
        });
    }
    match is_adapted(&model) {
        true => Ok(model),
        false => Err(CheckpointError::NoAdapter {
            dir: dir.to_owned(),
        }),
    }
}

/// What `adapter_config.json` says, as far as it matters.
#[derive(Deserialize)]
struct AdapterConfig {
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
}

impl AdapterConfig {
    fn read(dir: &Path) -> Result<Self, CheckpointError> {
        let path = dir.join(CONFIG);
        let values: Map<String, Value> = read_json(&path)?;
        let wrong = |key: &str, expected: &str| CheckpointError::Config {
            path: path.clone(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: values
                .get(key)
                .map_or_else(|| "nothing".to_owned(), Value::to_string),
        };
        let is = |key: &str, allowed: &[Value]| {
            values
                .get(key)
                .is_none_or(|value| value.is_null() || allowed.contains(value))
        };
        if values.get("peft_type") != Some(&json!("LORA")) {
            return Err(wrong("peft_type", "\"LORA\""));
        }
        let only: [(&str, &[Value], &str); 6] = [
            (
                "use_dora",
                &[json!(false)],
                "false: DoRA is not implemented",
            ),
            ("bias", &[json!("none")], "\"none\": biases are not trained"),
            ("lora_bias", &[json!(false)], "false: `B` has no bias"),
            (
                "rank_pattern",
                &[json!({})],
                "{}: one rank for all projections",
            ),
            (
                "alpha_pattern",
                &[json!({})],
                "{}: one alpha for all projections",
            ),
            ("layer_replication", &[], "null: no layer is repeated"),
        ];
        for (key, allowed, expected) in only {
            if !is(key, allowed) {
                return Err(wrong(key, expected));
            }
        }
        let positive = |key: &str| values.get(key).and_then(Value::as_f64) > Some(0.0);
        if !positive("lora_alpha") {
            return Err(wrong("lora_alpha", "a number above 0"));
        }
        if !(positive("r") && values["r"].is_u64()) {
            return Err(wrong("r", "a whole number above 0"));
        }
        serde_json::from_value(Value::Object(values)).map_err(|source| CheckpointError::Json {
            path: path.clone(),
            source,
        })
    }

    /// The factor on the adapter's part; Kalajdzievski 2023, [arXiv:2312.03732](https://arxiv.org/abs/2312.03732), where
    /// `use_rslora` says so.
    fn scale(&self) -> f64 {
        let rank = self.r as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }
}

/// The adapter of a projection: `A`, and `B` of each layer it is the projection of.
struct Found<'a> {
    a: &'a Param<Tensor<2>>,
    b: Vec<(BlockRole, &'a Param<Tensor<2>>)>,
    scale: f64,
}

fn adapter(block: &Block, projection: Projection) -> Option<Found<'_>> {
    match projection {
        Projection::Alone(role) => {
            let adapter = layer(block, role)?.adapter.as_ref()?;
            Some(Found {
                a: &adapter.a,
                b: vec![(role, &adapter.b)],
                scale: adapter.scale,
            })
        }
        Projection::Joint => {
            let joint = block.self_attn.joint_adapter.as_ref()?;
            Some(Found {
                a: &joint.a,
                b: vec![
                    (BlockRole::Query, &joint.query),
                    (BlockRole::Key, &joint.key),
                    (BlockRole::Value, &joint.value),
                ],
                scale: joint.scale,
            })
        }
    }
}

/// How the file holds `B`, `[rank, outputs]`, of a layer: outputs first, of a joint projection as its weight has them.
fn form_of_b(family: Family, role: BlockRole, heads: usize) -> Form {
    let (_, form) = family
        .block_layer(role)
        .expect("a projection of the family");
    match form {
        BlockForm::Plain | BlockForm::Linear => Form::Transposed,
        BlockForm::Columns(third) => Form::Heads { third, heads: 1 },
        BlockForm::Heads(third) => Form::Heads { third, heads },
    }
}

/// Names for `target_modules` that match the adapted projections and no others: the last part of a name where every
/// projection it fits is adapted, else whole names.
fn targets<M: Model>(model: &M, family: Family) -> Vec<String> {
    let (mut adapted, mut bare) = (BTreeSet::new(), BTreeSet::new());
    for (index, block) in model.decoder().layers.iter().enumerate() {
        for projection in Projection::of(block, family) {
            let name = projection.name(family);
            match adapter(block, projection) {
                Some(_) => {
                    adapted.insert((name, projection.path(family, index)));
                }
                None => {
                    bare.insert(name);
                }
            }
        }
    }
    let names: BTreeSet<String> = adapted
        .into_iter()
        .map(|(name, path)| {
            if bare.contains(name) {
                path
            } else {
                name.to_owned()
            }
        })
        .collect();
    names.into_iter().collect()
}

struct Reading<'a> {
    tensors: &'a Tensors,
    family: Family,
    heads: usize,
    rank: usize,
    device: &'a Device,
}

impl Reading<'_> {
    /// Puts the adapter of a projection into its place.
    fn place(
        &mut self,
        block: &mut Block,
        projection: Projection,
        scale: f64,
        [a, b]: [&str; 2],
    ) -> Result<(), CheckpointError> {
        let sizes = |role| {
            let layer = layer(block, role).expect("a projection of the block");
            layer.weight.shape().dims::<2>()
        };
        match projection {
            Projection::Alone(role) => {
                let [inputs, outputs] = sizes(role);
                let adapter = Adapter {
                    a: self.first(a, inputs)?,
                    b: self.second(b, role, outputs)?,
                    scale,
                };
                layer_mut(block, role).adapter = Some(adapter);
            }
            Projection::Joint => {
                let [inputs, queries] = sizes(BlockRole::Query);
                let [_, keys] = sizes(BlockRole::Key);
                block.self_attn.joint_adapter = Some(JointAdapter {
                    a: self.first(a, inputs)?,
                    query: self.second(b, BlockRole::Query, queries)?,
                    key: self.second(b, BlockRole::Key, keys)?,
                    value: self.second(b, BlockRole::Value, keys)?,
                    scale,
                });
            }
        }
        Ok(())
    }

    fn first(&self, name: &str, inputs: usize) -> Result<Param<Tensor<2>>, CheckpointError> {
        let own = [inputs, self.rank];
        parameter(self.tensors, name, Form::Transposed, &own, self.device)
    }

    fn second(
        &self,
        name: &str,
        role: BlockRole,
        outputs: usize,
    ) -> Result<Param<Tensor<2>>, CheckpointError> {
        let form = form_of_b(self.family, role, self.heads);
        let own = [self.rank, outputs];
        parameter(self.tensors, name, form, &own, self.device)
    }
}

fn parameter(
    tensors: &Tensors,
    name: &str,
    form: Form,
    own: &[usize],
    device: &Device,
) -> Result<Param<Tensor<2>>, CheckpointError> {
    tensors.check(name, &form.file_shape(own))?;
    let values = form.extract(tensors.read(name)?, own);
    let data = TensorData::new(values, own.to_vec());
    Ok(Param::from_tensor(Tensor::from_data(data, device)))
}

fn numbers(parameter: &Param<Tensor<2>>) -> Vec<f32> {
    parameter
        .val()
        .inner()
        .try_into_vec_as::<f32>()
        .expect("weights are read as f32")
}

fn transposed(parameter: &Param<Tensor<2>>) -> (Vec<usize>, Vec<f32>) {
    let own = parameter.shape().to_vec();
    let shape = Form::Transposed.file_shape(&own);
    let mut values = vec![0.0; shape.iter().product()];
    Form::Transposed.insert(&numbers(parameter), &own, &mut values);
    (shape, values)
}

/// A number as PEFT writes it: without a point where it is whole.
fn whole(value: f64) -> Value {
    if value.fract() == 0.0 {
        json!(value as u64)
    } else {
        json!(value)
    }
}
