//! Comparison of the losses here with the figures of TRL, OpenRLHF and lm-human-preference-details, in 64-bit floats.

mod trajectory;

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use preflab_config::{
    BradleyTerry, FlipProbability, NonNegative, RewardMargin, RewardObjective, ScoreNormalisation,
};
use preflab_data::Pair;
use preflab_stats::mean;
use preflab_training::parity::{
    GoldenFile, Node, Parity, ParityError, ParityRow, Subject, golden_device, golden_dtype,
};

use crate::losses::pair_losses;
use crate::normalisation::Normalisation;

const EXACT: f64 = 1e-6;

/// Compares with every case of `rm.json`, of `openrlhf_rm` in `other_losses.json` and of the reward normalisation in
/// `rl_algos.json`, as far as `directory` has them, and
/// with the recorded runs of TRL's `RewardTrainer`.
///
/// # Errors
/// If a file cannot be read, or holds a section, kind or key that is not covered.
pub fn run(directory: &Path) -> Result<Vec<ParityRow>, ParityError> {
    let mut parity = Parity::new();
    if let Some(file) = GoldenFile::open_if_present(directory, "rm.json")? {
        file.root().only(&["source", "cases"])?;
        for case in file.root().get("cases")?.items()? {
            trl(&case, &mut parity)?;
        }
    }
    if let Some(file) = GoldenFile::open_if_present(directory, "other_losses.json")?
        && let Some(cases) = file.root().find("openrlhf_rm")?
    {
        for case in cases.items()? {
            openrlhf(&case, &mut parity)?;
        }
    }
    if let Some(file) = GoldenFile::open_if_present(directory, "rl_algos.json")?
        && let Some(cases) = file
            .root()
            .find("lm_human_preference_reward_normalisation")?
    {
        for case in cases.items()? {
            normalisation(&case, &mut parity)?;
        }
    }
    trajectory::run(directory, &mut parity)?;
    Ok(parity.into_rows())
}

fn subject<'a>(objective: &'a str, source: &'a str, tolerance: f64) -> Subject<'a> {
    Subject {
        family: "reward model",
        objective,
        source,
        tolerance,
    }
}

fn leaf(numbers: &[f64]) -> Tensor<1> {
    let data = TensorData::new(numbers.to_vec(), [numbers.len()]);
    Tensor::from_data(
        data,
        (&golden_device().autodiff(), golden_dtype(DType::F64)),
    )
    .require_grad()
}

fn numbers(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Losses of pairs and, for a loss that is `reduce`d to one number, the gradient of that.
struct Differentiated {
    losses: Vec<f64>,
    gradients: Pair<Vec<f64>>,
}

fn differentiated(
    objective: &RewardObjective,
    scores: Pair<Vec<f64>>,
    margins: Option<&[f64]>,
    reduce: impl Fn(Tensor<1>) -> Tensor<1>,
) -> Differentiated {
    let leaves = scores.map(|side| leaf(&side));
    let strengths = margins.map(leaf).map(Tensor::inner);
    let losses = pair_losses(objective, &leaves, strengths.as_ref());
    let gradients = reduce(losses.clone()).backward();
    let gradient =
        |side: Tensor<1>| numbers(side.grad(&gradients).expect("every score has a gradient"));
    Differentiated {
        losses: numbers(losses),
        gradients: leaves.map(gradient),
    }
}

fn objective(margins: Option<&[f64]>, centre: f64) -> RewardObjective {
    RewardObjective::BradleyTerry(BradleyTerry {
        margin: match margins {
            Some(_) => RewardMargin::PerPair(NonNegative::of(1.0)),
            None => RewardMargin::None,
        },
        centre: NonNegative::of(centre),
        label_smoothing: FlipProbability::of(0.0),
    })
}

/// `RewardTrainer.compute_loss`.
fn trl(case: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    case.only(&[
        "seed",
        "rewards_chosen",
        "rewards_rejected",
        "margin",
        "center_rewards_coefficient",
        "loss",
        "grad_chosen",
        "grad_rejected",
        "metrics",
    ])?;
    let scores = Pair {
        chosen: case.get("rewards_chosen")?.vector()?,
        rejected: case.get("rewards_rejected")?.vector()?,
    };
    let margins = case
        .find("margin")?
        .map(|margins| margins.vector())
        .transpose()?;
    let centre = case
        .find("center_rewards_coefficient")?
        .map_or(Ok(0.0), |centre| centre.number())?;
    let ours = differentiated(
        &objective(margins.as_deref(), centre),
        scores.clone(),
        margins.as_deref(),
        Tensor::mean,
    );
    let name = match (margins.is_some(), centre != 0.0) {
        (false, false) => "Bradley-Terry",
        (true, false) => "Bradley-Terry with margin",
        (false, true) => "Bradley-Terry, centred",
        (true, true) => "Bradley-Terry with margin, centred",
    };
    let mut compare = parity.case(subject(name, "TRL 1.9 RewardTrainer", EXACT), case);
    compare.number("loss", mean(&ours.losses), case.get("loss")?.number()?);
    compare.vector(
        "grad_chosen",
        &ours.gradients.chosen,
        &case.get("grad_chosen")?.vector()?,
    );
    compare.vector(
        "grad_rejected",
        &ours.gradients.rejected,
        &case.get("grad_rejected")?.vector()?,
    );

    let all = [scores.chosen.as_slice(), &scores.rejected].concat();
    let margins: Vec<f64> = scores
        .chosen
        .iter()
        .zip(&scores.rejected)
        .map(|(c, r)| c - r)
        .collect();
    let metrics = case.get("metrics")?;
    for key in metrics.keys()? {
        let ours = match key {
            // Of the stubbed model's inputs, which the case does not hold.
            "num_tokens" => continue,
            "min_reward" => all.iter().copied().fold(f64::INFINITY, f64::min),
            "mean_reward" => mean(&all),
            "max_reward" => all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            "accuracy" => {
                margins.iter().filter(|&&margin| margin > 0.0).count() as f64 / margins.len() as f64
            }
            "margin" => mean(&margins),
            other => return Err(metrics.unknown(other)),
        };
        compare.number(key, ours, metrics.get(key)?.number()?);
    }
    Ok(())
}

/// `PairWiseLoss` and `LogExpLoss`, pair by pair.
fn openrlhf(case: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    case.only(&[
        "settings",
        "chosen_reward",
        "reject_reward",
        "loss",
        "grad_chosen_reward",
        "grad_rejected_reward",
    ])?;
    let settings = case.get("settings")?;
    settings.only(&["cls", "margin"])?;
    let margins = settings
        .find("margin")?
        .map(|margins| margins.vector())
        .transpose()?;
    let class = settings.get("cls")?;
    let objective = match class.text()? {
        "PairWiseLoss" => objective(margins.as_deref(), 0.0),
        "LogExpLoss" => RewardObjective::LogExp,
        other => return Err(class.unknown(other)),
    };
    let scores = Pair {
        chosen: case.get("chosen_reward")?.vector()?,
        rejected: case.get("reject_reward")?.vector()?,
    };
    let ours = differentiated(&objective, scores, margins.as_deref(), Tensor::sum);
    let mut compare = parity.case(subject(class.text()?, "OpenRLHF", EXACT), case);
    compare.vector("loss", &ours.losses, &case.get("loss")?.vector()?);
    compare.vector(
        "grad_chosen_reward",
        &ours.gradients.chosen,
        &case.get("grad_chosen_reward")?.vector()?,
    );
    compare.vector(
        "grad_rejected_reward",
        &ours.gradients.rejected,
        &case.get("grad_rejected_reward")?.vector()?,
    );
    Ok(())
}

/// Gain and bias of `normalize`, which computes in 32-bit floats: the mean of 16 scores carries 1e-7 of their size.
fn normalisation(case: &Node<'_>, parity: &mut Parity) -> Result<(), ParityError> {
    case.only(&[
        "dtype",
        "raw_rewards_used_for_statistics",
        "raw_rewards_of_validation_batches",
        "initial_gain_bias",
        "gain",
        "bias",
    ])?;
    let raw = case.get("raw_rewards_used_for_statistics")?.vector()?;
    let ours = Normalisation::of(&raw, ScoreNormalisation::Standardise);
    let mut compare = parity.case(
        subject("score normalisation", "lm-human-preference-details", EXACT),
        case,
    );
    compare.number("gain", ours.gain, case.get("gain")?.number()?);
    compare.number("bias", ours.bias, case.get("bias")?.number()?);
    Ok(())
}
