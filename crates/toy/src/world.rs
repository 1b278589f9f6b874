//! The world: four prompts, ten responses, and what the policy thinks of them at the start.

use preflab_config::{ToyScenario, ToySettings};

/// Prompts, as one-hot inputs.
pub const PROMPTS: usize = 4;
/// Responses: the policy's categories.
pub const RESPONSES: usize = 10;
/// Cells of a policy: prompts times responses.
pub(crate) const CELLS: usize = PROMPTS * RESPONSES;

/// What a response is to a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Dimension `i` for prompt `i`.
    Chosen,
    /// The other three of dimensions 1 to 4.
    OtherChosen,
    /// Dimensions 5 to 8.
    Rejected,
    /// Dimensions 9 and 10: in no pair, whatever the draw.
    Unseen,
}

/// What `response` is to `prompt`, both from 0.
pub const fn group(prompt: usize, response: usize) -> Group {
    match response {
        0..4 if response == prompt => Group::Chosen,
        0..4 => Group::OtherChosen,
        4..8 => Group::Rejected,
        _ => Group::Unseen,
    }
}

/// The hand-set probabilities of the start, the same for each prompt.
///
/// Each of dimensions 1 to 4 and each of 5 to 8 has the probability that the scenario says; what is left is shared equally
/// by dimensions 9 and 10. With 0.12 and 0.02 these have 0.02 each in scenario 1, 0.22 in 2 and 3, and 0.42 in 4.
pub fn start(settings: &ToySettings, scenario: ToyScenario) -> [f64; RESPONSES] {
    let (on, off) = (settings.on_policy.get(), settings.off_policy.get());
    let (chosen, rejected) = match scenario {
        ToyScenario::BothOn => (on, on),
        ToyScenario::RejectedOn => (off, on),
        ToyScenario::ChosenOn => (on, off),
        ToyScenario::BothOff => (off, off),
    };
    let mut probabilities = [(1.0 - 4.0 * (chosen + rejected)) / 2.0; RESPONSES];
    probabilities[..4].fill(chosen);
    probabilities[4..8].fill(rejected);
    probabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_distribution_with_the_papers_numbers() {
        let settings = ToySettings::default();
        for scenario in ToyScenario::ALL {
            let start = start(&settings, scenario);
            assert!((start.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        let start = start(&settings, ToyScenario::RejectedOn);
        assert_eq!((start[3], start[4]), (0.02, 0.12));
        assert!((start[9] - 0.22).abs() < 1e-12);
    }

    #[test]
    fn groups_are_those_of_the_paper() {
        let count = |wanted| {
            (0..CELLS)
                .filter(|cell| group(cell / 10, cell % 10) == wanted)
                .count()
        };
        assert_eq!(
            [
                Group::Chosen,
                Group::OtherChosen,
                Group::Rejected,
                Group::Unseen
            ]
            .map(count),
            [4, 12, 16, 8]
        );
    }
}
