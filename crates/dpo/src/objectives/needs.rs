//! What an objective reads beyond the log-probabilities of the policy.

use preflab_config::{KlBaseline, Objective, RewardShift, SftAggregation, WpoAlignment};

/// What an objective reads beyond summed log-probabilities of the policy, so that a trainer can provide it, or refuse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Log-probabilities under the reference.
    pub reference: bool,
    /// Log-probabilities token by token.
    pub tokens: bool,
    /// `log Σ_v π(v)²` at every token.
    pub collision: bool,
    /// The judge's score gaps.
    pub score_gaps: bool,
    /// Log-ratios of completions unrelated to their prompts.
    pub unrelated: bool,
    /// The running mean of rewards.
    pub reward_shift: bool,
    /// The loss of a pair depends on the other pairs of the update, so that the sum over micro-batches is not the loss of
    /// the update.
    pub whole_update: bool,
}

impl Needs {
    /// What `objective` reads.
    pub fn of(objective: &Objective) -> Self {
        let nothing = Self::default();
        let reference = Self {
            reference: true,
            ..nothing
        };
        match objective {
            Objective::Dpo(_)
            | Objective::DpoMean(_)
            | Objective::FlexDpo(_)
            | Objective::SftDpo(_)
            | Objective::Ipo(_)
            | Objective::IpoMean(_)
            | Objective::Hinge(_)
            | Objective::Dpop(_)
            | Objective::RDpo(_)
            | Objective::Cdpo(_)
            | Objective::Robust(_)
            | Objective::Exo(_)
            | Objective::Nca(_)
            | Objective::ApoZero(_)
            | Objective::ApoDown(_)
            | Objective::Sppo(_)
            | Objective::Discopop(_) => reference,
            Objective::Slic(_)
            | Objective::Simpo(_)
            | Objective::Alphapo(_)
            | Objective::Orpo(_)
            | Objective::Cpo(_) => nothing,
            Objective::Odpo(_) => Self {
                score_gaps: true,
                ..reference
            },
            Objective::Bco(o) => Self {
                reward_shift: o.shift == RewardShift::RunningMean,
                ..reference
            },
            Objective::Kto(o) => Self {
                unrelated: o.baseline == KlBaseline::Unrelated,
                whole_update: o.baseline == KlBaseline::OtherSide,
                ..reference
            },
            Objective::Aot(_) | Objective::AotUnpaired(_) => Self {
                whole_update: true,
                ..reference
            },
            // the mean length is known before any forward pass
            Objective::Sft(o) => match o.likelihood {
                SftAggregation::Sum | SftAggregation::Mean | SftAggregation::BatchMean => nothing,
            },
            Objective::LdDpo(o) => Self {
                tokens: true,
                ..Self::of(&o.objective)
            },
            Objective::Wpo(o) => {
                let inner = Self::of(&o.objective);
                match o.alignment {
                    WpoAlignment::Sampled => Self {
                        tokens: true,
                        collision: true,
                        ..inner
                    },
                    WpoAlignment::None => inner,
                }
            }
            Objective::Humanline(o) => Self {
                tokens: true,
                reference: true,
                ..Self::of(&o.objective)
            },
            Objective::ReferenceFree(o) => Self {
                reference: false,
                ..Self::of(&o.objective)
            },
            Objective::Sum(terms) => terms
                .iter()
                .map(|term| Self::of(&term.objective))
                .fold(nothing, Self::and),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            reference: self.reference || other.reference,
            tokens: self.tokens || other.tokens,
            collision: self.collision || other.collision,
            score_gaps: self.score_gaps || other.score_gaps,
            unrelated: self.unrelated || other.unrelated,
            reward_shift: self.reward_shift || other.reward_shift,
            whole_update: self.whole_update || other.whole_update,
        }
    }
}
