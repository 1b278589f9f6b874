//! The settings of a recorded run, as far as they decide its numbers.

use preflab_config::{
    Aggregation, MissingEos, Momentum, NonNegative, OptimizerSettings, PolicyLoss, Positive,
    RatioClip, RewardShaping, Schedule, ValueClip, Whitening,
};
use preflab_training::parity::{Node, ParityError};

use crate::{PolicyObjective, SampledKl};

/// The settings of a run, as far as they decide its numbers.
pub struct Settings {
    pub optimizer: OptimizerSettings,
    pub objective: PolicyObjective,
    pub estimator: SampledKl,
    pub kl_coef: f64,
    pub shaping: RewardShaping,
    pub whiten_rewards: Whitening,
    pub gamma: f64,
    pub lambda: f64,
    pub value_clip: ValueClip,
    pub value_coefficient: f64,
    pub accumulation: f64,
    pub pad: u32,
    pub eos: u32,
}

impl Settings {
    /// Reads them from a run.
    pub fn read(config: &Node<'_>) -> Result<Self, ParityError> {
        let number = |key: &str| config.get(key)?.number();
        let estimator = config.get("kl_estimator")?;
        let clip = NonNegative::of(number("cliprange")?);
        let token = |key: &str| {
            let node = config.get(key)?;
            u32::try_from(node.index()?).map_err(|_| node.unusable("no token"))
        };
        let penalty = config
            .find("missing_eos_penalty")?
            .map(|penalty| penalty.number())
            .transpose()?;
        Ok(Self {
            // The rate of each update is recorded, and there is no clipping of gradients.
            optimizer: OptimizerSettings {
                learning_rate: Positive::of(number("learning_rate")?),
                betas: [
                    Momentum::of(number("adam_beta1")?),
                    Momentum::of(number("adam_beta2")?),
                ],
                epsilon: Positive::of(number("adam_epsilon")?),
                weight_decay: NonNegative::of(number("weight_decay")?),
                max_grad_norm: NonNegative::of(0.0),
                schedule: Schedule::Constant,
                warmup: 0,
            },
            objective: PolicyObjective {
                loss: PolicyLoss::Clipped(RatioClip {
                    low: clip,
                    high: clip,
                    dual: None,
                }),
                aggregation: Aggregation::TokenMean,
                entropy_coefficient: 0.0,
                kl_loss: None,
                // TRL divides logits by the temperature plus this.
                temperature: number("temperature")? + 1e-7,
            },
            estimator: match estimator.text()? {
                "k1" => SampledKl::K1,
                "k3" => SampledKl::K3,
                other => return Err(estimator.unknown(other)),
            },
            kl_coef: number("kl_coef")?,
            shaping: RewardShaping {
                missing_eos: penalty.map(|penalty| MissingEos::Subtract(NonNegative::of(penalty))),
                ..RewardShaping::default()
            },
            whiten_rewards: if config.get("whiten_rewards")?.truth()? {
                Whitening::KeepMean
            } else {
                Whitening::Off
            },
            gamma: number("gamma")?,
            lambda: number("lam")?,
            value_clip: ValueClip::Within(Positive::of(number("cliprange_value")?)),
            value_coefficient: number("vf_coef")?,
            accumulation: number("gradient_accumulation_steps")?,
            pad: token("pad_token_id")?,
            eos: token("eos_token_id")?,
        })
    }
}
