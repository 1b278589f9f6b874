//! `config.json`: what it says, and what is made of it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::CheckpointError;
use super::files::read_json;
use super::number::Number;
use crate::architecture::{
    Activation, Architecture, Layer, NormKind, Positions, Residual, RotaryScaling, RotarySettings,
};
use crate::families::Family;

/// Largest value of a size in `config.json`.
const LARGEST: u64 = 1 << 32;

/// Most blocks.
const MOST_BLOCKS: usize = 10_000;

/// The `config.json` of a Hugging Face checkpoint, kept so that a trained model is saved as what it was loaded as.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    path: PathBuf,
    family: Family,
    values: Map<String, Value>,
}

/// Token ids with a meaning of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Starts a text.
    pub beginning: Option<u32>,
    /// End a text, the first of them as a rule.
    pub end: Vec<u32>,
    /// Fills a batch.
    pub padding: Option<u32>,
}

impl Config {
    /// Reads `config.json` of a checkpoint directory.
    ///
    /// # Errors
    /// If the file is missing, is not JSON, or names an unknown `model_type`.
    pub fn read(dir: &Path) -> Result<Self, CheckpointError> {
        let path = dir.join("config.json");
        let values: Map<String, Value> = read_json(&path)?;
        let mut config = Self {
            path,
            family: Family::Llama,
            values,
        };
        let name = config.text("model_type")?;
        config.family = Family::named(name).ok_or_else(|| CheckpointError::UnknownFamily {
            path: config.path.clone(),
            found: name.to_owned(),
            known: Family::ALL
                .map(|family| format!("`{}`", family.name()))
                .join(", "),
        })?;
        Ok(config)
    }

    /// The configuration of a model that was not loaded, as one of the Llama family.
    ///
    /// # Panics
    /// If `architecture` is not one that [`Architecture::new`] makes.
    pub fn llama(architecture: &Architecture, tokens: &SpecialTokens) -> Self {
        let Positions::Rotary(RotarySettings {
            theta,
            scaling: RotaryScaling::None,
            ..
        }) = architecture.positions
        else {
            panic!("a Llama model has rotary positions");
        };
        assert_eq!(architecture.residual, Residual::Sequential, "a Llama model");
        assert_eq!(architecture.norm.kind, NormKind::Rms, "a Llama model");
        let attention = &architecture.attention;
        let values = json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": attention.qkv_bias,
            "attention_dropout": 0.0,
            "bos_token_id": tokens.beginning,
            "dtype": "float32",
            "eos_token_id": tokens.end_value(),
            "head_dim": attention.head_width,
            "hidden_act": "silu",
            "hidden_size": architecture.width,
            "initializer_range": architecture.initializer_range,
            "intermediate_size": architecture.mlp.width,
            "max_position_embeddings": architecture.context,
            "mlp_bias": architecture.mlp.bias,
            "model_type": "llama",
            "num_attention_heads": attention.heads,
            "num_hidden_layers": architecture.layers.len(),
            "num_key_value_heads": attention.kv_heads,
            "pad_token_id": tokens.padding,
            "pretraining_tp": 1,
            "rms_norm_eps": architecture.norm.epsilon,
            // The first is for transformers 5, the second for transformers 4.
            "rope_parameters": { "rope_theta": theta, "rope_type": "default" },
            "rope_theta": theta,
            "tie_word_embeddings": architecture.tied,
            "use_cache": true,
            "vocab_size": architecture.vocabulary,
        });
        let Value::Object(values) = values else {
            unreachable!("an object was written")
        };
        let config = Self {
            path: PathBuf::from("config.json"),
            family: Family::Llama,
            values,
        };
        assert_eq!(
            config.architecture().ok().as_ref(),
            Some(architecture),
            "a Llama model"
        );
        config
    }

    /// The family of the model.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The architecture described.
    ///
    /// # Errors
    /// If a value is missing, out of range, or asks for something that is not implemented.
    pub fn architecture(&self) -> Result<Architecture, CheckpointError> {
        let architecture = self.family.architecture(self)?;
        let attention = &architecture.attention;
        if !attention.heads.is_multiple_of(attention.kv_heads) {
            let expected = format!("a divisor of the {} query heads", attention.heads);
            return Err(self.wrong("num_key_value_heads", expected));
        }
        if let Positions::Rotary(rotary) = &architecture.positions
            && (rotary.width == 0 || rotary.width.next_multiple_of(2) > attention.head_width)
        {
            let expected = format!(
                "rotated components within a head of {}",
                attention.head_width
            );
            return Err(self.wrong("rope_parameters", expected));
        }
        Ok(architecture)
    }

    /// The number type the weights are stored in; f32 where none is named.
    pub fn number(&self) -> Number {
        match self
            .value("dtype")
            .or(self.value("torch_dtype"))
            .and_then(Value::as_str)
        {
            Some("float16") => Number::F16,
            Some("bfloat16") => Number::Bf16,
            Some(_) | None => Number::F32,
        }
    }

    /// Special tokens, as far as they are named.
    pub fn special_tokens(&self) -> SpecialTokens {
        let token = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let one = |key: &str| self.value(key).and_then(token);
        let end = match self.value("eos_token_id") {
            Some(Value::Array(ids)) => ids.iter().filter_map(token).collect(),
            Some(id) => token(id).into_iter().collect(),
            None => Vec::new(),
        };
        SpecialTokens {
            beginning: one("bos_token_id"),
            end,
            padding: one("pad_token_id"),
        }
    }

    /// The same configuration with other special tokens.
    pub fn with_special_tokens(mut self, tokens: &SpecialTokens) -> Self {
        self.values
            .insert("bos_token_id".into(), json!(tokens.beginning));
        self.values
            .insert("eos_token_id".into(), tokens.end_value());
        self.values
            .insert("pad_token_id".into(), json!(tokens.padding));
        self
    }

    /// All values, to be changed before they are written.
    pub(crate) fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The value of a key; none where it is absent or null.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key is there, null or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(crate) fn wrong(&self, key: &str, expected: impl ToString) -> CheckpointError {
        let found = self
            .values
            .get(key)
            .map_or_else(|| "nothing".to_owned(), shortened);
        CheckpointError::Config {
            path: self.path.clone(),
            key: key.to_owned(),
            expected: expected.to_string(),
            found,
        }
    }

    /// A whole number above 0.
    pub(crate) fn count(&self, key: &str) -> Result<usize, CheckpointError> {
        self.value(key)
            .and_then(Value::as_u64)
            .filter(|count| (1..=LARGEST).contains(count))
            .map(|count| count as usize)
            .ok_or_else(|| self.wrong(key, "a whole number above 0"))
    }

    /// A whole number above 0, or `absent` where there is none.
    pub(crate) fn count_or(&self, key: &str, absent: usize) -> Result<usize, CheckpointError> {
        if self.value(key).is_some() {
            self.count(key)
        } else {
            Ok(absent)
        }
    }

    /// A whole number above 0 or null; `absent` where the key is missing.
    pub(crate) fn optional_count(
        &self,
        key: &str,
        absent: Option<usize>,
    ) -> Result<Option<usize>, CheckpointError> {
        match (self.has(key), self.value(key)) {
            (false, _) => Ok(absent),
            (true, None) => Ok(None),
            (true, Some(_)) => self.count(key).map(Some),
        }
    }

    /// A number above 0, or `absent`.
    pub(crate) fn positive_or(&self, key: &str, absent: f64) -> Result<f64, CheckpointError> {
        match self.value(key) {
            None => Ok(absent),
            Some(value) => positive(value).ok_or_else(|| self.wrong(key, "a number above 0")),
        }
    }

    /// A number above 0 or null; `absent` where the key is missing.
    pub(crate) fn optional_positive(
        &self,
        key: &str,
        absent: Option<f64>,
    ) -> Result<Option<f64>, CheckpointError> {
        match (self.has(key), self.value(key)) {
            (false, _) => Ok(absent),
            (true, None) => Ok(None),
            (true, Some(_)) => self.positive_or(key, 1.0).map(Some),
        }
    }

    /// True or false, or `absent`.
    pub(crate) fn flag_or(&self, key: &str, absent: bool) -> Result<bool, CheckpointError> {
        match self.value(key) {
            None => Ok(absent),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(key, "true or false")),
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<&str, CheckpointError> {
        self.value(key)
            .and_then(Value::as_str)
            .ok_or_else(|| self.wrong(key, "a name"))
    }

    /// A non-linearity by its Hugging Face name, or `absent`.
    pub(crate) fn activation(
        &self,
        key: &str,
        absent: Activation,
    ) -> Result<Activation, CheckpointError> {
        if self.value(key).is_none() {
            return Ok(absent);
        }
        Ok(match self.text(key)? {
            "silu" | "swish" => Activation::Silu,
            "gelu" | "gelu_python" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh" => {
                Activation::GeluTanh
            }
            "relu" => Activation::Relu,
            _ => {
                return Err(self.wrong(
                    key,
                    "`silu`, `gelu`, `gelu_new`, `gelu_pytorch_tanh` or `relu`",
                ));
            }
        })
    }

    /// As many blocks, of a number that no file could make absurd.
    pub(crate) fn blocks(&self, count: usize, layer: Layer) -> Result<Vec<Layer>, CheckpointError> {
        if count > MOST_BLOCKS {
            return Err(self.wrong("num_hidden_layers", format!("at most {MOST_BLOCKS} blocks")));
        }
        Ok(vec![layer; count])
    }

    /// The window of each block: `layer_types` where given, otherwise `windowed(index)`, of `window` tokens.
    pub(crate) fn windows(
        &self,
        layers: usize,
        window: Option<usize>,
        windowed: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>, CheckpointError> {
        let Some(types) = self.value("layer_types") else {
            return Ok((0..layers)
                .map(|index| window.filter(|_| windowed(index)))
                .collect());
        };
        let expected = || {
            self.wrong(
                "layer_types",
                format!("{layers} times `full_attention` or `sliding_attention`"),
            )
        };
        let types = types
            .as_array()
            .filter(|types| types.len() == layers)
            .ok_or_else(expected)?;
        types
            .iter()
            .map(|kind| match kind.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(window),
                _ => Err(expected()),
            })
            .collect()
    }

    /// The rotary embedding of heads of `head_width`, from `rope_parameters` (transformers 5) or from `rope_theta` and
    /// `rope_scaling` (transformers 4). `theta_key` and `share` are the family's own key for the base and default share of
    /// the head that is rotated, under `share_key`.
    pub(crate) fn rotary(
        &self,
        head_width: usize,
        theta_key: &str,
        share_key: &str,
        share: f64,
    ) -> Result<RotarySettings, CheckpointError> {
        let key = if self.value("rope_scaling").is_some() {
            "rope_scaling"
        } else {
            "rope_parameters"
        };
        let nothing = Map::new();
        let values = match self.value(key) {
            None => &nothing,
            Some(values) => values
                .as_object()
                .ok_or_else(|| self.wrong(key, "an object"))?,
        };
        let number = |name: &str| match values.get(name).filter(|value| !value.is_null()) {
            None => Ok(None),
            Some(value) => positive(value)
                .map(Some)
                .ok_or_else(|| self.wrong(key, format!("`{name}` to be a number above 0"))),
        };
        let needed =
            |name: &str| number(name)?.ok_or_else(|| self.wrong(key, format!("a value `{name}`")));
        let theta = match number("rope_theta")? {
            Some(theta) => theta,
            None => self.positive_or(theta_key, 10_000.0)?,
        };
        let share = match number("partial_rotary_factor")? {
            Some(share) => share,
            None => self.positive_or(share_key, share)?,
        };
        let kind = values.get("rope_type").or(values.get("type"));
        let scaling = match kind.map_or(Some("default"), Value::as_str) {
            Some("default") if values.values().any(Value::is_object) => {
                return Err(self.wrong(key, "one rotary embedding for all blocks"));
            }
            Some("default") => RotaryScaling::None,
            Some("linear") => RotaryScaling::Linear {
                factor: needed("factor")?,
            },
            Some("llama3") => RotaryScaling::Llama3 {
                factor: needed("factor")?,
                low: needed("low_freq_factor")?,
                high: needed("high_freq_factor")?,
                context: match number("original_max_position_embeddings")? {
                    Some(context) => context,
                    None => self.positive_or("max_position_embeddings", 1.0)?,
                },
            },
            _ => return Err(self.wrong(key, "`rope_type` to be `default`, `linear` or `llama3`")),
        };
        if let RotaryScaling::Llama3 { low, high, .. } = scaling
            && low >= high
        {
            return Err(self.wrong(key, "`low_freq_factor` below `high_freq_factor`"));
        }
        Ok(RotarySettings {
            width: (head_width as f64 * share) as usize,
            theta,
            scaling,
        })
    }
}

impl SpecialTokens {
    /// One id, a list of several, or null.
    pub(crate) fn end_value(&self) -> Value {
        match self.end.as_slice() {
            [] => Value::Null,
            [id] => json!(id),
            ids => json!(ids),
        }
    }
}

fn positive(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .filter(|number| number.is_finite() && *number > 0.0)
}

/// A value as JSON, cut where it gets long.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
