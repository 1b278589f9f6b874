//! Named random streams: what each decides is a function of the seed and the name alone, the same for all arms and
//! scenarios.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Weights of the policy before the fit.
    Policy,
    /// Weights of the reward model.
    Reward,
    /// Prompts and rejected responses of mini-batches.
    Batches,
    /// Responses that PPO samples.
    Samples,
}

/// The generator of `stream` under `seed`; `part` tells several of one name apart.
pub(crate) fn rng(seed: u64, stream: Stream, part: u64) -> ChaCha8Rng {
    let name: u64 = match stream {
        Stream::Policy => 1,
        Stream::Reward => 2,
        Stream::Batches => 3,
        Stream::Samples => 4,
    };
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&name.to_le_bytes());
    key[16..24].copy_from_slice(&part.to_le_bytes());
    key[24..].copy_from_slice(b"toymodel");
    ChaCha8Rng::from_seed(key)
}
