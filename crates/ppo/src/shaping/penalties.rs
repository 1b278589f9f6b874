//! What is taken off a score before it becomes a reward.

use preflab_config::{LengthPenalty, MissingEos};

/// The score of a completion, which `finished` with its end-of-sequence token or did not.
///
/// TRL subtracts its `missing_eos_penalty`; summarize_from_feedback (N+, Huang et al. 2024,
/// [arXiv:2403.17031](https://arxiv.org/abs/2403.17031)) puts a fixed low score in place of the model's.
pub fn missing_eos(score: f64, finished: bool, penalty: Option<MissingEos>) -> f64 {
    match penalty {
        None => score,
        Some(_) if finished => score,
        Some(MissingEos::Subtract(penalty)) => score - penalty.get(),
        Some(MissingEos::Replace(penalty)) => -penalty.get(),
    }
}

/// What a completion of `tokens` tokens is charged for its length, at least 0.
///
/// See [`LengthPenalty`] for the forms and their papers.
pub fn length_penalty(tokens: usize, penalty: LengthPenalty) -> f64 {
    match penalty {
        LengthPenalty::None => 0.0,
        LengthPenalty::Over(over) => {
            tokens.saturating_sub(over.tokens.get()) as f64 * over.per_token.get()
        }
        LengthPenalty::PerToken(per_token) => tokens as f64 * per_token.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::{Count, NonNegative, OverLength};

    #[test]
    fn only_an_unfinished_completion_is_charged() {
        let subtract = Some(MissingEos::Subtract(NonNegative::of(2.0)));
        assert_eq!(missing_eos(0.5, true, subtract), 0.5);
        assert_eq!(missing_eos(0.5, false, subtract), -1.5);
        assert_eq!(
            missing_eos(0.5, false, Some(MissingEos::Replace(NonNegative::of(1.0)))),
            -1.0
        );
        assert_eq!(missing_eos(0.5, false, None), 0.5);
    }

    #[test]
    fn length_is_charged_from_where_it_sets_in() {
        let over = LengthPenalty::Over(OverLength {
            tokens: Count::of(10),
            per_token: NonNegative::of(0.5),
        });
        assert_eq!(
            [
                length_penalty(9, over),
                length_penalty(10, over),
                length_penalty(13, over)
            ],
            [0.0, 0.0, 1.5]
        );
        assert_eq!(
            length_penalty(4, LengthPenalty::PerToken(NonNegative::of(0.25))),
            1.0
        );
    }
}
