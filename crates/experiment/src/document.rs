//! The settings of one run as they were written: defaults, a file, and what the command line says, laid over one another.

use std::fs;
use std::path::Path;

use preflab_config::ModelSource;
use serde::de::DeserializeOwned;

use crate::models::Models;
use crate::nearest::nearest;
use crate::node::{Entry, Node, Origin, Value};
use crate::overrides::parse_assignment;
use crate::read::read;
use crate::sources::Sources;
use crate::{Problem, Problems};

/// Settings that know where each was written; what was laid later wins.
///
/// # Example
/// ```
/// use preflab_config::SftSettings;
/// use preflab_experiment::Document;
/// let mut document = Document::new();
/// document.set("--set", "epochs=3")?;
/// document.lay_under("defaults", "epochs = 1\nbatch_size = 8");
/// let settings: SftSettings = document.read(|_| true, &[])?;
/// assert_eq!((settings.epochs.get(), settings.batch_size.get()), (3, 8));
/// # Ok::<(), preflab_experiment::Problems>(())
/// ```
#[derive(Debug, Clone)]
pub struct Document {
    node: Node,
    sources: Sources,
    /// The layer of what is laid next; 0 is that of the defaults.
    layer: usize,
    models: Models,
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// Nothing yet.
    pub fn new() -> Self {
        let mut sources = Sources::default();
        let source = sources.add("the command line", "");
        Self {
            node: Node::empty(Origin {
                source,
                span: 0..0,
                layer: 0,
            }),
            sources,
            layer: 1,
            models: Models::near(Path::new("")),
        }
    }

    /// Lays a TOML file over what is there.
    ///
    /// # Errors
    /// If it cannot be read, or is not TOML.
    pub fn lay_file(&mut self, file: &Path) -> Result<(), Problems> {
        let text = fs::read_to_string(file).map_err(|error| {
            Problem::new(format!("could not read `{}`: {error}", file.display()))
                .hint("paths are relative to the current directory")
        })?;
        let source = self.sources.add(file.display().to_string(), text);
        let node = Node::parse(&self.sources, source, self.layer)
            .map_err(|problems| Problems::check(problems).expect_err("a syntax error"))?;
        self.node.lay(&node);
        self.layer += 1;
        self.models = Models::near(file);
        Ok(())
    }

    /// Lays `key=value` over what is there; the value is TOML where it can be, and text otherwise. `name` is shown in
    /// front of a problem: `--set`.
    ///
    /// # Errors
    /// If it is no such assignment.
    pub fn set(&mut self, name: &str, assignment: &str) -> Result<(), Problems> {
        let (path, node) = parse_assignment(name, assignment, &mut self.sources, self.layer)?;
        self.models
            .refuse_part(&self.node, &path, &node, &self.sources)?;
        self.node.set(&path, node);
        self.layer += 1;
        Ok(())
    }

    /// Lays text, taken as it is, on a key: what an option of the command line such as `--model` says.
    pub fn set_text(&mut self, option: &str, key: &str, text: &str) {
        self.set_value(option, key, text, Value::String(text.to_owned()));
    }

    /// Lays texts on the value at a path of keys as a list.
    pub fn set_texts(&mut self, option: &str, path: &[&str], texts: &[String]) {
        let source = self.sources.add(option, texts.join(" "));
        let origin = Origin {
            source,
            span: 0..self.sources.text(source).len(),
            layer: self.layer,
        };
        let item = |text: &String| Node {
            value: Value::String(text.clone()),
            origin: origin.clone(),
        };
        let items = Value::Array(texts.iter().map(item).collect());
        self.put(path, items, origin.clone());
    }

    fn set_value(&mut self, option: &str, key: &str, text: &str, value: Value) {
        let source = self.sources.add(option, text);
        let origin = Origin {
            source,
            span: 0..text.len(),
            layer: self.layer,
        };
        self.put(&[key], value, origin);
    }

    fn put(&mut self, path: &[&str], value: Value, origin: Origin) {
        let node = Node {
            value,
            origin: origin.clone(),
        };
        let path: Vec<(String, Origin)> = path
            .iter()
            .map(|key| ((*key).to_owned(), origin.clone()))
            .collect();
        self.node.set(&path, node);
        self.layer += 1;
    }

    /// Lays defaults under everything.
    ///
    /// # Panics
    /// If they are not TOML.
    pub fn lay_under(&mut self, name: &str, defaults: &str) {
        let source = self.sources.add(name, defaults);
        let mut node = Node::parse(&self.sources, source, 0).expect("defaults are TOML");
        node.lay(&self.node);
        self.node = node;
    }

    /// The text at a key of the top, if there is one.
    ///
    /// # Errors
    /// If something else than text stands there.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Problems> {
        match self.node.entry(key) {
            None => Ok(None),
            Some(entry) => match entry.node.as_text() {
                Some(text) => Ok(Some(text)),
                None => Err(self
                    .problem_at(key, Problem::new(format!("`{key}`: expected a text")))
                    .into()),
            },
        }
    }

    /// Whether something is set at a key of the top.
    pub fn has(&self, key: &str) -> bool {
        self.node.entry(key).is_some()
    }

    /// Reads the settings under the keys of the top that `wanted` picks. `others` are the keys of the top that the rest is
    /// read from: they are named when a key is unknown.
    ///
    /// # Errors
    /// With every problem that can be found, each at the place it was written.
    pub fn read<T: DeserializeOwned>(
        &self,
        wanted: impl Fn(&str) -> bool,
        others: &[&str],
    ) -> Result<T, Problems> {
        let picked: Vec<Entry> = self
            .node
            .entries()
            .iter()
            .filter(|entry| wanted(&entry.key))
            .cloned()
            .collect();
        let node = Node {
            value: Value::Table(picked),
            origin: self.node.origin.clone(),
        };
        read(&node, &self.sources).map_err(|problems| {
            let problems = problems
                .into_iter()
                .map(|problem| with_other_keys(problem, others));
            Problems::check(problems.collect()).expect_err("a problem")
        })
    }

    /// Replaces the name of a model by the shape of that name, as experiments do; a checkpoint directory stays.
    ///
    /// # Errors
    /// If there is no model of that name.
    pub fn resolve_model(&self, key: &str, source: &mut ModelSource) -> Result<(), Problems> {
        self.models
            .resolve(source)
            .map_err(|problem| match problem.place {
                Some(_) => problem.into(),
                None => self.problem_at(key, problem).into(),
            })
    }

    /// `problem` at the place where a key of the top was set, if it was.
    #[must_use]
    pub fn problem_at(&self, key: &str, problem: Problem) -> Problem {
        match self.node.entry(key) {
            Some(entry) => problem.at(self.sources.place(&entry.node.origin)),
            None => problem,
        }
    }
}

/// An unknown key may be meant for the rest of the settings.
fn with_other_keys(problem: Problem, others: &[&str]) -> Problem {
    let unknown = problem
        .message
        .strip_prefix("unknown key `")
        .and_then(|rest| rest.strip_suffix('`'));
    let Some(unknown) = unknown else {
        return problem;
    };
    let hint = match (&problem.hint, nearest(unknown, others.iter().copied())) {
        (Some(hint), _) if hint.starts_with("did you mean") => hint.clone(),
        (_, Some(near)) => format!("did you mean `{near}`?"),
        (Some(hint), None) if !others.is_empty() => {
            let others: Vec<String> = others.iter().map(|key| format!("`{key}`")).collect();
            format!("{hint}, {}", others.join(", "))
        }
        (hint, None) => {
            return Problem {
                hint: hint.clone(),
                ..problem
            };
        }
    };
    problem.hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use preflab_config::SftSettings;

    #[test]
    fn a_problem_points_at_the_option_or_file_it_was_written_in() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("train.toml");
        fs::write(&file, "batch_size = 0\nevall = 3\n").unwrap();
        let mut document = Document::new();
        document.lay_file(&file).unwrap();
        document.set("--set", "optimizer.learning_rate=-1").unwrap();
        document.set_text("--epochs", "epochs", "many");
        document.lay_under("defaults", "optimizer.learning_rate = 0.1");
        let problems = document
            .read::<SftSettings>(|_| true, &["eval", "model"])
            .unwrap_err()
            .to_string()
            .replace(&file.display().to_string(), "train.toml");
        insta::assert_snapshot!(problems, @r#"
        problem 1 of 4: --set:1:25
          |
        1 | optimizer.learning_rate=-1
          |                         ^^
        `optimizer.learning_rate`: expected a number above 0, found -1

        problem 2 of 4: train.toml:1:14
          |
        1 | batch_size = 0
          |              ^
        `batch_size`: expected a whole number above 0, found 0

        problem 3 of 4: train.toml:2:1
          |
        2 | evall = 3
          | ^^^^^
        unknown key `evall`

        hint: did you mean `eval`?

        problem 4 of 4: --epochs:1:1
          |
        1 | many
          | ^^^^
        `epochs`: expected a whole number, found the text "many"
        "#);
    }

    #[test]
    fn a_named_model_is_not_changed_in_part() {
        let refused = |model: &str| {
            let mut document = Document::new();
            document.set_text("--model", "model", model);
            let problems = document.set("--set", "model.context=512").unwrap_err();
            problems.to_string()
        };
        insta::assert_snapshot!(refused("tiny"), @r"
        --set:1:1
          |
        1 | model.context=512
          | ^^^^^^^^^^^^^
        `model` is `tiny`, and a named model cannot be changed in part

        hint: give the whole shape: `--set 'model={ width = 96, layers = 3, heads = 4, kv_heads = 2, feedforward = 256, context = 512 }'`
        ");
        let of_checkpoint = refused("path/to/model");
        assert!(
            of_checkpoint.contains("a checkpoint has the shape it was trained with"),
            "{of_checkpoint}"
        );
        let mut document = Document::new();
        document.set("--set", "model={ width = 8 }").unwrap();
        document.set("--set", "model.width=16").unwrap();
        document.set_text("--model", "model", "tiny");
        document.set("--set", "optimizer.learning_rate=1").unwrap();
    }
}
