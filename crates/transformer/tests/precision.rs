//! bfloat16 beside 32-bit floats.

use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use preflab_config::{LoraSettings, MemorySettings, Precision, SamplingSettings};
use preflab_transformer::{CausalLm, Completions, Model, ScalarModel, checkpoint, gradients, lora};

use crate::golden::checkpoints;
use crate::support::{floats, tokens};

/// Largest distance of outputs, by their norm. bfloat16 holds 8 bits, so each rounding moves a number by up to 2^-9; found
/// over all checkpoints: 0.001 to 0.028.
const TOLERANCE: f64 = 0.03;
/// The same of all gradients together; found: 0.01 to 0.05, and 0.095 where every layer scales its scores down.
const GRADIENTS: f64 = 0.1;

struct Flat<'a>(&'a GradientsParams, Vec<f32>);

impl ModuleVisitor for Flat<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = self.0.get::<D>(parameter.id) {
            assert_eq!(
                gradient.dtype(),
                DType::F32,
                "a gradient of a 32-bit weight"
            );
            self.1.extend(floats(gradient));
        }
    }
}

fn flat<M: Model>(model: &M, found: &GradientsParams) -> Vec<f32> {
    let mut flat = Flat(found, Vec::new());
    model.visit(&mut flat);
    flat.1
}

/// `|a - b| / |b|`, Euclidean.
fn apart(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let both = found.iter().zip(expected);
    norm(&mut both.map(|(a, b)| f64::from(a - b)))
        / norm(&mut expected.iter().map(|&b| f64::from(b)))
}

fn near<M: Model>(model: M, what: &str, outputs: impl Fn(&M, &Completions) -> Tensor<2>) {
    let rows: Vec<Vec<u32>> = (1..3).map(|salt| tokens(11, salt)).collect();
    let batch = Completions::new(
        &[
            (&rows[0][..4], &rows[0][4..]),
            (&rows[0][..4], &rows[1][..5]),
        ],
        &Device::flex(),
    );
    let run = |model: &M| {
        let outputs = outputs(model, &batch);
        assert_eq!(outputs.dtype(), DType::F32);
        let numbers = floats(outputs.clone());
        (numbers, flat(model, &gradients(model, outputs.sum())))
    };
    let (values, slopes) = run(&model);
    let half = model.with_precision(Precision::Bf16);
    let (half_values, half_slopes) = run(&half);
    let (of_values, of_slopes) = (apart(&half_values, &values), apart(&half_slopes, &slopes));
    assert!(of_values < TOLERANCE, "{what}: outputs {of_values}");
    assert!(of_slopes < GRADIENTS, "{what}: gradients {of_slopes}");
    // That it is not 32 bits under another name.
    assert!(of_values > 1e-5, "{what}: outputs {of_values}");
    let again = half.with_memory(MemorySettings { recompute: true });
    assert!(
        run(&again) == (half_values, half_slopes),
        "{what}: recomputed"
    );
}

#[test]
fn outputs_and_gradients_are_near_those_of_32_bits() {
    let device = Device::flex().autodiff();
    for (path, scalar) in checkpoints() {
        let what = path.display().to_string();
        if scalar {
            let (model, _) = checkpoint::load::<ScalarModel>(&path, &device).unwrap();
            near(model, &what, ScalarModel::values);
        } else {
            let (model, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
            let logps =
                |model: &CausalLm, batch: &Completions| model.completion_logps(batch, 1.0).logps;
            near(model.clone(), &what, logps);
            let adapted =
                lora::attach(model, config.family(), &LoraSettings::default(), 3).unwrap();
            near(adapted, &format!("{what} with adapters"), logps);
        }
    }
}

#[test]
fn sampled_logps_are_those_of_a_forward_pass() {
    let (path, _) = checkpoints()
        .into_iter()
        .find(|(path, _)| path.ends_with("qwen2"))
        .unwrap();
    let (model, _) = checkpoint::load::<CausalLm>(&path, &Device::flex()).unwrap();
    let model = model.with_precision(Precision::Bf16);
    let prompt = tokens(4, 1);
    let sampled = &model.generate(
        std::slice::from_ref(&prompt),
        &[5],
        &SamplingSettings::default(),
        &[],
    )[0];
    let batch = Completions::new(&[(&prompt, &sampled.tokens)], &model.device());
    let logps = floats(model.completion_logps(&batch, 1.0).logps);
    assert!(apart(&sampled.logps, &logps) < TOLERANCE);
}
