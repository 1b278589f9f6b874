//! The last block, computed for the wanted tokens alone, gives what it gives when it is computed for all.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use preflab_config::{LoraSettings, MemorySettings};
use preflab_transformer::{
    CausalLm, Completions, Model, ScalarModel, Sequences, checkpoint, gradients, lora,
};

use crate::golden::checkpoints;
use crate::support::{floats, tokens};

const TEMPERATURE: f64 = 0.9;

struct Flat<'a>(&'a GradientsParams, Vec<f32>);

impl ModuleVisitor for Flat<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = self.0.get::<D>(parameter.id) {
            self.1.extend(floats(gradient));
        }
    }
}

/// Prompts of which two are shared, and completions of which one is a single token.
fn rows() -> Vec<(Vec<u32>, Vec<u32>)> {
    let row = |salt: usize, prompt: usize, completion: usize| {
        (tokens(prompt, salt), tokens(completion, salt + 10))
    };
    let mut rows = vec![row(1, 5, 6), row(2, 3, 4), row(3, 7, 1), row(4, 2, 3)];
    rows.push((rows[0].0.clone(), tokens(2, 30)));
    rows
}

/// The places of the tokens that predict each completion, among the cells of padded rows of `columns`.
fn before(rows: &[(Vec<u32>, Vec<u32>)], columns: usize) -> Vec<usize> {
    let places = rows
        .iter()
        .enumerate()
        .flat_map(|(row, (prompt, completion))| {
            let first = row * columns + prompt.len() - 1;
            first..first + completion.len()
        });
    places.collect()
}

fn selected(hidden: Tensor<3>, places: Vec<usize>) -> Tensor<2> {
    let [b, t, d] = hidden.dims();
    let places: Vec<i64> = places.into_iter().map(|place| place as i64).collect();
    let places = Tensor::<1, Int>::from_data(places.as_slice(), &hidden.device().inner());
    hidden.reshape([b * t, d]).select(0, places)
}

/// `values` with weights of either sign, and their gradients.
fn numbers<M: Model>(model: &M, values: Tensor<1>) -> [Vec<f32>; 2] {
    let [n] = values.dims();
    let weights: Vec<f32> = (0..n).map(|i| (i as f32 * 1.7).sin()).collect();
    let loss =
        (values.clone() * Tensor::<1>::from_floats(weights.as_slice(), &Device::flex())).sum();
    let found = gradients(model, loss);
    let mut flat = Flat(&found, Vec::new());
    model.visit(&mut flat);
    [floats(values.inner()), flat.1]
}

/// `narrowed` equals `whole` in values and gradients, without and with recomputation.
fn check<M: Model>(
    model: M,
    what: &str,
    narrowed: impl Fn(&M, &Completions) -> Tensor<1>,
    whole: impl Fn(&M, &Sequences) -> Tensor<1>,
) {
    let rows = rows();
    let pairs: Vec<(&[u32], &[u32])> = rows.iter().map(|(p, c)| (&p[..], &c[..])).collect();
    let joined: Vec<Vec<u32>> = rows
        .iter()
        .map(|(p, c)| [&p[..], &c[..]].concat())
        .collect();
    let joined: Vec<&[u32]> = joined.iter().map(Vec::as_slice).collect();
    let device = &Device::flex();
    let expected = numbers(
        &model,
        whole(&model, &Sequences::right_padded(&joined, device)),
    );
    for recompute in [false, true] {
        let model = model.clone().with_memory(MemorySettings { recompute });
        let found = numbers(&model, narrowed(&model, &Completions::new(&pairs, device)));
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.len(), expected.len(), "{what}");
            let scale = expected.iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
            for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert!(
                    (found - expected).abs() <= 1e-5 * scale,
                    "{what}, recompute {recompute}, at {place}: {found}, expected {expected}"
                );
            }
        }
    }
}

fn policy(model: CausalLm, what: &str) {
    check(
        model,
        what,
        |model, batch| {
            let predicted = model.completion_logps(batch, TEMPERATURE);
            let cells = |x: Tensor<2>| {
                let [b, c] = x.dims();
                let rows = x.split(1, 0).into_iter().zip(&batch.lengths);
                let taken = rows.map(|(row, &length)| row.reshape([c]).narrow(0, 0, length));
                assert_eq!(b, batch.lengths.len());
                Tensor::cat(taken.collect(), 0)
            };
            Tensor::cat(vec![cells(predicted.logps), cells(predicted.entropy)], 0)
        },
        |model, sequences| {
            let rows = rows();
            let hidden = selected(model.hidden(sequences), before(&rows, sequences.columns()));
            let logps = log_softmax(model.logits(hidden) / TEMPERATURE, 1);
            let [n, _] = logps.dims();
            let targets: Vec<i64> = rows
                .iter()
                .flat_map(|(_, c)| c)
                .map(|&t| i64::from(t))
                .collect();
            let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &model.device());
            let entropy = (logps.clone().exp() * logps.clone()).sum_dim(1).neg();
            let taken = logps.gather(1, targets.reshape([n, 1]));
            Tensor::cat(vec![taken.reshape([n]), entropy.reshape([n])], 0)
        },
    );
}

#[test]
fn policies_of_every_family() {
    let device = Device::flex().autodiff();
    for (path, scalar) in checkpoints() {
        if !scalar {
            let (model, _) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
            policy(model, &path.display().to_string());
        }
    }
}

#[test]
fn policies_with_adapters() {
    let device = Device::flex().autodiff();
    for (path, scalar) in checkpoints() {
        if !scalar {
            let (model, config) = checkpoint::load::<CausalLm>(&path, &device).unwrap();
            let mut model =
                lora::attach(model, config.family(), &LoraSettings::default(), 3).unwrap();
            model = model.map(&mut Shaken);
            policy(model, &format!("{} with adapters", path.display()));
        }
    }
}

/// Gives the zeros that adapters start with a value, so that they and what stands before them have a gradient.
struct Shaken;

impl ModuleMapper for Shaken {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = parameter.consume();
        let zeros = floats(value.clone().abs().max().inner())[0] == 0.0;
        let value = match zeros && value.is_require_grad() {
            true => (value.inner() + 0.05).autodiff().require_grad(),
            false => value,
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

#[test]
fn scores_and_values_of_every_family() {
    let device = Device::flex().autodiff();
    for (path, scalar) in checkpoints() {
        if !scalar {
            continue;
        }
        let (model, _) = checkpoint::load::<ScalarModel>(&path, &device).unwrap();
        let at = |model: &ScalarModel, sequences: &Sequences, places: Vec<usize>| {
            let hidden = selected(model.decoder.forward(sequences), places);
            let [n, _] = hidden.dims();
            model.score.forward(hidden).reshape([n])
        };
        check(
            model.clone(),
            &format!("scores of {}", path.display()),
            |model, batch| model.completion_scores(batch),
            |model, sequences| {
                let ends = sequences.spans.iter().enumerate();
                let ends = ends.map(|(row, span)| row * sequences.columns() + span.end - 1);
                at(model, sequences, ends.collect())
            },
        );
        check(
            model,
            &format!("values of {}", path.display()),
            |model, batch| model.values(batch).sum_dim(1).squeeze_dim(1),
            |model, sequences| {
                let rows = rows();
                let values = at(model, sequences, before(&rows, sequences.columns()));
                let mut first = 0;
                let sums = rows.iter().map(|(_, completion)| {
                    first += completion.len();
                    values
                        .clone()
                        .narrow(0, first - completion.len(), completion.len())
                        .sum()
                });
                Tensor::cat(sums.collect(), 0)
            },
        );
    }
}
