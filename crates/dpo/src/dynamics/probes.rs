//! The rows that training is watched on.

use preflab_data::TokenPair;
use preflab_metrics::Metric;
use rand::RngExt;

/// A prompt with a completion.
pub(super) type Row = (Vec<u32>, Vec<u32>);

/// Rows whose log-probabilities are followed. A row is a prompt with a completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Probes {
    pub(super) groups: Vec<(Group, Vec<Row>)>,
}

/// What a probe row's completion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Chosen side of a training pair.
    Chosen,
    /// Rejected side of a training pair.
    Rejected,
    /// A sample of the start model that is in no pair.
    Unseen,
    /// Chosen side of another prompt's pair.
    OtherPrompts,
    /// Uniformly random tokens.
    Random,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 5] = [
        Self::Chosen,
        Self::Rejected,
        Self::Unseen,
        Self::OtherPrompts,
        Self::Random,
    ];

    /// Tags of the summed log-probability, the one per token, and its change since step 0.
    pub const fn metrics(self) -> [Metric; 3] {
        match self {
            Self::Chosen => [
                Metric::DynamicsLogpsChosen,
                Metric::DynamicsMeanLogpChosen,
                Metric::DynamicsChangeChosen,
            ],
            Self::Rejected => [
                Metric::DynamicsLogpsRejected,
                Metric::DynamicsMeanLogpRejected,
                Metric::DynamicsChangeRejected,
            ],
            Self::Unseen => [
                Metric::DynamicsLogpsUnseen,
                Metric::DynamicsMeanLogpUnseen,
                Metric::DynamicsChangeUnseen,
            ],
            Self::OtherPrompts => [
                Metric::DynamicsLogpsOtherPrompts,
                Metric::DynamicsMeanLogpOtherPrompts,
                Metric::DynamicsChangeOtherPrompts,
            ],
            Self::Random => [
                Metric::DynamicsLogpsRandom,
                Metric::DynamicsMeanLogpRandom,
                Metric::DynamicsChangeRandom,
            ],
        }
    }
}

impl Probes {
    /// Probe rows of `pairs`: all their chosen and rejected completions, and for every other pair one of each other
    /// kind, whose means are less noisy.
    ///
    /// - `unseen`: for each pair a completion that no pair holds, where there is one.
    /// - `vocabulary`: random tokens are drawn from `first_token..vocabulary`, as many as the chosen completion has.
    pub fn new(
        pairs: &[TokenPair],
        unseen: &[Option<Vec<u32>>],
        first_token: u32,
        vocabulary: usize,
        random: &mut impl rand::Rng,
    ) -> Self {
        let side = |pick: fn(&TokenPair) -> &Vec<u32>| {
            let row = |pair: &TokenPair| (pair.prompt.clone(), pick(pair).clone());
            pairs.iter().map(row).collect::<Vec<_>>()
        };
        let others = (0..pairs.len()).step_by(2).map(|index| {
            let other = &pairs[(index + 1) % pairs.len()];
            (pairs[index].prompt.clone(), other.chosen.clone())
        });
        let held = pairs.iter().zip(unseen).step_by(2);
        let held = held.filter_map(|(pair, unseen)| {
            let completion = unseen.clone()?;
            Some((pair.prompt.clone(), completion))
        });
        let noise = pairs.iter().step_by(2).map(|pair| {
            let token = |_| random.random_range(first_token..vocabulary as u32);
            let completion = (0..pair.chosen.len()).map(token).collect();
            (pair.prompt.clone(), completion)
        });
        let groups = vec![
            (Group::Chosen, side(|pair| &pair.chosen)),
            (Group::Rejected, side(|pair| &pair.rejected)),
            (Group::Unseen, held.collect()),
            (Group::OtherPrompts, others.collect()),
            (Group::Random, noise.collect()),
        ];
        let groups = groups
            .into_iter()
            .filter(|(_, rows)| !rows.is_empty())
            .collect();
        Self { groups }
    }
}
