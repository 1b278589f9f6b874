//! Weights before and after a recorded training run.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{Comparison, Node, ParityError};

/// Shape and numbers of each tensor, under its name in the checkpoint.
pub type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// SHA-256 over names and f32 bytes of the tensors, in the order of their names.
pub fn weights_digest(weights: &Weights) -> String {
    let mut hash = Sha256::new();
    for (name, (_, numbers)) in weights {
        hash.update(name.as_bytes());
        for number in numbers {
            hash.update(number.to_le_bytes());
        }
    }
    hash.finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a text");
            text
        })
}

/// Compares shape, sum, sum of squares and first numbers of every tensor of `theirs`.
///
/// A sum may cancel, so its error is relative to the larger of the sum itself and the tensor's norm `sqrt(sumsq)`: what a
/// change of direction of that relative size would do to it.
///
/// # Errors
/// If a tensor is missing on either side, or has another shape.
pub fn compare_weights(
    comparison: &mut Comparison<'_>,
    ours: &Weights,
    theirs: &Node<'_>,
) -> Result<(), ParityError> {
    let names = theirs.keys()?;
    if let Some(extra) = ours.keys().find(|name| !names.contains(&name.as_str())) {
        return Err(theirs.unusable(format!("no figures for our tensor `{extra}`")));
    }
    for name in names {
        let node = theirs.get(name)?;
        node.only(&["shape", "sum", "sumsq", "first4"])?;
        let Some((shape, numbers)) = ours.get(name) else {
            return Err(node.unusable("our model has no such tensor"));
        };
        if *shape != node.get("shape")?.indices()? {
            return Err(node.unusable(format!("our tensor has shape {shape:?}")));
        }
        let wide = || numbers.iter().map(|&x| f64::from(x));
        let (sum, squares) = (wide().sum::<f64>(), wide().map(|x| x * x).sum::<f64>());
        let (their_sum, their_squares) = (node.get("sum")?.number()?, node.get("sumsq")?.number()?);
        let scale = their_sum.abs().max(their_squares.sqrt());
        comparison.error(&format!("{name}: sum"), (sum - their_sum).abs() / scale);
        comparison.number(&format!("{name}: sumsq"), squares, their_squares);
        let first: Vec<f64> = wide().take(4).collect();
        comparison.vector(
            &format!("{name}: first4"),
            &first,
            &node.get("first4")?.vector()?,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{GoldenFile, Parity, Subject};

    #[test]
    fn a_moved_weight_is_seen() {
        let file: GoldenFile = GoldenFile::of_text(
            "x.json",
            r#"{"w": {"shape": [2, 2], "sum": 2.0, "sumsq": 30.0, "first4": [1.0, 2.0, 3.0, -4.0]}}"#,
        )
        .unwrap();
        let error = |last: f32| {
            let weights =
                Weights::from([("w".to_owned(), (vec![2, 2], vec![1.0, 2.0, 3.0, last]))]);
            let mut parity = Parity::new();
            let subject = Subject {
                family: "f",
                objective: "o",
                source: "s",
                tolerance: 1e-6,
            };
            let mut case = parity.case(subject, &file.root());
            compare_weights(&mut case, &weights, &file.root()).unwrap();
            parity.into_rows()[0].worst_relative_error
        };
        assert_eq!(error(-4.0), 0.0);
        assert!(error(-4.1) > 1e-3);
    }

    #[test]
    fn the_digest_depends_on_names_and_numbers() {
        let one = |name: &str, number: f32| {
            weights_digest(&Weights::from([(name.to_owned(), (vec![1], vec![number]))]))
        };
        assert_ne!(one("a", 1.0), one("b", 1.0));
        assert_ne!(one("a", 1.0), one("a", 2.0));
        assert_eq!(one("a", 1.0).len(), 64);
    }
}
