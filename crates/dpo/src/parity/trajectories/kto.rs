//! Runs of TRL's KTO trainer.

use std::path::Path;

use burn::module::Module;
use preflab_config::{KlBaseline, Kto, Objective};
use preflab_data::TokenExample;
use preflab_training::parity::{Comparison, Node, Parity, ParityError};

use super::super::trl::ranged;
use super::{FOLLOWED, Run, compare_weights, ids, start, subject};
use crate::unpaired::{JudgedExamples, UnpairedMeasured, UnpairedTrainer, example_logps};

/// What a run of the KTO trainer may be configured with besides.
const OWN: &[&str] = &[
    "loss_type",
    "beta",
    "desirable_weight",
    "undesirable_weight",
];

pub(super) fn follow(
    table: &mut Parity,
    root: &Node<'_>,
    path: &Path,
    directory: &Path,
) -> Result<(), ParityError> {
    root.only(&[
        "start",
        "source",
        "config",
        "weight_decay_groups",
        "processed_rows",
        "init_weights_sha",
        "logs",
        "final_weights",
    ])?;
    let (policy, shape) = start(root, directory)?;
    let config = root.get("config")?;
    let run = Run::read(&config, OWN, objective)?;
    if run.accumulation != 1 {
        let node = config.get("gradient_accumulation_steps")?;
        return Err(
            node.unusable("TRL estimates the baseline of each micro-batch, we of the update")
        );
    }
    let mut examples = Vec::new();
    let mut wanted = Vec::new();
    for row in root.get("processed_rows")?.items()? {
        row.only(&["prompt_ids", "completion_ids", "label"])?;
        examples.push(TokenExample {
            prompt: ids(&row, "prompt_ids")?,
            completion: ids(&row, "completion_ids")?,
        });
        wanted.push(row.get("label")?.truth()?);
    }
    let (reference, _) = example_logps(&policy.valid(), &examples, run.micro, examples.len());
    let data = JudgedExamples {
        examples: &examples,
        wanted: &wanted,
        reference: &reference,
    };
    let order = run.order(root, examples.len())?;
    let mut trainer = UnpairedTrainer::new(policy, &run.settings, order.clone(), run.updates)
        .map_err(|error| config.unusable(error))?;

    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("trajectory {name}");
    let case = root.get("logs")?;
    let mut row = table.case(subject(&name, "TRL 1.16", FOLLOWED), &case);
    let logs = case.items()?;
    let mut read_tokens = 0;
    for (update, logged) in logs.iter().enumerate() {
        if logged.find("train_runtime")?.is_some() {
            continue;
        }
        let measured = trainer.update(update, data);
        let taken = order.update(update);
        read_tokens += taken.iter().map(|&i| examples[i].tokens()).sum::<usize>();
        compare_step(&mut row, logged, &measured, read_tokens)?;
    }
    if logs.len() < run.updates {
        return Err(case.unusable(format!("logs of {} updates expected", run.updates)));
    }
    compare_weights(&mut row, root, &trainer.policy().valid(), &shape)
}

fn compare_step(
    row: &mut Comparison<'_>,
    logged: &Node<'_>,
    measured: &UnpairedMeasured,
    read_tokens: usize,
) -> Result<(), ParityError> {
    logged.only(&[
        "step",
        "loss",
        "grad_norm",
        "learning_rate",
        "kl",
        "entropy",
        "num_tokens",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "logps/chosen",
        "logps/rejected",
        "epoch",
        // this trainer does not look at logits
        "logits/chosen",
        "logits/rejected",
    ])?;
    let step = logged.get("step")?.index()?;
    for (key, ours) in [
        ("loss", measured.loss()),
        ("grad_norm", measured.grad_norm),
        ("learning_rate", measured.learning_rate),
        ("entropy", measured.mean_entropy()),
        ("num_tokens", read_tokens as f64),
    ] {
        let theirs = logged.get(key)?.number()?;
        row.number(&format!("step {step}: {key}"), ours, theirs);
    }
    // a difference of log-probs of a few hundred nats, small by cancellation: it counts as at least 0.01
    let (ours, theirs) = (measured.kl.unwrap_or(0.0), logged.get("kl")?.number()?);
    row.error(
        &format!("step {step}: kl"),
        (ours - theirs).abs() / theirs.max(1e-2),
    );
    let rewards = measured.means(&measured.rewards);
    let logps = measured.means(&measured.logps);
    let margin = rewards.chosen.zip(rewards.rejected);
    for (key, ours) in [
        ("rewards/chosen", rewards.chosen),
        ("rewards/rejected", rewards.rejected),
        (
            "rewards/margins",
            margin.map(|(chosen, rejected)| chosen - rejected),
        ),
        ("logps/chosen", logps.chosen),
        ("logps/rejected", logps.rejected),
    ] {
        let theirs = logged.find(key)?.map(|node| node.number()).transpose()?;
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => row.number(&format!("step {step}: {key}"), ours, theirs),
            (None, None) => {}
            (_, _) => return Err(logged.unusable(format!("`{key}` is on one side alone"))),
        }
    }
    Ok(())
}

fn objective(config: &Node<'_>) -> Result<Objective, ParityError> {
    let loss = config.get("loss_type")?;
    let baseline = match loss.text()? {
        "kto" => KlBaseline::Unrelated,
        "apo_zero_unpaired" => KlBaseline::Zero,
        other => return Err(loss.unknown(other)),
    };
    let number = |key: &str| config.get(key)?.number();
    Ok(Objective::Kto(Kto {
        beta: ranged(config, number("beta")?)?,
        desirable_weight: ranged(config, number("desirable_weight")?)?,
        undesirable_weight: ranged(config, number("undesirable_weight")?)?,
        baseline,
    }))
}
