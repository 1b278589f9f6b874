//! The texts that nodes point into.

use crate::Place;
use crate::node::Origin;

/// The texts that nodes point into: the experiment file, then each `--set` of the command line.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: String,
}

impl Sources {
    /// Takes in a text; its number is given back.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        self.0.push(Source {
            name: name.into(),
            text: text.into(),
        });
        self.0.len() - 1
    }

    /// The name of the text with that number.
    pub fn name(&self, source: usize) -> &str {
        &self.0[source].name
    }

    /// The text with that number.
    pub fn text(&self, source: usize) -> &str {
        &self.0[source].text
    }

    /// Where `origin` is, for a reader.
    pub fn place(&self, origin: &Origin) -> Place {
        let source = &self.0[origin.source];
        Place::of(&source.name, &source.text, origin.span.clone())
    }
}
