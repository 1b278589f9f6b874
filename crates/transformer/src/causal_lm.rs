//! A language model: policy and reference.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use preflab_kernels::{linear, token_logps};

use crate::architecture::Architecture;
use crate::completions::Completions;
use crate::decoder::Decoder;
use crate::dtype::{cast, full};
use crate::init::Initializer;
use crate::linear::Linear;
use crate::logps::TokenLogps;
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

    /// Final hidden states, `[b, t, d]`; 0 on padding.
    pub fn hidden(&self, sequences: &Sequences) -> Tensor<3> {
        self.decoder.forward(sequences)
    }

    /// Logits at every position, `[b, t, v]`; 0 on padding. Training wants [`Self::completion_logps`], which never holds
    /// them all.
    pub fn forward(&self, sequences: &Sequences) -> Tensor<3> {
        let hidden = self.decoder.hidden(&sequences.packed(), None);
        sequences.unpacked(self.logits(hidden))
    }

    /// Logits that predict each completion token, `[n, v]`, in the order of [`Completions::targets`].
    pub fn completion_logits(&self, completions: &Completions) -> Tensor<2> {
        self.logits(self.completion_hidden(completions))
    }

    /// Log-probability and entropy of every completion token under `softmax(logits / temperature)`.
    ///
    /// The head runs at completion positions only, and on most devices for a few of them at a time.
    pub fn completion_logps(&self, completions: &Completions, temperature: f64) -> TokenLogps {
        self.logps_of_hidden(
            self.completion_hidden(completions),
            completions,
            temperature,
        )
    }

    /// [`Self::completion_logps`] from [`Self::completion_hidden`], where the hidden states are wanted too.
    pub fn logps_of_hidden(
        &self,
        hidden: Tensor<2>,
        completions: &Completions,
        temperature: f64,
    ) -> TokenLogps {
        let (logps, entropy) = match self.architecture().logits_cap {
            None => token_logps(
                cast(hidden, self.decoder.dtype()),
                self.head().transpose(),
                completions.targets(),
                temperature,
            ),
            Some(_) => logps_of(self.logits(hidden), completions.targets(), temperature),
        };
        TokenLogps {
            logps: completions.spread(logps),
            entropy: completions.spread(entropy),
            mask: completions.mask.clone(),
            lengths: completions.lengths.clone(),
        }
    }

    /// Final hidden states that predict each completion token, `[n, d]`, in the order of [`Completions::targets`].
    pub fn completion_hidden(&self, completions: &Completions) -> Tensor<2> {
        let laid = completions.predicting();
        self.decoder.hidden_at(&laid.packed, &laid.wanted, None)
    }

    /// Logits, `[n, v]`, of final hidden states, `[n, d]`.
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let logits = full(linear(
            cast(hidden, self.decoder.dtype()),
            self.head(),
            None,
        ));
        match self.architecture().logits_cap {
            Some(cap) => (logits / cap).tanh() * cap,
            None => logits,
        }
    }

    /// `[d, v]`, in the numbers that the model computes in.
    fn head(&self) -> Tensor<2> {
        let dtype = self.decoder.dtype();
        match &self.lm_head {
            Some(head) => cast(head.weight.val(), dtype),
            None => cast(self.decoder.embed_tokens.weight.val(), dtype).transpose(),
        }
    }
}

/// Log-probability and entropy of each target, `[n]`, from logits, `[n, v]`.
fn logps_of(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    temperature: f64,
) -> (Tensor<1>, Tensor<1>) {
    let [n, _] = logits.dims();
    let logps = log_softmax(logits / temperature, 1);
    let entropy = (logps.clone().exp() * logps.clone())
        .sum_dim(1)
        .neg()
        .reshape([n]);
    (
        logps.gather(1, targets.reshape([n, 1])).reshape([n]),
        entropy,
    )
}
