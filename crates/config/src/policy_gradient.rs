//! Settings shared by PPO and the critic-free policy gradients, and those of the critic-free ones.

use serde::{Deserialize, Serialize};

use crate::ppo::policy_optimizer;
use crate::{Count, NonNegative, OptimizerSettings, Positive, SamplingSettings, SftSettings};

/// How the weight of the KL penalty changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlControl {
    /// The same weight throughout; 0 switches the penalty off.
    Fixed(NonNegative),
    /// Ziegler et al. 2019, arXiv:1909.08593, section 2.2.
    Adaptive(AdaptiveKl),
}

impl Default for KlControl {
    fn default() -> Self {
        Self::Fixed(NonNegative::of(0.05))
    }
}

/// `beta <- beta * (1 + clip(KL / target - 1, -0.2, 0.2) * episodes / horizon)` after each rollout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveKl {
    /// The first weight. Ziegler et al.: 0.2 in their code.
    #[serde(default = "initial")]
    pub initial: Positive,
    /// The KL to hold, nats per completion. Ziegler et al.: 6.
    #[serde(default = "target")]
    pub target: Positive,
    /// Episodes in which an error of 100 % would change the weight by 100 %. Ziegler et al.: 10000.
    #[serde(default = "horizon")]
    pub horizon: Positive,
}

fn initial() -> Positive {
    Positive::of(0.2)
}
fn target() -> Positive {
    Positive::of(6.0)
}
fn horizon() -> Positive {
    Positive::of(10_000.0)
}

/// An estimate of KL(policy, reference) from one sampled token, with `l = log policy - log reference`
/// (Schulman 2020, "Approximating KL divergence").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlEstimator {
    /// `l`: unbiased, may be negative.
    #[default]
    K1,
    /// `|l|`.
    Abs,
    /// `l^2 / 2`: biased, small variance.
    K2,
    /// `exp(-l) - 1 + l`: unbiased, never negative.
    K3,
    /// The sum over the whole vocabulary at each token.
    Exact,
}

/// A KL term in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlLoss {
    /// Its weight.
    pub coefficient: NonNegative,
    /// Its value. Shao et al. 2024, arXiv:2402.03300, eq. 4: `k3`.
    #[serde(default = "k3")]
    pub estimator: KlEstimator,
    /// Its gradient.
    #[serde(default)]
    pub gradient: KlGradient,
}

fn k3() -> KlEstimator {
    KlEstimator::K3
}

/// Which gradient a KL term in the loss has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlGradient {
    /// That of the estimate itself (biased for `k1` and `k3`: their expectation has another gradient).
    #[default]
    Own,
    /// That of `k2`, whose expectation is the gradient of the KL on policy; the value stays the estimate's.
    StraightThrough,
}

/// What happens to the score of a completion before it becomes a reward, in this order: penalties, scale, clip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardShaping {
    /// Subtracted from the score of a completion that did not end by itself (TRL's `missing_eos_penalty`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_eos: Option<MissingEos>,
    /// Penalty on length. Default: none.
    pub length: LengthPenalty,
    /// Division by a running standard deviation. Default: off.
    pub scale: RewardScale,
    /// Scores are clipped to `[-clip, clip]`. Absent: no clipping. OpenRLHF: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Positive>,
}

/// What a completion without an end-of-sequence token gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingEos {
    /// Its score less this (TRL).
    Subtract(NonNegative),
    /// This, negated, in place of its score (N+: 1).
    Replace(NonNegative),
}

/// A penalty on the length of a completion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LengthPenalty {
    /// None.
    #[default]
    None,
    /// `per_token * max(0, length - tokens)` is subtracted (soft overlong punishment; Yu et al. 2025, DAPO,
    /// arXiv:2503.14476, eq. 13, has it linear in a window).
    Over(OverLength),
    /// This much is subtracted for every token (Singhal et al. 2023, arXiv:2310.03716).
    PerToken(NonNegative),
}

/// Where a length penalty sets in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverLength {
    /// Free tokens.
    pub tokens: Count,
    /// Penalty of each token beyond.
    pub per_token: NonNegative,
}

/// Division of scores by a standard deviation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardScale {
    /// None.
    #[default]
    Off,
    /// Divided by the standard deviation of all scores so far (Engstrom et al. 2020, arXiv:2005.12729, detail 2; trlx
    /// `scale_reward = "running"`).
    Running,
    /// Divided by the standard deviation of the first rollout's scores (trlx `scale_reward = "ref"`).
    First,
}

/// Scaling a set of numbers to unit variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whitening {
    /// Left as they are.
    Off,
    /// Unit variance; the mean stays.
    KeepMean,
    /// Unit variance and zero mean.
    Centre,
}

/// A surrogate objective for the policy. `r` is the ratio of new to old probability, `A` the advantage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyLoss {
    /// `-min(r A, clip(r, 1 - low, 1 + high) A)`; Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    Clipped(RatioClip),
    /// The same with the geometric-mean ratio of the sequence; Zheng et al. 2025, GSPO, arXiv:2507.18071, eq. 5.
    Gspo(RatioBounds),
    /// `-log(pi) A`, the plain policy gradient; Williams 1992; Chu et al. 2025, GPG, arXiv:2504.02546.
    Reinforce,
    /// Clipped weight without gradient on `-log(pi) A`; Chen et al. 2025, CISPO, arXiv:2506.13585, eq. 4.
    Cispo(RatioBounds),
    /// Soft gate in place of the clip; Gao et al. 2025, SAPO, arXiv:2511.20347.
    Sapo(Sapo),
    /// Geometric mean of the clipped token ratios; Zhao et al. 2025, GMPO, arXiv:2507.20673.
    GeoMean(RatioBounds),
    /// `-log(pi) A + beta/2 (log r)^2`; Richemond et al. 2024, DRO, arXiv:2405.19107.
    Dro(Positive),
}

impl Default for PolicyLoss {
    fn default() -> Self {
        Self::Clipped(RatioClip::default())
    }
}

/// Where the ratio is clipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatioClip {
    /// Below 1 by this. Schulman et al.: 0.2.
    pub low: NonNegative,
    /// Above 1 by this. Schulman et al.: 0.2; DAPO (arXiv:2503.14476, eq. 10): 0.28.
    pub high: NonNegative,
    /// Dual clip (Ye et al. 2019, arXiv:1912.09729, eq. 5): where `A < 0` the loss is at most `-dual A`. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual: Option<Positive>,
}

impl Default for RatioClip {
    fn default() -> Self {
        Self {
            low: NonNegative::of(0.2),
            high: NonNegative::of(0.2),
            dual: None,
        }
    }
}

/// Where a ratio is clipped, without the dual bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatioBounds {
    /// Below 1 by this.
    pub low: NonNegative,
    /// Above 1 by this.
    pub high: NonNegative,
}

/// Temperatures of SAPO's gates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sapo {
    /// Where the advantage is above 0. Paper: 1.
    pub positive: Positive,
    /// Where it is not. Paper: 1.05.
    pub negative: Positive,
}

impl Default for Sapo {
    fn default() -> Self {
        Self {
            positive: Positive::of(1.0),
            negative: Positive::of(1.05),
        }
    }
}

/// How the losses of the tokens of several completions become one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Sum over all tokens by their number (N+; DAPO, arXiv:2503.14476, eq. 12).
    #[default]
    TokenMean,
    /// Sum over all tokens.
    TokenSum,
    /// Mean over completions of the sum over tokens (the policy gradient of the sequence).
    SequenceMeanTokenSum,
    /// Mean over completions of the mean over tokens (GRPO, arXiv:2402.03300, eq. 3).
    SequenceMeanTokenMean,
    /// As `sequence-mean-token-sum`, divided by a constant length (Liu et al. 2025, Dr. GRPO, arXiv:2503.20783).
    SequenceMeanTokenSumNorm(Count),
}

/// REINFORCE with a leave-one-out baseline (Kool et al. 2019; Ahmadian et al. 2024, arXiv:2402.14740).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RlooSettings {
    /// Completions sampled before each improvement, all groups together.
    pub batch_size: Count,
    /// Completions for each prompt. Ahmadian et al.: 2 and 4.
    pub group_size: Count,
    /// How completions are sampled. Absent: as the experiment samples everywhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingSettings>,
    /// Passes over each rollout. Paper: 1, on policy; TRL: 4.
    pub epochs: Count,
    /// Parts into which a pass cuts the rollout; one optimiser update each.
    pub minibatches: Count,
    /// Completions in one forward and backward pass. Absent: a whole minibatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// AdamW of the policy.
    pub optimizer: OptimizerSettings,
    /// Weight of the KL penalty, which is part of the sequence's reward.
    pub kl: KlControl,
    /// What the penalty is, token by token.
    pub kl_estimator: KlEstimator,
    /// What happens to the score of a completion before it becomes a reward.
    pub reward: RewardShaping,
    /// Normalisation of the advantages of a rollout. Paper: off.
    pub whiten_advantages: Whitening,
    /// The surrogate objective. Default: `reinforce`, as the paper; `gspo` and `clipped` for more than one epoch.
    pub policy_loss: PolicyLoss,
    /// How the losses of tokens become one number. Paper: the gradient of the sequence's log-prob.
    pub aggregation: Aggregation,
}

impl Default for RlooSettings {
    fn default() -> Self {
        Self {
            batch_size: Count::of(64),
            group_size: Count::of(4),
            sampling: None,
            epochs: Count::of(1),
            minibatches: Count::of(1),
            micro_batch_size: None,
            optimizer: policy_optimizer(),
            kl: KlControl::default(),
            kl_estimator: KlEstimator::default(),
            reward: RewardShaping::default(),
            whiten_advantages: Whitening::Off,
            policy_loss: PolicyLoss::Reinforce,
            aggregation: Aggregation::SequenceMeanTokenSum,
        }
    }
}

/// Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpoSettings {
    /// Completions sampled before each improvement, all groups together.
    pub batch_size: Count,
    /// Completions for each prompt. Paper: 64; TRL: 8.
    pub group_size: Count,
    /// How completions are sampled. Absent: as the experiment samples everywhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingSettings>,
    /// Passes over each rollout. Paper: 1.
    pub epochs: Count,
    /// Parts into which a pass cuts the rollout; one optimiser update each.
    pub minibatches: Count,
    /// Completions in one forward and backward pass. Absent: a whole minibatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_size: Option<Count>,
    /// AdamW of the policy.
    pub optimizer: OptimizerSettings,
    /// What a group's scores become.
    pub advantage: GroupAdvantage,
    /// KL term in the loss. Paper: weight 0.04, `k3`.
    pub kl_loss: KlLoss,
    /// What happens to the score of a completion before it becomes a reward.
    pub reward: RewardShaping,
    /// The surrogate objective. Default: clipped at 0.2.
    pub policy_loss: PolicyLoss,
    /// How the losses of tokens become one number. Paper, eq. 3: `sequence-mean-token-mean`.
    pub aggregation: Aggregation,
}

impl Default for GrpoSettings {
    fn default() -> Self {
        Self {
            batch_size: Count::of(64),
            group_size: Count::of(8),
            sampling: None,
            epochs: Count::of(1),
            minibatches: Count::of(1),
            micro_batch_size: None,
            optimizer: policy_optimizer(),
            advantage: GroupAdvantage::default(),
            kl_loss: KlLoss {
                coefficient: NonNegative::of(0.04),
                estimator: KlEstimator::K3,
                gradient: KlGradient::Own,
            },
            reward: RewardShaping::default(),
            policy_loss: PolicyLoss::default(),
            aggregation: Aggregation::SequenceMeanTokenMean,
        }
    }
}

/// What the scores of the completions of one prompt become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupAdvantage {
    /// `(score - mean) / (std + 1e-6)` (Shao et al. 2024, section 4.1.2).
    #[default]
    Standardised,
    /// `score - mean` (Liu et al. 2025, Dr. GRPO, arXiv:2503.20783).
    Centred,
}

/// Best of `n` samples by the reward model, without training (Stiennon et al. 2020, arXiv:2009.01325).
///
/// Its KL from the sampling policy is at most `log n - (n - 1) / n` (Hilton & Gao 2022; Beirami et al. 2024,
/// arXiv:2401.01879).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BestOfNSettings {
    /// Samples for each prompt.
    pub n: Count,
}

impl Default for BestOfNSettings {
    fn default() -> Self {
        Self { n: Count::of(16) }
    }
}

/// Supervised fine-tuning on the policy's own best samples (Touvron et al. 2023, arXiv:2307.09288, section 3.2.3; Dong et
/// al. 2023, RAFT, arXiv:2304.06767).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RejectionSamplingSettings {
    /// Samples for each prompt. RAFT: 32; Touvron et al.: 10 to 100.
    pub candidates: Count,
    /// Which samples are trained on.
    pub keep: Keep,
    /// Times that sampling and training follow each other. Default 1.
    pub rounds: Count,
    /// The fine-tuning of each round.
    pub sft: SftSettings,
}

impl Default for RejectionSamplingSettings {
    fn default() -> Self {
        Self {
            candidates: Count::of(8),
            keep: Keep::default(),
            rounds: Count::of(1),
            sft: SftSettings::default(),
        }
    }
}

/// Which of the scored samples rejection sampling trains on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The best of each prompt.
    #[default]
    Best,
    /// The best `k` over all prompts together, whatever prompt they belong to (RAFT's global ranking).
    TopOverall(Count),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_survive_being_written_and_read() {
        let rloo = RlooSettings::default();
        assert_eq!(
            toml::from_str::<RlooSettings>(&toml::to_string(&rloo).unwrap()).unwrap(),
            rloo
        );
        let grpo = GrpoSettings::default();
        assert_eq!(
            toml::from_str::<GrpoSettings>(&toml::to_string(&grpo).unwrap()).unwrap(),
            grpo
        );
        let rejection = RejectionSamplingSettings::default();
        assert_eq!(
            toml::from_str::<RejectionSamplingSettings>(&toml::to_string(&rejection).unwrap())
                .unwrap(),
            rejection
        );
        assert_eq!(
            toml::from_str::<BestOfNSettings>("n = 4").unwrap().n.get(),
            4
        );
    }

    #[test]
    fn a_choice_is_an_external_tag() {
        let settings: GrpoSettings =
            toml::from_str("policy_loss.gspo = { low = 3e-4, high = 4e-4 }").unwrap();
        assert!(
            matches!(settings.policy_loss, PolicyLoss::Gspo(bounds) if bounds.high.get() == 4e-4)
        );
        let error =
            toml::from_str::<GrpoSettings>("policy_loss.gspo = { low = -1.0, high = 4e-4 }")
                .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected a number of at least 0, found -1"),
            "{error}"
        );
    }
}
