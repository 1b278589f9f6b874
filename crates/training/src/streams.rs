//! Named random streams: what each decides is seeded from the cell seed, equally for every arm.

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a random stream decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights.
    Init,
    /// Which prompts a rollout takes, and in what order.
    PromptOrder,
    /// Tokens of sampled completions while training.
    Sampling,
    /// Order of examples and pairs in updates.
    Minibatches,
    /// Tokens of completions sampled for evaluation.
    Evaluation,
    /// Tokens of the candidates that preference pairs are made from.
    Candidates,
    /// Those of the weaker model.
    WeakerCandidates,
    /// Noise of the judge.
    Judge,
    /// The held-out and unseen completions that training is watched on.
    Probes,
}

impl Stream {
    const fn id(self) -> u64 {
        match self {
            Self::Init => 1,
            Self::PromptOrder => 2,
            Self::Sampling => 3,
            Self::Minibatches => 4,
            Self::Evaluation => 5,
            Self::Candidates => 6,
            Self::Judge => 7,
            Self::Probes => 8,
            Self::WeakerCandidates => 9,
        }
    }
}

/// The random streams of one cell seed.
///
/// Two arms under one seed hold equal `Streams`, and so share initial weights, prompt order and evaluation samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The generator of `stream` at `step`: a function of (seed, stream, step) alone, so nothing needs saving to resume.
    pub fn rng(&self, stream: Stream, step: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&stream.id().to_le_bytes());
        key[16..24].copy_from_slice(&step.to_le_bytes());
        ChaCha8Rng::from_seed(key)
    }

    /// One seed of `stream` at `step`.
    pub fn at(&self, stream: Stream, step: u64) -> u64 {
        self.rng(stream, step).random()
    }

    /// `rows` seeds of `stream` at `step`, one for each row of a batch.
    pub fn rows(&self, stream: Stream, step: u64, rows: usize) -> Vec<u64> {
        let mut rng = self.rng(stream, step);
        (0..rows).map(|_| rng.random()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_name_and_step_and_on_nothing_else() {
        let streams = Streams::new(3);
        assert_eq!(
            streams.at(Stream::Sampling, 5),
            Streams::new(3).at(Stream::Sampling, 5)
        );
        assert_ne!(
            streams.at(Stream::Sampling, 5),
            streams.at(Stream::Sampling, 6)
        );
        assert_ne!(
            streams.at(Stream::Sampling, 5),
            streams.at(Stream::Evaluation, 5)
        );
        assert_ne!(
            streams.at(Stream::Sampling, 5),
            Streams::new(4).at(Stream::Sampling, 5)
        );
        assert_eq!(
            streams.rows(Stream::Sampling, 5, 3)[..2],
            streams.rows(Stream::Sampling, 5, 2)
        );
    }
}
