//! Low-rank adapters.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Count, NoDropout, Positive};

/// Low-rank adapters in place of all weights: `y = x W + (alpha / rank) (x A) B`, with `A` and `B` trained and `W` not.
///
/// Hu et al. 2021, [arXiv:2106.09685](https://arxiv.org/abs/2106.09685), section 4.1; names and defaults of PEFT's
/// `LoraConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSettings {
    /// Inner width of each adapter, `r`.
    #[serde(default = "rank")]
    pub rank: Count,
    /// The adapter's part is multiplied by `alpha / rank`.
    #[serde(default = "alpha")]
    pub alpha: Positive,
    /// Dropout before the adapter. Nothing but 0, which PEFT has as default.
    #[serde(default)]
    pub dropout: NoDropout,
    /// The projections that get an adapter, by the names they have in a checkpoint. Default, or where the list is empty:
    /// every projection of every block (PEFT's `all-linear`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<LoraTarget>,
}

fn rank() -> Count {
    Count::of(8)
}
fn alpha() -> Positive {
    Positive::of(8.0)
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self {
            rank: rank(),
            alpha: alpha(),
            dropout: NoDropout::default(),
            targets: Vec::new(),
        }
    }
}

impl LoraSettings {
    /// `alpha / rank`.
    pub fn scale(&self) -> f64 {
        self.alpha.get() / self.rank.get() as f64
    }

    /// Whether projections called `name` get an adapter.
    pub fn targets(&self, name: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|target| target.name() == name)
    }
}

/// A projection, by the name it has in the checkpoints of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LoraTarget {
    /// Queries (Llama, Mistral, Qwen, Gemma).
    #[serde(rename = "q_proj")]
    Query,
    /// Keys.
    #[serde(rename = "k_proj")]
    Key,
    /// Values.
    #[serde(rename = "v_proj")]
    Value,
    /// What attention returns.
    #[serde(rename = "o_proj")]
    Output,
    /// Gate of the feed-forward.
    #[serde(rename = "gate_proj")]
    Gate,
    /// Into the feed-forward.
    #[serde(rename = "up_proj")]
    Up,
    /// Out of the feed-forward.
    #[serde(rename = "down_proj")]
    Down,
    /// Queries, keys and values together (GPT-2).
    #[serde(rename = "c_attn")]
    CAttn,
    /// Out of the attention and out of the feed-forward (GPT-2).
    #[serde(rename = "c_proj")]
    CProj,
    /// Into the feed-forward (GPT-2).
    #[serde(rename = "c_fc")]
    CFc,
    /// Queries, keys and values together (GPT-NeoX, Pythia).
    #[serde(rename = "query_key_value")]
    QueryKeyValue,
    /// Out of the attention (GPT-NeoX, Pythia).
    #[serde(rename = "dense")]
    Dense,
    /// Into the feed-forward (GPT-NeoX, Pythia).
    #[serde(rename = "dense_h_to_4h")]
    DenseUp,
    /// Out of the feed-forward (GPT-NeoX, Pythia).
    #[serde(rename = "dense_4h_to_h")]
    DenseDown,
}

impl LoraTarget {
    /// The projections of a model written as a shape.
    pub const LLAMA: [Self; 7] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Output,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    /// The name in settings and checkpoints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Query => "q_proj",
            Self::Key => "k_proj",
            Self::Value => "v_proj",
            Self::Output => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
            Self::CAttn => "c_attn",
            Self::CProj => "c_proj",
            Self::CFc => "c_fc",
            Self::QueryKeyValue => "query_key_value",
            Self::Dense => "dense",
            Self::DenseUp => "dense_h_to_4h",
            Self::DenseDown => "dense_4h_to_h",
        }
    }
}

impl fmt::Display for LoraTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_written_in_one_line() {
        let settings: LoraSettings =
            toml::from_str("rank = 4\nalpha = 16\ntargets = [\"q_proj\", \"dense_h_to_4h\"]")
                .unwrap();
        assert_eq!(settings.scale(), 4.0);
        assert!(settings.targets("q_proj") && !settings.targets("v_proj"));
        let written = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<LoraSettings>(&written).unwrap(), settings);
        assert!(LoraSettings::default().targets("down_proj"));
    }

    #[test]
    fn every_target_is_read_by_its_name() {
        let text = r#"targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "c_attn",
            "c_proj", "c_fc", "query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]"#;
        let settings: LoraSettings = toml::from_str(text).unwrap();
        for target in settings.targets {
            assert!(text.contains(&format!("\"{target}\"")), "{target}");
        }
    }

    #[test]
    fn what_is_not_implemented_is_refused_where_it_stands() {
        let error = |text: &str| {
            toml::from_str::<LoraSettings>(text)
                .unwrap_err()
                .to_string()
        };
        let dropout = error("dropout = 0.05");
        assert!(dropout.contains("line 1, column 11"), "{dropout}");
        assert!(
            dropout.contains("expected 0 (adapters have no dropout here)"),
            "{dropout}"
        );
        assert!(error("targets = [\"q_prj\"]").contains("unknown variant `q_prj`"));
        assert!(error("rank = 0").contains("expected a whole number above 0"));
        assert!(error("alpha = 0").contains("expected a number above 0"));
        assert!(error("r = 8").contains("unknown field `r`"));
    }
}
