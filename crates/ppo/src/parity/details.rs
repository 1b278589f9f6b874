//! lm-human-preference-details and summarize_from_feedback_details, and where their Adam has its epsilon.
//!
//! Both divide variances by `n`. The first knows no padding; the second masks and places the score as TRL does.

use burn::tensor::Tensor;
use preflab_config::{
    Aggregation, NonNegative, PolicyLoss, Positive, RatioClip, ScorePosition, ValueClip,
};
use preflab_training::parity::{Node, Parity, ParityError};

use super::leaf::{self, constant, gradient, mask, number, padded, prefix_mask, prefixes};
use super::trl::{clipped_share, value_clipped_share};
use super::{EXACT, subject};
use crate::{
    Adam, Centre, EpsilonPlacement, Moments, PolicyBatch, Rows, SampledKl, Totals, Variance,
    aggregate, gae_rows, map_rows, policy_loss, token_rewards, value_loss, whitened, zip_rows,
};

pub(super) const ZIEGLER: &str = "lm-human-preference-details";
const STIENNON: &str = "summarize_from_feedback_details";

/// Whitened by the biased variance of all numbers.
fn whiten(rows: &Rows, centre: Centre) -> Rows {
    let moments = Moments::of_rows(rows, Variance::Biased);
    map_rows(rows, |x| whitened(x, &moments, centre))
}

/// How many tokens each completion has, how many steps get a reward, and where the score goes.
struct Shape {
    lengths: Vec<usize>,
    position: ScorePosition,
}

/// Rewards, GAE and losses of lm-human-preference-details.
pub(super) fn ziegler(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    let columns = file.get("ppo_inputs")?.get("logprobs")?.matrix()?;
    let shape = Shape {
        lengths: columns.iter().map(Vec::len).collect(),
        position: ScorePosition::LastToken,
    };
    update(file, case, &shape, ZIEGLER, parity)
}

/// Rewards, GAE and losses of summarize_from_feedback_details.
pub(super) fn stiennon(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    let last = file
        .get("ppo_inputs")?
        .get("sequence_lengths_index_of_last_token")?
        .indices()?;
    let lengths = last.into_iter().map(|index| index + 1).collect();
    update(
        file,
        case,
        &Shape {
            lengths,
            position: ScorePosition::AfterLastToken,
        },
        STIENNON,
        parity,
    )
}

fn update(
    file: &Node<'_>,
    case: &Node<'_>,
    shape: &Shape,
    source: &str,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&[
        "whiten_rewards",
        "kl_coef",
        "gamma",
        "lam",
        "cliprange",
        "cliprange_value",
        "vf_coef",
        "score_index",
        "rewards",
        "advantages",
        "returns",
        "loss",
        "pg_loss",
        "vf_loss",
        "pg_clipfrac",
        "pg_clipfrac_masked",
        "vf_clipfrac",
        "grad_new_logprobs",
        "grad_vpred",
    ])?;
    let inputs = file.get("ppo_inputs")?;
    let Shape { lengths, position } = shape;
    let whole = inputs.get("logprobs")?.matrix()?;
    let columns = whole.first().map_or(0, Vec::len);
    let old = prefixes(&whole, lengths);
    let reference = prefixes(&inputs.get("ref_logprobs")?.matrix()?, lengths);
    let kl = zip_rows(&old, &reference, |policy, reference| {
        SampledKl::K1.value(policy - reference)
    });
    let scores = inputs.get("scores")?.vector()?;
    let mut rewards = token_rewards(
        &kl,
        case.get("kl_coef")?.number()?,
        &scores,
        *position,
        columns,
    );
    let steps: Vec<usize> = rewards.iter().map(Vec::len).collect();
    if case.get("whiten_rewards")?.truth()? {
        rewards = whiten(&rewards, Centre::Keep);
    }
    let values = prefixes(&inputs.get("values")?.matrix()?, &steps);
    let (gamma, lambda) = (case.get("gamma")?.number()?, case.get("lam")?.number()?);
    let (advantages, returns) = gae_rows(&rewards, &values, gamma, lambda);
    let advantages = whiten(&prefixes(&advantages, lengths), Centre::Subtract);

    let clip = NonNegative::of(case.get("cliprange")?.number()?);
    let clipped = PolicyLoss::Clipped(RatioClip {
        low: clip,
        high: clip,
        dual: None,
    });
    let value_clip = ValueClip::Within(Positive::of(case.get("cliprange_value")?.number()?));
    let new = inputs.get("new_logprobs")?.matrix()?;
    let predicted = inputs.get("vpred")?.matrix()?;
    let (logps, predictions) = (leaf::leaf(&new), leaf::leaf(&predicted));
    let batch = PolicyBatch {
        logps: logps.clone(),
        old_logps: constant(&padded(&old, columns, 0.0)),
        advantages: constant(&padded(&advantages, columns, 0.0)),
        mask: mask(&prefix_mask(lengths, columns)),
    };
    let over = |losses: Tensor<2>, lengths: &[usize]| {
        let totals = Totals::of(lengths.iter().copied());
        aggregate(
            losses,
            mask(&prefix_mask(lengths, columns)),
            Aggregation::TokenMean,
            totals,
        )
    };
    let policy = over(policy_loss(clipped, &batch), lengths);
    let (old_values, targets) = (
        constant(&padded(&values, columns, 0.0)),
        constant(&padded(&returns, columns, 0.0)),
    );
    let value = over(
        value_loss(predictions.clone(), old_values, targets, value_clip),
        &steps,
    );
    let loss = policy.clone() + value.clone() * case.get("vf_coef")?.number()?;
    let gradients = loss.clone().backward();

    let mut compare = parity.case(subject("PPO update", source, EXACT), case);
    compare.matrix(
        "rewards",
        &padded(&rewards, columns, 0.0),
        &case.get("rewards")?.matrix()?,
    );
    compare.matrix(
        "advantages",
        &padded(&advantages, columns, 0.0),
        &case.get("advantages")?.matrix()?,
    );
    compare.matrix(
        "returns",
        &padded(&returns, columns, 0.0),
        &case.get("returns")?.matrix()?,
    );
    compare.number("loss", number(&loss), case.get("loss")?.number()?);
    compare.number("pg_loss", number(&policy), case.get("pg_loss")?.number()?);
    compare.number("vf_loss", number(&value), case.get("vf_loss")?.number()?);
    compare.matrix(
        "grad_new_logprobs",
        &gradient(&logps, &gradients),
        &case.get("grad_new_logprobs")?.matrix()?,
    );
    compare.matrix(
        "grad_vpred",
        &gradient(&predictions, &gradients),
        &case.get("grad_vpred")?.matrix()?,
    );
    let share = clipped_share(clipped, &prefixes(&new, lengths), &old, &advantages);
    for key in ["pg_clipfrac", "pg_clipfrac_masked"] {
        if let Some(theirs) = case.find(key)? {
            compare.number(key, share, theirs.number()?);
        }
    }
    let share = value_clipped_share(&prefixes(&predicted, &steps), &values, &returns, value_clip);
    compare.number("vf_clipfrac", share, case.get("vf_clipfrac")?.number()?);
    if let Some(theirs) = case.find("score_index")? {
        let ours: Vec<f64> = steps.iter().map(|&steps| steps as f64 - 1.0).collect();
        compare.vector("score_index", &ours, &theirs.vector()?);
    }
    Ok(())
}

/// `whiten` of lm-human-preference-details.
pub(super) fn whitening(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["shift_mean", "matrix", "out"])?;
    let name = case.get("matrix")?;
    let (section, key) = name
        .text()?
        .split_once('.')
        .ok_or_else(|| name.unknown("a name without a dot"))?;
    let matrix = file.get(section)?.get(key)?.matrix()?;
    let centre = if case.get("shift_mean")?.truth()? {
        Centre::Subtract
    } else {
        Centre::Keep
    };
    let mut compare = parity.case(subject("whitening", ZIEGLER, EXACT), case);
    compare.matrix("out", &whiten(&matrix, centre), &case.get("out")?.matrix()?);
    Ok(())
}

/// Adam with its epsilon in either place.
pub(super) fn adam(case: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    case.only(&[
        "optimizer",
        "lr",
        "eps",
        "betas",
        "init",
        "grads",
        "params_after",
    ])?;
    let name = case.get("optimizer")?;
    let (placement, source) = match name.text()? {
        "AdamTensorFlowStyle" => (EpsilonPlacement::Uncorrected, ZIEGLER),
        "torch.optim.Adam" => (EpsilonPlacement::Corrected, "PyTorch"),
        other => return Err(name.unknown(other)),
    };
    let betas = case.get("betas")?.vector()?;
    let mut parameters = case.get("init")?.vector()?;
    let (rate, epsilon) = (case.get("lr")?.number()?, case.get("eps")?.number()?);
    let mut adam = Adam::new(
        parameters.len(),
        rate,
        [betas[0], betas[1]],
        epsilon,
        placement,
    );
    let mut compare = parity.case(subject("Adam's epsilon", source, EXACT), case);
    for (gradients, theirs) in case
        .get("grads")?
        .matrix()?
        .iter()
        .zip(case.get("params_after")?.matrix()?)
    {
        adam.step(&mut parameters, gradients);
        compare.vector("params_after", &parameters, &theirs);
    }
    Ok(())
}
