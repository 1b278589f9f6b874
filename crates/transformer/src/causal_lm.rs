//! A language model: policy and reference.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::architecture::Architecture;
use crate::completions::Completions;
use crate::decoder::Decoder;
use crate::init::Initializer;
use crate::linear::Linear;
use crate::logps::TokenLogps;
use crate::ops;
use crate::sequences::Sequences;

/// A decoder with a head over the vocabulary.
#[derive(Module, Debug)]
pub struct CausalLm {
    /// Embedding, blocks, final norm.
    pub decoder: Decoder,
    /// `d -> v`; absent where the head is the transposed embedding.
    pub lm_head: Option<Linear>,
}

impl CausalLm {
    /// A model with fresh weights, normal with the architecture's `initializer_range`.
    ///
    /// Drawn on the host from `seed`: the same on every device. An autodiff device makes a model to be trained.
    pub fn init(architecture: &Architecture, seed: u64, device: &Device) -> Self {
        let initializer = &mut Initializer::new(seed, architecture.initializer_range, device);
        let decoder = Decoder::init(architecture, initializer);
        let Architecture {
            width,
            vocabulary,
            tied,
            ..
        } = *architecture;
        let lm_head = (!tied).then(|| Linear::init(width, vocabulary, false, initializer));
        Self { decoder, lm_head }
    }

    /// The shape and settings of the decoder.
    pub fn architecture(&self) -> &Architecture {
        self.decoder.architecture()
    }

    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        self.decoder.device()
    }

    /// Final hidden states, `[b, t, d]`.
    pub fn hidden(&self, sequences: &Sequences) -> Tensor<3> {
        self.decoder.forward(sequences)
    }

    /// Logits at every position, `[b, t, v]`. Training wants [`Self::completion_logps`], which never holds them all.
    pub fn forward(&self, sequences: &Sequences) -> Tensor<3> {
        let hidden = self.hidden(sequences);
        let [b, t, d] = hidden.dims();
        let logits = self.head(hidden.reshape([b * t, d]));
        let v = logits.dims()[1];
        logits.reshape([b, t, v])
    }

    /// Logits that predict each completion token, `[n, v]`, in the order of [`Completions::targets`].
    pub fn completion_logits(&self, completions: &Completions) -> Tensor<2> {
        self.head(
            self.decoder
                .forward_at(&completions.sequences, completions.predicting()),
        )
    }

    /// Log-probability and entropy of every completion token under `softmax(logits / temperature)`.
    ///
    /// The head runs at completion positions only.
    pub fn completion_logps(&self, completions: &Completions, temperature: f64) -> TokenLogps {
        let logits = self.completion_logits(completions);
        let (logps, entropy) = ops::token_logps(logits, completions.targets(), temperature);
        TokenLogps {
            logps: completions.spread(logps),
            entropy: completions.spread(entropy),
            mask: completions.mask.clone(),
            lengths: completions.lengths.clone(),
        }
    }

    /// Logits `[n, v]` of final hidden states `[n, d]`.
    pub(crate) fn head(&self, hidden: Tensor<2>) -> Tensor<2> {
        let logits = match &self.lm_head {
            Some(head) => head.rows(hidden),
            None => hidden.matmul(self.decoder.embed_tokens.weight.val().transpose()),
        };
        match self.architecture().logits_cap {
            Some(cap) => (logits / cap).tanh() * cap,
            None => logits,
        }
    }
}
