//! A TOML value that remembers where each part was written, so that merged tables still point at their source.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::Problem;
use crate::sources::Sources;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Which of the [`Sources`].
    pub source: usize,
    /// Bytes of it.
    pub span: Range<usize>,
    /// Which layer it belongs to; a higher one was laid over the lower ones.
    pub layer: usize,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written; of a merged table, where its lowest layer was.
    pub origin: Origin,
}

/// A TOML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A date or a time, in its spelling; no setting takes one.
    Datetime(String),
    /// A list.
    Array(Vec<Node>),
    /// Keys in the order in which they were written.
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub key_origin: Origin,
    /// What it is set to.
    pub node: Node,
}

impl Node {
    /// Parses a text of `sources` as a TOML document of `layer`.
    ///
    /// # Errors
    /// With every syntax error in it.
    pub fn parse(sources: &Sources, source: usize, layer: usize) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(sources.text(source));
        let mut errors = errors;
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        if !errors.is_empty() {
            return Err(errors
                .iter()
                .map(|error| {
                    let problem = Problem::new(error.message().trim_end().to_owned());
                    match error.span() {
                        Some(span) => problem.at(sources.place(&Origin {
                            source,
                            span,
                            layer,
                        })),
                        None => problem,
                    }
                })
                .collect());
        }
        let (span, table) = (table.span(), table.into_inner());
        from_table(
            &table,
            &Origin {
                source,
                span,
                layer,
            },
        )
        .map_err(|(message, origin)| vec![Problem::new(message).at(sources.place(&origin))])
    }

    /// An empty table.
    pub fn empty(origin: Origin) -> Self {
        Self {
            value: Value::Table(Vec::new()),
            origin,
        }
    }

    /// The entries of a table; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => &[],
        }
    }

    /// The entry of a key of this table.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The node at a path of keys.
    pub fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |node, key| node.entry(key).map(|entry| &entry.node))
    }

    /// The entry at a path of keys, or of the longest part of the path that exists.
    pub fn nearest_entry(&self, path: &[String]) -> Option<&Entry> {
        let mut found = None;
        let mut node = self;
        for key in path {
            let Some(entry) = node.entry(key) else { break };
            found = Some(entry);
            node = &entry.node;
        }
        found
    }

    /// The text on which a path of keys ends too early, with the number of keys that lead to it.
    pub fn text_above(&self, path: &[(String, Origin)]) -> Option<(usize, &str)> {
        let mut node = self;
        for (index, (key, _)) in path.iter().enumerate() {
            if let (Some(text), true) = (node.as_text(), index > 0) {
                return Some((index, text));
            }
            node = &node.entry(key)?.node;
        }
        None
    }

    /// The entry of a key of this table, to be changed.
    pub fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        match &mut self.value {
            Value::Table(entries) => entries.iter_mut().find(|entry| entry.key == key),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => None,
        }
    }

    /// The highest layer anything in this value was written in.
    pub fn top_layer(&self) -> usize {
        let below = match &self.value {
            Value::Table(entries) => entries.iter().map(|entry| entry.node.top_layer()).max(),
            Value::Array(items) => items.iter().map(Self::top_layer).max(),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => None,
        };
        below.unwrap_or(0).max(self.origin.layer)
    }

    /// The same value, as written in `layer`.
    #[must_use]
    pub fn in_layer(mut self, layer: usize) -> Self {
        self.for_each_origin(&mut |origin| origin.layer = layer);
        self
    }

    /// Everything in this value is from then on said to stand at `origin`.
    pub fn relocate(&mut self, origin: &Origin) {
        self.for_each_origin(&mut |each| *each = origin.clone());
    }

    fn for_each_origin(&mut self, change: &mut impl FnMut(&mut Origin)) {
        change(&mut self.origin);
        match &mut self.value {
            Value::Table(entries) => {
                for entry in entries {
                    change(&mut entry.key_origin);
                    entry.node.for_each_origin(change);
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| item.for_each_origin(change)),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {}
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::String(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// The whole number, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        if let Value::Integer(number) = self.value {
            Some(number)
        } else {
            None
        }
    }

    /// The items, if it is a list.
    pub fn as_items(&self) -> Option<&[Self]> {
        if let Value::Array(items) = &self.value {
            Some(items)
        } else {
            None
        }
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    /// Lays `over` on this value: tables are merged key by key, anything else is replaced.
    pub fn lay(&mut self, over: &Self) {
        match (&mut self.value, &over.value) {
            (Value::Table(entries), Value::Table(new)) => {
                for entry in new {
                    match entries.iter_mut().find(|old| old.key == entry.key) {
                        Some(old) => {
                            old.key_origin = entry.key_origin.clone();
                            old.node.lay(&entry.node);
                        }
                        None => entries.push(entry.clone()),
                    }
                }
            }
            (_, _) => *self = over.clone(),
        }
    }

    /// Lays `node` on the value at a path of keys, making tables where there are none.
    pub fn set(&mut self, path: &[(String, Origin)], node: Self) {
        let wrapped = path
            .iter()
            .rev()
            .fold(node, |node, (key, key_origin)| Self {
                value: Value::Table(vec![Entry {
                    key: key.clone(),
                    key_origin: key_origin.clone(),
                    node,
                }]),
                origin: key_origin.clone(),
            });
        self.lay(&wrapped);
    }

    /// Removes the entry at a path of keys; true if there was one.
    pub fn remove(&mut self, path: &[String]) -> bool {
        let (Some((key, rest)), Value::Table(entries)) = (path.split_first(), &mut self.value)
        else {
            return false;
        };
        let Some(index) = entries.iter().position(|entry| entry.key == *key) else {
            return false;
        };
        if rest.is_empty() {
            entries.remove(index);
            return true;
        }
        entries[index].node.remove(rest)
    }

    /// Every path at which a value stands: a leaf that is not a table, or an empty table.
    pub fn leaves(&self) -> Vec<(Vec<String>, &Entry)> {
        let mut leaves = Vec::new();
        for entry in self.entries() {
            let below = entry.node.leaves();
            if below.is_empty() {
                leaves.push((vec![entry.key.clone()], entry));
            }
            leaves.extend(below.into_iter().map(|(mut path, leaf)| {
                path.insert(0, entry.key.clone());
                (path, leaf)
            }));
        }
        leaves
    }

    /// The plain TOML value.
    pub fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::String(text) | Value::Datetime(text) => toml::Value::String(text.clone()),
            Value::Integer(number) => toml::Value::Integer(*number),
            Value::Float(number) => toml::Value::Float(*number),
            Value::Boolean(truth) => toml::Value::Boolean(*truth),
            Value::Array(items) => toml::Value::Array(items.iter().map(Self::to_toml).collect()),
            Value::Table(entries) => toml::Value::Table(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_toml()))
                    .collect(),
            ),
        }
    }
}

/// A dotted key as it would be written in TOML.
pub fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    let bare = |key: &str| {
        !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    path.iter()
        .map(|key| {
            let key = key.as_ref();
            if bare(key) {
                key.to_owned()
            } else {
                toml::Value::from(key).to_string()
            }
        })
        .collect::<Vec<_>>()
        .join(".")
}

fn from_table(table: &DeTable<'_>, origin: &Origin) -> Result<Node, (String, Origin)> {
    let entries = table
        .iter()
        .map(|(key, value)| {
            let span = |span| Origin {
                span,
                ..origin.clone()
            };
            Ok(Entry {
                key: key.get_ref().to_string(),
                key_origin: span(key.span()),
                node: from_value(value.get_ref(), &span(value.span()))?,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Node {
        value: Value::Table(entries),
        origin: origin.clone(),
    })
}

fn from_value(value: &DeValue<'_>, origin: &Origin) -> Result<Node, (String, Origin)> {
    let refused = |message: &str| (message.to_owned(), origin.clone());
    let value = match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => Value::Integer(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| refused("expected a whole number of at most 64 bits"))?,
        ),
        DeValue::Float(number) => Value::Float(
            number
                .as_str()
                .parse()
                .map_err(|_| refused("expected a number"))?,
        ),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(time) => Value::Datetime(time.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| {
                    from_value(
                        item.get_ref(),
                        &Origin {
                            span: item.span(),
                            ..origin.clone()
                        },
                    )
                })
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => return from_table(table, origin),
    };
    Ok(Node {
        value,
        origin: origin.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, layer: usize) -> Node {
        let mut sources = Sources::default();
        let source = sources.add("test", text);
        Node::parse(&sources, source, layer).unwrap()
    }

    #[test]
    fn tables_merge_and_values_replace() {
        let mut base = parse("a = { b = 1, c = 2 }\nd = [1, 2]", 0);
        base.lay(&parse("a.b = 3\nd = [4]\ne = 5", 1));
        assert_eq!(
            base.to_toml().to_string(),
            "{ a = { b = 3, c = 2 }, d = [4], e = 5 }"
        );
        assert_eq!(base.top_layer(), 1);
        assert_eq!(base.at(&["a".into(), "c".into()]).unwrap().top_layer(), 0);
    }

    #[test]
    fn leaves_are_listed_with_their_paths() {
        let node = parse("a = { b = 1, c = {} }\nd = [1]", 0);
        let leaves: Vec<_> = node
            .leaves()
            .into_iter()
            .map(|(path, _)| dotted(&path))
            .collect();
        assert_eq!(leaves, ["a.b", "a.c", "d"]);
    }

    #[test]
    fn every_syntax_error_is_reported() {
        let mut sources = Sources::default();
        let source = sources.add("x.toml", "a = \nb = 3 4\n");
        let problems = Node::parse(&sources, source, 0).unwrap_err();
        assert!(problems.len() > 1, "{problems:?}");
        assert!(
            problems[0].to_string().starts_with("x.toml:1:"),
            "{}",
            problems[0]
        );
    }

    #[test]
    fn keys_are_quoted_where_toml_asks_for_it() {
        assert_eq!(dotted(&["arms", "a.b", "beta"]), "arms.\"a.b\".beta");
    }

    #[test]
    fn a_value_is_put_and_removed_at_a_path() {
        let mut node = parse("a.b = 1", 0);
        let value = parse("v = 7", 1).entry("v").unwrap().node.clone();
        let origin = value.origin.clone();
        node.set(
            &[
                ("a".into(), origin.clone()),
                ("x".into(), origin.clone()),
                ("y".into(), origin),
            ],
            value,
        );
        assert_eq!(
            node.to_toml().to_string(),
            "{ a = { b = 1, x = { y = 7 } } }"
        );
        assert!(node.remove(&["a".into(), "x".into(), "y".into()]));
        assert!(!node.remove(&["a".into(), "x".into(), "y".into()]));
    }
}
