//! A decoder with one number for a head: reward model and value model.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor};

use crate::architecture::Architecture;
use crate::completions::Completions;
use crate::decoder::Decoder;
use crate::init::Initializer;
use crate::linear::Linear;
use crate::packed::Packed;
use crate::sequences::Sequences;

/// A decoder with a head to one number, without bias, as Hugging Face's sequence classification with one label.
#[derive(Module, Debug)]
pub struct ScalarModel {
    /// Embedding, blocks, final norm.
    pub decoder: Decoder,
    /// `d -> 1`.
    pub score: Linear,
}

impl ScalarModel {
    /// A model with fresh weights, normal with the architecture's `initializer_range`, drawn on the host from `seed`.
    pub fn init(architecture: &Architecture, seed: u64, device: &Device) -> Self {
        let initializer = &mut Initializer::new(seed, architecture.initializer_range, device);
        let decoder = Decoder::init(architecture, initializer);
        Self {
            decoder,
            score: Linear::init(architecture.width, 1, false, initializer),
        }
    }

    /// A copy of `decoder` under a fresh head, normal with standard deviation `deviation`, on the decoder's own device.
    ///
    /// The copy shares no parameter with the original: training one leaves the other as it is.
    pub fn from_decoder(decoder: &Decoder, deviation: f64, seed: u64) -> Self {
        let device = decoder.embed_tokens.weight.val().device();
        let initializer = &mut Initializer::new(seed, deviation, &device);
        let score = Linear::init(decoder.architecture().width, 1, false, initializer);
        let mut decoder = decoder.clone().map(&mut Copied);
        decoder.forget_passes();
        Self { decoder, score }
    }

    /// The shape and settings of the decoder.
    pub fn architecture(&self) -> &Architecture {
        self.decoder.architecture()
    }

    /// The device of the weights, without autodiff.
    pub fn device(&self) -> Device {
        self.decoder.device()
    }

    /// Value of the state before each completion token, `[b, c]`; 0 past the end of a completion.
    pub fn values(&self, completions: &Completions) -> Tensor<2> {
        let laid = completions.predicting();
        completions.spread(self.at(&laid.packed, &laid.wanted))
    }

    /// Score of each row at its last real token, `[b]`.
    pub fn scores(&self, sequences: &Sequences) -> Tensor<1> {
        self.at(&sequences.packed(), &sequences.ends())
    }

    /// Score of each prompt with its completion at the last token, `[b]`: [`Self::scores`] of the same rows, with prompts
    /// that rows share computed once.
    pub fn completion_scores(&self, completions: &Completions) -> Tensor<1> {
        let laid = completions.ending();
        self.at(&laid.packed, &laid.wanted)
    }

    /// The head's number at the tokens `wanted`, `[n]`.
    fn at(&self, packed: &Packed, wanted: &[usize]) -> Tensor<1> {
        self.score
            .forward(self.decoder.hidden_at(packed, wanted, None))
            .reshape([wanted.len()])
    }
}

/// Gives every parameter a new identity and a new place in the autodiff graph.
struct Copied;

impl ModuleMapper for Copied {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (_, value, mapper) = parameter.consume();
        let tracked = value.is_require_grad();
        let autodiff = value.is_autodiff();
        let value = value.inner();
        let value = if autodiff { value.autodiff() } else { value };
        let value = if tracked { value.require_grad() } else { value };
        Param::from_mapped_value(ParamId::new(), value, mapper)
    }
}
