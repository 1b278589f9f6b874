//! Reading of a checkpoint directory.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::error::CheckpointError;
use super::files::Tensors;
use super::{Config, Form, Model, Slot};
use crate::families::Family;

/// The model of a checkpoint directory, and its configuration.
///
/// `M` is [`CausalLm`](crate::CausalLm) for a language model or [`ScalarModel`](crate::ScalarModel) for a sequence
/// classifier with one label. Numbers become f32. An autodiff device makes a model to be trained.
///
/// # Errors
/// See [`CheckpointError`].
pub fn load<M: Model>(dir: &Path, device: &Device) -> Result<(M, Config), CheckpointError> {
    let config = Config::read(dir)?;
    let architecture = config.architecture()?;
    let tensors = Tensors::of_directory(dir)?;
    let source = Source {
        tensors: &tensors,
        family: config.family(),
        heads: architecture.attention.heads,
        bare: is_bare(&tensors, config.family()),
    };
    // Shapes first: a configuration that does not fit the file takes no memory.
    let model = M::unset(&architecture, device);
    let mut declared = Declared::default();
    model.visit(&mut declared);
    source.check(&declared.parameters, architecture.tied)?;
    let mut reading = Reading {
        source,
        path: Vec::new(),
        device,
        failed: None,
    };
    let model = model.map(&mut reading);
    match reading.failed {
        Some(error) => Err(error),
        None => Ok((model, config)),
    }
}

/// Whether the file is one of a decoder alone, whose names lack the family's prefix.
fn is_bare(tensors: &Tensors, family: Family) -> bool {
    !tensors
        .names()
        .any(|name| name.starts_with(family.prefix()))
}

/// The tensors of a file, by parameter.
struct Source<'a> {
    tensors: &'a Tensors,
    family: Family,
    heads: usize,
    bare: bool,
}

impl Source<'_> {
    /// The tensor that holds a parameter, and how.
    fn find(&self, slot: Slot) -> (String, Form) {
        let (names, form) = self
            .family
            .stored(slot, self.heads)
            .expect("a family stores what its architecture has");
        let names = names
            .into_iter()
            .map(|name| match name.strip_prefix(self.family.prefix()) {
                Some(stripped) if self.bare => stripped.to_owned(),
                Some(_) | None => name,
            });
        let mut names: Vec<String> = names.collect();
        let found = names
            .iter()
            .position(|name| self.tensors.contains(name))
            .unwrap_or(0);
        (names.swap_remove(found), form)
    }

    /// Checks that every parameter has its tensor, and every tensor its parameters.
    fn check(&self, parameters: &[(Slot, Vec<usize>)], tied: bool) -> Result<(), CheckpointError> {
        let (mut used, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for (slot, shape) in parameters {
            let (name, form) = self.find(*slot);
            if self.tensors.contains(&name) {
                self.tensors.check(&name, &form.file_shape(shape))?;
                used.insert(name);
            } else {
                missing.insert(name);
            }
        }
        let dir = || self.tensors.path.clone();
        if !missing.is_empty() {
            return Err(CheckpointError::Missing {
                dir: dir(),
                names: missing.into_iter().collect(),
            });
        }
        let extra = self
            .tensors
            .names()
            .filter(|name| !used.contains(*name) && !self.family.ignores(name, tied));
        let extra: Vec<String> = extra.map(str::to_owned).collect();
        if extra.is_empty() {
            Ok(())
        } else {
            Err(CheckpointError::Extra {
                dir: dir(),
                names: extra,
            })
        }
    }
}

/// Collects the parameters of a model, without touching their numbers.
#[derive(Default)]
struct Declared {
    path: Vec<String>,
    parameters: Vec<(Slot, Vec<usize>)>,
}

impl ModuleVisitor for Declared {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let slot = Slot::at(&self.path.join("."));
        self.parameters
            .push((slot, parameter.lazy_shape().to_vec()));
    }
}

/// Reads the numbers of every parameter.
struct Reading<'a> {
    source: Source<'a>,
    path: Vec<String>,
    device: &'a Device,
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
        if self.failed.is_some() {
            return parameter;
        }
        let shape = parameter.lazy_shape().to_vec();
        let (name, form) = self.source.find(Slot::at(&self.path.join(".")));
        match self.source.tensors.read(&name) {
            Ok(values) => {
                let values = form.extract(values, &shape);
                Param::from_tensor(Tensor::from_data(
                    TensorData::new(values, shape),
                    self.device,
                ))
            }
            Err(error) => {
                self.failed = Some(error);
                parameter
            }
        }
    }
}
