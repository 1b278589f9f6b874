//! Sizes of model and batch; `benches/gpu/peer.py` has the same.

use clap::ValueEnum;
use preflab_config::ModelSettings;
use preflab_data::TokenPair;
use preflab_transformer::Architecture;

/// A shape.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shape {
    /// 2 blocks of width 64, to try everything.
    Tiny,
    /// Qwen2 0.5 B: 24 blocks, width 896, 14 query and 2 key-value heads, feed-forward 4864, vocabulary 151936, tied.
    #[value(name = "qwen2-0.5b")]
    Qwen2HalfBillion,
}

/// What a step takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    /// Pairs of an update; rows of a rollout, and of sampling.
    pub rows: usize,
    /// Pairs, or rows, of one forward and backward pass.
    pub micro: usize,
    /// Tokens of a prompt.
    pub prompt: usize,
    /// Tokens of a completion.
    pub completion: usize,
}

impl Shape {
    pub(crate) fn batch(self) -> Batch {
        match self {
            Self::Tiny => Batch {
                rows: 4,
                micro: 2,
                prompt: 12,
                completion: 16,
            },
            Self::Qwen2HalfBillion => Batch {
                rows: 16,
                micro: 4,
                prompt: 128,
                completion: 256,
            },
        }
    }

    pub(crate) fn architecture(self) -> Architecture {
        let (text, vocabulary) = match self {
            Self::Tiny => (
                "width = 64\nlayers = 2\nheads = 4\nkv_heads = 2\nfeedforward = 160\ncontext = 256",
                512,
            ),
            Self::Qwen2HalfBillion => (
                "width = 896\nlayers = 24\nheads = 14\nkv_heads = 2\nfeedforward = 4864\ncontext = 32768",
                151_936,
            ),
        };
        let settings: ModelSettings =
            toml::from_str(&format!("{text}\nrope_theta = 1000000.0\ntied = true"))
                .expect("the settings of a shape");
        let mut architecture = Architecture::new(&settings, vocabulary);
        architecture.attention.qkv_bias = true;
        architecture
    }

    /// Token ids by a rule that both sides follow.
    pub(crate) fn pairs(self) -> Vec<TokenPair> {
        let (batch, vocabulary) = (self.batch(), self.architecture().vocabulary);
        let tokens = |row: usize, from: usize, count: usize| -> Vec<u32> {
            let id = |place: usize| 4 + (row * 7919 + place * 104_729) % (vocabulary - 4);
            (from..from + count).map(|place| id(place) as u32).collect()
        };
        (0..batch.rows)
            .map(|row| TokenPair {
                prompt: tokens(row, 0, batch.prompt),
                chosen: tokens(row, 1000, batch.completion),
                rejected: tokens(row, 2000, batch.completion),
            })
            .collect()
    }
}
