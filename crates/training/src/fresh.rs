//! A model that has learnt nothing yet.

use burn::tensor::Device;
use preflab_config::ModelSettings;
use preflab_data::Tokenizer;
use preflab_transformer::checkpoint::{Config, SpecialTokens};
use preflab_transformer::{Architecture, CausalLm};

/// Fresh weights of a shape, drawn from `seed`, for the tokens of `tokenizer`, and the `config.json` it is saved with.
pub fn fresh_model(
    shape: &ModelSettings,
    tokenizer: &Tokenizer,
    seed: u64,
    device: &Device,
) -> (CausalLm, Config) {
    let architecture = Architecture::new(shape, tokenizer.vocabulary());
    let tokens = SpecialTokens {
        beginning: tokenizer.bos(),
        end: vec![tokenizer.eos()],
        padding: Some(tokenizer.pad()),
    };
    let config = Config::llama(&architecture, &tokens);
    (CausalLm::init(&architecture, seed, device), config)
}
