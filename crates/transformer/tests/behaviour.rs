//! What must hold whatever the weights are.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use preflab_config::{Count, Decoding, Fraction, Positive, SamplingSettings};
use preflab_kernels::{Path, with_path};
use preflab_transformer::{
    Activation, Architecture, CausalLm, Completions, Layer, NormKind, Positions, Residual,
    ScalarModel, Sequences, Side,
};

use crate::support::{VOCABULARY, architecture, assert_close, floats, model, tokens};

/// Architectures that between them use every setting.
fn architectures() -> Vec<Architecture> {
    let llama = architecture();
    let mut windowed = llama.clone();
    windowed.layers = vec![
        Layer {
            window: Some(3),
            scale: 0.3,
        },
        Layer {
            window: None,
            scale: 0.5,
        },
    ];
    windowed.attention.cap = Some(2.0);
    windowed.logits_cap = Some(3.0);
    windowed.embedding_scale = Some(2.0);
    windowed.residual = Residual::SequentialNormed;
    windowed.norm.kind = NormKind::RmsPlusOne;
    windowed.mlp.activation = Activation::GeluTanh;
    let mut learned = llama.clone();
    learned.positions = Positions::Learned;
    learned.norm.kind = NormKind::Layer;
    learned.mlp.gated = false;
    learned.mlp.bias = true;
    learned.mlp.activation = Activation::Gelu;
    learned.attention.qkv_bias = true;
    learned.attention.output_bias = true;
    let mut parallel = llama.clone();
    parallel.residual = Residual::Parallel;
    parallel.attention.qk_norm = true;
    if let Positions::Rotary(rotary) = &mut parallel.positions {
        rotary.width = 4;
    }
    vec![llama, windowed, learned, parallel]
}

fn models() -> impl Iterator<Item = CausalLm> {
    architectures()
        .into_iter()
        .map(|architecture| CausalLm::init(&architecture, 5, &Device::flex()))
}

fn last_logits(model: &CausalLm, row: &[u32], columns: usize, side: Side) -> Vec<f32> {
    let other = tokens(columns, 9);
    let sequences = Sequences::padded_to(&[row, &other], columns, side, &model.device());
    let end = sequences.spans[0].end;
    floats(
        model
            .forward(&sequences)
            .slice([0..1, end - row.len()..end, 0..VOCABULARY]),
    )
}

#[test]
fn a_later_token_cannot_change_an_earlier_output() {
    for model in models() {
        let row = tokens(9, 1);
        let mut changed = row.clone();
        changed[6] = (changed[6] + 1) % VOCABULARY as u32;
        let [a, b] = [&row, &changed].map(|row| last_logits(&model, row, 9, Side::Right));
        assert_close(&b[..6 * VOCABULARY], &a[..6 * VOCABULARY], 0.0);
        assert_ne!(b[6 * VOCABULARY..], a[6 * VOCABULARY..]);
    }
}

#[test]
fn padding_on_either_side_and_its_amount_change_nothing() {
    for model in models() {
        let row = tokens(7, 2);
        let alone = floats(model.forward(&Sequences::right_padded(&[&row], &model.device())));
        for side in [Side::Left, Side::Right] {
            for columns in [7, 8, 13] {
                assert_close(&last_logits(&model, &row, columns, side), &alone, 1e-5);
            }
        }
    }
}

#[test]
fn padding_gets_zeros() {
    let model = model();
    let (short, long) = (tokens(3, 1), tokens(6, 2));
    let sequences = Sequences::left_padded(&[&short, &long], &model.device());
    let logits = floats(model.forward(&sequences).slice([0..1, 0..3]));
    assert_eq!(logits, vec![0.0; 3 * VOCABULARY]);
}

#[test]
fn a_prompt_that_rows_share_is_computed_once() {
    for architecture in architectures() {
        let model = CausalLm::init(&architecture, 5, &Device::flex().autodiff());
        let (prompt, other) = (tokens(5, 1), tokens(4, 6));
        let completions = [tokens(6, 2), tokens(1, 3), tokens(0, 4), tokens(4, 5)];
        let mut rows: Vec<(&[u32], &[u32])> = completions
            .iter()
            .map(|row| (prompt.as_slice(), row.as_slice()))
            .collect();
        rows.insert(1, (&other, &completions[0]));
        let together = Completions::new(&rows, &model.device());
        assert_eq!(together.computed_tokens(), 5 + 5 + 3 + 4 + 5);
        let apart: Vec<f32> = rows
            .iter()
            .flat_map(|row| {
                let batch = Completions::new(&[*row], &model.device());
                let mut cells = floats(model.completion_logps(&batch, 1.0).logps);
                cells.resize(6, 0.0);
                cells
            })
            .collect();
        assert_close(
            &floats(model.completion_logps(&together, 1.0).logps),
            &apart,
            1e-5,
        );

        let gradient = |loss: Tensor<1>| {
            let gradients = loss.backward();
            floats(
                model.decoder.layers[0]
                    .self_attn
                    .k_proj
                    .weight
                    .val()
                    .grad(&gradients)
                    .unwrap(),
            )
        };
        let shared = gradient(model.completion_logps(&together, 1.0).sum().sum());
        let mut summed = vec![0.0; shared.len()];
        for row in &rows {
            if !row.1.is_empty() {
                let batch = Completions::new(&[*row], &model.device());
                let one = gradient(model.completion_logps(&batch, 1.0).sum().sum());
                summed
                    .iter_mut()
                    .zip(one)
                    .for_each(|(sum, one)| *sum += one);
            }
        }
        let largest = summed.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        assert_close(&shared, &summed, 1e-5 * largest);
    }
}

#[test]
fn fused_and_composed_operations_agree() {
    for architecture in architectures() {
        let model = CausalLm::init(&architecture, 5, &Device::flex().autodiff());
        let (a, b) = (tokens(9, 1), tokens(6, 2));
        let batch = Completions::new(
            &[(&a[..4], &a[4..]), (&b[..5], &b[5..]), (&a[..4], &b)],
            &model.device(),
        );
        let run = || {
            let found = model.completion_logps(&batch, 0.8);
            let loss = (found.logps.clone() + found.entropy.clone()).sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            let weight = &model.decoder.layers[0].mlp.down_proj.weight;
            (
                floats(found.logps),
                floats(gradients.get::<2>(weight.id).unwrap()),
            )
        };
        let fused = with_path(Path::Fused, run);
        let composed = with_path(Path::Composed, run);
        assert_close(&fused.0, &composed.0, 1e-5);
        let largest = composed
            .1
            .iter()
            .fold(0f32, |largest, x| largest.max(x.abs()));
        assert_close(&fused.1, &composed.1, 1e-5 * largest);
    }
}

#[test]
fn completion_logps_are_those_of_the_full_logits() {
    for model in models() {
        let (a, b) = (tokens(9, 1), tokens(6, 2));
        let rows: [(&[u32], &[u32]); 3] = [(&a[..4], &a[4..]), (&b[..5], &b[5..]), (&b[..2], &[])];
        let temperature = 0.7;
        let expected = |row: &[u32], prompt: usize| -> Vec<f32> {
            let logits =
                model.forward(&Sequences::right_padded(&[row], &model.device())) / temperature;
            let logps = floats(burn::tensor::activation::log_softmax(logits, 2));
            (prompt..row.len())
                .map(|t| logps[(t - 1) * VOCABULARY + row[t] as usize])
                .collect()
        };
        let batch = Completions::new(&rows, &model.device());
        let found = model.completion_logps(&batch, temperature);
        assert_eq!(found.lengths, [5, 1, 0]);
        let mut cells = expected(&a, 4);
        cells.extend(expected(&b, 5));
        cells.extend([0.0; 9]);
        assert_close(&floats(found.logps.clone()), &cells, 1e-5);
        let sums = floats(found.sum());
        assert_close(&sums, &[cells[..5].iter().sum(), cells[5], 0.0], 1e-5);
        assert_close(&floats(found.mean()), &[sums[0] / 5.0, sums[1], 0.0], 1e-6);
        assert_eq!(
            floats(found.mask),
            [
                1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            ]
        );
    }
}

#[test]
fn a_batch_of_empty_completions_gives_zeros() {
    let model = model();
    let batch = Completions::new(&[(&[1, 2], &[]), (&[3], &[])], &model.device());
    assert_eq!(
        floats(model.completion_logps(&batch, 1.0).logps),
        [0.0, 0.0]
    );
    assert_eq!(
        floats(model.completion_logps(&batch, 1.0).mean()),
        [0.0, 0.0]
    );
}

#[test]
fn the_entropy_is_that_of_the_tempered_distribution() {
    let model = model();
    let row = tokens(5, 1);
    let batch = Completions::new(&[(&row[..4], &row[4..])], &model.device());
    let found = floats(model.completion_logps(&batch, 0.5).entropy)[0];
    let logits: Vec<f64> = floats(model.completion_logits(&batch))
        .into_iter()
        .map(|x| f64::from(x) / 0.5)
        .collect();
    let total: f64 = logits.iter().map(|x| x.exp()).sum();
    let entropy: f64 = logits
        .iter()
        .map(|x| -(x.exp() / total) * (x - total.ln()))
        .sum();
    assert!(
        (f64::from(found) - entropy).abs() < 1e-5,
        "{found} {entropy}"
    );
}

#[test]
fn scores_and_values_are_the_head_on_the_right_hidden_state() {
    for architecture in architectures() {
        let model = ScalarModel::init(&architecture, 3, &Device::flex());
        let (a, b) = (tokens(9, 1), tokens(6, 2));
        let everywhere = |row: &[u32]| {
            let hidden = model
                .decoder
                .forward(&Sequences::right_padded(&[row], &model.device()));
            floats(model.score.forward(hidden.reshape([row.len(), 24])))
        };
        let (all_a, all_b) = (everywhere(&a), everywhere(&b));
        for side in [Side::Left, Side::Right] {
            let scores = model.scores(&Sequences::padded(&[&a, &b], side, &model.device()));
            assert_close(&floats(scores), &[all_a[8], all_b[5]], 1e-5);
        }
        let batch = Completions::new(
            &[(&a[..6], &a[6..]), (&b[..4], &b[4..]), (&a[..6], &[])],
            &model.device(),
        );
        let expected = [
            all_a[5], all_a[6], all_a[7], all_b[3], all_b[4], 0.0, 0.0, 0.0, 0.0,
        ];
        assert_close(&floats(model.values(&batch)), &expected, 1e-5);
        let scores = model.completion_scores(&batch);
        assert_close(&floats(scores), &[all_a[8], all_b[5], all_a[5]], 1e-5);
    }
}

#[test]
fn a_copied_decoder_shares_no_gradient() {
    let policy = CausalLm::init(&architecture(), 5, &Device::flex().autodiff());
    let value = ScalarModel::from_decoder(&policy.decoder, 0.1, 1);
    let row = tokens(6, 1);
    let batch = Completions::new(&[(&row[..3], &row[3..])], &policy.device());
    let loss = policy.completion_logps(&batch, 1.0).sum().sum() + value.values(&batch).sum();
    let gradients = loss.backward();
    let both = policy
        .decoder
        .embed_tokens
        .weight
        .val()
        .grad(&gradients)
        .unwrap();
    let alone = policy.completion_logps(&batch, 1.0).sum().sum().backward();
    let alone = policy
        .decoder
        .embed_tokens
        .weight
        .val()
        .grad(&alone)
        .unwrap();
    assert_close(&floats(both), &floats(alone), 0.0);
    assert_close(
        &floats(value.decoder.embed_tokens.weight.val()),
        &floats(policy.decoder.embed_tokens.weight.val()),
        0.0,
    );
}

#[test]
fn initial_weights_depend_on_the_seed_alone() {
    let weights = |model: &CausalLm| floats(model.decoder.layers[1].mlp.down_proj.weight.val());
    let plain = CausalLm::init(&architecture(), 5, &Device::flex());
    let trained = CausalLm::init(&architecture(), 5, &Device::flex().autodiff());
    assert_eq!(weights(&plain), weights(&trained));
    assert_ne!(
        weights(&plain),
        weights(&CausalLm::init(&architecture(), 6, &Device::flex()))
    );
}

#[test]
fn every_parameter_gets_a_gradient() {
    struct Count<'a>(&'a GradientsParams, usize);
    impl burn::module::ModuleVisitor for Count<'_> {
        fn visit_float<const D: usize>(&mut self, parameter: &burn::module::Param<Tensor<D>>) {
            let gradient = self.0.get::<D>(parameter.id).expect("a gradient");
            assert!(
                floats(gradient.abs().sum())[0] > 0.0,
                "a gradient that is not zero"
            );
            self.1 += 1;
        }
    }
    for architecture in architectures() {
        let model = CausalLm::init(&architecture, 5, &Device::flex().autodiff());
        let row = tokens(12, 1);
        let batch = Completions::new(&[(&row[..1], &row[1..])], &model.device());
        let gradients = model.completion_logps(&batch, 1.0).sum().sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        let mut count = Count(&gradients, 0);
        model.visit(&mut count);
        assert_eq!(count.1, gradients.len());
    }
}

fn sampling(max_tokens: usize) -> SamplingSettings {
    SamplingSettings {
        max_tokens: Count::of(max_tokens),
        ..Default::default()
    }
}

/// Prompts of several lengths, one of them twice.
fn prompts() -> Vec<Vec<u32>> {
    vec![
        tokens(5, 1),
        tokens(2, 2),
        tokens(9, 3),
        tokens(5, 1),
        tokens(1, 4),
    ]
}

#[test]
fn cached_generation_equals_uncached() {
    for model in models() {
        let settings = SamplingSettings {
            decoding: Decoding::Greedy,
            ..sampling(12)
        };
        for (prompt, found) in
            prompts()
                .iter()
                .zip(model.generate(&prompts(), &[0; 5], &settings, &[]))
        {
            let mut row = prompt.clone();
            for (place, (&token, &logp)) in found.tokens.iter().zip(&found.logps).enumerate() {
                let logits = last_logits(&model, &row, row.len(), Side::Right);
                let logits = &logits[logits.len() - VOCABULARY..];
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total: f32 = logits.iter().map(|x| (x - largest).exp()).sum();
                assert!(logits[token as usize] > largest - 1e-4, "token {place}");
                assert!(
                    (logits[token as usize] - largest - total.ln() - logp).abs() < 1e-4,
                    "token {place}"
                );
                row.push(token);
            }
            assert_eq!(found.tokens.len(), 12);
            assert!(!found.finished);
        }
    }
}

#[test]
fn a_row_depends_on_its_own_prompt_and_seed_alone() {
    for model in models() {
        let (prompts, seeds) = (prompts(), [3, 4, 5, 6, 3]);
        let together = model.generate(&prompts, &seeds, &sampling(16), &[7, 8]);
        for (row, expected) in together.iter().enumerate() {
            let alone = &model.generate(
                &prompts[row..=row],
                &seeds[row..=row],
                &sampling(16),
                &[7, 8],
            )[0];
            assert_eq!(alone.tokens, expected.tokens);
            assert_eq!(alone.finished, expected.finished);
            assert_close(&alone.logps, &expected.logps, 1e-5);
        }
        assert_ne!(
            together[0].tokens, together[3].tokens,
            "one prompt under two seeds"
        );
    }
}

#[test]
fn rollout_logps_equal_training_logps() {
    for model in models() {
        let settings = SamplingSettings {
            temperature: Positive::of(0.7),
            top_k: Some(Count::of(20)),
            top_p: Fraction::of(0.9),
            ..sampling(16)
        };
        let prompts = prompts();
        let sampled = model.generate(&prompts, &[1, 2, 3, 4, 5], &settings, &[7, 8]);
        let rows: Vec<(&[u32], &[u32])> = prompts
            .iter()
            .zip(&sampled)
            .map(|(prompt, found)| (prompt.as_slice(), found.tokens.as_slice()))
            .collect();
        let batch = Completions::new(&rows, &model.device());
        let training = model.completion_logps(&batch, 0.7);
        let width = batch.width();
        for (cells, found) in floats(training.logps).chunks(width).zip(&sampled) {
            assert_close(&found.logps, &cells[..found.tokens.len()], 1e-5);
        }
    }
}

#[test]
fn a_stop_token_ends_its_row_and_no_other() {
    let model = model();
    let free = model.generate(&prompts(), &[1, 2, 3, 4, 5], &sampling(16), &[]);
    let stop = free[2].tokens[4];
    let found = model.generate(&prompts(), &[1, 2, 3, 4, 5], &sampling(16), &[stop]);
    for (free, found) in free.iter().zip(&found) {
        let end = free
            .tokens
            .iter()
            .position(|&token| token == stop)
            .map_or(16, |place| place + 1);
        assert_eq!(found.tokens, free.tokens[..end]);
        assert_eq!(found.finished, free.tokens[..end].contains(&stop));
    }
    assert!(found[2].finished);
    assert!(found.iter().any(|row| !row.finished));
}

#[test]
fn generation_ends_with_the_learned_positions() {
    let model = CausalLm::init(&architectures()[2], 5, &Device::flex());
    let prompts = [tokens(60, 1), tokens(64, 2), tokens(3, 3)];
    let lengths = model
        .generate(&prompts, &[1, 2, 3], &sampling(8), &[])
        .into_iter()
        .map(|row| row.tokens.len());
    assert_eq!(lengths.collect::<Vec<_>>(), [5, 1, 8]);
}

#[test]
fn a_training_model_generates_as_its_frozen_copy() {
    let model = CausalLm::init(&architecture(), 5, &Device::flex().autodiff());
    let [a, b] = [&model, &model.valid()]
        .map(|model| model.generate(&prompts(), &[1; 5], &sampling(8), &[]));
    assert_eq!(a, b);
}
