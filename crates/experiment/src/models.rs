//! Model names: files of `configs/model/`, and checkpoint directories.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use preflab_config::{ModelSettings, ModelSource, Settings, WeakerModel};

use crate::Problem;
use crate::node::{Node, Origin, dotted};
use crate::read::read;
use crate::sources::Sources;

/// The shapes that the binary brings along; a file of the same name in a `configs/model/` goes before them.
const BUILT_IN: [(&str, &str); 2] = [
    ("small", include_str!("../../../configs/model/small.toml")),
    ("tiny", include_str!("../../../configs/model/tiny.toml")),
];

/// A whole shape, as an example.
pub(crate) const SHAPE: &str =
    "{ width = 128, layers = 4, heads = 4, kv_heads = 2, feedforward = 384, context = 512 }";

/// Where model names are looked up.
#[derive(Debug, Clone)]
pub struct Models {
    directories: Vec<PathBuf>,
}

impl Models {
    /// Looks in `configs/model/` of the current directory and of those above the experiment file.
    pub fn near(file: &Path) -> Self {
        let above = file.parent().into_iter().flat_map(Path::ancestors);
        let directories = std::iter::once(Path::new(""))
            .chain(above)
            .map(|root| root.join("configs/model"))
            .collect();
        Self { directories }
    }

    /// Every model named in the settings, with its dotted key.
    pub fn sources<'a>(
        &self,
        settings: &'a mut Settings,
    ) -> Vec<(&'static str, &'a mut ModelSource)> {
        let mut sources = vec![("model", &mut settings.model)];
        match &mut settings.preferences.weaker {
            WeakerModel::Smaller { model } => {
                sources.push(("preferences.weaker.smaller.model", model))
            }
            WeakerModel::Shorter { share: _ } => {}
        }
        sources
    }

    /// Replaces the name of a file by the shape in it, and leaves shapes and checkpoint directories as they are.
    ///
    /// # Errors
    /// If there is no model of that name, or its file is not a shape.
    pub fn resolve(&self, source: &mut ModelSource) -> Result<(), Problem> {
        let ModelSource::Named(name) = source else {
            return Ok(());
        };
        if name.join("config.json").is_file() {
            return Ok(());
        }
        let Some((file, text)) = self.find(name) else {
            return Err(self.unknown(name));
        };
        let mut sources = Sources::default();
        let number = sources.add(file, text);
        let shape: ModelSettings = Node::parse(&sources, number, 0)
            .and_then(|node| read(&node, &sources))
            .map_err(|mut problems| problems.remove(0))?;
        *source = ModelSource::Shape(shape);
        Ok(())
    }

    /// Refuses an assignment to a part of a model that `root` names: a name stands for a whole shape.
    ///
    /// # Errors
    /// If `path` leads into a model that is named.
    pub(crate) fn refuse_part(
        &self,
        root: &Node,
        path: &[(String, Origin)],
        value: &Node,
        sources: &Sources,
    ) -> Result<(), Problem> {
        let Some((keys, name)) = root.text_above(path) else {
            return Ok(());
        };
        let [.., (key, _)] = &path[..keys] else {
            return Ok(());
        };
        if key != "model" {
            return Ok(());
        }
        let names = |path: &[(String, Origin)]| {
            let keys: Vec<&String> = path.iter().map(|(key, _)| key).collect();
            dotted(&keys)
        };
        let whole = self.find(Path::new(name)).and_then(|(file, text)| {
            let mut own = Sources::default();
            let number = own.add(file, text);
            let mut shape = Node::parse(&own, number, 0).ok()?;
            shape.set(&path[keys..], value.clone());
            Some(shape.to_toml().to_string())
        });
        let at = names(&path[..keys]);
        let at = at.strip_prefix("base.").unwrap_or(&at);
        let hint = match whole {
            Some(whole) => format!("give the whole shape: `--set '{at}={whole}'`"),
            None => {
                format!(
                    "a checkpoint has the shape it was trained with; a shape for fresh weights is given whole: `--set '{at}={SHAPE}'`"
                )
            }
        };
        Err(Problem::new(format!(
            "`{at}` is `{name}`, and a named model cannot be changed in part"
        ))
        .at(sources.place(&path[path.len() - 1].1))
        .hint(hint))
    }

    fn find(&self, name: &Path) -> Option<(String, String)> {
        if name.components().count() != 1 {
            return None;
        }
        let name = name.to_str()?;
        for directory in &self.directories {
            let file = directory.join(format!("{name}.toml"));
            if let Ok(text) = fs::read_to_string(&file) {
                return Some((file.display().to_string(), text));
            }
        }
        let (_, text) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
        Some((format!("{name}.toml (built in)"), (*text).to_owned()))
    }

    fn unknown(&self, name: &Path) -> Problem {
        if name.is_dir() {
            return Problem::new(format!(
                "the directory `{}` holds no model: there is no `config.json` in it",
                name.display()
            ))
            .hint(
                "a checkpoint directory has `config.json`, safetensors files and `tokenizer.json`",
            );
        }
        let mut known: BTreeSet<String> = BUILT_IN
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        for file in self
            .directories
            .iter()
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flatten()
            .flatten()
        {
            let path = file.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
                && let Some(stem) = path.file_stem()
            {
                known.insert(stem.to_string_lossy().into_owned());
            }
        }
        let known: Vec<String> = known.into_iter().collect();
        Problem::new(format!("there is no model `{}`", name.display())).hint(format!(
            "name a file of `configs/model/` ({}), give a checkpoint directory, or write the shape in place",
            known.join(", ")
        ))
    }
}
