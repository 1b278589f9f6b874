//! oat's DPO losses with their extras, and HALOs' paired trainers.

use burn::tensor::DType;
use preflab_config::{
    Cdpo, Divergence, Dpo, DpoMean, Dpop, Finite, FlipProbability, Hinge, Humanline, Ipo, IpoMean,
    Link, NonNegative, Objective, Positive, RDpo, Sft, SftAggregation, Simpo, Slic,
    TokenAggregation, Weighted,
};
use preflab_data::Pair;
use preflab_training::parity::{Node, Parity, ParityError};

use super::rows::{
    Extra, Measured, Rows, compare_single, each, each_side, gradients_of, measure_each,
};
use super::trl::{number_or, ranged};
use super::{EXACT, subject};

/// One of oat's `dap_algo`s on given rows.
struct Oat {
    name: String,
    rows: Rows,
    objective: Objective,
    /// The weight of the likelihood term of each pair, which oat divides by the length (for means: again).
    sft: Option<Vec<f64>>,
    /// What a gradient with respect to a sum is multiplied with to be one with respect to what oat was given.
    scale: Pair<Vec<f64>>,
}

impl Oat {
    fn read(case: &Node<'_>, rows: &Rows) -> Result<Self, ParityError> {
        let settings = case.get("settings")?;
        settings.only(&[
            "dap_algo",
            "beta",
            "label_smoothing",
            "len_reg_alpha",
            "dpo_positive_lambda",
            "sft_weight",
        ])?;
        let beta: Positive = ranged(&settings, settings.get("beta")?.number()?)?;
        let logps = case.get("logps")?.text()?;
        let means = match logps {
            "sum" => false,
            text if text.starts_with("mean") => true,
            other => return Err(case.unknown(other)),
        };
        let given = if means { rows.averaged() } else { rows.clone() };
        let ones = given.lengths.as_ref().map(|side| vec![1.0; side.len()]);
        let divergence = Divergence::ReverseKl;
        let algorithm = settings.get("dap_algo")?.text()?;
        let plain = |name: &str, objective| Self {
            name: name.to_owned(),
            rows: given.clone(),
            objective,
            sft: None,
            scale: ones.clone(),
        };
        match algorithm {
            "IPO" => {
                let name = if means { "ipo" } else { "ipo, summed" };
                let eta = beta;
                Ok(plain(name, Objective::Ipo(Ipo { eta, divergence })))
            }
            "SLiC" => Ok(plain("hinge", Objective::Hinge(Hinge { beta, divergence }))),
            "DPO" | "LR_DPO" => Self::logistic(&settings, beta, rows, means),
            other => Err(settings.unknown(other)),
        }
    }

    fn logistic(
        settings: &Node<'_>,
        beta: Positive,
        rows: &Rows,
        means: bool,
    ) -> Result<Self, ParityError> {
        let label_smoothing: FlipProbability =
            ranged(settings, number_or(settings, "label_smoothing", 0.0)?)?;
        let length_weight: Finite = ranged(settings, number_or(settings, "len_reg_alpha", 0.0)?)?;
        let lambda: NonNegative =
            ranged(settings, number_or(settings, "dpo_positive_lambda", 0.0)?)?;
        let divergence = Divergence::ReverseKl;
        let log_ratio = if means {
            TokenAggregation::Mean
        } else {
            TokenAggregation::Sum
        };
        let (name, objective) = if lambda.get() > 0.0 {
            let dpop = Dpop {
                beta,
                lambda,
                label_smoothing,
                length_weight,
                log_ratio,
            };
            ("dpop", Objective::Dpop(dpop))
        } else if length_weight.get() != 0.0 {
            let r_dpo = RDpo {
                beta,
                alpha: length_weight,
                label_smoothing,
                log_ratio,
            };
            ("r-dpo", Objective::RDpo(r_dpo))
        } else if means {
            let mean = DpoMean {
                beta,
                label_smoothing,
                divergence,
            };
            ("sigmoid_norm", Objective::DpoMean(mean))
        } else if label_smoothing.get() > 0.0 {
            let cdpo = Cdpo {
                beta,
                label_smoothing,
                divergence,
            };
            ("cdpo", Objective::Cdpo(cdpo))
        } else {
            ("dpo", Objective::Dpo(Dpo { beta, divergence }))
        };
        let weight = number_or(settings, "sft_weight", 0.0)?;
        let sft = (weight > 0.0).then(|| {
            let lengths = rows.lengths.chosen.iter();
            lengths
                .map(|n| if means { weight / n } else { weight })
                .collect()
        });
        let name = match (&sft, means) {
            (Some(_), _) => format!("{name} + sft"),
            (None, true) if name != "sigmoid_norm" => format!("{name}, averaged"),
            (None, _) => name.to_owned(),
        };
        let scale = if means {
            rows.lengths.clone()
        } else {
            rows.lengths.as_ref().map(|side| vec![1.0; side.len()])
        };
        Ok(Self {
            name,
            rows: rows.clone(),
            objective,
            sft,
            scale,
        })
    }

    fn objective(&self, row: usize) -> Objective {
        let Some(weights) = &self.sft else {
            return self.objective.clone();
        };
        let term = |weight, objective| Weighted {
            weight: NonNegative::of(weight),
            objective,
        };
        let likelihood = Objective::Sft(Sft {
            likelihood: SftAggregation::Mean,
        });
        Objective::Sum(vec![
            term(1.0, self.objective.clone()),
            term(weights[row], likelihood),
        ])
    }

    fn measure(&self, rows: &Rows, dtype: DType) -> Measured {
        let measured = measure_each(|row| self.objective(row), rows, Extra::default(), dtype);
        let gradient = measured
            .gradient
            .zip(self.scale.as_ref())
            .map(|(g, scale)| g.iter().zip(scale).map(|(g, s)| g * s).collect());
        Measured {
            gradient,
            ..measured
        }
    }
}

/// `oat_dpo`: `DPOLoss`, with label smoothing, length penalty, DPO-Positive's penalty and likelihood term.
pub(super) fn oat(table: &mut Parity, section: &Node<'_>, rows: &Rows) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "settings",
            "logps",
            "loss",
            "grad_policy_chosen_logps",
            "grad_policy_rejected_logps",
            "masked_batch",
        ])?;
        let oat = Oat::read(&case, rows)?;
        let ours = oat.measure(&oat.rows, DType::F64);
        let mut row = table.case(subject(&oat.name, "oat", EXACT), &case);
        each(&mut row, "loss", &ours.loss, &case.get("loss")?.vector()?);
        each_side(&mut row, "gradient", &ours.gradient, &gradients_of(&case)?);
        if let Some(masked) = case.find("masked_batch")? {
            masked.only(&["zero_mask_rows", "loss", "grad_policy_chosen_logps"])?;
            let zero = masked.get("zero_mask_rows")?.indices()?;
            // masked pairs count as 0, and still divide
            let kept = |values: &[f64]| -> Vec<f64> {
                let pairs = values.len() as f64;
                let keep = |(i, x): (usize, &f64)| if zero.contains(&i) { 0.0 } else { x / pairs };
                values.iter().enumerate().map(keep).collect()
            };
            let loss = kept(&ours.loss).iter().sum();
            row.number("masked loss", loss, masked.get("loss")?.number()?);
            each(
                &mut row,
                "masked gradient",
                &kept(&ours.gradient.chosen),
                &masked.get("grad_policy_chosen_logps")?.vector()?,
            );
        }
        compare_single(
            table,
            &case,
            &oat.name,
            |rows, dtype| oat.measure(rows, dtype),
            &oat.rows,
        );
    }
    Ok(())
}

/// `halos`: the paired trainers, on log-probabilities spread evenly over the tokens of each completion.
pub(super) fn halos(
    table: &mut Parity,
    section: &Node<'_>,
    rows: &Rows,
) -> Result<(), ParityError> {
    for case in section.items()? {
        case.only(&[
            "settings",
            "logps",
            "skipped_pairs",
            "loss",
            "grad_policy_chosen_logps",
            "grad_policy_rejected_logps",
        ])?;
        let skipped = case.get("skipped_pairs")?.indices()?;
        let (name, given, objectives) = halos_objectives(&case, rows)?;
        let kept: Vec<usize> = (0..rows.len()).filter(|i| !skipped.contains(i)).collect();
        let pick = |key: &str| -> Result<Vec<f64>, ParityError> {
            let items = case.get(key)?.items()?;
            if items.len() != rows.len() {
                return Err(case.unusable(format!("`{key}` is not one number for each pair")));
            }
            kept.iter().map(|&i| items[i].number()).collect()
        };
        let at = |rows: &Rows, dtype| {
            let all = measure_each(|row| objectives[row].clone(), rows, Extra::default(), dtype);
            let keep = |values: &Vec<f64>| kept.iter().map(|&i| values[i]).collect::<Vec<f64>>();
            Measured {
                loss: keep(&all.loss),
                gradient: all.gradient.as_ref().map(keep),
                rewards: all.rewards.as_ref().map(keep),
            }
        };
        let ours = at(&given, DType::F64);
        let mut row = table.case(subject(&name, "HALOs", EXACT), &case);
        each(&mut row, "loss", &ours.loss, &pick("loss")?);
        let gradients = Pair {
            chosen: pick("grad_policy_chosen_logps")?,
            rejected: pick("grad_policy_rejected_logps")?,
        };
        each_side(&mut row, "gradient", &ours.gradient, &gradients);
        compare_single(table, &case, &name, at, &given);
    }
    Ok(())
}

/// The name, the rows and the objective of each row.
fn halos_objectives(
    case: &Node<'_>,
    rows: &Rows,
) -> Result<(String, Rows, Vec<Objective>), ParityError> {
    let settings = case.get("settings")?;
    settings.only(&[
        "trainer",
        "humanline",
        "beta",
        "tau",
        "epsilon",
        "gamma_beta_ratio",
        "lambda_coef",
    ])?;
    let number = |key: &str| settings.get(key)?.number();
    let divergence = Divergence::ReverseKl;
    let all = |objective: Objective| vec![objective; rows.len()];
    let trainer = settings.get("trainer")?.text()?;
    let (name, given, inner) = match trainer {
        "DPOTrainer" => {
            let beta: Positive = ranged(&settings, number("beta")?)?;
            let dpo = Objective::Dpo(Dpo { beta, divergence });
            ("dpo", rows.clone(), all(dpo))
        }
        "CDPOTrainer" => {
            let cdpo = Objective::Cdpo(Cdpo {
                beta: ranged(&settings, number("beta")?)?,
                label_smoothing: ranged(&settings, number("epsilon")?)?,
                divergence,
            });
            ("cdpo", rows.clone(), all(cdpo))
        }
        "IPOTrainer" => {
            let eta: Positive = ranged(&settings, number("tau")?)?;
            let ipo = Objective::IpoMean(IpoMean { eta, divergence });
            ("ipo", rows.clone(), all(ipo))
        }
        "SimPOTrainer" => {
            let (beta, ratio) = (number("beta")?, number("gamma_beta_ratio")?);
            let simpo = Objective::Simpo(Simpo {
                beta: ranged(&settings, beta)?,
                gamma: ranged(&settings, beta * ratio)?,
                link: Link::default(),
            });
            ("simpo", rows.without_reference(), all(simpo))
        }
        "SLiCTrainer" => {
            let (delta, lambda) = (number("beta")?, number("lambda_coef")?);
            let slic = columns(case, rows)?
                .iter()
                .map(|columns| {
                    Ok(Objective::Slic(Slic {
                        delta: ranged(&settings, delta)?,
                        eta: ranged(&settings, lambda / columns)?,
                    }))
                })
                .collect::<Result<_, ParityError>>()?;
            ("slic", rows.without_reference(), slic)
        }
        other => return Err(settings.unknown(other)),
    };
    let Some(limits) = settings.find("humanline")? else {
        return Ok((name.to_owned(), given, inner));
    };
    let limits = limits.vector()?;
    let [low, high] = limits[..] else {
        return Err(settings.unusable("`humanline` is a lowest and a highest log-ratio"));
    };
    let clamp = |objective| {
        Ok(Objective::Humanline(Humanline {
            low: ranged(&settings, low)?,
            high: ranged(&settings, high)?,
            objective: Box::new(objective),
        }))
    };
    let clamped = inner
        .into_iter()
        .map(clamp)
        .collect::<Result<_, ParityError>>()?;
    Ok((format!("{name}, humanline"), given, clamped))
}

/// What HALOs' SLiC averages its likelihood term over: the columns of the pair's tensor, padding included.
fn columns(case: &Node<'_>, rows: &Rows) -> Result<Vec<f64>, ParityError> {
    let layout = case.get("logps")?.text()?;
    if layout.contains("no padding columns") {
        let lengths = rows.lengths.chosen.iter().zip(&rows.lengths.rejected);
        return Ok(lengths.map(|(c, r)| c.max(*r)).collect());
    }
    let columns = layout
        .split_once("padded to ")
        .and_then(|(_, rest)| rest.split(' ').next())
        .and_then(|count| count.parse::<f64>().ok())
        .ok_or_else(|| case.unknown(layout))?;
    Ok(vec![columns; rows.len()])
}
