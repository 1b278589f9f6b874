//! `--set key=value` of the command line, read by the same parser as the file.

use crate::Problem;
use crate::node::{Node, Origin};
use crate::sources::Sources;

/// The tables and values an experiment file may hold at its top.
pub(crate) const TOP: [&str; 8] = [
    "question", "seeds", "varies", "baseline", "base", "arms", "ablate", "lock",
];

/// One override: where it goes in the file, and what it is set to.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    /// Path in the file; a key of the settings goes to `[base]`.
    pub path: Vec<(String, Origin)>,
    /// The value.
    pub node: Node,
}

impl Override {
    /// Reads `key=value`. The value is TOML where it can be, and text otherwise.
    ///
    /// # Errors
    /// If there is no `=`, or the key is not a dotted TOML key.
    pub fn parse(text: &str, sources: &mut Sources, layer: usize) -> Result<Self, Problem> {
        let (mut path, node) = parse_assignment("--set", text, sources, layer)?;
        if !TOP.contains(&path[0].0.as_str()) {
            let origin = path[0].1.clone();
            path.insert(0, ("base".to_owned(), origin));
        }
        Ok(Self { path, node })
    }
}

/// Reads `key=value`, typed after the option `name`: the path of the key, and the value. The value is TOML where it can be,
/// and text otherwise.
///
/// # Errors
/// If there is no `=`, or the key is not a dotted TOML key.
pub(crate) fn parse_assignment(
    name: &str,
    text: &str,
    sources: &mut Sources,
    layer: usize,
) -> Result<(Vec<(String, Origin)>, Node), Problem> {
    let source = sources.add(name, text);
    let whole = Origin {
        source,
        span: 0..text.len(),
        layer,
    };
    let Some((key, value)) = text.split_once('=') else {
        return Err(Problem::new("expected `key=value`, found no `=`")
            .at(sources.place(&whole))
            .hint("write for example `--set sft.epochs=3`"));
    };
    let key_origin = Origin {
        span: 0..key.trim_end().len(),
        ..whole.clone()
    };
    let value_origin = Origin {
        span: key.len() + 1..text.len(),
        ..whole.clone()
    };
    let Some(path) = parse_key(key.trim()) else {
        return Err(Problem::new(format!("`{}` is not a dotted key", key.trim()))
            .at(sources.place(&key_origin))
            .hint("write for example `--set method.dpo.batch_size=16`, with quotes around a part that has dots"));
    };
    let mut node = parse_value(value.trim());
    node.relocate(&value_origin);
    let path = path
        .into_iter()
        .map(|key| (key, key_origin.clone()))
        .collect();
    Ok((path, node))
}

/// The parts of a dotted TOML key.
pub(crate) fn parse_key(key: &str) -> Option<Vec<String>> {
    if key.contains('\n') {
        return None;
    }
    let mut node = document(&format!("{key} = 0"))?;
    let mut path = Vec::new();
    while let [entry] = node.entries() {
        path.push(entry.key.clone());
        node = entry.node.clone();
    }
    Some(path)
}

fn parse_value(text: &str) -> Node {
    let parsed = document(&format!("value = {text}"));
    match parsed.as_ref().map(Node::entries) {
        Some([entry]) if entry.key == "value" => entry.node.clone(),
        Some(_) | None => Node {
            value: crate::node::Value::String(text.to_owned()),
            origin: Origin {
                source: 0,
                span: 0..0,
                layer: 0,
            },
        },
    }
}

fn document(text: &str) -> Option<Node> {
    let mut sources = Sources::default();
    let source = sources.add("", text);
    Node::parse(&sources, source, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::dotted;

    fn parse(text: &str) -> Result<(String, String), String> {
        let mut sources = Sources::default();
        Override::parse(text, &mut sources, 1)
            .map(|set| {
                let path: Vec<_> = set.path.into_iter().map(|(key, _)| key).collect();
                (dotted(&path), set.node.to_toml().to_string())
            })
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_value_is_toml_where_it_can_be_and_text_otherwise() {
        let ok = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(parse("sft.epochs=3"), ok("base.sft.epochs", "3"));
        assert_eq!(parse("base.sft.epochs = 3"), ok("base.sft.epochs", "3"));
        assert_eq!(parse("seeds=[4, 5]"), ok("seeds", "[4, 5]"));
        assert_eq!(parse("model=tiny"), ok("base.model", "\"tiny\""));
        assert_eq!(
            parse("task.verse.poems=/a/b=c.gz"),
            ok("base.task.verse.poems", "\"/a/b=c.gz\"")
        );
        assert_eq!(parse("question="), ok("question", "\"\""));
        assert_eq!(
            parse("arms.\"a.b\".x={y = 1}"),
            ok("arms.\"a.b\".x", "{ y = 1 }")
        );
        assert_eq!(
            parse("model=1\nquestion = 2"),
            ok("base.model", "\"\"\"\n1\nquestion = 2\"\"\"")
        );
    }

    #[test]
    fn what_is_not_an_assignment_is_refused() {
        insta::assert_snapshot!(parse("sft.epochs").unwrap_err(), @"
        --set:1:1
          |
        1 | sft.epochs
          | ^^^^^^^^^^
        expected `key=value`, found no `=`

        hint: write for example `--set sft.epochs=3`
        ");
        insta::assert_snapshot!(parse("sft epochs=3").unwrap_err(), @"
        --set:1:1
          |
        1 | sft epochs=3
          | ^^^^^^^^^^
        `sft epochs` is not a dotted key

        hint: write for example `--set method.dpo.batch_size=16`, with quotes around a part that has dots
        ");
    }
}
