//! From what was typed about an experiment to what it means: a plan, a directory, a device.

use std::path::{Path, PathBuf};

use preflab_experiment::{Environment, Plan, Spec};
use preflab_training::DeviceChoice;

use crate::args::ExperimentArguments;
use crate::failure::Failure;

/// An experiment that can be computed.
pub struct Request {
    /// Everything it computes.
    pub plan: Plan,
    /// Where it is kept.
    pub directory: PathBuf,
    /// On what it is computed.
    pub device: DeviceChoice,
}

impl Request {
    /// Reads and plans the experiment; nothing is opened, nothing written.
    pub fn new(arguments: &ExperimentArguments) -> Result<Self, Failure> {
        let device = device(&arguments.device)?;
        let spec = Spec::load(&arguments.file, &arguments.set).map_err(Failure::request)?;
        let plan = Plan::new(&spec, environment(device)).map_err(Failure::request)?;
        let directory = match &arguments.out {
            Some(directory) => directory.clone(),
            None => Path::new("runs").join(&plan.name),
        };
        Ok(Self {
            plan,
            directory,
            device,
        })
    }
}

/// The device that `--device` names.
pub fn device(name: &str) -> Result<DeviceChoice, Failure> {
    name.parse()
        .map_err(|error| Failure::request(format!("`--device`: {error}")))
}

fn environment(device: DeviceChoice) -> Environment {
    let device = match device {
        DeviceChoice::Cpu => "cpu",
        DeviceChoice::Cuda(_) => "cuda",
    };
    Environment {
        device: device.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
