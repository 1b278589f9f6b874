//! How preference pairs are made from a policy's samples.

use serde::{Deserialize, Serialize};

use crate::{Count, FlipProbability, Fraction, ModelSource, NonNegative, SamplingSettings};

/// Preference pairs from candidates (section 4.2 of arXiv:2406.07327): several candidates a prompt, the best against
/// the worst by the judge, prompts whose candidates are uniformly good or bad dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreferenceSettings {
    /// Candidates sampled for each prompt. Default 8, the paper's.
    pub candidates: Count,
    /// Most pairs kept for training, in prompt order; fewer where fewer prompts have one.
    pub pairs: Count,
    /// Pairs held out for evaluation, from prompts that are not trained on.
    pub held_out_pairs: Count,
    /// Where chosen and rejected come from.
    pub scenario: Scenario,
    /// A prompt is dropped as uniform if its best and worst candidate differ by no more than this in gold score.
    pub tolerance: NonNegative,
    /// How candidates are sampled.
    pub sampling: SamplingSettings,
    /// Who says which candidate is better.
    pub judge: JudgeSettings,
    /// The weaker model of the scenarios that take rejected answers from one.
    pub weaker: WeakerModel,
}

impl Default for PreferenceSettings {
    fn default() -> Self {
        Self {
            candidates: Count::of(8),
            pairs: Count::of(4096),
            held_out_pairs: Count::of(256),
            scenario: Scenario::default(),
            tolerance: NonNegative::of(0.05),
            sampling: SamplingSettings::default(),
            judge: JudgeSettings::default(),
            weaker: WeakerModel::default(),
        }
    }
}

/// The paper's four data scenarios: who wrote the chosen and who the rejected answer.
///
/// | scenario | setting | chosen | rejected |
/// | --- | --- | --- | --- |
/// | 1 | `on-policy` | best candidate of the policy | worst candidate of the policy |
/// | 2 | `chosen-from-data` | reference answer of the data set | worst candidate of the policy |
/// | 3 | `rejected-from-weaker` | best candidate of the policy | worst candidate of the weaker model |
/// | 4 | `off-policy` | reference answer of the data set | worst candidate of the weaker model |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Scenario 1: both sides from the policy.
    #[default]
    OnPolicy,
    /// Scenario 2: chosen from the data set.
    ChosenFromData,
    /// Scenario 3: rejected from the weaker model.
    RejectedFromWeaker,
    /// Scenario 4: chosen from the data set, rejected from the weaker model.
    OffPolicy,
}

impl Scenario {
    /// The four scenarios in the paper's order.
    pub const ALL: [Self; 4] = [
        Self::OnPolicy,
        Self::ChosenFromData,
        Self::RejectedFromWeaker,
        Self::OffPolicy,
    ];

    /// The paper's number, 1 to 4.
    pub fn number(self) -> usize {
        match self {
            Self::OnPolicy => 1,
            Self::ChosenFromData => 2,
            Self::RejectedFromWeaker => 3,
            Self::OffPolicy => 4,
        }
    }

    /// Whether the chosen answer is the data set's reference; otherwise the policy's best candidate.
    pub fn chosen_from_data(self) -> bool {
        match self {
            Self::ChosenFromData | Self::OffPolicy => true,
            Self::OnPolicy | Self::RejectedFromWeaker => false,
        }
    }

    /// Whether the rejected answer is the weaker model's worst candidate; otherwise the policy's.
    pub fn rejected_from_weaker(self) -> bool {
        match self {
            Self::RejectedFromWeaker | Self::OffPolicy => true,
            Self::OnPolicy | Self::ChosenFromData => false,
        }
    }
}

/// The judge: the gold score, with noise on request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeSettings {
    /// Noise of the comparison, in units of the gold score. The judge prefers `a` to `b` with probability
    /// `sigmoid((gold_a - gold_b) / temperature)` (Bradley & Terry 1952); 0 compares exactly.
    pub temperature: NonNegative,
    /// Probability that a finished pair's chosen and rejected side are exchanged.
    pub label_flips: FlipProbability,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        Self {
            temperature: NonNegative::of(0.0),
            label_flips: FlipProbability::of(0.0),
        }
    }
}

/// The weaker model of scenarios 3 and 4, one of the policy's family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum WeakerModel {
    /// The policy's own model, trained on the references for a share of the updates.
    Shorter {
        /// Share of the policy's supervised updates.
        share: Fraction,
    },
    /// A smaller model, trained on the references as long as the policy.
    Smaller {
        /// Its shape or checkpoint.
        model: ModelSource,
    },
}

impl Default for WeakerModel {
    fn default() -> Self {
        Self::Shorter {
            share: Fraction::of(0.25),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_papers_on_policy_pairs() {
        let settings: PreferenceSettings = toml::from_str("").unwrap();
        assert_eq!(settings, PreferenceSettings::default());
        assert_eq!(
            (settings.candidates.get(), settings.scenario.number()),
            (8, 1)
        );
    }

    #[test]
    fn scenarios_are_the_products_of_the_two_sources() {
        let sources = Scenario::ALL.map(|s| (s.chosen_from_data(), s.rejected_from_weaker()));
        assert_eq!(
            sources,
            [(false, false), (true, false), (false, true), (true, true)]
        );
        assert_eq!(Scenario::ALL.map(Scenario::number), [1, 2, 3, 4]);
    }

    #[test]
    fn a_judge_that_flips_half_the_labels_is_refused() {
        let error = toml::from_str::<PreferenceSettings>("judge = { label_flips = 0.5 }")
            .unwrap_err()
            .to_string();
        assert!(error.contains("up to but not 0.5"), "{error}");
    }

    #[test]
    fn every_setting_round_trips_through_toml() {
        let text = "scenario = \"off-policy\"\nweaker.smaller = { model = \"tiny\" }\njudge = { temperature = 0.1 }\n";
        let settings: PreferenceSettings = toml::from_str(text).unwrap();
        let again: PreferenceSettings =
            toml::from_str(&toml::to_string(&settings).unwrap()).unwrap();
        assert_eq!(settings, again);
    }
}
