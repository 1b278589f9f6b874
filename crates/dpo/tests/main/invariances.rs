//! What must hold for every objective, whatever its equation.

use burn::tensor::{DType, Device, Tensor, TensorData};
use preflab_config::Objective;
use preflab_data::Pair;
use preflab_dpo::{Context, Inputs, Logps, Needs, TokenTerms, implicit_rewards, preference_loss};

use crate::every_objective::every_objective;

/// Token log-probabilities of some pairs; rows end at their lengths.
#[derive(Clone)]
struct Case {
    policy: Pair<Vec<Vec<f64>>>,
    reference: Pair<Vec<Vec<f64>>>,
    gaps: Vec<f64>,
}

struct Outcome {
    loss: Vec<f64>,
    /// Gradient of the summed loss with respect to every policy token.
    gradient: Pair<Vec<Vec<f64>>>,
    rewards: Pair<Vec<f64>>,
}

/// Pairs of different lengths, chosen ones gained and lost, no ties in what AOT sorts.
fn ordinary() -> Case {
    let row = |seed: usize, length: usize| -> Vec<f64> {
        let token = |t: usize| {
            -0.15 - ((seed * 37 + t * 61) % 97) as f64 / 40.0 - 1e-3 * (seed * seed) as f64
        };
        (0..length).map(token).collect()
    };
    let lengths = [(4, 2), (1, 3), (5, 5), (2, 1), (3, 4), (5, 1)];
    let sides = |offset: usize| Pair {
        chosen: (0..6).map(|i| row(offset + i, lengths[i].0)).collect(),
        rejected: (0..6).map(|i| row(offset + 11 + i, lengths[i].1)).collect(),
    };
    Case {
        policy: sides(3),
        reference: sides(50),
        gaps: vec![0.2, 1.0, 0.5, 2.0, 0.1, 0.7],
    }
}

impl Case {
    fn pairs(&self) -> usize {
        self.gaps.len()
    }

    fn picked(&self, rows: &[usize]) -> Self {
        let side = |pair: &Pair<Vec<Vec<f64>>>| {
            pair.as_ref()
                .map(|side| rows.iter().map(|&i| side[i].clone()).collect())
        };
        Self {
            policy: side(&self.policy),
            reference: side(&self.reference),
            gaps: rows.iter().map(|&i| self.gaps[i]).collect(),
        }
    }

    /// `width` columns at least.
    fn outcome(&self, objective: &Objective, dtype: DType, width: usize) -> Outcome {
        let plain = Device::flex();
        let longest = |pair: &Pair<Vec<Vec<f64>>>| {
            let rows = pair.chosen.iter().chain(&pair.rejected);
            rows.map(Vec::len).max().unwrap_or(0)
        };
        let width = width.max(longest(&self.policy)).max(1);
        let vector = |values: Vec<f64>| {
            Tensor::<1>::from_data(TensorData::from(values.as_slice()), (&plain, dtype))
        };
        let tensor = |rows: &Vec<Vec<f64>>, device: &Device| {
            let cell = |row: &Vec<f64>, t| row.get(t).copied().unwrap_or(0.0);
            let cells: Vec<f64> = rows
                .iter()
                .flat_map(|row| (0..width).map(move |t| cell(row, t)))
                .collect();
            let data = TensorData::new(cells, [rows.len(), width]);
            Tensor::<2>::from_data(data, (device, dtype))
        };
        let leaves = self
            .policy
            .as_ref()
            .map(|rows| tensor(rows, &plain.clone().autodiff()).require_grad());
        let lengths = |rows: &Vec<Vec<f64>>| vector(rows.iter().map(|r| r.len() as f64).collect());
        // the policy's expected probability of its own samples: constants
        let collision = |rows: &Vec<Vec<f64>>| {
            let rows: Vec<Vec<f64>> = rows.iter().map(|row| vec![-1.1; row.len()]).collect();
            tensor(&rows, &plain)
        };
        let policy = leaves
            .clone()
            .zip(self.policy.as_ref())
            .map(|(leaf, rows)| {
                let side = Logps::from_tokens(leaf, lengths(rows));
                Logps {
                    tokens: side.tokens.map(|terms| TokenTerms {
                        log_collision: Some(collision(rows)),
                        ..terms
                    }),
                    ..side
                }
            });
        let reference = self
            .reference
            .as_ref()
            .map(|rows| Logps::from_tokens(tensor(rows, &plain), lengths(rows)));
        let inputs = Inputs {
            policy,
            reference,
            // of the whole update, whatever part of it these pairs are
            context: Context {
                score_gaps: Some(vector(self.gaps.clone())),
                kl: Some(vector(vec![0.3])),
                reward_shift: Some(vector(vec![0.05])),
                mean_chosen_length: Some(vector(vec![20.0 / 6.0])),
            },
        };
        let loss = preference_loss(objective, &inputs);
        assert_eq!(loss.dims(), [self.pairs()], "one loss for each pair");
        assert_eq!(loss.dtype(), dtype, "in the dtype of the log-probabilities");
        let gradients = loss.clone().sum().backward();
        let gradient =
            leaves
                .zip(self.policy.as_ref())
                .map(|(leaf, rows)| match leaf.grad(&gradients) {
                    Some(gradient) => rows_of(gradient, rows),
                    None => rows.iter().map(|row| vec![0.0; row.len()]).collect(),
                });
        Outcome {
            loss: numbers(loss),
            gradient,
            rewards: implicit_rewards(objective, &inputs).map(numbers),
        }
    }

    fn double(&self, objective: &Objective) -> Outcome {
        self.outcome(objective, DType::F64, 0)
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn rows_of(tensor: Tensor<2>, like: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let [_, width] = tensor.dims();
    let all = numbers(tensor);
    let rows = all.chunks(width).zip(like);
    rows.map(|(row, like)| row[..like.len()].to_vec()).collect()
}

fn flat(pair: &Pair<Vec<Vec<f64>>>) -> Vec<f64> {
    [pair.chosen.concat(), pair.rejected.concat()].concat()
}

fn assert_close(name: &str, ours: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), expected.len(), "{name}");
    for (a, b) in ours.iter().zip(expected) {
        let error = (a - b).abs() / b.abs().max(1.0);
        assert!(error <= tolerance, "{name}: {ours:?} {expected:?}");
    }
}

#[test]
fn gradients_are_central_differences() {
    let step = 1e-5;
    for (name, objective) in every_objective() {
        if matches!(objective, Objective::Wpo(_)) {
            continue; // its weight moves with the policy but carries no gradient: see below
        }
        let case = ordinary();
        let analytic = case.double(&objective).gradient;
        let total = |case: &Case| case.double(&objective).loss.iter().sum::<f64>();
        for (row, t) in [(0, 0), (0, 3), (1, 0), (2, 4), (5, 2)] {
            let moved = |by: f64| {
                let mut case = case.clone();
                case.policy.chosen[row][t] += by;
                total(&case)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            assert_close(&name, &[analytic.chosen[row][t]], &[slope], 1e-6);
        }
        for (row, t) in [(0, 1), (1, 2), (2, 0), (3, 0), (4, 3)] {
            let moved = |by: f64| {
                let mut case = case.clone();
                case.policy.rejected[row][t] += by;
                total(&case)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            assert_close(&name, &[analytic.rejected[row][t]], &[slope], 1e-6);
        }
    }
}

#[test]
fn wpo_scales_the_gradient_of_the_loss_it_weighs() {
    let objectives = every_objective();
    let find = |name: &str| {
        let found = objectives.iter().find(|(other, _)| other == name);
        ordinary().double(&found.unwrap().1)
    };
    let (plain, weighted) = (find("dpo"), find("wpo"));
    for pair in 0..6 {
        let weight = weighted.loss[pair] / plain.loss[pair];
        let scaled: Vec<f64> = plain.gradient.chosen[pair]
            .iter()
            .map(|g| g * weight)
            .collect();
        assert_close("wpo", &weighted.gradient.chosen[pair], &scaled, 1e-12);
    }
}

#[test]
fn losses_and_gradients_are_finite_at_margins_of_1e4_and_lengths_of_0_and_1() {
    let far = |sign: f64| vec![-1.0 - 1e4 * f64::from(sign > 0.0)];
    let case = Case {
        policy: Pair {
            chosen: vec![far(1.0), far(-1.0), vec![], vec![-0.5], vec![-0.2]],
            rejected: vec![far(-1.0), far(1.0), vec![-0.5], vec![], vec![-0.7]],
        },
        reference: Pair {
            chosen: vec![far(-1.0), far(-1.0), vec![], vec![-0.1], vec![-0.2]],
            rejected: vec![far(-1.0), far(-1.0), vec![-2.5], vec![], vec![-0.7]],
        },
        gaps: vec![0.0, -1.0, 1e-9, 1.0, 5.0],
    };
    for (name, objective) in every_objective() {
        for dtype in [DType::F32, DType::F64] {
            let outcome = case.outcome(&objective, dtype, 0);
            let all = [outcome.loss, flat(&outcome.gradient)].concat();
            assert!(all.iter().all(|x| x.is_finite()), "{name}: {all:?}");
        }
    }
}

#[test]
fn f32_agrees_with_f64() {
    for (name, objective) in every_objective() {
        let single = ordinary().outcome(&objective, DType::F32, 0);
        let double = ordinary().double(&objective);
        assert_close(&name, &single.loss, &double.loss, 1e-5);
        assert_close(
            &name,
            &flat(&single.gradient),
            &flat(&double.gradient),
            1e-5,
        );
    }
}

#[test]
fn the_amount_of_padding_changes_nothing() {
    for (name, objective) in every_objective() {
        let tight = ordinary().double(&objective);
        let wide = ordinary().outcome(&objective, DType::F64, 23);
        assert_close(&name, &wide.loss, &tight.loss, 1e-13);
        assert_close(&name, &flat(&wide.gradient), &flat(&tight.gradient), 1e-13);
    }
}

#[test]
fn the_order_of_pairs_changes_nothing() {
    let order = [4, 2, 0, 5, 1, 3];
    for (name, objective) in every_objective() {
        let straight = ordinary().double(&objective);
        let shuffled = ordinary().picked(&order).double(&objective);
        let sorted = |mut losses: Vec<f64>| {
            losses.sort_by(f64::total_cmp);
            losses
        };
        // AOT gives its losses in order of rank
        let (ours, theirs) = (sorted(shuffled.loss), sorted(straight.loss));
        assert_close(&name, &ours, &theirs, 1e-13);
        for (place, &pair) in order.iter().enumerate() {
            let ours = &shuffled.gradient.chosen[place];
            assert_close(&name, ours, &straight.gradient.chosen[pair], 1e-13);
            let ours = &shuffled.gradient.rejected[place];
            assert_close(&name, ours, &straight.gradient.rejected[pair], 1e-13);
        }
    }
}

#[test]
fn a_pair_alone_has_the_loss_it_has_in_a_batch() {
    for (name, objective) in every_objective() {
        if Needs::of(&objective).whole_update {
            continue;
        }
        let batch = ordinary().double(&objective);
        for pair in 0..6 {
            let alone = ordinary().picked(&[pair]).double(&objective);
            assert_close(&name, &alone.loss, &batch.loss[pair..=pair], 1e-13);
            let ours = &alone.gradient.rejected[0];
            assert_close(&name, ours, &batch.gradient.rejected[pair], 1e-13);
        }
    }
}

#[test]
fn only_objectives_that_say_so_compare_the_pairs_of_an_update() {
    for (name, objective) in every_objective() {
        let batch = ordinary().double(&objective);
        let alone: Vec<f64> = (0..6)
            .flat_map(|pair| ordinary().picked(&[pair]).double(&objective).loss)
            .collect();
        let same = alone
            .iter()
            .zip(&batch.loss)
            .all(|(a, b)| (a - b).abs() < 1e-12);
        assert_eq!(same, !Needs::of(&objective).whole_update, "{name}");
    }
}

#[test]
fn at_the_reference_every_margin_against_it_is_exactly_zero() {
    let mut case = ordinary();
    case.reference = case.policy.clone();
    for (name, objective) in every_objective() {
        if !Needs::of(&objective).reference {
            continue;
        }
        for dtype in [DType::F32, DType::F64] {
            let rewards = case.outcome(&objective, dtype, 0).rewards;
            let all = [rewards.chosen, rewards.rejected].concat();
            assert!(all.iter().all(|&reward| reward == 0.0), "{name}");
        }
    }
}

#[test]
fn objectives_that_do_not_read_the_reference_do_not_change_with_it() {
    let mut other = ordinary();
    other.reference = other.policy.clone();
    for (name, objective) in every_objective() {
        let same = ordinary().double(&objective).loss == other.double(&objective).loss;
        assert_eq!(same, !Needs::of(&objective).reference, "{name}");
    }
}
