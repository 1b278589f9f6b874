//! A reference that follows the policy slowly.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// `decay * reference + (1 - decay) * policy`, parameter by parameter.
///
/// Ramé et al. 2024, WARP, [arXiv:2406.16768](https://arxiv.org/abs/2406.16768), section 3.1: an exponential moving average
/// of the policy as the anchor of the KL penalty. Both are the same kind of model; the result carries no gradient.
pub fn averaged<M: Module>(reference: M, policy: &M, decay: f64) -> M {
    let mut theirs = Parameters(Vec::new());
    policy.visit(&mut theirs);
    reference.map(&mut Average {
        policy: theirs.0.into_iter(),
        decay,
    })
}

struct Parameters(Vec<Tensor<1>>);

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let value = parameter.val();
        let value = if value.is_autodiff() {
            value.inner()
        } else {
            value
        };
        let count = value.shape().num_elements();
        self.0.push(value.reshape([count]));
    }
}

struct Average {
    policy: std::vec::IntoIter<Tensor<1>>,
    decay: f64,
}

impl ModuleMapper for Average {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let policy = self
            .policy
            .next()
            .expect("as many parameters as the policy");
        let decay = self.decay;
        parameter.map(|value| {
            let shape = value.shape();
            value.mul_scalar(decay) + policy.reshape(shape).mul_scalar(1.0 - decay)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[derive(Module, Debug)]
    struct One {
        weight: Param<Tensor<2>>,
    }

    fn one(value: f32, device: &Device) -> One {
        One {
            weight: Param::from_tensor(Tensor::full([1, 2], value, device)),
        }
    }

    #[test]
    fn the_average_lies_between_reference_and_policy() {
        let device = Device::flex();
        let policy = one(3.0, &device.clone().autodiff());
        let average = averaged(one(1.0, &device), &policy, 0.75).weight.val();
        let numbers: Vec<f32> = average.into_data().iter().collect();
        assert_eq!(numbers, [1.5, 1.5]);
    }
}
