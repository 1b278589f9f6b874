//! Whole training runs of TRL's DPO and KTO trainers, followed step by step from the same checkpoint.

mod kto;

use std::path::{Path, PathBuf};

use burn::module::Module;
use preflab_config::{
    Count, DpoSettings, LdDpo, Momentum, NonNegative, Objective, OptimizerSettings, Positive,
    Schedule, Weighted, Wpo, WpoAlignment,
};
use preflab_data::TokenPair;
use preflab_training::Order;
use preflab_training::parity::{Comparison, GoldenFile, Node, Parity, ParityError, golden_device};
use preflab_transformer::CausalLm;
use preflab_transformer::checkpoint::{self, Config};
use sha2::{Digest, Sha256};

use super::rows::mean;
use super::subject;
use super::trl::{divergence, objective, ranged};
use crate::batch::ScoredPairs;
use crate::measured::Measured;
use crate::reference::reference_logps;
use crate::trainer::DpoTrainer;

/// A run of f32 arithmetic in another order than the reference's: 20 updates of Adam magnify rounding.
const FOLLOWED: f64 = 1e-4;

/// Every DPO run under `trajectories/` of the golden directory; runs of other trainers are compared elsewhere.
pub(super) fn compare(table: &mut Parity, directory: &Path) -> Result<(), ParityError> {
    let folder = directory.join("trajectories");
    if !folder.is_dir() {
        return Ok(());
    }
    let read = |source| ParityError::Read {
        path: folder.clone(),
        source,
    };
    let entries = std::fs::read_dir(&folder).map_err(read)?;
    let paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, _>>();
    let mut paths = paths.map_err(read)?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    for path in paths {
        let file = GoldenFile::open(&path)?;
        let root = file.root();
        // runs of PPO name a function, not a trainer
        let Some(trainer) = root.get("source")?.find("trainer")? else {
            continue;
        };
        match trainer.text()? {
            "DPOTrainer" => follow(table, &root, &path, directory)?,
            "KTOTrainer" => kto::follow(table, &root, &path, directory)?,
            "RewardTrainer" | "SFTTrainer" => {}
            other => return Err(trainer.unknown(other)),
        }
    }
    Ok(())
}

fn follow(
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
        "first_batch",
        "init_weights_sha",
        "logs",
        "final_weights",
    ])?;
    let (policy, shape) = start(root, directory)?;
    let run = Run::read(&root.get("config")?, OF_DPO, losses)?;
    let rows = pairs(root)?;
    let (reference, _) = reference_logps(&policy.valid(), &rows, rows.len());
    let data = ScoredPairs {
        pairs: &rows,
        reference: &reference,
        score_gaps: None,
    };
    let order = run.order(root, rows.len())?;
    let mut trainer = DpoTrainer::new(policy, &run.settings, order.clone(), run.updates);

    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("trajectory {name}");
    let case = root.get("logs")?;
    let mut row = table.case(subject(&name, "TRL 1.9", FOLLOWED), &case);
    let logs = case.items()?;
    let mut read_tokens = 0.0;
    for (update, logged) in logs.iter().enumerate() {
        if logged.find("train_runtime")?.is_some() {
            continue;
        }
        let taken = order.update(update);
        // TRL averages the statistics of micro-batches, whatever their number of tokens
        let parts: Vec<Measured> = taken
            .chunks(run.micro)
            .map(|micro| trainer.measure(micro, data))
            .collect();
        let measured = trainer.update(update, data, true);
        read_tokens += taken
            .iter()
            .map(|&i| 2 * rows[i].prompt.len() + rows[i].chosen.len() + rows[i].rejected.len())
            .sum::<usize>() as f64;
        compare_step(&mut row, logged, &measured, &parts, read_tokens)?;
    }
    if logs.len() < run.updates {
        return Err(case.unusable(format!("logs of {} updates expected", run.updates)));
    }
    compare_weights(&mut row, root, &trainer.policy().valid(), &shape)
}

/// The checkpoint that a run starts from.
fn start(root: &Node<'_>, directory: &Path) -> Result<(CausalLm, Config), ParityError> {
    let start = directory.join(root.get("start")?.text()?);
    let (policy, shape): (CausalLm, Config) =
        checkpoint::load(&start, &golden_device().autodiff()).map_err(|e| root.unusable(e))?;
    check_start(root, &policy.valid(), &shape)?;
    check_groups(root, &policy.valid(), &shape)?;
    Ok((policy, shape))
}

fn compare_step(
    row: &mut Comparison<'_>,
    logged: &Node<'_>,
    measured: &Measured,
    parts: &[Measured],
    read_tokens: f64,
) -> Result<(), ParityError> {
    logged.only(&[
        "step",
        "loss",
        "grad_norm",
        "learning_rate",
        "entropy",
        "num_tokens",
        "logits/chosen",
        "logits/rejected",
        "mean_token_accuracy",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/accuracies",
        "rewards/margins",
        "logps/chosen",
        "logps/rejected",
        "epoch",
    ])?;
    let over = |value: &dyn Fn(&Measured) -> f64| {
        let values: Vec<f64> = parts.iter().map(value).collect();
        mean(&values)
    };
    let logits = |measured: &Measured| {
        let logits = measured.logits.expect("logits were asked for");
        (logits.mean_logits(), logits.accuracy())
    };
    let rewards = measured.mean_rewards();
    let logps = measured.mean_logps();
    for (key, ours) in [
        ("loss", measured.loss()),
        ("grad_norm", measured.grad_norm),
        ("learning_rate", measured.learning_rate),
        ("entropy", over(&Measured::mean_entropy)),
        ("num_tokens", read_tokens),
        ("logits/chosen", over(&|m| logits(m).0.chosen)),
        ("logits/rejected", over(&|m| logits(m).0.rejected)),
        ("mean_token_accuracy", over(&|m| logits(m).1)),
        ("rewards/chosen", rewards.chosen),
        ("rewards/rejected", rewards.rejected),
        ("rewards/accuracies", measured.accuracy()),
        ("rewards/margins", rewards.chosen - rewards.rejected),
        ("logps/chosen", logps.chosen),
        ("logps/rejected", logps.rejected),
    ] {
        let theirs = logged.get(key)?.number()?;
        let step = logged.get("step")?.index()?;
        let what = format!("step {step}: {key}");
        if key.starts_with("logits/") {
            // a mean over logits of order 1 and either sign, small by cancellation: it counts as at least 1e-3
            row.error(&what, (ours - theirs).abs() / theirs.abs().max(1e-3));
        } else {
            row.number(&what, ours, theirs);
        }
    }
    Ok(())
}

/// The checkpoint is the one that the run started from: its tensors have the hash that the file names.
fn check_start(root: &Node<'_>, policy: &CausalLm, shape: &Config) -> Result<(), ParityError> {
    let mut hash = Sha256::new();
    for (name, (_, values)) in tensors(root, policy, shape)? {
        hash.update(name);
        values.iter().for_each(|x| hash.update(x.to_le_bytes()));
    }
    let ours: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let stated = root.get("init_weights_sha")?;
    if stated.text()? != ours {
        return Err(stated.unusable("the checkpoint has other weights"));
    }
    Ok(())
}

fn tensors(
    root: &Node<'_>,
    policy: &CausalLm,
    shape: &Config,
) -> Result<preflab_training::parity::Weights, ParityError> {
    checkpoint::tensors(policy, shape).map_err(|error| root.unusable(error))
}

/// Exactly the matrices are decayed.
fn check_groups(root: &Node<'_>, policy: &CausalLm, shape: &Config) -> Result<(), ParityError> {
    let tensors = tensors(root, policy, shape)?;
    let decay = root.get("config")?.get("weight_decay")?.number()?;
    for group in root.get("weight_decay_groups")?.items()? {
        group.only(&["weight_decay", "params"])?;
        let decayed = group.get("weight_decay")?.number()? != 0.0;
        for parameter in group.get("params")?.items()? {
            let name = parameter.text()?;
            let matrix = tensors.get(name).map(|(shape, _)| shape.len() >= 2);
            if matrix != Some(decayed || (decay == 0.0 && matrix == Some(true))) {
                return Err(parameter.unusable("decayed against our rule, or not in the model"));
            }
        }
    }
    Ok(())
}

fn compare_weights(
    row: &mut Comparison<'_>,
    root: &Node<'_>,
    policy: &CausalLm,
    shape: &Config,
) -> Result<(), ParityError> {
    let weights = root.get("final_weights")?;
    // the hash is that of the last bit of each weight, which another order of summation does not keep
    weights.only(&["sha256_of_sorted_name_and_f32_bytes", "tensors"])?;
    let stated = weights.get("tensors")?;
    let ours = tensors(root, policy, shape)?;
    let names = stated.keys()?;
    if names != ours.keys().map(String::as_str).collect::<Vec<_>>() {
        return Err(stated.unusable("the model has other tensors"));
    }
    for name in names {
        let figures = stated.get(name)?;
        figures.only(&["shape", "sum", "sumsq", "first4"])?;
        let (shape, values) = &ours[name];
        if figures.get("shape")?.indices()? != *shape {
            return Err(figures.unusable("the tensor has another shape"));
        }
        let values: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        let squares: f64 = values.iter().map(|x| x * x).sum();
        // a sum of numbers of either sign is small by cancellation: it counts as at least the size of its random walk
        let size = figures.get("sumsq")?.number()?.sqrt();
        let sum = figures.get("sum")?.number()?;
        let error = (values.iter().sum::<f64>() - sum).abs() / sum.abs().max(size);
        row.error(&format!("{name}: sum"), error);
        row.number(
            &format!("{name}: sumsq"),
            squares,
            figures.get("sumsq")?.number()?,
        );
        let first = figures.get("first4")?.vector()?;
        let scale = size / (values.len() as f64).sqrt();
        for (a, b) in values.iter().zip(&first) {
            row.error(
                &format!("{name}: first4"),
                (a - b).abs() / b.abs().max(scale),
            );
        }
    }
    Ok(())
}

/// Token ids.
fn ids(row: &Node<'_>, key: &str) -> Result<Vec<u32>, ParityError> {
    let ids = row.get(key)?.indices()?;
    Ok(ids.into_iter().map(|id| id as u32).collect())
}

fn pairs(root: &Node<'_>) -> Result<Vec<TokenPair>, ParityError> {
    let rows = root.get("processed_rows")?.items()?;
    let read = |row: &Node<'_>| -> Result<TokenPair, ParityError> {
        row.only(&["prompt_ids", "chosen_ids", "rejected_ids"])?;
        Ok(TokenPair {
            prompt: ids(row, "prompt_ids")?,
            chosen: ids(row, "chosen_ids")?,
            rejected: ids(row, "rejected_ids")?,
        })
    };
    rows.iter().map(read).collect()
}

/// What every run may be configured with. Those that are not read below have no part in the arithmetic: the rows are
/// truncated and tokenised already, the model has no dropout.
const SHARED: &[&str] = &[
    "per_device_train_batch_size",
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "gradient_accumulation_steps",
    "average_tokens_across_devices",
    "max_grad_norm",
    "bf16",
    "fp16",
    "gradient_checkpointing",
    "logging_steps",
    "logging_first_step",
    "disable_tqdm",
    "report_to",
    "save_strategy",
    "seed",
    "data_seed",
    "use_cpu",
    "dataloader_num_workers",
    "disable_dropout",
    "max_length",
    "truncation_mode",
    "pad_to_multiple_of",
];

/// What a run of the DPO trainer may be configured with besides.
const OF_DPO: &[&str] = &[
    "loss_type",
    "loss_weights",
    "f_divergence_type",
    "f_alpha",
    "label_smoothing",
    "discopop_tau",
    "ld_alpha",
    "use_weighting",
    "beta",
];

struct Run {
    settings: DpoSettings,
    micro: usize,
    accumulation: usize,
    updates: usize,
}

impl Run {
    /// The settings of a run whose objective is read by `objective`, and the keys of which are `own`.
    fn read(
        config: &Node<'_>,
        own: &[&str],
        objective: fn(&Node<'_>) -> Result<Objective, ParityError>,
    ) -> Result<Self, ParityError> {
        config.only(&[SHARED, own].concat())?;
        let number = |key: &str| config.get(key)?.number();
        let is = |key: &str, expected: f64| -> Result<(), ParityError> {
            let node = config.get(key)?;
            let found = match node.value().as_bool() {
                Some(truth) => f64::from(u8::from(truth)),
                None => node.number()?,
            };
            if found == expected {
                Ok(())
            } else {
                Err(node.unusable(format!("only {expected} is comparable")))
            }
        };
        is("bf16", 0.0)?;
        is("fp16", 0.0)?;
        is("logging_steps", 1.0)?;
        let optimizer = config.get("optim")?;
        if optimizer.text()? != "adamw_torch" {
            return Err(optimizer.unknown(optimizer.text()?));
        }
        let schedule = config.get("lr_scheduler_type")?;
        let schedule = match schedule.text()? {
            "constant" | "constant_with_warmup" => Schedule::Constant,
            "linear" => Schedule::Linear,
            "cosine" => Schedule::Cosine,
            other => return Err(schedule.unknown(other)),
        };
        let micro = config.get("per_device_train_batch_size")?.index()?;
        let accumulation = config.get("gradient_accumulation_steps")?.index()?;
        let optimizer = OptimizerSettings {
            betas: [
                ranged::<Momentum>(config, number("adam_beta1")?)?,
                ranged::<Momentum>(config, number("adam_beta2")?)?,
            ],
            epsilon: ranged::<Positive>(config, number("adam_epsilon")?)?,
            weight_decay: ranged::<NonNegative>(config, number("weight_decay")?)?,
            max_grad_norm: ranged::<NonNegative>(config, number("max_grad_norm")?)?,
            schedule,
            warmup: config.get("warmup_steps")?.index()?,
            ..OptimizerSettings::with_learning_rate(number("learning_rate")?)
        };
        Ok(Self {
            settings: DpoSettings {
                objective: objective(config)?,
                batch_size: Count::of(micro * accumulation),
                micro_batch_size: Some(Count::of(micro)),
                optimizer,
            },
            micro,
            accumulation,
            updates: config.get("max_steps")?.index()?,
        })
    }

    /// The examples of each update, in the order of the data.
    fn order(&self, root: &Node<'_>, examples: usize) -> Result<Order, ParityError> {
        let batch_size = self.micro * self.accumulation;
        if !examples.is_multiple_of(batch_size) {
            return Err(root.unusable("a pass does not hold a whole number of updates"));
        }
        Ok(Order::Sequential {
            examples,
            batch_size,
        })
    }
}

/// The losses with their weights, each on reweighted log-probabilities and weighted itself where the run says so.
fn losses(config: &Node<'_>) -> Result<Objective, ParityError> {
    let names = config.get("loss_type")?.items()?;
    let divergence = divergence(config)?;
    let weights = match config.find("loss_weights")? {
        Some(weights) => weights.vector()?,
        None => vec![1.0; names.len()],
    };
    if weights.len() != names.len() {
        return Err(config.unusable("as many weights as losses expected"));
    }
    let alpha = config
        .find("ld_alpha")?
        .map(|alpha| alpha.number())
        .transpose()?;
    let weighting = match config.find("use_weighting")? {
        Some(weighting) => weighting.truth()?,
        None => false,
    };
    let mut terms = Vec::new();
    for (name, weight) in names.iter().zip(weights) {
        let mut term = objective(config, name.text()?, divergence)?;
        let likelihood = matches!(term, Objective::Sft(_));
        if let (Some(alpha), false) = (alpha, likelihood) {
            term = Objective::LdDpo(LdDpo {
                alpha: ranged(config, alpha)?,
                objective: Box::new(term),
            });
        }
        if weighting {
            term = Objective::Wpo(Wpo {
                alignment: WpoAlignment::Sampled,
                objective: Box::new(term),
            });
        }
        terms.push(Weighted {
            weight: ranged::<NonNegative>(config, weight)?,
            objective: term,
        });
    }
    Ok(Objective::Sum(terms))
}
