//! Runs of TRL's `SFTTrainer`, step for step, in 32-bit floats on both sides.
//!
//! Logged numbers may differ by 1e-4 (relative): 20 updates of a model whose gradients pass through other kernels, where
//! Adam divides small numbers by small numbers.

use std::path::Path;

use preflab_config::{Count, SftSettings};
use preflab_data::TokenExample;
use preflab_transformer::parity::golden_device;
use preflab_transformer::{CausalLm, checkpoint};

use super::{
    GoldenFile, Node, Parity, ParityError, ParityRow, Subject, TrainingArguments, compare_weights,
    weights_digest,
};
use crate::{Order, SftTrainer, SftUpdate};

const TOLERANCE: f64 = 1e-4;
/// Trainers whose runs other crates compare.
const ELSEWHERE: [&str; 4] = ["DPOTrainer", "RewardTrainer", "PPOTrainer", "KTOTrainer"];

/// Compares with every recorded run of `directory/trajectories`.
///
/// # Errors
/// If a file cannot be read or holds something unknown.
pub fn run(directory: &Path) -> Result<Vec<ParityRow>, ParityError> {
    let mut parity = Parity::new();
    for file in GoldenFile::all_in(&directory.join("trajectories"))? {
        let root = file.root();
        let Some(trainer) = root.get("source")?.find("trainer")? else {
            continue;
        };
        match trainer.text()? {
            "SFTTrainer" => replay(directory, &root, &mut parity)?,
            elsewhere if ELSEWHERE.contains(&elsewhere) => {}
            other => return Err(trainer.unknown(other)),
        }
    }
    Ok(parity.into_rows())
}

fn subject(objective: &str) -> Subject<'_> {
    Subject {
        family: "SFT",
        objective,
        source: "TRL SFTTrainer",
        tolerance: TOLERANCE,
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
    let rows = root.get("processed_rows")?.items()?;
    let examples: Vec<TokenExample> = rows.iter().map(example).collect::<Result<_, _>>()?;
    let arguments = TrainingArguments::read(&root.get("config")?)?;

    let start = root.get("start")?;
    let load =
        checkpoint::load::<CausalLm>(&directory.join(start.text()?), &golden_device().autodiff());
    let (policy, config) = load.map_err(|error| start.unusable(error))?;
    let weights = |policy: &CausalLm| {
        checkpoint::tensors(policy, &config).map_err(|error| start.unusable(error))
    };
    let digest = root.get("init_weights_sha")?;
    if weights_digest(&weights(&policy)?) != digest.text()? {
        return Err(digest.unusable("the checkpoint holds other weights than the run started from"));
    }

    let batch = arguments.micro_batch * arguments.accumulation;
    let settings = SftSettings {
        epochs: Count::of(arguments.steps),
        batch_size: Count::of(batch),
        micro_batch_size: Some(Count::of(arguments.micro_batch)),
        max_updates: Some(Count::of(arguments.steps)),
        on_prompts: false,
        optimizer: arguments.optimizer,
    };
    let order = Order::Sequential {
        examples: examples.len(),
        batch_size: batch,
    };
    let mut trainer = SftTrainer::new(policy, &settings, order, examples.len());
    let logs = root.get("logs")?.items()?;
    let (mut tokens, mut losses) = (0, 0.0);
    for (step, taken) in arguments.batches(examples.len()).into_iter().enumerate() {
        let Some(log) = logs.get(step) else {
            return Err(root.unusable(format!("step {} is not logged", step + 1)));
        };
        let rows: Vec<&TokenExample> = taken.iter().map(|&row| &examples[row]).collect();
        let measured = trainer.step(&rows, true);
        tokens += rows.iter().map(|row| row.tokens()).sum::<usize>();
        losses += measured.loss;
        let epoch = (step + 1) as f64 / examples.len().div_ceil(batch) as f64;
        compare(log, &measured, tokens, epoch, parity)?;
    }
    for summary in logs.iter().skip(arguments.steps) {
        let mut compared = parity.case(subject("trajectory: logs"), summary);
        let theirs = summary.get("train_loss")?.number()?;
        compared.number("train_loss", losses / arguments.steps as f64, theirs);
    }
    let theirs = root.get("final_weights")?;
    theirs.only(&["sha256_of_sorted_name_and_f32_bytes", "tensors"])?;
    let mut compared = parity.case(subject("trajectory: final weights"), &theirs);
    compare_weights(
        &mut compared,
        &weights(trainer.policy())?,
        &theirs.get("tensors")?,
    )
}

/// A row of token ids with labels: the completion is what has a label.
fn example(row: &Node<'_>) -> Result<TokenExample, ParityError> {
    row.only(&["input_ids", "labels"])?;
    let token =
        |id: f64| u32::try_from(id as i64).map_err(|_| row.unusable(format!("{id} is no token")));
    let ids = row.get("input_ids")?.vector()?;
    let labels = row.get("labels")?.vector()?;
    let prompt = labels.iter().take_while(|&&label| label == -100.0).count();
    if prompt == 0 || labels[prompt..] != ids[prompt..] {
        return Err(row.unusable("expected a prompt without labels and a completion with its own"));
    }
    let tokens = |ids: &[f64]| {
        ids.iter()
            .map(|&id| token(id))
            .collect::<Result<Vec<u32>, _>>()
    };
    Ok(TokenExample {
        prompt: tokens(&ids[..prompt])?,
        completion: tokens(&ids[prompt..])?,
    })
}

fn compare(
    log: &Node<'_>,
    measured: &SftUpdate,
    tokens: usize,
    epoch: f64,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    let mut compared = parity.case(subject("trajectory: logs"), log);
    for key in log.keys()? {
        let ours = match key {
            "step" => continue,
            "loss" => measured.loss,
            "grad_norm" => measured.grad_norm,
            "learning_rate" => measured.learning_rate,
            "entropy" => measured.entropy,
            "num_tokens" => tokens as f64,
            "mean_token_accuracy" => measured.accuracy.unwrap_or(f64::NAN),
            "epoch" => epoch,
            other => return Err(log.unknown(other)),
        };
        compared.number(key, ours, log.get(key)?.number()?);
    }
    Ok(())
}
