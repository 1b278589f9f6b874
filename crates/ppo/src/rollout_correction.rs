//! Weights for tokens whose sampler and trainer disagree.

use preflab_config::RolloutCorrection;

use crate::rows::{Rows, zip_rows};

/// The factor on each token's policy loss, from `rho = exp(log policy - log sampler)`, one row for each completion.
///
/// - `old_logps`: the training pass at sampling time; `rollout_logps`: what the sampler said. Nats.
///
/// Truncated: `clip(rho, low, high)` (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL
/// training"). Masked: `rho` within the bounds, else 0 (IcePop). Sequence-masked: `rho`, for completions whose
/// geometric-mean `rho` is within the bounds, else 0. OpenRLHF's `tis`, `icepop`, `seq-mask-tis`.
pub fn rollout_weights(
    old_logps: &[Vec<f64>],
    rollout_logps: &[Vec<f64>],
    correction: RolloutCorrection,
) -> Option<Rows> {
    let ratios = || {
        zip_rows(old_logps, rollout_logps, |old, rollout| {
            (old - rollout).exp()
        })
    };
    match correction {
        RolloutCorrection::Off => None,
        RolloutCorrection::Truncated(bounds) => {
            let clip = |rho: f64| rho.clamp(bounds.low.get(), bounds.high.get());
            Some(
                ratios()
                    .into_iter()
                    .map(|row| row.into_iter().map(clip).collect())
                    .collect(),
            )
        }
        RolloutCorrection::Masked(bounds) => {
            let keep = |rho: f64| if bounds.holds(rho) { rho } else { 0.0 };
            Some(
                ratios()
                    .into_iter()
                    .map(|row| row.into_iter().map(keep).collect())
                    .collect(),
            )
        }
        RolloutCorrection::SequenceMasked(bounds) => {
            let row = |row: Vec<f64>| {
                let mean = row.iter().map(|rho| rho.ln()).sum::<f64>() / row.len().max(1) as f64;
                if bounds.holds(mean.exp()) {
                    row
                } else {
                    vec![0.0; row.len()]
                }
            };
            Some(ratios().into_iter().map(row).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::{NonNegative, WeightBounds};

    #[test]
    fn each_form_treats_an_outlier_in_its_way() {
        let bounds = WeightBounds {
            low: NonNegative::of(0.5),
            high: NonNegative::of(2.0),
        };
        let old = vec![vec![0.0, 3f64.ln()], vec![4f64.ln()]];
        let rollout = vec![vec![0.0, 0.0], vec![0.0]];
        let of = |correction| rollout_weights(&old, &rollout, correction).unwrap();
        let close = |a: Rows, b: [&[f64]; 2]| {
            a.iter()
                .zip(b)
                .all(|(a, b)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12))
        };
        assert!(close(
            of(RolloutCorrection::Truncated(bounds)),
            [&[1.0, 2.0], &[2.0]]
        ));
        assert!(close(
            of(RolloutCorrection::Masked(bounds)),
            [&[1.0, 0.0], &[0.0]]
        ));
        assert!(close(
            of(RolloutCorrection::SequenceMasked(bounds)),
            [&[1.0, 3.0], &[0.0]]
        ));
        assert!(rollout_weights(&old, &rollout, RolloutCorrection::Off).is_none());
    }
}
