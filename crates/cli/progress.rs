//! What a run says while it runs: bars on a terminal, plain lines otherwise.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use preflab_experiment::{Event, Observer, Stage, StageKey, duration};

/// Time between two plain lines about one stage.
const EVERY: Duration = Duration::from_secs(15);

/// The observer that suits stderr: bars on a terminal, lines elsewhere, nothing if it is to be quiet.
pub fn observer(quiet: bool) -> Box<dyn Observer> {
    if quiet {
        Box::new(Quiet)
    } else if std::io::stderr().is_terminal() {
        Box::new(Bars::new())
    } else {
        Box::new(Lines::default())
    }
}

/// Says only what went wrong.
struct Quiet;

impl Observer for Quiet {
    fn event(&self, event: Event<'_>) {
        if let Some(text) = warning(&event) {
            eprintln!("{text}");
        }
    }
}

/// One line for each thing that happens.
#[derive(Default)]
struct Lines {
    last: Mutex<BTreeMap<StageKey, Instant>>,
}

impl Observer for Lines {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Progress {
                stage,
                done,
                total,
                note,
            } => {
                let mut last = self
                    .last
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                let since = last.entry(stage.key.clone()).or_insert_with(Instant::now);
                if since.elapsed() >= EVERY {
                    *since = Instant::now();
                    eprintln!("  {}: {done} of {total} {note}", stage.label());
                }
            }
            Event::Begun { .. }
            | Event::Damaged { .. }
            | Event::Started { .. }
            | Event::Finished { .. }
            | Event::Failed { .. }
            | Event::Recorded { .. } => {
                if let Some(text) = warning(&event).or_else(|| line(&event)) {
                    eprintln!("{text}");
                }
            }
        }
    }
}

/// A bar for the whole and one for each stage at work.
struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    stages: Mutex<BTreeMap<StageKey, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let whole = all.add(
            ProgressBar::new(0)
                .with_style(style("{pos:>4}/{len} stages  {bar:30}  {elapsed} gone")),
        );
        Self {
            all,
            whole,
            stages: Mutex::default(),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<StageKey, ProgressBar>) -> T) -> T {
        act(&mut self
            .stages
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn end(&self, stage: &Stage) {
        if let Some(bar) = self.with(|bars| bars.remove(&stage.key)) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }
}

/// # Panics
/// If the template, which is a constant, is not one.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("a template")
        .progress_chars("=> ")
}

impl Observer for Bars {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Begun { reused, total } => {
                self.whole.set_length(total as u64);
                self.whole.set_position(reused as u64);
                self.whole.enable_steady_tick(Duration::from_secs(1));
            }
            Event::Started { stage, .. } => {
                let style = style("     {prefix}  {bar:20}  {pos}/{len}  {msg}");
                let bar = ProgressBar::new(0)
                    .with_style(style)
                    .with_prefix(stage.label());
                let bar = self.all.insert_before(&self.whole, bar);
                bar.tick();
                self.with(|bars| bars.insert(stage.key.clone(), bar));
            }
            Event::Progress {
                stage,
                done,
                total,
                note,
            } => self.with(|bars| {
                if let Some(bar) = bars.get(&stage.key) {
                    bar.set_length(total);
                    bar.set_position(done);
                    bar.set_message(note.to_owned());
                }
            }),
            Event::Finished { stage, .. } => {
                self.end(stage);
                self.whole.inc(1);
            }
            Event::Failed { stage, .. } => self.end(stage),
            Event::Damaged { .. } | Event::Recorded { .. } => {}
        }
        if let Some(text) = warning(&event).or_else(|| finished(&event)) {
            // A bar that cannot be drawn (the terminal went away) is no reason to stop training.
            let _ = self.all.println(text);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.whole.finish_and_clear();
    }
}

/// What is said however quiet it is to be.
fn warning(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Failed { stage, message } => Some(format!("failed: {}: {message}", stage.label())),
        Event::Damaged { stage } => Some(format!(
            "warning: {} is damaged on disk and is computed again",
            stage.label()
        )),
        Event::Begun { .. }
        | Event::Started { .. }
        | Event::Progress { .. }
        | Event::Finished { .. }
        | Event::Recorded { .. } => None,
    }
}

fn line(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Begun { reused, total } => Some(format!("{total} stages, {reused} on disk already")),
        Event::Started {
            stage,
            number,
            total,
        } => Some(format!("[{number}/{total}] {}", stage.label())),
        Event::Finished { .. } => finished(event),
        Event::Damaged { .. }
        | Event::Progress { .. }
        | Event::Failed { .. }
        | Event::Recorded { .. } => None,
    }
}

fn finished(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Finished { stage, ledger } => Some(format!(
            "  {}: done in {}",
            stage.label(),
            duration(ledger.seconds)
        )),
        Event::Begun { .. }
        | Event::Damaged { .. }
        | Event::Started { .. }
        | Event::Progress { .. }
        | Event::Failed { .. }
        | Event::Recorded { .. } => None,
    }
}
