//! An experiment as it was written: the file with its overrides, checked in its outline but not yet in its settings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::models::Models;
use crate::node::{Entry, Node, Origin, dotted};
use crate::overrides::{Override, TOP, parse_key};
use crate::read_error::unknown_key;
use crate::sources::Sources;
use crate::{Problem, Problems};

/// Layers in the order in which they are laid over one another; overrides take the numbers in between.
pub(crate) mod layer {
    /// `[base]`.
    pub const BASE: usize = 0;
    /// `[arms.*]`.
    pub const ARMS: usize = 1_000_000;
    /// A point of the grid of `[ablate]`.
    pub const GRID: usize = 2_000_000;
}

/// An experiment as it was written.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name: the file's without `.toml`.
    pub name: String,
    /// The question, in the author's words.
    pub question: String,
    /// The seeds, in the order in which they are run.
    pub seeds: Vec<u64>,
    /// Overrides of the command line, as typed.
    pub overrides: Vec<String>,
    /// The file it was read from.
    pub file: PathBuf,
    pub(crate) baseline: Option<(String, Origin)>,
    pub(crate) varies: Vec<Varied>,
    pub(crate) base: Node,
    pub(crate) arms: Vec<Entry>,
    pub(crate) ablation: Option<Ablation>,
    pub(crate) ablate: Option<Node>,
    pub(crate) locked: Option<Node>,
    pub(crate) sources: Sources,
}

/// A key that arms may differ in.
#[derive(Debug, Clone)]
pub(crate) struct Varied {
    pub path: Vec<String>,
    pub origin: Origin,
}

/// A grid over one arm, as written.
#[derive(Debug, Clone)]
pub(crate) struct Ablation {
    pub arm: String,
    pub axes: Vec<Axis>,
}

/// A key of a grid and its values.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub path: Vec<String>,
    pub key_origin: Origin,
    pub values: Vec<Node>,
}

impl Spec {
    /// Reads an experiment file and lays the overrides of the command line over it.
    ///
    /// # Errors
    /// With everything that is wrong with the file's outline and the overrides.
    pub fn load(file: &Path, overrides: &[String]) -> Result<Self, Problems> {
        let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
        Self::parse(file, &text, overrides)
    }

    /// The same for a text that would be in `file`.
    ///
    /// # Errors
    /// With everything that is wrong with the text's outline and the overrides.
    pub fn parse(file: &Path, text: &str, overrides: &[String]) -> Result<Self, Problems> {
        let mut sources = Sources::default();
        let source = sources.add(file.display().to_string(), text);
        let mut document = match Node::parse(&sources, source, layer::BASE) {
            Ok(document) => document,
            Err(problems) => return Err(Problems::check(problems).expect_err("a syntax error")),
        };
        if let Some(arms) = document.entry_mut("arms") {
            arms.node = arms.node.clone().in_layer(layer::ARMS);
        }
        let mut problems = Vec::new();
        let models = Models::near(file);
        for (index, text) in overrides.iter().enumerate() {
            let of_arms = text.trim_start().starts_with("arms.");
            let layer = index + 1 + if of_arms { layer::ARMS } else { layer::BASE };
            match Override::parse(text, &mut sources, layer) {
                Ok(set) => match models.refuse_part(&document, &set.path, &set.node, &sources) {
                    Ok(()) => document.set(&set.path, set.node),
                    Err(problem) => problems.push(problem),
                },
                Err(problem) => problems.push(problem),
            }
        }
        let mut top = Top {
            document: &document,
            sources: &sources,
            problems,
        };
        top.known_keys();
        let question = top.question();
        let seeds = top.seeds();
        let varies = top.varies();
        let baseline = top.baseline();
        let base = top.table("base", "it holds the settings that all arms share");
        let arms = top.arms();
        let ablation = top.ablation(&arms);
        Problems::check(top.problems)?;
        let table = |key| document.entry(key).map(|entry| entry.node.clone());
        let (ablate, locked) = (table("ablate"), table("lock"));
        Ok(Self {
            name: name(file, locked.as_ref()),
            question,
            seeds,
            overrides: overrides.to_vec(),
            file: file.to_owned(),
            baseline,
            varies,
            base,
            arms,
            ablation,
            ablate,
            locked,
            sources,
        })
    }
}

/// The experiment's name: what the lock says, or the file's own.
fn name(file: &Path, locked: Option<&Node>) -> String {
    let locked = locked.and_then(|lock| lock.entry("experiment"));
    match locked.and_then(|entry| entry.node.as_text()) {
        Some(name) => name.to_owned(),
        None => file.file_stem().map_or_else(
            || "experiment".into(),
            |stem| stem.to_string_lossy().into_owned(),
        ),
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Problem {
    let problem = Problem::new(format!("could not read `{}`: {error}", file.display()));
    match error.kind() {
        std::io::ErrorKind::NotFound => problem.hint(
            "experiment files are in `experiments/`; paths are relative to the current directory",
        ),
        _ => problem,
    }
}

/// Reads the parts of the document one after another and collects what is wrong.
struct Top<'a> {
    document: &'a Node,
    sources: &'a Sources,
    problems: Vec<Problem>,
}

impl Top<'_> {
    fn refuse(&mut self, message: impl Into<String>, origin: &Origin, hint: impl Into<String>) {
        self.problems.push(
            Problem::new(message)
                .at(self.sources.place(origin))
                .hint(hint),
        );
    }

    fn known_keys(&mut self) {
        for entry in self.document.entries() {
            if !TOP.contains(&entry.key.as_str()) {
                self.problems.push(unknown_key(
                    &entry.key,
                    &TOP[..7],
                    self.sources.place(&entry.key_origin),
                ));
            }
        }
    }

    fn question(&mut self) -> String {
        match self.document.entry("question") {
            Some(entry) => match entry.node.as_text() {
                Some(question) => return question.to_owned(),
                None => self.refuse(
                    "`question`: expected a text",
                    &entry.node.origin,
                    "write what the comparison is to answer, in quotes",
                ),
            },
            None => self.missing(
                "`question`",
                "write what the comparison is to answer: `question = \"Does ...?\"`",
            ),
        }
        String::new()
    }

    fn missing(&mut self, what: &str, hint: &str) {
        let file = self.sources.name(self.document.origin.source);
        self.problems
            .push(Problem::new(format!("{what} is missing in `{file}`")).hint(hint));
    }

    fn seeds(&mut self) -> Vec<u64> {
        const HINT: &str =
            "write a number of seeds (`seeds = 3` is 0, 1, 2) or list them (`seeds = [0, 7]`)";
        let Some(entry) = self.document.entry("seeds") else {
            self.missing("`seeds`", HINT);
            return Vec::new();
        };
        if let Some(count @ 1..=100_000) = entry.node.as_integer() {
            return (0..count.unsigned_abs()).collect();
        }
        let Some(items @ [_, ..]) = entry.node.as_items() else {
            self.refuse(
                "`seeds`: expected a whole number above 0 or a list of seeds",
                &entry.node.origin,
                HINT,
            );
            return Vec::new();
        };
        let mut seeds = Vec::new();
        for item in items {
            match item.as_integer().and_then(|seed| u64::try_from(seed).ok()) {
                Some(seed) if seeds.contains(&seed) => {
                    self.refuse(
                        format!("`seeds` lists {seed} twice"),
                        &item.origin,
                        "list each seed once",
                    );
                }
                Some(seed) => seeds.push(seed),
                None => self.refuse(
                    "`seeds`: expected a whole number of at least 0",
                    &item.origin,
                    HINT,
                ),
            }
        }
        seeds
    }

    fn varies(&mut self) -> Vec<Varied> {
        let Some(entry) = self.document.entry("varies") else {
            return Vec::new();
        };
        let Some(items) = entry.node.as_items() else {
            self.refuse(
                "`varies`: expected a list of keys",
                &entry.node.origin,
                "write the keys that arms differ in: `varies = [\"method\"]`",
            );
            return Vec::new();
        };
        let mut varies: Vec<Varied> = Vec::new();
        for item in items {
            match item.as_text().and_then(parse_key) {
                Some(path) if varies.iter().any(|varied| varied.path == path) => {
                    self.refuse(
                        format!("`varies` lists `{}` twice", dotted(&path)),
                        &item.origin,
                        "list it once",
                    );
                }
                Some(path) => varies.push(Varied {
                    path,
                    origin: item.origin.clone(),
                }),
                None => self.refuse(
                    "`varies`: expected a dotted key in quotes",
                    &item.origin,
                    "write for example `varies = [\"method\"]`",
                ),
            }
        }
        varies
    }

    fn baseline(&mut self) -> Option<(String, Origin)> {
        let entry = self.document.entry("baseline")?;
        let arm = entry.node.as_text();
        if arm.is_none() {
            self.refuse(
                "`baseline`: expected the name of an arm",
                &entry.node.origin,
                "write it in quotes",
            );
        }
        arm.map(|arm| (arm.to_owned(), entry.node.origin.clone()))
    }

    fn table(&mut self, key: &str, purpose: &str) -> Node {
        let empty = Node::empty(Origin {
            span: 0..0,
            ..self.document.origin.clone()
        });
        match self.document.entry(key) {
            Some(entry) if entry.node.is_table() => entry.node.clone(),
            Some(entry) => {
                self.refuse(
                    format!("`{key}`: expected a table"),
                    &entry.node.origin,
                    format!("write `[{key}]`: {purpose}"),
                );
                empty
            }
            None => {
                self.missing(
                    &format!("`[{key}]`"),
                    &format!("write `[{key}]`: {purpose}"),
                );
                empty
            }
        }
    }

    fn arms(&mut self) -> Vec<Entry> {
        let table = self.table("arms", "one table for each arm, such as `[arms.dpo]`");
        for entry in table.entries() {
            if !entry.node.is_table() {
                self.refuse(
                    format!("`arms.{}`: expected a table", dotted(&[&entry.key])),
                    &entry.node.origin,
                    "an arm is a table of the settings it varies",
                );
            }
            if let Some(wrong) = wrong_name(&entry.key) {
                self.refuse(
                    format!("`{}` cannot be the name of an arm: {wrong}", entry.key),
                    &entry.key_origin,
                    "an arm's name is a directory: use a-z, 0-9, `.`, `_` and `-`",
                );
            }
        }
        if table.entries().is_empty() && self.document.entry("arms").is_some() {
            let origin = table.origin.clone();
            self.refuse(
                "there are no arms",
                &origin,
                "write one table for each arm, such as `[arms.dpo]`",
            );
        }
        table.entries().to_vec()
    }

    fn ablation(&mut self, arms: &[Entry]) -> Option<Ablation> {
        let entry = self.document.entry("ablate")?;
        const HINT: &str = "write `arm = \"name\"` and `grid = { \"method.dpo.objective.dpo.beta\" = [0.05, 0.1] }`";
        for unknown in entry
            .node
            .entries()
            .iter()
            .filter(|entry| !["arm", "grid"].contains(&entry.key.as_str()))
        {
            self.problems.push(unknown_key(
                &unknown.key,
                &["arm", "grid"],
                self.sources.place(&unknown.key_origin),
            ));
        }
        let arm = entry
            .node
            .entry("arm")
            .map(|arm| (arm.node.as_text(), &arm.node.origin));
        let Some((Some(arm), arm_origin)) = arm else {
            self.refuse(
                "`ablate.arm`: expected the name of an arm",
                &entry.node.origin,
                HINT,
            );
            return None;
        };
        if !arms.iter().any(|entry| entry.key == arm) {
            let names: Vec<&str> = arms.iter().map(|entry| entry.key.as_str()).collect();
            self.refuse(
                format!("`ablate.arm`: there is no arm `{arm}`"),
                arm_origin,
                format!("the arms are: {}", names.join(", ")),
            );
        }
        let Some(grid) = entry.node.entry("grid") else {
            self.refuse("`ablate.grid` is missing", &entry.node.origin, HINT);
            return None;
        };
        let axes: Vec<Axis> = grid
            .node
            .leaves()
            .into_iter()
            .filter_map(|(path, leaf)| self.axis(&path, leaf))
            .collect();
        if self.problems.is_empty() && !(1..=2).contains(&axes.len()) {
            self.refuse(
                format!(
                    "`ablate.grid`: expected one or two keys, found {}",
                    axes.len()
                ),
                &grid.node.origin,
                "write one experiment file for each further key",
            );
        }
        Some(Ablation {
            arm: arm.to_owned(),
            axes,
        })
    }

    fn axis(&mut self, path: &[String], leaf: &Entry) -> Option<Axis> {
        let Some(path) = parse_key(&path.join(".")) else {
            self.refuse(
                format!("`{}` is not a dotted key", leaf.key),
                &leaf.key_origin,
                "write it as in `varies`",
            );
            return None;
        };
        let Some(items) = leaf.node.as_items() else {
            self.refuse(
                format!("`{}`: expected a list of values", dotted(&path)),
                &leaf.node.origin,
                "write the values to try, such as `[0.05, 0.1, 0.2]`",
            );
            return None;
        };
        let mut seen = BTreeSet::new();
        for item in items {
            if !seen.insert(item.to_toml().to_string()) {
                let message = format!("`{}` lists {} twice", dotted(&path), item.to_toml());
                self.refuse(message, &item.origin, "list each value once");
            }
        }
        if items.is_empty() {
            self.refuse(
                format!("`{}`: expected at least one value", dotted(&path)),
                &leaf.node.origin,
                "list some",
            );
        }
        let values = items
            .iter()
            .map(|item| item.clone().in_layer(layer::GRID))
            .collect();
        Some(Axis {
            path,
            key_origin: leaf.key_origin.clone(),
            values,
        })
    }
}

/// Names of directories beside those of the arms.
const RESERVED: [&str; 2] = ["stages", "shared"];

/// Why `name` cannot be an arm's.
fn wrong_name(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if name.is_empty() {
        Some("it is empty")
    } else if name.starts_with('.') {
        Some("it starts with a dot")
    } else if RESERVED.contains(&name) {
        Some("the store has a directory of that name")
    } else if name.len() > 100 {
        Some("it is longer than 100 characters")
    } else if name.chars().all(allowed) {
        None
    } else {
        Some("it has other characters")
    }
}
