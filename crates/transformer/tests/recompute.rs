//! Blocks that are computed once more for their gradients: the same numbers, bit for bit.

use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use preflab_config::{LoraSettings, MemorySettings};
use preflab_transformer::{CausalLm, Completions, Model, ScalarModel, checkpoint, gradients, lora};

use crate::golden::checkpoints;
use crate::support::{floats, tokens};

/// Gradients of all parameters; none of what is not trained.
struct Listed<'a>(&'a GradientsParams, Vec<Option<Vec<f32>>>);

impl ModuleVisitor for Listed<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.1.push(self.0.get::<D>(parameter.id).map(floats));
    }
}

fn listed<M: Model>(model: &M, found: &GradientsParams) -> Vec<Option<Vec<f32>>> {
    let mut listed = Listed(found, Vec::new());
    model.visit(&mut listed);
    listed.1
}

fn same<M: Model>(model: M, loss: impl Fn(&M, &Completions) -> Tensor<1>) {
    let rows: Vec<Vec<u32>> = (1..4).map(|salt| tokens(11, salt)).collect();
    let batch = Completions::new(
        &[
            (&rows[0][..4], &rows[0][4..]),
            (&rows[0][..4], &rows[1][..5]),
            (&rows[2][..2], &rows[2][2..6]),
        ],
        &Device::flex(),
    );
    let kept = loss(&model, &batch);
    let expected = (
        floats(kept.clone()),
        listed(&model, &gradients(&model, kept)),
    );
    let model = model.with_memory(MemorySettings { recompute: true });
    assert!(model.decoder().recomputes());
    // A pass that no loss depends on leaves nothing behind.
    let _ = loss(&model, &batch);
    for _ in 0..2 {
        let again = loss(&model, &batch);
        let found = (
            floats(again.clone()),
            listed(&model, &gradients(&model, again)),
        );
        assert_eq!(found.0, expected.0, "losses");
        for (number, (found, expected)) in found.1.iter().zip(&expected.1).enumerate() {
            assert!(
                found == expected,
                "gradient {number}: {}",
                apart(found, expected)
            );
        }
    }
    assert!(expected.1.iter().flatten().count() > 4);
}

/// Largest difference of two gradients, in words.
fn apart(found: &Option<Vec<f32>>, expected: &Option<Vec<f32>>) -> String {
    match (found, expected) {
        (Some(found), Some(expected)) => {
            let both = found.iter().zip(expected);
            let most = both.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            format!("differs by {most}")
        }
        (found, _) => format!("is there: {}", found.is_some()),
    }
}

fn policy_loss(model: &CausalLm, batch: &Completions) -> Tensor<1> {
    let predicted = model.completion_logps(batch, 0.9);
    predicted.sum().powf_scalar(2.0).sum() + predicted.entropy.sum() * 0.1
}

#[test]
fn losses_and_gradients_are_the_same_bit_for_bit() {
    let device = Device::flex().autodiff();
    for (path, scalar) in checkpoints() {
        if scalar {
            let (model, _) = checkpoint::load::<ScalarModel>(&path, &device).unwrap();
            same(model, |model, batch| {
                model.values(batch).sum() + model.completion_scores(batch).sum()
            });
        } else {
            let (model, _) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
            same(model, policy_loss);
        }
    }
}

#[test]
fn with_adapters_too() {
    let device = Device::flex().autodiff();
    for (path, scalar) in checkpoints() {
        if scalar {
            continue;
        }
        let (model, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
        let model = lora::attach(model, config.family(), &LoraSettings::default(), 3).unwrap();
        same(model, policy_loss);
    }
}

#[test]
fn adapters_of_the_last_block_alone_end_the_backward_pass_there() {
    let device = Device::flex().autodiff();
    let (path, _) = checkpoints()
        .into_iter()
        .find(|(path, _)| path.ends_with("qwen2"))
        .unwrap();
    let (model, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
    let settings: LoraSettings = toml::from_str("targets = [\"down_proj\"]").unwrap();
    let mut model = lora::attach(model, config.family(), &settings, 3).unwrap();
    let last = model.decoder.layers.len() - 1;
    for block in &mut model.decoder.layers[..last] {
        block.mlp.down_proj.adapter = None;
    }
    let row = tokens(9, 1);
    let batch = Completions::new(&[(&row[..4], &row[4..])], &Device::flex());
    let found = |model: &CausalLm| {
        let loss = model.completion_logps(&batch, 1.0).sum().sum();
        listed(model, &gradients(model, loss))
    };
    let expected = found(&model);
    assert_eq!(expected.iter().flatten().count(), 2);
    let model = model.with_memory(MemorySettings { recompute: true });
    assert_eq!(found(&model), expected);
}
