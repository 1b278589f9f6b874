//! TRL 1.9's whole DPO loss from logits: token log-probabilities, LD-DPO, WPO, the likelihood term and every logged metric.

use burn::tensor::{DType, Tensor};
use preflab_config::{LdDpo, NonNegative, Objective, Weighted, Wpo, WpoAlignment};
use preflab_data::Pair;
use preflab_training::parity::{Comparison, Node, Parity, ParityError};

use super::logits::{Logits, flat_gradient};
use super::rows::{each, mean, numbers};
use super::trl::{divergence, logged, objective, ranged};
use super::{EXACT, subject};
use crate::inputs::{Inputs, Logps};
use crate::objectives::ld_dpo::length_desensitised;
use crate::objectives::wpo::pair_weight;
use crate::objectives::{implicit_rewards, preference_loss};

/// `dpo_tokens.json`.
pub(super) fn compare(table: &mut Parity, root: &Node<'_>) -> Result<(), ParityError> {
    root.only(&["source", "inputs", "cases"])?;
    let inputs = root.get("inputs")?;
    inputs.only(&[
        "input_ids",
        "attention_mask",
        "completion_mask",
        "layout",
        "policy_logits",
        "ref_logits",
    ])?;
    let tokens: Vec<Vec<Option<usize>>> = inputs
        .get("input_ids")?
        .matrix()?
        .iter()
        .zip(inputs.get("completion_mask")?.mask()?)
        .map(|(ids, mask)| {
            let cell = |(&id, counts): (&f64, bool)| counts.then_some(id as usize);
            ids.iter().zip(mask).map(cell).collect()
        })
        .collect();
    let read_tokens: usize = inputs
        .get("attention_mask")?
        .mask()?
        .iter()
        .flatten()
        .filter(|&&read| read)
        .count();
    let policy = inputs.get("policy_logits")?.cube()?;
    let reference = Logits::new(&inputs.get("ref_logits")?.cube()?, &tokens, DType::F64);
    let reference = reference.logps().map(constant_logps);
    for case in root.get("cases")?.items()? {
        let logits = Logits::new(&policy, &tokens, DType::F64);
        let inputs = Inputs::new(logits.logps(), reference.clone());
        compare_case(table, &case, &logits, &inputs, read_tokens)?;
    }
    Ok(())
}

fn constant_logps(side: Logps) -> Logps {
    let mut side = side;
    side.sum = side.sum.inner();
    if let Some(terms) = &mut side.tokens {
        terms.logps = terms.logps.clone().inner();
    }
    side
}

fn compare_case(
    table: &mut Parity,
    case: &Node<'_>,
    logits: &Logits,
    inputs: &Inputs,
    read_tokens: usize,
) -> Result<(), ParityError> {
    case.only(&[
        "loss_types",
        "loss_weights",
        "beta",
        "ld_alpha",
        "use_weighting",
        "label_smoothing",
        "discopop_tau",
        "f_divergence_type",
        "f_alpha",
        "loss",
        "metrics",
        "grad_policy_logits",
    ])?;
    let names: Vec<&str> = case
        .get("loss_types")?
        .items()?
        .iter()
        .map(Node::text)
        .collect::<Result<_, _>>()?;
    let weights = case.get("loss_weights")?.vector()?;
    if weights.len() != names.len() {
        return Err(case.unusable("as many weights as losses expected"));
    }
    let alpha = case
        .find("ld_alpha")?
        .map(|node| node.number())
        .transpose()?;
    let weighting = case.get("use_weighting")?.truth()?;
    let mut terms = Vec::new();
    for (name, &weight) in names.iter().zip(&weights) {
        terms.push(Weighted {
            weight: ranged::<NonNegative>(case, weight)?,
            objective: term(case, name, alpha)?,
        });
    }
    let rewards = implicit_rewards(&terms[0].objective, inputs).map(numbers);
    let loss = total(terms, weighting, inputs);

    let name = format!(
        "{}{}{}, from logits",
        names.join(" + "),
        if alpha.is_some() { ", ld" } else { "" },
        if weighting { ", wpo" } else { "" },
    );
    let mut row = table.case(subject(&name, "TRL 1.9", EXACT), case);
    row.number(
        "loss",
        numbers(loss.clone())[0],
        case.get("loss")?.number()?,
    );
    let expected = flat_gradient(case, "grad_policy_logits")?;
    each(
        &mut row,
        "grad_policy_logits",
        &logits.gradient(&loss),
        &expected,
    );
    let shown = match alpha {
        Some(alpha) => length_desensitised(inputs, alpha),
        None => inputs.clone(),
    };
    let logps = shown.policy.as_ref().map(|side| numbers(side.sum.clone()));
    let metrics = case.get("metrics")?;
    logged(&mut row, &metrics, &rewards, &logps)?;
    statistics(&mut row, &metrics, logits, read_tokens)
}

/// One loss type, on log-probabilities reweighted by `ld_alpha`; the likelihood term is not.
fn term(case: &Node<'_>, name: &str, ld_alpha: Option<f64>) -> Result<Objective, ParityError> {
    let inner = objective(case, name, divergence(case)?)?;
    match (ld_alpha, &inner) {
        (None, _) | (_, Objective::Sft(_)) => Ok(inner),
        (Some(alpha), _) => Ok(Objective::LdDpo(LdDpo {
            alpha: ranged(case, alpha)?,
            objective: Box::new(inner),
        })),
    }
}

/// The mean over pairs of the weighted sum. TRL's weighting multiplies each pair with the *batch's* likelihood term, ours
/// with its own; the former is formed here.
fn total(terms: Vec<Weighted>, weighting: bool, inputs: &Inputs) -> Tensor<1> {
    if !weighting {
        return preference_loss(&Objective::Sum(terms), inputs).mean();
    }
    let alignment = WpoAlignment::Sampled;
    terms
        .into_iter()
        .map(|term| {
            let loss = match &term.objective {
                Objective::Sft(_) => {
                    preference_loss(&term.objective, inputs).mean()
                        * pair_weight(inputs, alignment).mean()
                }
                _ => {
                    let wpo = Objective::Wpo(Wpo {
                        alignment,
                        objective: Box::new(term.objective),
                    });
                    preference_loss(&wpo, inputs).mean()
                }
            };
            loss * term.weight.get()
        })
        .reduce(|sum, term| sum + term)
        .expect("a case has at least one loss")
}

fn statistics(
    row: &mut Comparison<'_>,
    metrics: &Node<'_>,
    logits: &Logits,
    read_tokens: usize,
) -> Result<(), ParityError> {
    let statistics = logits.statistics();
    let chosen = logits.chosen_tokens();
    let halves = |values: Tensor<1>| {
        let values = numbers(values);
        let (chosen, rejected) = values.split_at(chosen);
        Pair {
            chosen: mean(chosen),
            rejected: mean(rejected),
        }
    };
    let mean_logits = halves(statistics.mean_logit);
    for (key, ours) in [
        ("entropy", mean(&numbers(statistics.entropy))),
        ("num_tokens", read_tokens as f64),
        ("logits/chosen", mean_logits.chosen),
        ("logits/rejected", mean_logits.rejected),
    ] {
        row.number(key, ours, metrics.get(key)?.number()?);
    }
    // TRL divides two f32 counts
    let accuracy = halves(statistics.correct).chosen as f32;
    let theirs = metrics.get("mean_token_accuracy")?.number()? as f32;
    row.number("mean_token_accuracy", accuracy.into(), theirs.into());
    metrics.only(&[
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
    ])
}
