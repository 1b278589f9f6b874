//! The claims of arXiv:2406.07327, checked against the records of finished runs.
//!
//! A claim finds its arms by their settings (method, objective and its parameters, data scenario, task), not by their
//! names, in every run it is given, and judges each run by itself. [`Verdict`] has the rule. A claim for which no run has
//! the data is missing, and names the experiment that would supply it.
//!
//! # Example
//! ```no_run
//! use preflab_report::claims::Claims;
//! let claims = Claims::read(&["runs".into()])?;
//! println!("{}", claims.text(false));
//! # Ok::<(), preflab_report::claims::ClaimsError>(())
//! ```
//!
//! # Adding a claim
//! One row in `list.rs` with a function from a run to the effects it is judged by.

mod find;
mod list;
mod markdown;
mod run;
mod text;
mod toy;
mod training;
mod verdict;

use std::path::{Path, PathBuf};

use preflab_experiment::records::RecordsError;
use preflab_metrics::SinkError;
use serde::Serialize;

use find::{Found, find};
use list::{CLAIMS, Reader};
use run::Run;
pub use run::RunRead;
use toy::Toy;
pub use verdict::{Comparison, LEVEL, Verdict};

/// Every claim, with what the runs say of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claims {
    /// The runs that were read.
    pub runs: Vec<RunRead>,
    /// The claims, in the paper's order: toy model first.
    pub claims: Vec<Claim>,
}

/// One claim of the paper.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// Its place in the list, from 1.
    pub number: usize,
    /// A name that stays the same from version to version.
    pub id: &'static str,
    /// What is claimed.
    pub statement: &'static str,
    /// Where the paper says so.
    pub place: &'static str,
    /// Where it is checked.
    pub setting: Setting,
    /// What all runs together say; absent where no run has the data.
    pub verdict: Option<Verdict>,
    /// What each run says.
    pub findings: Vec<Finding>,
    /// What to run to supply the data.
    pub supplied_by: &'static str,
}

/// Where a claim is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// In the toy model.
    Toy,
    /// In the training of language models.
    Training,
}

/// What one run says of a claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Directory of the run.
    pub run: PathBuf,
    /// What it says.
    pub verdict: Verdict,
    /// The comparisons it is made of; each must hold.
    pub comparisons: Vec<Comparison>,
}

/// How many claims came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// PASS.
    pub pass: usize,
    /// FAIL.
    pub fail: usize,
    /// INCONCLUSIVE.
    pub inconclusive: usize,
    /// Without data.
    pub missing: usize,
}

/// Why claims cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// Nothing there.
    #[error("there is no directory `{}`\n\nhint: give directories that `preflab run` or `preflab toy` wrote, or one that holds several, such as `runs`", directory.display())]
    NoDirectory {
        /// What was asked for.
        directory: PathBuf,
    },
    /// Nothing to read there.
    #[error("`{}` holds no records: neither an experiment's `records.json` nor the toy model's `claims.json` is in it or below it\n\nhint: give directories that `preflab run` or `preflab toy` wrote, or one that holds several, such as `runs`", directory.display())]
    NoRecords {
        /// What was asked for.
        directory: PathBuf,
    },
    /// An experiment's records are damaged, or another version's.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A log is damaged.
    #[error(transparent)]
    Curves(#[from] SinkError),
    /// A file or directory cannot be read.
    #[error("could not read `{}`: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The toy model's claims are damaged, or another version's.
    #[error("`{}` is not the toy model's: {source}\n\nhint: run `preflab toy` again with this version", path.display())]
    Toy {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
}

impl Claims {
    /// Checks every claim against every run at or below the directories.
    ///
    /// # Errors
    /// If a directory is not there or holds no records, or if records cannot be read.
    pub fn read(directories: &[PathBuf]) -> Result<Self, ClaimsError> {
        let mut runs = Vec::new();
        let mut toys = Vec::new();
        let mut read = Vec::new();
        for found in find(directories)? {
            match found {
                Found::Experiment(directory) => {
                    let run = Run::read(&directory)?;
                    read.push(run.about());
                    runs.push(run);
                }
                Found::Toy(directory) => {
                    let toy = Toy::read(&directory)?;
                    read.push(RunRead {
                        directory,
                        name: "toy".to_owned(),
                        cells: None,
                    });
                    toys.push(toy);
                }
            }
        }
        let claims = CLAIMS.iter().enumerate().map(|(index, definition)| {
            let findings: Vec<Finding> = match definition.reader {
                Reader::Toy(select) => toys
                    .iter()
                    .filter_map(|toy| Finding::new(&toy.directory, toy.comparisons(select)))
                    .collect(),
                Reader::Run(compare) => runs
                    .iter()
                    .filter_map(|run| Finding::new(&run.directory, compare(run)))
                    .collect(),
            };
            Claim {
                number: index + 1,
                id: definition.id,
                statement: definition.statement,
                place: definition.place,
                setting: match definition.reader {
                    Reader::Toy(_) => Setting::Toy,
                    Reader::Run(_) => Setting::Training,
                },
                verdict: whole(&findings),
                findings,
                supplied_by: definition.supplied_by,
            }
        });
        Ok(Self {
            claims: claims.collect(),
            runs: read,
        })
    }

    /// How many claims came out how.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for claim in &self.claims {
            *match claim.verdict {
                Some(Verdict::Pass) => &mut tally.pass,
                Some(Verdict::Fail) => &mut tally.fail,
                Some(Verdict::Inconclusive) => &mut tally.inconclusive,
                None => &mut tally.missing,
            } += 1;
        }
        tally
    }

    /// A table for a terminal, at most 100 columns wide; `every`: with each comparison, not only the one that decides.
    pub fn text(&self, every: bool) -> String {
        text::table(self, every)
    }

    /// The table for a page of the documentation; `every` as in [`Claims::text`].
    pub fn markdown(&self, every: bool) -> String {
        markdown::page(self, every)
    }
}

impl Finding {
    /// Nothing, if there is nothing to compare.
    fn new(run: &Path, comparisons: Vec<Comparison>) -> Option<Self> {
        Some(Self {
            run: run.to_owned(),
            verdict: Verdict::all(comparisons.iter().map(|comparison| comparison.verdict))?,
            comparisons,
        })
    }

    /// The comparison that decides: the least on the claimed side among those with the finding's verdict.
    pub fn deciding(&self) -> Option<&Comparison> {
        self.comparisons
            .iter()
            .filter(|comparison| comparison.verdict == self.verdict)
            .min_by(|one, other| one.standing().total_cmp(&other.standing()))
    }
}

/// What all runs say together. A run with a single seed has no interval, so it has no say beside others.
fn whole(findings: &[Finding]) -> Option<Verdict> {
    let heard = |finding: &&Finding| {
        finding
            .comparisons
            .iter()
            .any(|comparison| comparison.seeds > 1)
    };
    let verdicts = |findings: &mut dyn Iterator<Item = &Finding>| {
        Verdict::agreed(findings.map(|finding| finding.verdict))
    };
    verdicts(&mut findings.iter().filter(heard)).or_else(|| verdicts(&mut findings.iter()))
}

/// The word for a claim's state.
fn word(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "MISSING".to_owned(), |verdict| verdict.to_string())
}

/// The rule in one paragraph, below every table.
const RULE: &str = "PASS: the 95 % interval (Student's t over seeds, paired where arms are compared) lies above the margin; FAIL: at or \
    below it; INCONCLUSIVE: on both sides. Several comparisons of a claim must all hold, each also after Holm's adjustment at 5 %, and \
    several runs of two and more seeds must agree. The effect shown is that of the comparison that decides. MISSING: no run has the data.";
