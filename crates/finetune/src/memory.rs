//! About how much memory a run takes, said before it starts: the estimate of `preflab plan`, with the lengths of the rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use preflab_experiment::{PassSize, Sizes};
use preflab_transformer::Architecture;

/// The sizes of a model.
pub(crate) fn sizes(architecture: &Architecture) -> Sizes {
    let attention = architecture.attention;
    Sizes {
        vocabulary: architecture.vocabulary as f64,
        width: architecture.width as f64,
        layers: architecture.layers.len() as f64,
        heads: attention.heads as f64,
        queries: (attention.heads * attention.head_width) as f64,
        keys: (attention.kv_heads * attention.head_width) as f64,
        feedforward: architecture.mlp.width as f64,
        gated: architecture.mlp.gated,
        tied: architecture.tied,
    }
}

/// The pass over the `rows` longest rows: the largest there may be. `lengths` are the tokens of each row and those of them
/// that are predicted.
pub(crate) fn largest_pass(
    lengths: impl IntoIterator<Item = (usize, usize)>,
    rows: usize,
) -> PassSize {
    let mut longest = BinaryHeap::with_capacity(rows + 1);
    for length in lengths {
        longest.push(Reverse(length));
        if longest.len() > rows {
            longest.pop();
        }
    }
    let count = longest.len().max(1) as f64;
    let sum = |of: fn(&(usize, usize)) -> usize| {
        let all = longest.iter().map(|Reverse(length)| of(length));
        all.sum::<usize>() as f64
    };
    PassSize {
        rows: longest.len() as f64,
        tokens: sum(|length| length.0) / count,
        predicted: sum(|length| length.1) / count,
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use preflab_config::{MemorySettings, ModelSettings, Precision};
    use preflab_experiment::{StageMemory, Way};
    use preflab_transformer::CausalLm;

    use super::*;

    fn small() -> Architecture {
        let shape: ModelSettings = toml::from_str(
            "width = 64\nlayers = 3\nheads = 4\nkv_heads = 2\nfeedforward = 96\ncontext = 64",
        )
        .unwrap();
        Architecture::new(&shape, 50)
    }

    #[test]
    fn parameters_are_those_of_the_model() {
        let architecture = small();
        let model = CausalLm::init(&architecture, 0, &burn::tensor::Device::flex());
        assert_eq!(sizes(&architecture).parameters(), model.num_params() as f64);
    }

    #[test]
    fn the_largest_pass_is_that_over_the_longest_rows() {
        let pass = largest_pass([(3, 1), (9, 4), (2, 2), (7, 2)], 2);
        assert_eq!((pass.rows, pass.tokens, pass.predicted), (2.0, 8.0, 3.0));
        let all = largest_pass([(3, 1)], 8);
        assert_eq!((all.rows, all.tokens), (1.0, 3.0));
        assert_eq!(largest_pass([], 8).rows, 0.0);
    }

    #[test]
    fn every_model_has_its_line() {
        let memory = MemorySettings::default();
        let way = Way::new(sizes(&small()), Precision::F32, memory, true);
        let pass = largest_pass([(40, 20); 8], 8);
        let roles = vec![
            way.trained("policy", None, pass, true),
            way.read("reference", true, pass),
        ];
        let lines = StageMemory::of(roles).lines();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("memory: about "), "{lines:?}");
        assert!(
            lines[1].starts_with("memory: policy: weights 1 MB, gradients 1 MB"),
            "{lines:?}"
        );
        assert!(
            lines[2].starts_with("memory: reference: activations"),
            "{lines:?}"
        );
    }
}
