//! verl's KL penalty, rewards, aggregation, value loss, entropy and whitening.

use burn::tensor::Tensor;
use preflab_config::{
    AdaptiveKl, Aggregation, Count, KlControl, KlGradient, Positive, ScorePosition, ValueClip,
};
use preflab_training::parity::{Node, Parity, ParityError};

use super::leaf::{self, constant, gradient, mask, number};
use super::trl::value_clipped_share;
use super::{EXACT, subject};
use crate::{
    Centre, KlBounds, KlController, Moments, Rows, SampledKl, Totals, Variance, aggregate, kept,
    kl_terms, map_rows, token_rewards, value_loss, whitened, zip_rows,
};

pub(super) const VERL: &str = "verl";

/// A named aggregation over a matrix of `columns`; `length` is what `seq-mean-token-sum-norm` divides by, if given.
pub(super) fn mode(
    node: &Node<'_>,
    columns: usize,
    length: Option<usize>,
) -> Result<Aggregation, ParityError> {
    Ok(match node.text()? {
        "token-mean" => Aggregation::TokenMean,
        "token-sum" => Aggregation::TokenSum,
        "seq-mean-token-sum" => Aggregation::SequenceMeanTokenSum,
        "seq-mean-token-mean" => Aggregation::SequenceMeanTokenMean,
        "seq-mean-token-sum-norm" => {
            Aggregation::SequenceMeanTokenSumNorm(Count::of(length.unwrap_or(columns)))
        }
        other => return Err(node.unknown(other)),
    })
}

/// The aggregated loss and how many tokens and completions it is over.
pub(super) fn aggregated(
    losses: Tensor<2>,
    counts: &[Vec<bool>],
    aggregation: Aggregation,
) -> Tensor<1> {
    let totals = Totals::of(
        counts
            .iter()
            .map(|row| row.iter().filter(|&&counts| counts).count()),
    );
    aggregate(losses, mask(counts), aggregation, totals)
}

/// A matrix that a case names in words, e.g. `policy_inputs.advantages`.
fn named(file: &Node<'_>, name: &Node<'_>) -> Result<Rows, ParityError> {
    match name.text()?.split_once('.') {
        Some((section, key)) => file.get(section)?.get(key)?.matrix(),
        None => Err(name.unknown(name.text()?)),
    }
}

/// `kl_penalty`: value and gradient.
pub(super) fn kl_penalty(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["kind", "kl", "grad_logprob_of_weighted_sum"])?;
    let kind = case.get("kind")?;
    let name = kind.text()?;
    let (base, through) = match name.strip_suffix('+') {
        Some(base) => (base, KlGradient::StraightThrough),
        None => (name, KlGradient::Own),
    };
    let estimator = match base {
        "kl" | "k1" => SampledKl::K1,
        "abs" => SampledKl::Abs,
        "mse" | "k2" => SampledKl::K2,
        "low_var_kl" | "k3" => SampledKl::K3,
        other => return Err(kind.unknown(other)),
    };
    let inputs = file.get("policy_inputs")?;
    let logps = leaf::leaf(&inputs.get("log_prob")?.matrix()?);
    let reference = constant(&inputs.get("old_log_prob")?.matrix()?);
    let terms = kl_terms(logps.clone(), reference, estimator, through, KlBounds::VERL);
    let values = leaf::rows(terms.clone().inner());
    let gradients = (terms * constant(&file.get("kl_weights")?.matrix()?))
        .sum()
        .backward();
    let mut compare = parity.case(subject("KL estimators", VERL, EXACT), case);
    compare.matrix("kl", &values, &case.get("kl")?.matrix()?);
    let theirs = case.get("grad_logprob_of_weighted_sum")?.matrix()?;
    compare.matrix("grad", &gradient(&logps, &gradients), &theirs);
    Ok(())
}

/// `compute_rewards`.
pub(super) fn rewards(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&[
        "kl_ratio",
        "rewards",
        "token_level_scores",
        "old_log_prob",
        "ref_log_prob",
    ])?;
    let described = [
        ("token_level_scores", "adv_inputs.token_level_rewards[:6]"),
        ("old_log_prob", "policy_inputs.old_log_prob[:, :8]"),
        (
            "ref_log_prob",
            "clamp(policy_inputs.log_prob[:, :8], -6, 0)",
        ),
    ];
    for (key, description) in described {
        let node = case.get(key)?;
        if node.text()? != description {
            return Err(node.unknown(node.text()?));
        }
    }
    let cut = |rows: Rows| -> Rows {
        rows.into_iter()
            .take(6)
            .map(|row| row.into_iter().take(8).collect())
            .collect()
    };
    let policy = cut(file.get("policy_inputs")?.get("old_log_prob")?.matrix()?);
    let reference = map_rows(
        &cut(file.get("policy_inputs")?.get("log_prob")?.matrix()?),
        |x| x.clamp(-6.0, 0.0),
    );
    let scores = cut(file
        .get("adv_inputs")?
        .get("token_level_rewards")?
        .matrix()?);
    let kl = zip_rows(&policy, &reference, |policy, reference| {
        SampledKl::K1.value(policy - reference)
    });
    let beta = case.get("kl_ratio")?.number()?;
    let none = vec![0.0; kl.len()];
    let penalties = token_rewards(&kl, beta, &none, ScorePosition::LastToken, kl[0].len());
    let ours = zip_rows(&penalties, &scores, |penalty, score| penalty + score);
    let mut compare = parity.case(subject("KL-penalised rewards", VERL, EXACT), case);
    compare.matrix("rewards", &ours, &case.get("rewards")?.matrix()?);
    Ok(())
}

/// `agg_loss`, alone and as one of several data-parallel ranks with totals given.
pub(super) fn aggregation(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["mode", "matrix", "loss", "loss_dp2", "dp2_args"])?;
    let matrix = named(file, &case.get("matrix")?)?;
    let counts = leaf::truth(&file.get("policy_inputs")?.get("response_mask")?.matrix()?);
    let columns = matrix.first().map_or(0, Vec::len);
    let name = case.get("mode")?;
    let whole = aggregated(constant(&matrix), &counts, mode(&name, columns, None)?);
    let mut compare = parity.case(subject("loss aggregation", VERL, EXACT), case);
    compare.number("loss", number(&whole), case.get("loss")?.number()?);
    if let Some(theirs) = case.find("loss_dp2")? {
        let given = case.get("dp2_args")?;
        given.only(&[
            "dp_size",
            "batch_num_tokens",
            "global_batch_size",
            "loss_scale_factor",
        ])?;
        let totals = Totals {
            tokens: given.get("batch_num_tokens")?.number()?,
            sequences: given.get("global_batch_size")?.number()?,
        };
        let length = given
            .find("loss_scale_factor")?
            .map(|length| length.index())
            .transpose()?;
        let share = aggregate(
            constant(&matrix),
            mask(&counts),
            mode(&name, columns, length)?,
            totals,
        );
        // The ranks' gradients are averaged, so each is scaled up by their number.
        compare.number(
            "loss_dp2",
            number(&share) * given.get("dp_size")?.number()?,
            theirs.number()?,
        );
    }
    Ok(())
}

/// `compute_value_loss`.
pub(super) fn value(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["cliprange_value", "agg", "loss", "clipfrac", "grad_vpreds"])?;
    let inputs = file.get("policy_inputs")?;
    let counts = leaf::truth(&inputs.get("response_mask")?.matrix()?);
    let (values, old, returns) = (
        inputs.get("vpreds")?.matrix()?,
        inputs.get("values")?.matrix()?,
        inputs.get("returns")?.matrix()?,
    );
    let clip = ValueClip::Within(Positive::of(case.get("cliprange_value")?.number()?));
    let predictions = leaf::leaf(&values);
    let losses = value_loss(
        predictions.clone(),
        constant(&old),
        constant(&returns),
        clip,
    );
    let loss = aggregated(
        losses,
        &counts,
        mode(&case.get("agg")?, values[0].len(), None)?,
    );
    let gradients = loss.clone().backward();
    let share = value_clipped_share(
        &kept(&values, &counts),
        &kept(&old, &counts),
        &kept(&returns, &counts),
        clip,
    );
    let mut compare = parity.case(subject("clipped value loss", VERL, EXACT), case);
    compare.number("loss", number(&loss), case.get("loss")?.number()?);
    compare.number("clipfrac", share, case.get("clipfrac")?.number()?);
    compare.matrix(
        "grad_vpreds",
        &gradient(&predictions, &gradients),
        &case.get("grad_vpreds")?.matrix()?,
    );
    Ok(())
}

/// `compute_entropy_loss`: the entropy itself, not negated.
pub(super) fn entropy(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["agg", "entropy", "grad_logits"])?;
    let cube = file.get("entropy_logits")?.cube()?;
    let counts = leaf::truth(&file.get("policy_inputs")?.get("response_mask")?.matrix()?);
    let (rows, columns) = (cube.len(), cube[0].len());
    let logits = leaf::leaf(&cube.concat());
    let entropies = crate::entropy(logits.clone(), 1.0).reshape([rows, columns]);
    let entropy = aggregated(entropies, &counts, mode(&case.get("agg")?, columns, None)?);
    let gradients = entropy.clone().backward();
    let mut compare = parity.case(subject("entropy", VERL, EXACT), case);
    compare.number("entropy", number(&entropy), case.get("entropy")?.number()?);
    let theirs = case.get("grad_logits")?.cube()?.concat();
    compare.matrix("grad_logits", &gradient(&logits, &gradients), &theirs);
    Ok(())
}

/// `AdaptiveKLController`, the same in verl and lm-human-preference-details.
pub(super) fn adaptive_kl(
    case: &Node<'_>,
    source: &str,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&[
        "init",
        "target",
        "horizon",
        "n_steps",
        "current_kl",
        "value_after",
    ])?;
    let mut controller = KlController::new(KlControl::Adaptive(AdaptiveKl {
        initial: Positive::of(case.get("init")?.number()?),
        target: Positive::of(case.get("target")?.number()?),
        horizon: Positive::of(case.get("horizon")?.number()?),
    }));
    let steps = case.get("n_steps")?.index()?;
    let ours: Vec<f64> = (case.get("current_kl")?.vector()?.into_iter())
        .map(|kl| {
            controller.update(kl, steps);
            controller.weight()
        })
        .collect();
    let mut compare = parity.case(subject("adaptive KL", source, EXACT), case);
    compare.vector("value_after", &ours, &case.get("value_after")?.vector()?);
    Ok(())
}

/// `masked_whiten`.
pub(super) fn whitening(
    file: &Node<'_>,
    case: &Node<'_>,
    parity: &mut Parity,
) -> Result<(), ParityError> {
    case.only(&["shift_mean", "matrix", "mask", "out"])?;
    let matrix = named(file, &case.get("matrix")?)?;
    let counts = leaf::truth(&named(file, &case.get("mask")?)?);
    let moments = Moments::of_rows(&kept(&matrix, &counts), Variance::Unbiased);
    let centre = if case.get("shift_mean")?.truth()? {
        Centre::Subtract
    } else {
        Centre::Keep
    };
    let mut compare = parity.case(subject("whitening", VERL, EXACT), case);
    compare.matrix(
        "out",
        &map_rows(&matrix, |x| whitened(x, &moments, centre)),
        &case.get("out")?.matrix()?,
    );
    Ok(())
}
