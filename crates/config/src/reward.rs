//! Settings of the reward model.

use serde::{Deserialize, Serialize};

use crate::{Count, FlipProbability, LoraSettings, NonNegative, OptimizerSettings};

/// Training a scalar head on preference pairs, from the SFT model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardSettings {
    /// The loss over pairs.
    pub objective: RewardObjective,
    /// Passes over the pairs. Ouyang et al. 2022 and N+: 1.
    pub epochs: Count,
    /// Pairs in one update. N+: 64.
    pub batch_size: Count,
    /// Pairs in one forward and backward pass; gradients are accumulated up to `batch_size`. Absent: `batch_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// Stop after this many updates, whatever `epochs` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_updates: Option<Count>,
    /// Evaluate on the held-out pairs after every so many updates, besides before the first and after the last.
    pub evaluate_every: Count,
    /// AdamW and its schedule. Rate 1e-4: TRL's `RewardConfig`.
    pub optimizer: OptimizerSettings,
    /// What is done to the scale of the scores after training.
    pub normalise: ScoreNormalisation,
    /// Adapters that are trained, with the head, in place of all weights; absent: all weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
}

impl Default for RewardSettings {
    fn default() -> Self {
        Self {
            objective: RewardObjective::default(),
            epochs: Count::of(1),
            batch_size: Count::of(64),
            micro_batch_size: None,
            max_updates: None,
            evaluate_every: Count::of(20),
            optimizer: OptimizerSettings::with_learning_rate(1e-4),
            normalise: ScoreNormalisation::default(),
            lora: None,
        }
    }
}

/// Training the reward model as an arm: on the pairs and from the start of the DPO arms, for as many updates as they.
///
/// Its accuracy on pairs is then compared with that of the implicit rewards of DPO, update by update (section 4.4 of
/// arXiv:2406.07327). It answers no prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardArmSettings {
    /// The loss over pairs.
    pub objective: RewardObjective,
    /// Pairs in one update.
    pub batch_size: Count,
    /// Pairs in one forward and backward pass; absent: `batch_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// AdamW and its schedule. Rate 1e-4: TRL's `RewardConfig`.
    pub optimizer: OptimizerSettings,
}

impl Default for RewardArmSettings {
    fn default() -> Self {
        Self {
            objective: RewardObjective::default(),
            batch_size: Count::of(32),
            micro_batch_size: None,
            optimizer: OptimizerSettings::with_learning_rate(1e-4),
        }
    }
}

/// A loss over the scores of preferred and other completions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardObjective {
    /// `-log sigmoid(r_chosen - r_rejected - margin)`; Ouyang et al. 2022, arXiv:2203.02155, eq. 1.
    BradleyTerry(BradleyTerry),
    /// `log(1 + exp(r_rejected - r_chosen))` as OpenRLHF's `LogExpLoss` has it: no margin, no smoothing.
    LogExp,
    /// The likelihood of the whole ranking; Plackett 1975, Luce 1959. Of two completions it is Bradley-Terry.
    PlackettLuce,
}

impl RewardObjective {
    /// Whether it reads how strong each preference is.
    pub fn needs_strengths(&self) -> bool {
        match self {
            Self::BradleyTerry(settings) => match settings.margin {
                RewardMargin::PerPair(_) => true,
                RewardMargin::None | RewardMargin::Constant(_) => false,
            },
            Self::LogExp | Self::PlackettLuce => false,
        }
    }
}

impl Default for RewardObjective {
    fn default() -> Self {
        Self::BradleyTerry(BradleyTerry::default())
    }
}

/// The Bradley-Terry loss and its variations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BradleyTerry {
    /// What is subtracted from the difference of the scores. Default: nothing.
    pub margin: RewardMargin,
    /// Weight of `(r_chosen + r_rejected)^2`, which keeps scores around zero (Eisenstein et al. 2023, arXiv:2312.09244;
    /// TRL's `center_rewards_coefficient`, advised value 0.01). Default 0.
    pub centre: NonNegative,
    /// Probability that a label is wrong: the loss is mixed with that of the swapped pair. Default 0.
    pub label_smoothing: FlipProbability,
}

impl Default for BradleyTerry {
    fn default() -> Self {
        Self {
            margin: RewardMargin::default(),
            centre: NonNegative::of(0.0),
            label_smoothing: FlipProbability::of(0.0),
        }
    }
}

/// What is subtracted from the difference of two scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardMargin {
    /// Nothing.
    #[default]
    None,
    /// The same for each pair.
    Constant(NonNegative),
    /// The pair's own strength of preference times this (Touvron et al. 2023, arXiv:2307.09288, eq. 2).
    PerPair(NonNegative),
}

/// What is done to the scale of the scores after training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreNormalisation {
    /// Nothing.
    Off,
    /// Reference completions score 0 on average (Stiennon et al. 2020, arXiv:2009.01325, section 3.4; N+).
    #[default]
    Centre,
    /// Mean 0 and variance 1 on reference completions (Ziegler et al. 2019, arXiv:1909.08593, section 2.1).
    Standardise,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_being_written_and_read() {
        let settings: RewardSettings = toml::from_str(
            "objective.bradley-terry = { margin.per-pair = 1.0, centre = 0.01, label_smoothing = 0.1 }\nnormalise = \"off\"",
        )
        .unwrap();
        assert_eq!(
            toml::from_str::<RewardSettings>(&toml::to_string(&settings).unwrap()).unwrap(),
            settings
        );
        assert_eq!(
            toml::from_str::<RewardSettings>("").unwrap(),
            RewardSettings::default()
        );
    }

    #[test]
    fn a_label_smoothing_of_one_half_is_refused() {
        let error =
            toml::from_str::<RewardSettings>("objective.bradley-terry = { label_smoothing = 0.5 }")
                .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected a number from 0 up to but not 0.5"),
            "{error}"
        );
    }
}
