//! The preference objectives: one variant, one paper, one function in `preflab-dpo`.
//!
//! `beta` multiplies the summed log-ratio `log π − log π_ref` of a completion (1/nats) unless the field says otherwise.
//! A variant wrapped around another (`ld-dpo`, `wpo`, `humanline`, `reference-free`, `sum`) changes what the inner one
//! is given, or what it weighs.
//!
//! ```
//! use preflab_config::Objective;
//! #[derive(serde::Deserialize)]
//! struct Method {
//!     objective: Objective,
//! }
//! for text in [
//!     "objective.dpo = { beta = 0.1 }",
//!     "objective.flex-dpo = { beta_chosen = 0.1, beta_rejected = 0.08 }",
//!     "objective.ld-dpo = { alpha = 0.5, objective.dpo = { beta = 0.1 } }",
//!     "objective.sum = [{ weight = 1.0, objective.dpo = {} }, { weight = 0.05, objective.sft = {} }]",
//! ] {
//!     toml::from_str::<Method>(text).unwrap();
//! }
//! ```

mod choices;
mod problems;

use serde::{Deserialize, Serialize};

pub use choices::{
    Divergence, KlBaseline, Link, OffsetScale, RewardShift, SftAggregation, TokenAggregation,
    WpoAlignment,
};

use crate::{Finite, FlipProbability, Fraction, NonNegative, Positive, PositiveFlipProbability};

/// Declares the settings of an objective with their defaults; unknown keys are refused.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:expr,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    )*};
}

/// A loss over preference pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Rafailov et al. 2023, arXiv:2305.18290, eq. 7.
    Dpo(Dpo),
    /// DPO on log-ratios divided by length; TRL's `sigmoid_norm`, LR-DPO.
    DpoMean(DpoMean),
    /// Yan et al. 2025, arXiv:2406.07327, appendix B.2.1: one beta for each side.
    FlexDpo(FlexDpo),
    /// Yan et al. 2025, arXiv:2406.07327, eq. 6: DPO plus the chosen completion's log-likelihood.
    SftDpo(SftDpo),
    /// Azar et al. 2023, arXiv:2310.12036, eq. 17; arXiv:2406.07327, eq. 7: on summed log-ratios.
    Ipo(Ipo),
    /// IPO on log-ratios divided by length, as its authors ran it and TRL computes it.
    IpoMean(IpoMean),
    /// Zhao et al. 2023, arXiv:2305.10425, as arXiv:2406.07327, eq. 10: without a reference.
    Slic(Slic),
    /// Liu et al. 2023, arXiv:2309.06657 (RSO): hinge on the log-ratio margin.
    Hinge(Hinge),
    /// Meng et al. 2024, arXiv:2405.14734; arXiv:2406.07327, eq. 13.
    Simpo(Simpo),
    /// Gupta et al. 2025, arXiv:2501.03884: SimPO with a shaped reward.
    Alphapo(Alphapo),
    /// Pal et al. 2024, arXiv:2402.13228, eq. 3 (Smaug).
    Dpop(Dpop),
    /// Amini et al. 2024, arXiv:2402.10571, eq. 8: DPO with an offset from the judge's scores.
    Odpo(Odpo),
    /// Park et al. 2024, arXiv:2403.19159, eq. 9: DPO with a length penalty.
    RDpo(RDpo),
    /// Mitchell 2023, conservative DPO: DPO with label smoothing.
    Cdpo(Cdpo),
    /// Chowdhury et al. 2024, arXiv:2403.00409, eq. 11: unbiased under label flips.
    Robust(Robust),
    /// Ji et al. 2024, arXiv:2402.00856, eq. 16.
    Exo(Exo),
    /// Chen et al. 2024, arXiv:2402.05369, the pairwise case of NCA.
    Nca(Nca),
    /// Jung et al. 2024, arXiv:2404.04656.
    Bco(Bco),
    /// Ethayarajh et al. 2024, arXiv:2402.01306, eq. 7.
    Kto(Kto),
    /// D'Oosterlinck et al. 2024, arXiv:2408.06266, eq. 7.
    ApoZero(ApoZero),
    /// D'Oosterlinck et al. 2024, arXiv:2408.06266, eq. 8.
    ApoDown(ApoDown),
    /// Wu et al. 2024, arXiv:2405.00675, eq. 4.7 with hard probabilities.
    Sppo(Sppo),
    /// Melnyk et al. 2024, arXiv:2406.05882: paired alignment by optimal transport.
    Aot(Aot),
    /// The same for unpaired chosen and rejected completions.
    AotUnpaired(AotUnpaired),
    /// Lu et al. 2024, arXiv:2406.08414, eq. 5: the discovered log-ratio modulated loss.
    Discopop(Discopop),
    /// Hong et al. 2024, arXiv:2403.07691, eqs. 6 and 7.
    Orpo(Orpo),
    /// Xu et al. 2024, arXiv:2401.08417, eq. 3.
    Cpo(Cpo),
    /// The negative log-likelihood of the chosen completion.
    Sft(Sft),
    /// Liu et al. 2024, arXiv:2409.06411: the part of a completion beyond the shorter one's length weighs less.
    LdDpo(LdDpo),
    /// Zhou et al. 2024, arXiv:2406.11827, eq. 2: pairs weighted by how likely the policy finds them.
    Wpo(Wpo),
    /// Liu et al. 2025, arXiv:2509.24207: log-ratios of tokens clamped to an interval.
    Humanline(Humanline),
    /// The inner objective with `log π_ref = 0`, as the original DPO code's `reference_free`.
    ReferenceFree(ReferenceFree),
    /// A weighted sum of objectives.
    Sum(Vec<Weighted>),
}

impl Default for Objective {
    fn default() -> Self {
        Self::Dpo(Dpo::default())
    }
}

fn plain_dpo() -> Box<Objective> {
    Box::default()
}

settings! {
    /// `−log σ(β h)`.
    Dpo {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1.
        beta: Positive = Positive::of(0.1),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `−log σ(β (r_w / |y_w| − r_l / |y_l|))`.
    DpoMean {
        /// Strength of the pull, tokens/nats: of the order of the length times DPO's. Default 0.1, TRL.
        beta: Positive = Positive::of(0.1),
        /// Assumed share of flipped labels. Default 0.
        label_smoothing: FlipProbability = FlipProbability::of(0.0),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `−log σ(β⁺ r_w − β⁻ r_l)`.
    FlexDpo {
        /// beta of the chosen completion, 1/nats. Default 0.1, the paper's table 9.
        beta_chosen: Positive = Positive::of(0.1),
        /// beta of the rejected completion, 1/nats. Default 0.08, the paper's table 9.
        beta_rejected: Positive = Positive::of(0.08),
    }
    /// `−log σ(β h) − γ log π(y_w)`.
    SftDpo {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1.
        beta: Positive = Positive::of(0.1),
        /// Weight of the chosen completion's summed log-likelihood, 1/nats. Default 0.01.
        gamma: NonNegative = NonNegative::of(0.01),
    }
    /// `(h − 1 / (2 η))²`.
    Ipo {
        /// Regularisation, 1/nats: the margin aimed at is `1 / (2 η)`. Default 0.1.
        eta: Positive = Positive::of(0.1),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `(r_w / |y_w| − r_l / |y_l| − 1 / (2 η))²`.
    IpoMean {
        /// Regularisation, tokens/nats; TRL's `beta`. Default 0.1.
        eta: Positive = Positive::of(0.1),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `max(0, δ − log π(y_w) + log π(y_l)) − η log π(y_w)`.
    Slic {
        /// Margin of summed log-probabilities, nats. Default 5, arXiv:2406.07327's table 9.
        delta: NonNegative = NonNegative::of(5.0),
        /// Weight of the chosen completion's summed log-likelihood. Default 0.1, arXiv:2406.07327's table 9.
        eta: NonNegative = NonNegative::of(0.1),
    }
    /// `max(0, 1 − β h)`.
    Hinge {
        /// Reciprocal of the margin, 1/nats. Default 0.1, TRL.
        beta: Positive = Positive::of(0.1),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `−log σ(β log π(y_w) / |y_w| − β log π(y_l) / |y_l| − γ)`.
    Simpo {
        /// Scale of the mean log-probabilities, tokens/nats. Default 2, the authors' code.
        beta: Positive = Positive::of(2.0),
        /// Margin aimed at, after beta: the authors' `gamma_beta_ratio` times beta, TRL's `simpo_gamma`. Default 1.
        gamma: NonNegative = NonNegative::of(1.0),
        /// What is made of the margin.
        link: Link = Link::default(),
    }
    /// SimPO with `(1 − π̄^−α) / α` for `log π̄`, where `log π̄` is the mean log-probability.
    Alphapo {
        /// Scale of the shaped rewards, tokens/nats. Default 2.5, the paper's table 3.
        beta: Positive = Positive::of(2.5),
        /// Margin aimed at, after beta. Default 0.1, the paper's table 3.
        gamma: NonNegative = NonNegative::of(0.1),
        /// Shape: 0 is SimPO. Default 0.25, the paper's table 3.
        alpha: Finite = Finite::of(0.25),
        /// What is made of the margin.
        link: Link = Link::default(),
    }
    /// `−log σ(β (h − λ max(0, −r_w)) + α (|y_w| − |y_l|))`.
    Dpop {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.3, the paper.
        beta: Positive = Positive::of(0.3),
        /// Weight of the chosen completion's loss of probability, inside beta. Default 50, the paper.
        lambda: NonNegative = NonNegative::of(50.0),
        /// Assumed share of flipped labels. Default 0.
        label_smoothing: FlipProbability = FlipProbability::of(0.0),
        /// R-DPO's length weight alpha, 1/tokens. Default 0.
        length_weight: Finite = Finite::of(0.0),
        /// Whether log-ratios are summed over tokens or averaged. Default: summed.
        log_ratio: TokenAggregation = TokenAggregation::Sum,
    }
    /// `−log σ(β h − α log(s_w − s_l))`, or with the gap itself.
    Odpo {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1.
        beta: Positive = Positive::of(0.1),
        /// Weight of the offset. Default 1, the paper.
        alpha: NonNegative = NonNegative::of(1.0),
        /// What is made of the score gap. Default: its logarithm, the paper.
        scale: OffsetScale = OffsetScale::Log,
    }
    /// `−log σ(β h + α (|y_w| − |y_l|))`.
    RDpo {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1.
        beta: Positive = Positive::of(0.1),
        /// Weight of the length difference, 1/tokens, outside beta. Default 0.01.
        alpha: Finite = Finite::of(0.01),
        /// Assumed share of flipped labels. Default 0.
        label_smoothing: FlipProbability = FlipProbability::of(0.0),
        /// Whether log-ratios are summed over tokens or averaged. Default: summed.
        log_ratio: TokenAggregation = TokenAggregation::Sum,
    }
    /// `−(1 − ε) log σ(β h) − ε log σ(−β h)`.
    Cdpo {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1.
        beta: Positive = Positive::of(0.1),
        /// Assumed share of flipped labels. Default 0.1.
        label_smoothing: FlipProbability = FlipProbability::of(0.1),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `(−(1 − ε) log σ(β h) + ε log σ(−β h)) / (1 − 2 ε)`.
    Robust {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1, the paper.
        beta: Positive = Positive::of(0.1),
        /// Known share of flipped labels. Default 0.1, the paper.
        label_smoothing: FlipProbability = FlipProbability::of(0.1),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `KL(softmax(β r) ‖ [1 − ε, ε])`.
    Exo {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1.
        beta: Positive = Positive::of(0.1),
        /// Probability that the target distribution gives the rejected completion. Default 1e-3, TRL.
        label_smoothing: PositiveFlipProbability = PositiveFlipProbability::of(1e-3),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `−log σ(β r_w) − ½ log σ(−β r_w) − ½ log σ(−β r_l)`.
    Nca {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.01, the paper.
        beta: Positive = Positive::of(0.01),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `−log σ(β r_w − δ) − log σ(δ − β r_l)`.
    Bco {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.01, the paper.
        beta: Positive = Positive::of(0.01),
        /// Where the reward shift `δ` comes from. Default: the running mean, the paper.
        shift: RewardShift = RewardShift::RunningMean,
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `½ w_D (1 − σ(β (r_w − z))) + ½ w_U (1 − σ(β (z − r_l)))`.
    Kto {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1, the paper.
        beta: Positive = Positive::of(0.1),
        /// Weight of chosen completions. Default 1.
        desirable_weight: NonNegative = NonNegative::of(1.0),
        /// Weight of rejected completions. Default 1.
        undesirable_weight: NonNegative = NonNegative::of(1.0),
        /// What stands for `z = KL(π ‖ π_ref)`.
        baseline: KlBaseline = KlBaseline::Unrelated,
    }
    /// `σ(−β r_w) + σ(β r_l)`.
    ApoZero {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1, the paper.
        beta: Positive = Positive::of(0.1),
    }
    /// `σ(β r_w) + σ(−β h)`.
    ApoDown {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.1, the paper.
        beta: Positive = Positive::of(0.1),
        /// Which divergence from the reference the margin belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `(r_w − 1 / (2 β))² + (r_l + 1 / (2 β))²`.
    Sppo {
        /// Reciprocal of the paper's `η`, 1/nats. Default 0.001, the paper.
        beta: Positive = Positive::of(0.001),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// Sorted margins of the policy against sorted margins of the reference.
    Aot {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.01, the paper.
        beta: Positive = Positive::of(0.01),
        /// Assumed share of flipped labels. Default 0.
        label_smoothing: FlipProbability = FlipProbability::of(0.0),
    }
    /// Sorted log-ratios of chosen completions against those of rejected ones.
    AotUnpaired {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.01, the paper.
        beta: Positive = Positive::of(0.01),
        /// Assumed share of flipped labels. Default 0.
        label_smoothing: FlipProbability = FlipProbability::of(0.0),
    }
    /// `−log σ(β h) σ(−β h / τ) + exp(−β h) σ(β h / τ)`.
    Discopop {
        /// Strength of the pull towards the reference policy, 1/nats. Default 0.05, the paper.
        beta: Positive = Positive::of(0.05),
        /// Temperature of the blend. Default 0.05, the paper.
        tau: Positive = Positive::of(0.05),
        /// Which divergence from the reference the implicit reward belongs to.
        divergence: Divergence = Divergence::default(),
    }
    /// `−w log π̄(y_w) − λ log σ(log odds π̄(y_w) − log odds π̄(y_l))`, with `π̄` the geometric mean over tokens.
    Orpo {
        /// Weight of the odds-ratio term. Default 0.1, the paper; TRL's `beta`.
        lambda: NonNegative = NonNegative::of(0.1),
        /// Weight of the chosen completion's mean negative log-likelihood. Default 1, the paper.
        nll_weight: NonNegative = NonNegative::of(1.0),
    }
    /// `−log σ(β (log π(y_w) − log π(y_l))) − w log π̄(y_w)`.
    Cpo {
        /// Scale of the log-probability margin, 1/nats. Default 0.1, the paper.
        beta: Positive = Positive::of(0.1),
        /// Weight of the chosen completion's mean negative log-likelihood, TRL's `cpo_alpha`. Default 1, the paper.
        nll_weight: NonNegative = NonNegative::of(1.0),
        /// What is made of the margin.
        link: Link = Link::default(),
    }
    /// `−log π(y_w)`.
    Sft {
        /// Whether the log-likelihood is summed over tokens or averaged. Default: averaged.
        likelihood: SftAggregation = SftAggregation::Mean,
    }
    /// The inner objective on `Σ_{t ≤ l} log π(y_t) + α Σ_{t > l} log π(y_t)`, with `l` the shorter completion's length.
    LdDpo {
        /// Weight of the tokens beyond the shorter length; 1 changes nothing. Default 0.5, the paper.
        alpha: Fraction = Fraction::of(0.5),
        /// The objective on the reweighted log-probabilities. Default: DPO.
        objective: Box<Objective> = plain_dpo(),
    }
    /// The inner objective times `w(y_w) w(y_l)`, where `w` carries no gradient.
    Wpo {
        /// How the weight of a completion is made. Default: sampled alignment, the paper and TRL.
        alignment: WpoAlignment = WpoAlignment::Sampled,
        /// The objective that is weighted. Default: DPO.
        objective: Box<Objective> = plain_dpo(),
    }
    /// The inner objective on log-ratios clamped token by token.
    Humanline {
        /// Smallest log-ratio of a token, nats. Default -1, the authors' code.
        low: Finite = Finite::of(-1.0),
        /// Largest log-ratio of a token, nats. Default 1.5, the authors' code.
        high: Finite = Finite::of(1.5),
        /// The objective on the clamped log-ratios. Default: DPO.
        objective: Box<Objective> = plain_dpo(),
    }
    /// The inner objective with every reference log-probability 0.
    ReferenceFree {
        /// The objective. Default: DPO.
        objective: Box<Objective> = plain_dpo(),
    }
}

/// One term of a weighted sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighted {
    /// What the objective is multiplied with.
    pub weight: NonNegative,
    /// The objective.
    pub objective: Objective,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Method {
        objective: Objective,
    }

    fn parse(text: &str) -> Objective {
        toml::from_str::<Method>(text).unwrap().objective
    }

    #[test]
    fn a_nested_objective_survives_a_round_trip() {
        let text = "objective.wpo = { objective.ld-dpo = { alpha = 0.25, objective.cpo = { link = \"hinge\" } } }";
        let method = Method {
            objective: parse(text),
        };
        let written = toml::to_string(&method).unwrap();
        assert_eq!(toml::from_str::<Method>(&written).unwrap(), method);
        let sum = "objective.sum = [{ weight = 0.8, objective.dpo.divergence.alpha = 0.5 }]";
        let method = Method {
            objective: parse(sum),
        };
        assert_eq!(
            toml::from_str::<Method>(&toml::to_string(&method).unwrap()).unwrap(),
            method
        );
    }

    #[test]
    fn a_parameter_out_of_range_is_pointed_at() {
        let error = toml::from_str::<Method>("objective.flex-dpo = { beta_rejected = 0.0 }")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 1, column 40"), "{error}");
        assert!(
            error.contains("expected a number above 0, found 0"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_name() {
        let error = toml::from_str::<Method>("objective.ipo = { beta = 0.1 }")
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `beta`"), "{error}");
        let error = toml::from_str::<Method>("objective.dqo = {}")
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown variant `dqo`"), "{error}");
    }

    #[test]
    fn exo_refuses_a_target_without_mass_on_the_rejected_completion() {
        let error = toml::from_str::<Method>("objective.exo = { label_smoothing = 0.0 }")
            .unwrap_err()
            .to_string();
        assert!(error.contains("a number above 0 and below 0.5"), "{error}");
    }
}
