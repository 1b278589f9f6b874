//! The tokens that pad, start and end a sequence.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::Tokenizer as HuggingFace;

use crate::DataError;
use crate::chat_template::CONFIG;

/// Special tokens: spelling and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Special {
    /// Ends every completion.
    pub eos: (String, u32),
    /// Fills rows of a batch.
    pub pad: Option<(String, u32)>,
    /// Starts a sequence.
    pub bos: Option<(String, u32)>,
    /// Stands for what is outside the vocabulary.
    pub unknown: Option<(String, u32)>,
}

/// `<pad>`, `<bos>`, `<eos>`, `<unk>`: the special tokens of a trained tokenizer, ids 0 to 3.
pub(super) const TRAINED: [&str; 4] = ["<pad>", "<bos>", "<eos>", "<unk>"];

/// Names tried where no `tokenizer_config.json` gives one, in this order.
const EOS: [&str; 6] = [
    "<eos>",
    "</s>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|eot_id|>",
];
const PAD: [&str; 3] = ["<pad>", "[PAD]", "<|pad|>"];
const BOS: [&str; 3] = ["<bos>", "<s>", "<|begin_of_text|>"];
const UNKNOWN: [&str; 2] = ["<unk>", "[UNK]"];

impl Special {
    /// Of a tokenizer made by [`super::train`].
    pub(super) fn trained(tokenizer: &HuggingFace) -> Self {
        let token = |name: &str| {
            let id = tokenizer
                .token_to_id(name)
                .expect("a trained tokenizer has its special tokens");
            (name.to_owned(), id)
        };
        let [pad, bos, eos, unknown] = TRAINED;
        Self {
            eos: token(eos),
            pad: Some(token(pad)),
            bos: Some(token(bos)),
            unknown: Some(token(unknown)),
        }
    }

    /// Of the tokenizer in `file`, named by `config`, the `tokenizer_config.json` beside it.
    pub(super) fn load(
        tokenizer: &HuggingFace,
        config: Option<&Value>,
        file: &Path,
    ) -> Result<Self, DataError> {
        let config_file = file.with_file_name(CONFIG);
        let find = |key: &str, usual: &[&str]| -> Result<Option<(String, u32)>, DataError> {
            let Some(name) = config.and_then(|config| named(config, key)) else {
                let known = usual
                    .iter()
                    .find_map(|name| Some(((*name).to_owned(), tokenizer.token_to_id(name)?)));
                return Ok(known);
            };
            match tokenizer.token_to_id(&name) {
                Some(id) => Ok(Some((name, id))),
                None => Err(DataError::File {
                    path: config_file.clone(),
                    problem: format!(
                        "`{key}` is `{name}`, which is not in the vocabulary of {}",
                        file.display()
                    ),
                    hint: "the two files must come from the same tokenizer".into(),
                }),
            }
        };
        let eos = find("eos_token", &EOS)?.ok_or_else(|| DataError::File {
            path: file.to_owned(),
            problem: "no end-of-sequence token is known".into(),
            hint: format!("name it as `eos_token` in {}", config_file.display()),
        })?;
        Ok(Self {
            eos,
            pad: find("pad_token", &PAD)?,
            bos: find("bos_token", &BOS)?,
            unknown: find("unk_token", &UNKNOWN)?,
        })
    }

    /// The content of `tokenizer_config.json` for a tokenizer that came without one.
    pub(super) fn to_json(&self) -> String {
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
            "eos_token": self.eos.0,
        });
        let optional = [
            ("pad_token", &self.pad),
            ("bos_token", &self.bos),
            ("unk_token", &self.unknown),
        ];
        for (key, token) in optional {
            if let Some((name, _)) = token {
                config[key] = json!(name);
            }
        }
        format!("{config:#}\n")
    }
}

/// A token's name: a string, or an object with `content`.
fn named(config: &Value, key: &str) -> Option<String> {
    let value = config.get(key)?;
    value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .map(str::to_owned)
}
