//! Where tensors live: the CPU (burn's `flex` backend) or, in a build with the `cuda` feature, a GPU.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// `cpu` or `cuda[:N]`, as `--device` takes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// burn's `flex` backend.
    #[default]
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not the name of a device.
    #[error("expected `cpu` or `cuda[:N]`, found `{0}`")]
    Unknown(String),
    /// The binary was built without the CUDA backend.
    #[error(
        "this build has no CUDA backend\n\nhint: build with `cargo build --release --features cuda`"
    )]
    NotBuilt,
    /// No such device in this machine.
    #[error(
        "no CUDA device {asked} was found ({found} present)\n\nhint: `--device cpu` runs everywhere"
    )]
    Absent {
        /// The index asked for.
        asked: usize,
        /// How many there are.
        found: usize,
    },
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(name.to_owned());
        match name.split_once(':') {
            None if name == "cpu" => Ok(Self::Cpu),
            None if name == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            Some(_) | None => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;

    fn try_from(name: String) -> Result<Self, DeviceError> {
        name.parse()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> String {
        choice.to_string()
    }
}

/// Environment variable that names the device of golden comparisons: `cpu`, `cuda` or `cuda:N`.
pub const DEVICE_VARIABLE: &str = "PREFLAB_DEVICE";

impl DeviceChoice {
    /// The device that [`DEVICE_VARIABLE`] names; the CPU where it is not set.
    ///
    /// # Errors
    /// If it does not name a device.
    pub fn of_environment() -> Result<Self, DeviceError> {
        match std::env::var(DEVICE_VARIABLE) {
            Ok(name) => name.parse(),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Opens the device for inference; `.autodiff()` of it trains.
    ///
    /// # Errors
    /// If the build or the machine has no such device.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Cuda(index) => open_cuda(index),
        }
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(asked: usize) -> Result<Device, DeviceError> {
    // `Device::cuda` panics where there is no driver, so ask first.
    let found = Device::enumerate(burn::tensor::DeviceType::Cuda).len();
    if asked < found {
        Ok(Device::cuda(asked))
    } else {
        Err(DeviceError::Absent { asked, found })
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_asked: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_and_print() {
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!(DeviceChoice::Cuda(3).to_string(), "cuda:3");
        assert!("gpu".parse::<DeviceChoice>().is_err());
        assert!("cuda:x".parse::<DeviceChoice>().is_err());
    }
}
