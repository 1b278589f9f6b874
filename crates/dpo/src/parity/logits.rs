//! Golden cases that start from logits: log-probabilities of tokens, and gradients with respect to the logits.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};
use preflab_config::{NonNegative, Objective, Sft, SftAggregation, Weighted};
use preflab_data::Pair;
use preflab_training::parity::{Node, Parity, ParityError, golden_device, golden_dtype};

use super::originals::simpo_objective;
use super::rows::{constant, each, mean, numbers};
use super::trl::ranged;
use super::{EXACT, subject};
use crate::inputs::{Inputs, Logps, TokenTerms};
use crate::objectives::preference_loss;
use crate::statistics::TokenStatistics;

/// A batch of rows of logits, and which of their tokens are completion tokens.
pub(super) struct Logits {
    leaf: Tensor<3>,
    /// Flat position that predicts each completion token, row after row.
    predicting: Vec<i64>,
    targets: Vec<i64>,
    /// Completion tokens of each row.
    lengths: Vec<usize>,
}

impl Logits {
    /// `logits` `[r, t, v]`; `tokens` `[r, t]`, where `None` is no completion token. The first column predicts the second.
    pub fn new(logits: &[Vec<Vec<f64>>], tokens: &[Vec<Option<usize>>], dtype: DType) -> Self {
        let [rows, columns] = [logits.len(), logits[0].len()];
        let flat: Vec<f64> = logits.iter().flatten().flatten().copied().collect();
        let vocabulary = flat.len() / (rows * columns);
        let data = TensorData::new(flat, [rows, columns, vocabulary]);
        let leaf = Tensor::from_data(data, (&golden_device().autodiff(), golden_dtype(dtype)))
            .require_grad();
        let (mut predicting, mut targets, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (row, tokens) in tokens.iter().enumerate() {
            let before = targets.len();
            for (column, token) in tokens.iter().enumerate().skip(1) {
                if let Some(token) = token {
                    predicting.push((row * columns + column - 1) as i64);
                    targets.push(*token as i64);
                }
            }
            lengths.push(targets.len() - before);
        }
        Self {
            leaf,
            predicting,
            targets,
            lengths,
        }
    }

    fn int(values: &[i64]) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::from(values), &golden_device())
    }

    /// Logits at completion tokens, `[n, v]`.
    fn at_tokens(&self) -> Tensor<2> {
        let [rows, columns, vocabulary] = self.leaf.dims();
        self.leaf
            .clone()
            .reshape([rows * columns, vocabulary])
            .select(0, Self::int(&self.predicting))
    }

    /// `[n]` in its cells of `[r, c]`, 0 past the end.
    fn spread(&self, values: Tensor<1>) -> Tensor<2> {
        let width = self.lengths.iter().copied().max().unwrap_or(0).max(1);
        let mut next = 0;
        let mut cells = Vec::with_capacity(self.lengths.len() * width);
        for &length in &self.lengths {
            cells.extend((0..width).map(|t| {
                if t < length {
                    next as i64 + t as i64
                } else {
                    self.targets.len() as i64
                }
            }));
            next += length;
        }
        let zero = constant(&[0.0], values.dtype());
        Tensor::cat(vec![values, zero], 0)
            .select(0, Self::int(&cells))
            .reshape([self.lengths.len(), width])
    }

    /// Statistics of the next-token distributions of all completion tokens.
    pub fn statistics(&self) -> TokenStatistics {
        TokenStatistics::of(&self.at_tokens(), &Self::int(&self.targets))
    }

    /// Completion tokens of the first half of the rows, the chosen ones.
    pub fn chosen_tokens(&self) -> usize {
        self.lengths[..self.lengths.len() / 2].iter().sum()
    }

    /// The first half of the rows is chosen, the second rejected.
    pub fn logps(&self) -> Pair<Logps> {
        let targets = Self::int(&self.targets).unsqueeze_dim::<2>(1);
        let logps = log_softmax(self.at_tokens(), 1).gather(1, targets);
        let dtype = logps.dtype();
        let logps = self.spread(logps.squeeze_dim(1));
        let collision = self.spread(self.statistics().log_collision);
        let lengths: Vec<f64> = self.lengths.iter().map(|&n| n as f64).collect();
        let pairs = self.lengths.len() / 2;
        Pair {
            chosen: 0,
            rejected: pairs,
        }
        .map(|start| {
            let rows = start..start + pairs;
            let side = Logps::from_tokens(
                logps.clone().narrow(0, start, pairs),
                constant(&lengths[rows], dtype),
            );
            Logps {
                tokens: side.tokens.map(|terms| TokenTerms {
                    log_collision: Some(collision.clone().narrow(0, start, pairs)),
                    ..terms
                }),
                ..side
            }
        })
    }

    /// The gradient of `loss` with respect to all logits, flat.
    pub fn gradient(&self, loss: &Tensor<1>) -> Vec<f64> {
        let gradients = loss.backward();
        let gradient = self.leaf.grad(&gradients).expect("a loss of the logits");
        let count = gradient.shape().num_elements();
        numbers(gradient.reshape([count]))
    }
}

/// A case's gradient with respect to the logits, flat.
pub(super) fn flat_gradient(case: &Node<'_>, key: &str) -> Result<Vec<f64>, ParityError> {
    let cube = case.get(key)?.cube()?;
    Ok(cube.into_iter().flatten().flatten().collect())
}

/// `simpo_with_sft`: the whole loss of SimPO's trainer with its likelihood term, from logits.
pub(super) fn simpo_with_sft(table: &mut Parity, section: &Node<'_>) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "settings",
            "labels_chosen_then_rejected",
            "logits",
            "avg_logps",
            "total_loss",
            "sft_loss",
            "grad_logits",
        ])?;
        let settings = case.get("settings")?;
        settings.only(&[
            "beta",
            "gamma_beta_ratio",
            "sft_weight",
            "loss_type",
            "label_smoothing",
        ])?;
        let tokens = case
            .get("labels_chosen_then_rejected")?
            .matrix()?
            .iter()
            .map(|row| {
                row.iter()
                    .map(|&label| (label >= 0.0).then_some(label as usize))
                    .collect()
            })
            .collect::<Vec<Vec<Option<usize>>>>();
        let logits = Logits::new(&case.get("logits")?.cube()?, &tokens, DType::F64);
        let logps = logits.logps();
        let likelihood = Objective::Sft(Sft {
            likelihood: SftAggregation::BatchMean,
        });
        let term = |weight: f64, objective: &Objective| {
            Ok::<_, ParityError>(Weighted {
                weight: ranged::<NonNegative>(&settings, weight)?,
                objective: objective.clone(),
            })
        };
        let weight = settings.get("sft_weight")?.number()?;
        let objective = Objective::Sum(vec![
            term(1.0, &simpo_objective(&settings)?)?,
            term(weight, &likelihood)?,
        ]);
        let reference = logps.as_ref().map(Logps::zeroed);
        let inputs = Inputs::new(logps, reference);
        let loss = preference_loss(&objective, &inputs).mean();
        let sft = mean(&numbers(preference_loss(&likelihood, &inputs)));
        let means = inputs.policy.as_ref().map(|side| numbers(side.mean()));
        let mut row = table.case(subject("simpo + sft, from logits", "SimPO", EXACT), &case);
        let averages = [means.chosen, means.rejected].concat();
        each(
            &mut row,
            "avg_logps",
            &averages,
            &case.get("avg_logps")?.vector()?,
        );
        row.number("sft_loss", sft, case.get("sft_loss")?.number()?);
        let total = numbers(loss.clone())[0];
        row.number("total_loss", total, case.get("total_loss")?.number()?);
        let expected = flat_gradient(&case, "grad_logits")?;
        each(&mut row, "grad_logits", &logits.gradient(&loss), &expected);
    }
    Ok(())
}
