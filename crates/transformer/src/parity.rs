//! Comparison with golden figures of transformers: logits, log-probabilities, greedy continuations and reward scores.
//!
//! `models.json` of a golden directory holds, for each checkpoint under `checkpoints/`, what transformers computed for a
//! few prompts padded on either side. Every figure is compared; a key that is not known is an error, never skipped.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor};
use preflab_config::{Count, Decoding, SamplingSettings};
use serde_json::{Map, Value};

use crate::checkpoint::{self, CheckpointError, Config};
use crate::{CausalLm, Completions, DeviceChoice, Positions, ScalarModel, Sequences};

/// Largest difference of a number from its figure that counts as equal.
pub const TOLERANCE: f64 = 1e-4;

/// Where golden figures are compared: the device that `PREFLAB_DEVICE` names, the CPU where it is not set.
///
/// # Panics
/// If there is no such device; ask [`DeviceChoice::of_environment`] and [`DeviceChoice::open`] first.
pub fn golden_device() -> Device {
    DeviceChoice::of_environment()
        .and_then(DeviceChoice::open)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The numbers that figures given in `wanted` are compared in: `wanted` on the CPU, 32-bit floats elsewhere.
pub fn golden_dtype(wanted: DType) -> DType {
    if on_cpu() { wanted } else { DType::F32 }
}

/// The largest difference that counts as equal: `exact` on the CPU, at least [`TOLERANCE`] elsewhere, where everything is
/// computed in 32-bit floats.
pub fn golden_tolerance(exact: f64) -> f64 {
    if on_cpu() {
        exact
    } else {
        exact.max(TOLERANCE)
    }
}

fn on_cpu() -> bool {
    matches!(DeviceChoice::of_environment(), Ok(DeviceChoice::Cpu))
}

/// Agreement of one model with one kind of figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// The checkpoint.
    pub model: String,
    /// The kind of figure.
    pub figure: String,
    /// How many numbers (or tokens) were compared.
    pub numbers: usize,
    /// The largest absolute difference; for tokens, how many differ.
    pub worst: f64,
    /// The largest difference that counts as equal.
    pub tolerance: f64,
}

impl Agreement {
    /// Whether every number agrees.
    pub fn holds(&self) -> bool {
        self.worst <= self.tolerance
    }
}

/// Why golden figures could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is not JSON.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Something that is not what is expected there, or a key that no comparison covers.
    #[error("models.json: `{at}`: expected {expected}")]
    Unexpected {
        /// The keys that lead there.
        at: String,
        /// In words.
        expected: String,
    },
    /// A checkpoint that cannot be loaded.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Compares every model of `dir/models.json` with its figures.
///
/// # Errors
/// If a file is missing or holds something that is not known.
pub fn models(dir: &Path) -> Result<Vec<Agreement>, ParityError> {
    let path = dir.join("models.json");
    let text = std::fs::read(&path).map_err(|source| ParityError::Read {
        path: path.clone(),
        source,
    })?;
    let golden: Value =
        serde_json::from_slice(&text).map_err(|source| ParityError::Json { path, source })?;
    let golden = Node {
        at: String::new(),
        value: &golden,
    };
    golden.keys(&["source", "prompts", "models"])?;
    let mut agreements = Vec::new();
    for model in golden.child("models")?.children()? {
        let checkpoint = dir.join("checkpoints").join(model.name());
        let found = if model.child("right")?.find("scores").is_some() {
            Case::new(model, checkpoint).scalar_model()?
        } else {
            Case::new(model, checkpoint).causal_lm()?
        };
        agreements.extend(found);
    }
    Ok(agreements)
}

/// One checkpoint and its figures.
struct Case<'a> {
    figures: Node<'a>,
    checkpoint: PathBuf,
    agreements: Vec<Agreement>,
}

impl<'a> Case<'a> {
    fn new(figures: Node<'a>, checkpoint: PathBuf) -> Self {
        Self {
            figures,
            checkpoint,
            agreements: Vec::new(),
        }
    }

    fn causal_lm(mut self) -> Result<Vec<Agreement>, ParityError> {
        let (model, config) = checkpoint::load::<CausalLm>(&self.checkpoint, &golden_device())?;
        for figure in self.figures.children()? {
            match figure.name() {
                "right" | "left" => self.causal_side(&model, &figure)?,
                name if name.starts_with("greedy_") => self.greedy(&model, &figure)?,
                _ => self.weights(&model, &config, &figure)?,
            }
        }
        Ok(self.agreements)
    }

    fn scalar_model(mut self) -> Result<Vec<Agreement>, ParityError> {
        let (model, config) = checkpoint::load::<ScalarModel>(&self.checkpoint, &golden_device())?;
        for figure in self.figures.children()? {
            match figure.name() {
                "right" | "left" => self.scalar_side(&model, &figure)?,
                _ => self.weights(&model, &config, &figure)?,
            }
        }
        Ok(self.agreements)
    }

    fn causal_side(&mut self, model: &CausalLm, side: &Node) -> Result<(), ParityError> {
        let (sequences, rows) = sequences(side)?;
        let logits = model.forward(&sequences);
        let [_, columns, vocabulary] = logits.dims();
        let logits = numbers(logits);
        let at = |row: usize, column: usize| {
            &logits[(row * columns + column) * vocabulary..][..vocabulary]
        };
        let pairs: Vec<(&[u32], &[u32])> = rows.iter().map(|row| row.split_at(1)).collect();
        let logps = model.completion_logps(&Completions::new(&pairs, &model.device()), 1.0);
        let sums = numbers(logps.sum());
        let width = logps.logps.dims()[1];
        let logps = numbers(logps.logps);
        for figure in side.children()? {
            match figure.name() {
                "input_ids" | "attention_mask" => {}
                "per_sequence_logprob_f64" => {
                    self.compare(side, &figure, &figure.numbers()?, &sums)?
                }
                "per_token_logprob_f64" => {
                    for (index, row) in figure.items()?.iter().enumerate() {
                        let found = &logps[index * width..][..rows[index].len() - 1];
                        self.compare(side, &figure, &row.numbers()?, found)?;
                    }
                }
                "logits_f32_last_real_position" => {
                    for (index, row) in figure.items()?.iter().enumerate() {
                        let found = at(index, sequences.spans[index].end - 1);
                        self.compare(side, &figure, &row.numbers()?, found)?;
                    }
                }
                "logits_f32_row0_real_positions" => {
                    for (column, row) in sequences.spans[0].clone().zip(figure.items()?) {
                        self.compare(side, &figure, &row.numbers()?, at(0, column))?;
                    }
                }
                name if name.starts_with("max_abs_diff") => {}
                _ => return Err(figure.unexpected("a figure of a language model")),
            }
        }
        Ok(())
    }

    fn scalar_side(&mut self, model: &ScalarModel, side: &Node) -> Result<(), ParityError> {
        let (sequences, _) = sequences(side)?;
        let scores = numbers(model.scores(&sequences));
        for figure in side.children()? {
            match figure.name() {
                "input_ids" | "attention_mask" => {}
                "scores_with_mask_position_ids" | "scores_f64" => {
                    self.compare(side, &figure, &figure.numbers()?, &scores)?;
                }
                // transformers' default positions count padding on the left, which moves learned positions.
                "scores"
                    if side.name() == "left"
                        && side.find("scores_with_mask_position_ids").is_some()
                        && model.architecture().positions == Positions::Learned => {}
                "scores" => self.compare(side, &figure, &figure.numbers()?, &scores)?,
                name if name.starts_with("max_abs_diff") => {}
                _ => return Err(figure.unexpected("a figure of a reward model")),
            }
        }
        Ok(())
    }

    fn greedy(&mut self, model: &CausalLm, figure: &Node) -> Result<(), ParityError> {
        figure.keys(&["note", "new_tokens", "text", "min_top1_top2_gap"])?;
        if figure.child("note")?.value.as_str() != Some("left padded batch, eos disabled") {
            return Err(figure.unexpected("greedy continuations without an end"));
        }
        let (_, prompts) = sequences(&self.figures.child("left")?)?;
        let expected = figure.child("new_tokens")?.items()?;
        let expected = expected
            .iter()
            .map(Node::tokens)
            .collect::<Result<Vec<_>, _>>()?;
        let length = expected.first().map_or(0, Vec::len);
        if length == 0 || expected.len() != prompts.len() {
            return Err(figure.unexpected("a continuation of each prompt"));
        }
        let settings = SamplingSettings {
            decoding: Decoding::Greedy,
            max_tokens: Count::of(length),
            ..Default::default()
        };
        let found = model.generate(&prompts, &vec![0; prompts.len()], &settings, &[]);
        let tokens = expected
            .iter()
            .flatten()
            .zip(found.iter().flat_map(|row| &row.tokens));
        let different = tokens.filter(|(expected, found)| expected != found).count();
        self.agreements.push(Agreement {
            model: self.figures.name().to_owned(),
            figure: figure.name().to_owned(),
            numbers: prompts.len() * length,
            worst: different as f64,
            tolerance: 0.0,
        });
        Ok(())
    }

    /// Figures of the file, the same for every kind of model.
    fn weights<M: checkpoint::Model>(
        &mut self,
        model: &M,
        config: &Config,
        figure: &Node,
    ) -> Result<(), ParityError> {
        match figure.name() {
            "param_count" => self.compare(
                figure,
                figure,
                &figure.numbers()?,
                &[model.num_params() as f64],
            ),
            "tensors" => {
                let found = checkpoint::tensors(model, config)?;
                let shapes = figure.children()?;
                let mut different = found.len().abs_diff(shapes.len());
                for shape in &shapes {
                    let expected = shape.numbers()?;
                    let found = found
                        .get(shape.name())
                        .map(|(shape, _)| shape.iter().map(|&x| x as f64));
                    different += usize::from(!found.is_some_and(|found| found.eq(expected)));
                }
                self.agreements.push(Agreement {
                    model: self.figures.name().to_owned(),
                    figure: "tensors".to_owned(),
                    numbers: shapes.len(),
                    worst: different as f64,
                    tolerance: 0.0,
                });
                Ok(())
            }
            "safetensors_bytes" | "sha256" => Ok(()),
            name if name.starts_with("max_abs_diff") => Ok(()),
            _ => Err(figure.unexpected("a figure of a checkpoint")),
        }
    }

    fn compare(
        &mut self,
        side: &Node,
        figure: &Node,
        expected: &[f64],
        found: &[f64],
    ) -> Result<(), ParityError> {
        if expected.len() != found.len() {
            return Err(figure.unexpected(&format!("{} numbers", found.len())));
        }
        let differences = expected.iter().zip(found).map(|(expected, found)| {
            // A number that is missing on one side is no agreement.
            let difference = (expected - found).abs();
            if difference.is_nan() {
                f64::INFINITY
            } else {
                difference
            }
        });
        let worst = differences.fold(0.0, f64::max);
        let name = if side.at == figure.at {
            figure.name().to_owned()
        } else {
            format!("{}, {} padding", figure.name(), side.name())
        };
        match self
            .agreements
            .iter_mut()
            .find(|known| known.figure == name)
        {
            Some(known) => {
                known.numbers += found.len();
                known.worst = known.worst.max(worst);
            }
            None => self.agreements.push(Agreement {
                model: self.figures.name().to_owned(),
                figure: name,
                numbers: found.len(),
                worst,
                tolerance: TOLERANCE,
            }),
        }
        Ok(())
    }
}

/// The rows of a padded batch: as it is, and the real tokens of each.
fn sequences(side: &Node) -> Result<(Sequences, Vec<Vec<u32>>), ParityError> {
    let ids = side.child("input_ids")?.items()?;
    let masks = side.child("attention_mask")?.items()?;
    let mut spans = Vec::new();
    let mut rows = Vec::new();
    let mut all = Vec::new();
    for (ids, mask) in ids.iter().zip(&masks) {
        let (ids, cells) = (ids.tokens()?, mask.tokens()?);
        let start = cells.iter().position(|&cell| cell == 1).unwrap_or(0);
        let end = cells
            .iter()
            .rposition(|&cell| cell == 1)
            .map_or(0, |last| last + 1);
        let whole = cells.len() == ids.len() && cells[start..end].iter().all(|&cell| cell == 1);
        if !whole || end - start < 2 {
            return Err(mask.unexpected("one run of ones over at least two tokens"));
        }
        rows.push(ids[start..end].to_vec());
        spans.push(start..end);
        all.push(ids);
    }
    if all.is_empty() || all.len() != masks.len() || all.iter().any(|row| row.len() != all[0].len())
    {
        return Err(side.unexpected("rows of one length, each with its mask"));
    }
    let all: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
    let ids = Sequences::right_padded(&all, &golden_device()).ids;
    Ok((Sequences { ids, spans }, rows))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor
        .try_into_vec_as::<f64>()
        .expect("results are read as f64")
}

/// A value of the file that knows where it stands.
#[derive(Clone)]
struct Node<'a> {
    at: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    /// The last key.
    fn name(&self) -> &str {
        self.at.rsplit('/').next().unwrap_or_default()
    }

    fn unexpected(&self, expected: &str) -> ParityError {
        ParityError::Unexpected {
            at: self.at.clone(),
            expected: expected.to_owned(),
        }
    }

    fn object(&self) -> Result<&'a Map<String, Value>, ParityError> {
        self.value
            .as_object()
            .ok_or_else(|| self.unexpected("an object"))
    }

    fn under(&self, key: &str, value: &'a Value) -> Node<'a> {
        Node {
            at: if self.at.is_empty() {
                key.to_owned()
            } else {
                format!("{}/{key}", self.at)
            },
            value,
        }
    }

    fn keys(&self, known: &[&str]) -> Result<(), ParityError> {
        match self
            .object()?
            .keys()
            .find(|key| !known.contains(&key.as_str()))
        {
            Some(key) => Err(self
                .under(key, self.value)
                .unexpected(&format!("one of the keys {known:?}"))),
            None => Ok(()),
        }
    }

    fn find(&self, key: &str) -> Option<Node<'a>> {
        self.value.get(key).map(|value| self.under(key, value))
    }

    fn child(&self, key: &str) -> Result<Node<'a>, ParityError> {
        self.find(key)
            .ok_or_else(|| self.unexpected(&format!("a key `{key}`")))
    }

    fn children(&self) -> Result<Vec<Node<'a>>, ParityError> {
        Ok(self
            .object()?
            .iter()
            .map(|(key, value)| self.under(key, value))
            .collect())
    }

    fn items(&self) -> Result<Vec<Node<'a>>, ParityError> {
        let items = self
            .value
            .as_array()
            .ok_or_else(|| self.unexpected("a list"))?;
        Ok(items
            .iter()
            .map(|value| Node {
                at: self.at.clone(),
                value,
            })
            .collect())
    }

    /// A number, or a list of numbers.
    fn numbers(&self) -> Result<Vec<f64>, ParityError> {
        match self.value.as_f64() {
            Some(number) => Ok(vec![number]),
            None => self
                .items()?
                .iter()
                .map(|item| {
                    item.value
                        .as_f64()
                        .ok_or_else(|| self.unexpected("numbers"))
                })
                .collect(),
        }
    }

    fn tokens(&self) -> Result<Vec<u32>, ParityError> {
        let token = |item: &Node| item.value.as_u64().and_then(|id| u32::try_from(id).ok());
        self.items()?
            .iter()
            .map(|item| token(item).ok_or_else(|| self.unexpected("token ids")))
            .collect()
    }
}
