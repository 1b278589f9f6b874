//! KTO: TRL, HALOs and OpenRLHF, on examples that are desirable or not.

use burn::tensor::DType;
use preflab_config::{KlBaseline, Kto, Objective};
use preflab_data::Pair;
use preflab_training::parity::{Comparison, Node, Parity, ParityError};

use super::rows::{
    Extra, Measured, Rows, compare_single, constant, each, each_side, gradients_of, leaf, mean,
    measure, numbers,
};
use super::trl::{number_or, ranged};
use super::{EXACT, subject};
use crate::objectives::kto::{kl_estimate, kto_examples};

/// Unpaired examples, desirable ones first, and where each stands in the golden lists.
struct Examples {
    log_ratios: Pair<Vec<f64>>,
    places: Pair<Vec<usize>>,
    unrelated: Vec<f64>,
}

impl Examples {
    fn read(case: &Node<'_>) -> Result<Self, ParityError> {
        let difference = |policy: &str, reference: &str| -> Result<Vec<f64>, ParityError> {
            let (policy, reference) = (case.get(policy)?.vector()?, case.get(reference)?.vector()?);
            Ok(policy.iter().zip(&reference).map(|(p, r)| p - r).collect())
        };
        let labels: Vec<bool> = case
            .get("labels")?
            .items()?
            .iter()
            .map(Node::truth)
            .collect::<Result<_, _>>()?;
        let ratios = difference("policy_logps", "ref_logps")?;
        let places = Pair {
            chosen: true,
            rejected: false,
        }
        .map(|wanted| {
            (0..labels.len())
                .filter(|&i| labels[i] == wanted)
                .collect::<Vec<_>>()
        });
        Ok(Self {
            log_ratios: places
                .as_ref()
                .map(|places| places.iter().map(|&i| ratios[i]).collect()),
            places,
            unrelated: difference("policy_KL_logps", "ref_KL_logps")?,
        })
    }

    fn count(&self) -> usize {
        self.places.chosen.len() + self.places.rejected.len()
    }

    /// In the order of the golden lists.
    fn scattered(&self, values: &Pair<Vec<f64>>) -> Vec<f64> {
        let mut all = vec![0.0; self.count()];
        for (places, values) in [
            (&self.places.chosen, &values.chosen),
            (&self.places.rejected, &values.rejected),
        ] {
            for (&place, &value) in places.iter().zip(values) {
                all[place] = value;
            }
        }
        all
    }

    /// Weighted losses of all examples, desirable first; gradient of their sum.
    fn measure(&self, kl: f64, beta: f64, weights: Pair<f64>, dtype: DType) -> Measured {
        let sides = self.log_ratios.as_ref().map(|side| leaf(side, dtype));
        let kl = constant(&[kl], dtype);
        let kl = Pair {
            chosen: kl.clone(),
            rejected: kl,
        };
        let losses = kto_examples(&sides, kl, beta)
            .zip(weights)
            .map(|(loss, weight)| loss * weight);
        let total = losses.chosen.clone().sum() + losses.rejected.clone().sum();
        let gradients = total.backward();
        Measured {
            loss: [numbers(losses.chosen), numbers(losses.rejected)].concat(),
            gradient: sides
                .map(|side| numbers(side.grad(&gradients).expect("both sides are in the loss"))),
            rewards: self
                .log_ratios
                .as_ref()
                .map(|side| side.iter().map(|r| r * beta).collect()),
        }
    }

    fn kl(&self) -> f64 {
        numbers(kl_estimate(constant(&self.unrelated, DType::F64)))[0]
    }

    /// As pairs would be, for the comparison of f32 with f64; the reference is 0.
    fn rows(&self) -> Rows {
        let zeros = self.log_ratios.as_ref().map(|side| vec![0.0; side.len()]);
        Rows {
            policy: self.log_ratios.clone(),
            lengths: zeros.clone(),
            reference: zeros,
        }
    }

    fn compare_single(
        &self,
        table: &mut Parity,
        case: &Node<'_>,
        name: &str,
        kl: f64,
        beta: f64,
        weights: Pair<f64>,
    ) {
        let at = |rows: &Rows, dtype| {
            let rounded = Self {
                log_ratios: rows.policy.clone(),
                places: self.places.clone(),
                unrelated: Vec::new(),
            };
            rounded.measure(f64::from(kl as f32), beta, weights, dtype)
        };
        compare_single(table, case, name, at, &self.rows());
    }
}

fn weights(settings: &Node<'_>) -> Result<Pair<f64>, ParityError> {
    Ok(Pair {
        chosen: number_or(settings, "desirable_weight", 1.0)?,
        rejected: number_or(settings, "undesirable_weight", 1.0)?,
    })
}

/// `kto`: `KTOTrainer._compute_loss`, its `apo_zero_unpaired` among it.
pub(super) fn trl(table: &mut Parity, section: &Node<'_>) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "loss_type",
            "beta",
            "desirable_weight",
            "undesirable_weight",
            "dtype",
            "labels",
            "policy_logps",
            "ref_logps",
            "policy_KL_logps",
            "ref_KL_logps",
            "mean_loss",
            "grad_policy_logps",
            "metrics",
        ])?;
        let examples = Examples::read(&case)?;
        let beta = case.get("beta")?.number()?;
        let weights = weights(&case)?;
        let metrics = case.get("metrics")?;
        let (name, kl) = match case.get("loss_type")?.text()? {
            "kto" => ("kto", examples.kl()),
            "apo_zero_unpaired" => ("kto without baseline (apo_zero_unpaired)", 0.0),
            other => return Err(case.unknown(other)),
        };
        let ours = examples.measure(kl, beta, weights, DType::F64);
        let mut row = table.case(subject(name, "TRL 1.9", EXACT), &case);
        row.number(
            "mean_loss",
            ours.mean_loss(),
            case.get("mean_loss")?.number()?,
        );
        each(
            &mut row,
            "gradient",
            &examples.scattered(&ours.mean_gradient()),
            &case.get("grad_policy_logps")?.vector()?,
        );
        if name == "kto" {
            row.number("kl", kl, metrics.get("kl")?.number()?);
        }
        logged(&mut row, &metrics, &examples, &ours, &case)?;
        examples.compare_single(table, &case, name, kl, beta, weights);
    }
    Ok(())
}

fn logged(
    row: &mut Comparison<'_>,
    metrics: &Node<'_>,
    examples: &Examples,
    ours: &Measured,
    case: &Node<'_>,
) -> Result<(), ParityError> {
    let policy = case.get("policy_logps")?.vector()?;
    let logps = examples
        .places
        .as_ref()
        .map(|places| mean(&places.iter().map(|&i| policy[i]).collect::<Vec<f64>>()));
    let rewards = ours.rewards.as_ref().map(|side| mean(side));
    for (key, ours) in [
        ("rewards/chosen", rewards.chosen),
        ("rewards/rejected", rewards.rejected),
        ("rewards/margins", rewards.chosen - rewards.rejected),
        ("logps/chosen", logps.chosen),
        ("logps/rejected", logps.rejected),
    ] {
        row.number(key, ours, metrics.get(key)?.number()?);
    }
    // the other statistics are of the logits of the stand-in model, which the case does not hold
    metrics.only(&[
        "kl",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "logps/chosen",
        "logps/rejected",
        "entropy",
        "num_tokens",
        "logits/chosen",
        "logits/rejected",
    ])
}

/// `halos_kto`: `KTOTrainer.loss`, which forms the baseline in f32.
pub(super) fn halos(table: &mut Parity, section: &Node<'_>) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "settings",
            "policy_KL_shift",
            "labels",
            "policy_logps",
            "ref_logps",
            "policy_KL_logps",
            "ref_KL_logps",
            "loss_chosen_then_rejected",
            "mean_loss",
            "KL",
            "grad_policy_logps_of_mean",
        ])?;
        let settings = case.get("settings")?;
        settings.only(&["beta", "desirable_weight", "undesirable_weight"])?;
        let examples = Examples::read(&case)?;
        let (beta, weights) = (settings.get("beta")?.number()?, weights(&settings)?);
        let kl = examples.kl();
        let ours = examples.measure(kl, beta, weights, DType::F64);
        let mut row = table.case(subject("kto", "HALOs", EXACT), &case);
        row.number("KL", kl, case.get("KL")?.number()?);
        let losses = case.get("loss_chosen_then_rejected")?.vector()?;
        each(&mut row, "loss", &ours.loss, &losses);
        row.number(
            "mean_loss",
            ours.mean_loss(),
            case.get("mean_loss")?.number()?,
        );
        each(
            &mut row,
            "gradient",
            &examples.scattered(&ours.mean_gradient()),
            &case.get("grad_policy_logps_of_mean")?.vector()?,
        );
        examples.compare_single(table, &case, "kto", kl, beta, weights);
    }
    Ok(())
}

/// `openrlhf_kto`: `KTOLoss` on the examples of `halos_kto`.
pub(super) fn openrlhf(
    table: &mut Parity,
    section: &Node<'_>,
    halos: &Node<'_>,
) -> Result<(), ParityError> {
    let inputs = halos.items()?;
    let unshifted = inputs
        .iter()
        .find(|case| matches!(number_or(case, "policy_KL_shift", 0.0), Ok(shift) if shift == 0.0));
    let examples = match unshifted {
        Some(case) => Examples::read(case)?,
        None => {
            return Err(halos.unusable("no case without a shift, whose examples OpenRLHF's take"));
        }
    };
    for case in section.items()? {
        case.only(&["settings", "mean_loss", "KL", "grad_policy_logps"])?;
        let settings = case.get("settings")?;
        settings.only(&["beta", "desirable_weight", "undesirable_weight"])?;
        let (beta, weights) = (settings.get("beta")?.number()?, weights(&settings)?);
        let kl = examples.kl();
        let ours = examples.measure(kl, beta, weights, DType::F64);
        let mut row = table.case(subject("kto", "OpenRLHF", EXACT), &case);
        row.number("KL", kl, case.get("KL")?.number()?);
        row.number(
            "mean_loss",
            ours.mean_loss(),
            case.get("mean_loss")?.number()?,
        );
        each(
            &mut row,
            "gradient",
            &examples.scattered(&ours.mean_gradient()),
            &case.get("grad_policy_logps")?.vector()?,
        );
        examples.compare_single(table, &case, "kto", kl, beta, weights);
    }
    Ok(())
}

/// `openrlhf_vanilla_kto`: `VanillaKTOLoss` on pairs, each side's baseline taken from the other and not detached.
pub(super) fn vanilla(
    table: &mut Parity,
    section: &Node<'_>,
    rows: &Rows,
) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "settings",
            "mean_loss",
            "grad_policy_chosen_logps",
            "grad_policy_rejected_logps",
        ])?;
        let settings = case.get("settings")?;
        settings.only(&["beta"])?;
        let objective = Objective::Kto(Kto {
            beta: ranged(&settings, settings.get("beta")?.number()?)?,
            baseline: KlBaseline::OtherSide,
            ..Kto::default()
        });
        let whole = |rows: &Rows, dtype| measure(&objective, rows, Extra::default(), dtype);
        let ours = whole(rows, DType::F64);
        let name = "kto, baseline of the other side";
        let mut row = table.case(subject(name, "OpenRLHF", EXACT), &case);
        row.number(
            "mean_loss",
            ours.mean_loss(),
            case.get("mean_loss")?.number()?,
        );
        each_side(
            &mut row,
            "gradient",
            &ours.mean_gradient(),
            &gradients_of(&case)?,
        );
        compare_single(table, &case, name, whole, rows);
    }
    Ok(())
}
