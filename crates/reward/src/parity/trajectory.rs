//! Runs of TRL's `RewardTrainer`, step for step, in 32-bit floats on both sides.
//!
//! Logged numbers may differ by 1e-4 (relative): 20 updates of a model whose gradients pass through other kernels, where
//! Adam divides small numbers by small numbers.

use std::path::Path;

use preflab_config::{
    BradleyTerry, Count, FlipProbability, NonNegative, RewardMargin, RewardObjective,
    RewardSettings,
};
use preflab_data::{Pair, TokenPair};
use preflab_stats::mean;
use preflab_training::Order;
use preflab_training::parity::{
    GoldenFile, Node, Parity, ParityError, TrainingArguments, compare_weights, golden_device,
    weights_digest,
};
use preflab_transformer::{ScalarModel, checkpoint};

use super::subject;
use crate::trainer::{Judged, RewardTrainer, RewardUpdate};

const SOURCE: &str = "TRL RewardTrainer";
const TOLERANCE: f64 = 1e-4;
/// Trainers whose runs other crates compare.
const ELSEWHERE: [&str; 4] = ["DPOTrainer", "SFTTrainer", "PPOTrainer", "KTOTrainer"];

/// Compares with every recorded run of `directory/trajectories`.
pub(super) fn run(directory: &Path, parity: &mut Parity) -> Result<(), ParityError> {
    for file in GoldenFile::all_in(&directory.join("trajectories"))? {
        let root = file.root();
        // PPO runs name the function they were recorded in, the others their trainer.
        let Some(trainer) = root.get("source")?.find("trainer")? else {
            continue;
        };
        match trainer.text()? {
            "RewardTrainer" => replay(directory, &root, parity)?,
            elsewhere if ELSEWHERE.contains(&elsewhere) => {}
            other => return Err(trainer.unknown(other)),
        }
    }
    Ok(())
}

/// The settings of a run, as far as they decide its numbers.
fn settings(
    config: &Node<'_>,
    arguments: &TrainingArguments,
    margins: bool,
) -> Result<RewardSettings, ParityError> {
    let centre = config
        .find("center_rewards_coefficient")?
        .map_or(Ok(0.0), |centre| centre.number())?;
    let margin = if margins {
        RewardMargin::PerPair(NonNegative::of(1.0))
    } else {
        RewardMargin::None
    };
    Ok(RewardSettings {
        objective: RewardObjective::BradleyTerry(BradleyTerry {
            margin,
            centre: NonNegative::of(centre),
            label_smoothing: FlipProbability::of(0.0),
        }),
        batch_size: Count::of(arguments.micro_batch * arguments.accumulation),
        micro_batch_size: Some(Count::of(arguments.micro_batch)),
        optimizer: arguments.optimizer,
        // As many passes as there are steps: the schedule is stretched over the steps recorded.
        epochs: Count::of(arguments.steps),
        max_updates: Some(Count::of(arguments.steps)),
        ..RewardSettings::default()
    })
}

/// Chosen and rejected sequences as a common prompt with two completions, neither of them empty.
fn pair(row: &Node<'_>) -> Result<TokenPair, ParityError> {
    row.only(&["chosen_ids", "rejected_ids"])?;
    let ids = |key: &str| -> Result<Vec<u32>, ParityError> {
        row.get(key)?
            .indices()?
            .into_iter()
            .map(|id| u32::try_from(id).map_err(|_| row.unusable(format!("{id} is no token"))))
            .collect()
    };
    let (chosen, rejected) = (ids("chosen_ids")?, ids("rejected_ids")?);
    let shared = chosen
        .iter()
        .zip(&rejected)
        .take_while(|(a, b)| a == b)
        .count();
    let shared = shared.min(chosen.len() - 1).min(rejected.len() - 1);
    if shared == 0 {
        return Err(row.unusable("the two sequences do not start alike"));
    }
    Ok(TokenPair {
        prompt: chosen[..shared].to_vec(),
        chosen: chosen[shared..].to_vec(),
        rejected: rejected[shared..].to_vec(),
    })
}

/// A recorded run, read.
struct Recorded<'a> {
    root: &'a Node<'a>,
    pairs: Vec<TokenPair>,
    settings: RewardSettings,
    /// The rows of each step.
    batches: Vec<Vec<usize>>,
}

impl Recorded<'_> {
    fn trainer(&self, model: &ScalarModel) -> RewardTrainer {
        let batch_size = self.settings.batch_size.get();
        let order = Order::Sequential {
            examples: self.pairs.len(),
            batch_size,
        };
        RewardTrainer::new(model.clone(), &self.settings, order, self.pairs.len())
    }

    fn log(&self, step: usize) -> Result<Node<'_>, ParityError> {
        let logs = self.root.get("logs")?.items()?;
        let missing = || {
            self.root
                .unusable(format!("step {} is not logged", step + 1))
        };
        logs.into_iter().nth(step).ok_or_else(missing)
    }

    /// Margins of all rows, or none.
    ///
    /// A run records those of its first batch only, which rise by a step and start again after some number of rows. That
    /// number is the one with which the first batch beyond has the loss that is logged; every later number tests it.
    fn margins(&self, model: &ScalarModel) -> Result<Option<Vec<f64>>, ParityError> {
        let Some(first) = self.root.get("first_batch")?.find("margin")? else {
            return Ok(None);
        };
        let first = first.vector()?;
        let rise = if first.len() > 1 {
            first[1] - first[0]
        } else {
            0.0
        };
        let rows = self.pairs.len();
        let repeating = |period: usize| -> Vec<f64> {
            (0..rows)
                .map(|row| first[0] + rise * (row % period) as f64)
                .collect()
        };
        if first.len() >= rows || self.batches.len() < 2 {
            return Ok(Some(repeating(rows)));
        }
        let logged = self.log(1)?.get("loss")?.number()?;
        let mut best = (f64::INFINITY, rows);
        for period in first.len()..=rows {
            let margins = repeating(period);
            let data = Judged {
                pairs: &self.pairs,
                gold_margins: Some(&margins),
            };
            let mut trainer = self.trainer(model);
            trainer.step(&self.batches[0], data);
            let loss = mean(&trainer.step(&self.batches[1], data).losses);
            if (loss - logged).abs() < best.0 {
                best = ((loss - logged).abs(), period);
            }
        }
        Ok(Some(repeating(best.1)))
    }
}

fn replay(directory: &Path, root: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    root.only(&[
        "start",
        "source",
        "config",
        "weight_decay_groups",
        "processed_rows",
        "first_batch",
        "init_weights_sha",
        "logs",
        "final_weights",
    ])?;
    let pairs: Vec<TokenPair> = root
        .get("processed_rows")?
        .items()?
        .iter()
        .map(pair)
        .collect::<Result<_, _>>()?;
    let margins = root.get("first_batch")?.find("margin")?.is_some();
    let arguments = TrainingArguments::read(&root.get("config")?)?;
    let recorded = Recorded {
        root,
        settings: settings(&root.get("config")?, &arguments, margins)?,
        batches: arguments.batches(pairs.len()),
        pairs,
    };

    let start = root.get("start")?;
    let load = checkpoint::load::<ScalarModel>(
        &directory.join(start.text()?),
        &golden_device().autodiff(),
    );
    let (model, architecture) = load.map_err(|error| start.unusable(error))?;
    let weights = |model: &ScalarModel| {
        checkpoint::tensors(model, &architecture).map_err(|error| start.unusable(error))
    };
    let digest = root.get("init_weights_sha")?;
    if weights_digest(&weights(&model)?) != digest.text()? {
        return Err(digest.unusable("the checkpoint holds other weights than the run started from"));
    }

    let margins = recorded.margins(&model)?;
    let data = Judged {
        pairs: &recorded.pairs,
        gold_margins: margins.as_deref(),
    };
    let mut trainer = recorded.trainer(&model);
    let (mut tokens, mut losses) = (0.0, Vec::new());
    let of_pass = recorded
        .pairs
        .len()
        .div_ceil(arguments.micro_batch * arguments.accumulation);
    for (step, taken) in recorded.batches.iter().enumerate() {
        let measured = trainer.step(taken, data);
        tokens += taken
            .iter()
            .map(|&row| trained_tokens(&recorded.pairs[row]))
            .sum::<f64>();
        losses.push(mean(&measured.losses));
        let epoch = (step + 1) as f64 / of_pass as f64;
        compare(
            &recorded.log(step)?,
            &measured,
            arguments.micro_batch,
            tokens,
            epoch,
            parity,
        )?;
    }
    let logs = root.get("logs")?.items()?;
    for summary in logs.iter().skip(recorded.batches.len()) {
        let mut compared = parity.case(subject("trajectory: logs", SOURCE, TOLERANCE), summary);
        compared.number(
            "train_loss",
            mean(&losses),
            summary.get("train_loss")?.number()?,
        );
    }
    let theirs = root.get("final_weights")?;
    theirs.only(&["sha256_of_sorted_name_and_f32_bytes", "tensors"])?;
    let mut compared = parity.case(
        subject("trajectory: final weights", SOURCE, TOLERANCE),
        &theirs,
    );
    compare_weights(
        &mut compared,
        &weights(trainer.model())?,
        &theirs.get("tensors")?,
    )
}

fn trained_tokens(pair: &TokenPair) -> f64 {
    (2 * pair.prompt.len() + pair.chosen.len() + pair.rejected.len()) as f64
}

/// One logged step; under accumulation TRL averages what its micro-batches measured.
fn compare(
    log: &Node<'_>,
    measured: &RewardUpdate,
    micro: usize,
    tokens: f64,
    epoch: f64,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    let Pair { chosen, rejected } = &measured.scores;
    let over_micro = |f: &dyn Fn(&[f64], &[f64]) -> f64| {
        let each: Vec<f64> = chosen
            .chunks(micro)
            .zip(rejected.chunks(micro))
            .map(|(c, r)| f(c, r))
            .collect();
        mean(&each)
    };
    let all = |c: &[f64], r: &[f64]| [c, r].concat();
    let mut compared = parity.case(subject("trajectory: logs", SOURCE, TOLERANCE), log);
    for key in log.keys()? {
        let ours = match key {
            "step" => continue,
            "loss" => mean(&measured.losses),
            "grad_norm" => measured.grad_norm,
            "learning_rate" => measured.learning_rate,
            "num_tokens" => tokens,
            "epoch" => epoch,
            "min_reward" => over_micro(&|c, r| all(c, r).into_iter().fold(f64::INFINITY, f64::min)),
            "mean_reward" => over_micro(&|c, r| mean(&all(c, r))),
            "max_reward" => {
                over_micro(&|c, r| all(c, r).into_iter().fold(f64::NEG_INFINITY, f64::max))
            }
            "accuracy" => over_micro(&|c, r| {
                c.iter()
                    .zip(r)
                    .filter(|(chosen, rejected)| chosen > rejected)
                    .count() as f64
                    / c.len() as f64
            }),
            "margin" => over_micro(&|c, r| mean(c) - mean(r)),
            other => return Err(log.unknown(other)),
        };
        compared.number(key, ours, log.get(key)?.number()?);
    }
    Ok(())
}
