//! TRL's `PPOTrainer` (1.9), from the processed rollout to the gradients of one micro-batch.
//!
//! Its quirks, followed here to compare every number: the score is one step after the last token; log-probs of padding are
//! filled with 1; entropy, ratio and approximate KL are averaged over padding too (ours never are: the sums over what
//! counts are divided by the number of cells instead).

use preflab_config::{
    Aggregation, KlControl, MissingEos, NonNegative, PolicyLoss, Positive, RatioClip,
    RewardShaping, ScorePosition, ValueClip, Whitening,
};
use preflab_training::parity::{Node, Parity, ParityError};

use super::leaf::{self, constant, gradient, mask, number, padded, prefix_mask, prefixes};
use super::{EXACT, SINGLE, subject};
use crate::{
    Centre, ClipCounts, KlController, Moments, PolicyBatch, Rows, SampledKl, ScoreShaper, Totals,
    Variance, aggregate, clip_counts, gae_rows, kept, map_rows, mean, mean_sum, policy_loss,
    token_rewards, value_is_clipped, value_loss, whiten, whitened, zip_rows,
};

const TRL: &str = "TRL 1.9 PPOTrainer";
/// What TRL fills the log-probs of padding with.
const INVALID_LOGPROB: f64 = 1.0;

/// The settings of a case.
struct Config {
    tolerance: f64,
    shaping: RewardShaping,
    estimator: SampledKl,
    kl_coef: f64,
    whiten_rewards: Whitening,
    gamma: f64,
    lambda: f64,
    clip: RatioClip,
    value_clip: ValueClip,
    value_coefficient: f64,
    temperature: f64,
}

impl Config {
    fn read(case: &Node<'_>) -> Result<Self, ParityError> {
        let node = case.get("config")?;
        node.only(&[
            "missing_eos_penalty",
            "kl_estimator",
            "kl_coef",
            "whiten_rewards",
            "gamma",
            "lam",
            "cliprange",
            "cliprange_value",
            "vf_coef",
            "temperature",
        ])?;
        let estimator = node.get("kl_estimator")?;
        let clip = NonNegative::of(node.get("cliprange")?.number()?);
        let penalty = node
            .find("missing_eos_penalty")?
            .map(|penalty| penalty.number())
            .transpose()?;
        let single = case.get("dtype")?.text()?.contains("32");
        Ok(Self {
            tolerance: if single { SINGLE } else { EXACT },
            shaping: RewardShaping {
                missing_eos: penalty.map(|penalty| MissingEos::Subtract(NonNegative::of(penalty))),
                ..RewardShaping::default()
            },
            estimator: match estimator.text()? {
                "k1" => SampledKl::K1,
                "k3" => SampledKl::K3,
                other => return Err(estimator.unknown(other)),
            },
            kl_coef: node.get("kl_coef")?.number()?,
            whiten_rewards: if node.get("whiten_rewards")?.truth()? {
                Whitening::KeepMean
            } else {
                Whitening::Off
            },
            gamma: node.get("gamma")?.number()?,
            lambda: node.get("lam")?.number()?,
            clip: RatioClip {
                low: clip,
                high: clip,
                dual: None,
            },
            value_clip: ValueClip::Within(Positive::of(node.get("cliprange_value")?.number()?)),
            value_coefficient: node.get("vf_coef")?.number()?,
            // TRL divides logits by the temperature plus this.
            temperature: node.get("temperature")?.number()? + 1e-7,
        })
    }
}

/// What the update needs of a rollout.
struct Experience {
    /// Tokens of each completion.
    lengths: Vec<usize>,
    /// Steps with a reward: one more where there is room.
    steps: Vec<usize>,
    columns: usize,
    old_logps: Rows,
    values: Rows,
    advantages: Rows,
    returns: Rows,
}

/// One case: rollout processing, then one micro-batch.
pub(super) fn update(case: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    case.only(&[
        "seed",
        "dtype",
        "pad_token_id",
        "eos_token_id",
        "context_length",
        "config",
        "inputs",
        "rollout",
        "update",
        "objective_metrics",
    ])?;
    let config = Config::read(case)?;
    let experience = rollout(case, &config, parity)?;
    minibatch(case, &config, &experience, parity)
}

fn rollout(
    case: &Node<'_>,
    config: &Config,
    parity: &mut Parity,
) -> Result<Experience, ParityError> {
    let (inputs, theirs) = (case.get("inputs")?, case.get("rollout")?);
    inputs.only(&[
        "queries",
        "responses",
        "logprobs",
        "ref_logprobs",
        "values",
        "scores",
    ])?;
    let (pad, eos) = (
        case.get("pad_token_id")?.index()?,
        case.get("eos_token_id")?.index()?,
    );
    let responses: Vec<Vec<usize>> = theirs
        .get("postprocessed_responses")?
        .items()?
        .iter()
        .map(Node::indices)
        .collect::<Result<_, _>>()?;
    let columns = responses.first().map_or(0, Vec::len);
    let lengths: Vec<usize> = (responses.iter())
        .map(|row| {
            row.iter()
                .position(|&token| token == pad)
                .unwrap_or(row.len())
        })
        .collect();
    let finished: Vec<bool> = responses.iter().map(|row| row.contains(&eos)).collect();

    let logps = prefixes(&inputs.get("logprobs")?.matrix()?, &lengths);
    let reference = prefixes(&inputs.get("ref_logprobs")?.matrix()?, &lengths);
    let kl = zip_rows(&logps, &reference, |policy, reference| {
        config.estimator.value(policy - reference)
    });
    let shaped = ScoreShaper::new(config.shaping).shape(
        &inputs.get("scores")?.vector()?,
        &lengths,
        &finished,
    );
    let rewards = token_rewards(
        &kl,
        config.kl_coef,
        &shaped.scores,
        ScorePosition::AfterLastToken,
        columns,
    );
    let rewards = whiten(&rewards, config.whiten_rewards);
    let steps: Vec<usize> = rewards.iter().map(Vec::len).collect();
    let values = prefixes(&inputs.get("values")?.matrix()?, &steps);
    let (advantages, returns) = gae_rows(&rewards, &values, config.gamma, config.lambda);
    let advantages = whiten(&prefixes(&advantages, &lengths), Whitening::Centre);
    let penalty = map_rows(&kl, |kl| -config.kl_coef * kl);

    let mut compare = parity.case(
        subject("rewards, GAE, whitening", TRL, config.tolerance),
        &theirs,
    );
    for key in theirs.keys()? {
        let node = theirs.get(key)?;
        match key {
            "postprocessed_responses" => {}
            "sequence_lengths" => {
                let last: Vec<f64> = lengths.iter().map(|&length| length as f64 - 1.0).collect();
                compare.vector(key, &last, &node.vector()?);
            }
            "sequence_lengths_p1" => {
                let ours: Vec<f64> = lengths.iter().map(|&length| length as f64).collect();
                compare.vector(key, &ours, &node.vector()?);
            }
            "actual_end" => {
                let ours: Vec<f64> = steps.iter().map(|&steps| steps as f64 - 1.0).collect();
                compare.vector(key, &ours, &node.vector()?);
            }
            "contain_eos_token" => {
                let theirs: Vec<bool> = node
                    .items()?
                    .iter()
                    .map(Node::truth)
                    .collect::<Result<_, _>>()?;
                compare.number(key, f64::from(u8::from(theirs != finished)), 0.0);
            }
            "padding_mask" | "padding_mask_p1" => {
                let real = if key == "padding_mask" {
                    &lengths
                } else {
                    &steps
                };
                let hidden: Vec<Vec<bool>> = prefix_mask(real, columns)
                    .into_iter()
                    .map(|row| row.into_iter().map(|x| !x).collect())
                    .collect();
                compare.number(key, f64::from(u8::from(node.mask()? != hidden)), 0.0);
            }
            "scores" => compare.vector(key, &shaped.scores, &node.vector()?),
            "logprobs" => compare.matrix(
                key,
                &padded(&logps, columns, INVALID_LOGPROB),
                &node.matrix()?,
            ),
            "ref_logprobs" => compare.matrix(
                key,
                &padded(&reference, columns, INVALID_LOGPROB),
                &node.matrix()?,
            ),
            "values" => compare.matrix(key, &padded(&values, columns, 0.0), &node.matrix()?),
            "kl" => compare.matrix(key, &padded(&kl, columns, 0.0), &node.matrix()?),
            "non_score_reward" => {
                compare.matrix(key, &padded(&penalty, columns, 0.0), &node.matrix()?)
            }
            "rewards" => compare.matrix(key, &padded(&rewards, columns, 0.0), &node.matrix()?),
            "advantages" => {
                compare.matrix(key, &padded(&advantages, columns, 0.0), &node.matrix()?)
            }
            "returns" => compare.matrix(key, &padded(&returns, columns, 0.0), &node.matrix()?),
            other => return Err(theirs.unknown(other)),
        }
    }

    let theirs = case.get("objective_metrics")?;
    let padding = lengths
        .iter()
        .map(|&length| (columns - length) as f64)
        .sum::<f64>()
        / lengths.len() as f64;
    let mut compare = parity.case(subject("objective/*", TRL, config.tolerance), &theirs);
    for key in theirs.keys()? {
        let ours = match key {
            "mean_kl" => mean_sum(&kl),
            "mean_entropy" => -mean_sum(&logps) - INVALID_LOGPROB * padding,
            "mean_non_score_reward" => mean_sum(&penalty),
            "rlhf_reward" => mean_sum(&penalty) + mean(std::slice::from_ref(&shaped.scores)),
            other => return Err(theirs.unknown(other)),
        };
        compare.number(key, ours, theirs.get(key)?.number()?);
    }
    Ok(Experience {
        lengths,
        steps,
        columns,
        old_logps: logps,
        values,
        advantages,
        returns,
    })
}

fn minibatch(
    case: &Node<'_>,
    config: &Config,
    experience: &Experience,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    let theirs = case.get("update")?;
    let inputs = theirs.get("inputs")?;
    inputs.only(&["logits_resp", "vpred_resp"])?;
    let Experience {
        lengths,
        steps,
        columns,
        old_logps,
        values,
        advantages,
        returns,
    } = experience;
    let (rows, columns) = (lengths.len(), *columns);
    let tokens: Vec<Vec<usize>> = case
        .get("inputs")?
        .get("responses")?
        .items()?
        .iter()
        .map(Node::indices)
        .collect::<Result<_, _>>()?;

    let logits = leaf::leaf(&inputs.get("logits_resp")?.cube()?.concat());
    let value_predictions = leaf::leaf(&inputs.get("vpred_resp")?.matrix()?);
    let logps = leaf::token_logps(logits.clone(), &tokens.concat(), config.temperature)
        .reshape([rows, columns]);
    let policy_mask = prefix_mask(lengths, columns);
    let batch = PolicyBatch {
        logps: logps.clone(),
        old_logps: constant(&padded(old_logps, columns, 0.0)),
        advantages: constant(&padded(advantages, columns, 0.0)),
        mask: mask(&policy_mask),
    };
    let clipped = PolicyLoss::Clipped(config.clip);
    let mean_over = Aggregation::TokenMean;
    let totals = Totals::of(lengths.iter().copied());
    let policy = aggregate(
        policy_loss(clipped, &batch),
        batch.mask.clone(),
        mean_over,
        totals,
    );
    let value_losses = value_loss(
        value_predictions.clone(),
        constant(&padded(values, columns, 0.0)),
        constant(&padded(returns, columns, 0.0)),
        config.value_clip,
    );
    let value_totals = Totals::of(steps.iter().copied());
    let value = aggregate(
        value_losses,
        mask(&prefix_mask(steps, columns)),
        mean_over,
        value_totals,
    );
    let loss = policy.clone() + value.clone() * config.value_coefficient;
    let gradients = loss.clone().backward();

    let new_logps = kept(&leaf::rows(logps.inner()), &policy_mask);
    let predictions = kept(
        &leaf::rows(value_predictions.clone().inner()),
        &prefix_mask(steps, columns),
    );
    let ratios = zip_rows(&new_logps, old_logps, |new, old| (new - old).exp());
    let entropy =
        crate::entropy(logits.clone().inner(), config.temperature).reshape([rows, columns]);

    let mut compare = parity.case(
        subject("clipped policy and value loss", TRL, config.tolerance),
        &theirs,
    );
    for key in theirs.keys()? {
        let node = theirs.get(key)?;
        match key {
            "inputs" => {}
            "loss" => compare.number(key, number(&loss), node.number()?),
            "new_logprobs" => compare.matrix(
                key,
                &padded(&new_logps, columns, INVALID_LOGPROB),
                &node.matrix()?,
            ),
            "ratio" => compare.matrix(key, &padded(&ratios, columns, 1.0), &node.matrix()?),
            "grad_logits_resp" => {
                compare.matrix(key, &gradient(&logits, &gradients), &node.cube()?.concat())
            }
            "grad_vpred_resp" => compare.matrix(
                key,
                &gradient(&value_predictions, &gradients),
                &node.matrix()?,
            ),
            "stats" => {
                for key in node.keys()? {
                    let cells = (rows * columns) as f64;
                    let real = lengths.iter().sum::<usize>() as f64;
                    let ours = match key {
                        "pg_loss_stats" => number(&policy),
                        "vf_loss_stats" => number(&value),
                        "pg_clipfrac_stats" => {
                            clipped_share(clipped, &new_logps, old_logps, advantages)
                        }
                        "vf_clipfrac_stats" => {
                            value_clipped_share(&predictions, values, returns, config.value_clip)
                        }
                        // Over all cells, padding counting as 0, as 1 and as it comes.
                        "approxkl_stats" => {
                            let squares = zip_rows(&new_logps, old_logps, |new, old| {
                                SampledKl::K2.value(new - old)
                            });
                            mean(&squares) * real / cells
                        }
                        "ratio_stats" => (mean(&ratios) * real + cells - real) / cells,
                        "entropy_stats" => mean(&leaf::rows(entropy.clone())),
                        other => return Err(node.unknown(other)),
                    };
                    compare.number(key, ours, node.get(key)?.number()?);
                }
            }
            other => return Err(theirs.unknown(other)),
        }
    }
    Ok(())
}

/// Share of tokens whose clipped policy term is the larger loss.
pub(super) fn clipped_share(
    loss: PolicyLoss,
    logps: &Rows,
    old_logps: &Rows,
    advantages: &Rows,
) -> f64 {
    let counts = logps.iter().zip(old_logps).zip(advantages);
    let clipped: f64 = counts
        .map(|((new, old), advantages)| clip_counts(loss, new, old, advantages))
        .map(|ClipCounts { clipped, .. }| clipped)
        .sum();
    clipped / logps.iter().map(Vec::len).sum::<usize>() as f64
}

/// Share of tokens whose clipped value term is the larger loss.
pub(super) fn value_clipped_share(
    values: &Rows,
    old_values: &Rows,
    returns: &Rows,
    clip: ValueClip,
) -> f64 {
    let cells = values
        .iter()
        .flatten()
        .zip(old_values.iter().flatten())
        .zip(returns.iter().flatten());
    let clipped: Vec<f64> = cells
        .map(|((&value, &old), &target)| {
            f64::from(u8::from(value_is_clipped(value, old, target, clip)))
        })
        .collect();
    mean(&[clipped])
}

/// `masked_mean`, `masked_var`, `masked_whiten`.
pub(super) fn helpers(case: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    let (values, counts) = (case.get("values")?.matrix()?, case.get("mask")?.mask()?);
    let rows = kept(&values, &counts);
    let unbiased = Moments::of_rows(&rows, Variance::Unbiased);
    let whiten_all = |centre| map_rows(&values, |x| whitened(x, &unbiased, centre));
    let mut compare = parity.case(
        subject("masked mean, variance, whitening", TRL, EXACT),
        case,
    );
    for key in case.keys()? {
        let node = case.get(key)?;
        match key {
            "values" | "mask" => {}
            "masked_mean" => compare.number(key, mean(&rows), node.number()?),
            "masked_mean_axis1" => {
                let ours: Vec<f64> = rows
                    .iter()
                    .map(|row| mean(std::slice::from_ref(row)))
                    .collect();
                compare.vector(key, &ours, &node.vector()?);
            }
            "masked_var_unbiased" => compare.number(key, unbiased.variance, node.number()?),
            "masked_var_biased" => {
                compare.number(
                    key,
                    Moments::of_rows(&rows, Variance::Biased).variance,
                    node.number()?,
                );
            }
            "masked_whiten_shift" => {
                compare.matrix(key, &whiten_all(Centre::Subtract), &node.matrix()?)
            }
            "masked_whiten_noshift" => {
                compare.matrix(key, &whiten_all(Centre::Keep), &node.matrix()?)
            }
            other => return Err(case.unknown(other)),
        }
    }
    Ok(())
}

/// `AdaptiveKLController` of TRL 0.11.
pub(super) fn adaptive_kl(case: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    case.only(&["init_kl_coef", "target", "horizon", "trace"])?;
    let mut controller = KlController::new(KlControl::Adaptive(preflab_config::AdaptiveKl {
        initial: Positive::of(case.get("init_kl_coef")?.number()?),
        target: Positive::of(case.get("target")?.number()?),
        horizon: Positive::of(case.get("horizon")?.number()?),
    }));
    let mut compare = parity.case(subject("adaptive KL", "TRL 0.11", EXACT), case);
    for step in case.get("trace")?.items()? {
        step.only(&["current", "n_steps", "value"])?;
        controller.update(
            step.get("current")?.number()?,
            step.get("n_steps")?.index()?,
        );
        compare.number(step.at(), controller.weight(), step.get("value")?.number()?);
    }
    Ok(())
}
