//! Exact weights of any module, for what stages hand on and for going on after an interruption.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::Dtype;
use safetensors::tensor::{View, serialize_to_file};
use sha2::{Digest, Sha256};

use super::error::CheckpointError;
use super::files::Tensors;
use super::number::Number;
use super::save::not_written;

/// Writes all parameters of `module` to the safetensors file `path`, in f32, named by their paths in the module.
///
/// # Errors
/// If the disk refuses.
pub fn save_weights<M: Module>(module: &M, path: &Path) -> Result<(), CheckpointError> {
    let weights: Vec<(String, Weight)> = weights(module).into_iter().collect();
    serialize_to_file(weights, None, path).map_err(|error| not_written(path, error))
}

/// `module` with all parameters as [`save_weights`] wrote them, bit for bit; device and training state stay.
///
/// # Errors
/// If the file is not valid, or holds other parameters than `module` has.
pub fn load_weights<M: Module>(module: M, path: &Path) -> Result<M, CheckpointError> {
    let tensors = Tensors::of_file(path)?;
    let wanted = weights(&module);
    for (name, weight) in &wanted {
        tensors.check(name, &weight.shape)?;
    }
    let extra: Vec<String> = tensors
        .names()
        .filter(|name| !wanted.contains_key(*name))
        .map(str::to_owned)
        .collect();
    if !extra.is_empty() {
        return Err(CheckpointError::Extra {
            dir: path.to_owned(),
            names: extra,
        });
    }
    drop(wanted);
    let mut reading = Reading {
        tensors: &tensors,
        path: Vec::new(),
        failed: None,
    };
    let module = module.map(&mut reading);
    match reading.failed {
        Some(error) => Err(error),
        None => Ok(module),
    }
}

/// SHA-256 of all parameters of `module`, in hexadecimal: of the path and the little-endian f32 bytes of each, in the order
/// of the paths. Equal hashes mean bitwise equal weights.
pub fn weights_hash<M: Module>(module: &M) -> String {
    let mut hash = Sha256::new();
    for (name, weight) in weights(module) {
        hash.update(name);
        hash.update(weight.data());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn weights<M: Module>(module: &M) -> BTreeMap<String, Weight> {
    let mut collected = Collected::default();
    module.visit(&mut collected);
    collected.weights
}

#[derive(Default)]
struct Collected {
    path: Vec<String>,
    weights: BTreeMap<String, Weight>,
}

/// The numbers of a parameter, fetched when they are needed.
struct Weight {
    shape: Vec<usize>,
    values: Tensor<1>,
}

impl View for Weight {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self
            .values
            .clone()
            .try_into_vec_as::<f32>()
            .expect("weights are read as f32");
        Number::F32.encode(&values).into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * Number::F32.size()
    }
}

impl ModuleVisitor for Collected {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let value = parameter.base().inner();
        let shape = value.dims();
        let values = value.reshape([shape.iter().product::<usize>()]);
        self.weights.insert(
            self.path.join("."),
            Weight {
                shape: shape.to_vec(),
                values,
            },
        );
    }
}

struct Reading<'a> {
    tensors: &'a Tensors,
    path: Vec<String>,
    failed: Option<CheckpointError>,
}

impl ModuleMapper for Reading<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.tensors.read(&self.path.join(".")) {
            Ok(values) => parameter.map(|old| {
                let new = Tensor::from_data(TensorData::new(values, old.shape()), &old.device());
                new.set_require_grad(old.is_require_grad())
            }),
            Err(error) => {
                self.failed.get_or_insert(error);
                parameter
            }
        }
    }
}
