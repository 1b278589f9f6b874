//! What `preflab train` says while it trains: a bar on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use preflab_finetune::Observer;

/// Time between two plain lines.
const EVERY: Duration = Duration::from_secs(15);

/// Speaks to stderr.
pub struct Speaker {
    quiet: bool,
    bar: ProgressBar,
    spoke: Mutex<Instant>,
}

impl Speaker {
    /// One that suits stderr, and says nothing but warnings if it is to be quiet.
    pub fn new(quiet: bool) -> Self {
        let bar = match !quiet && std::io::stderr().is_terminal() {
            true => ProgressBar::new(0),
            false => ProgressBar::hidden(),
        };
        let style = "{pos:>6}/{len} updates  {bar:30}  {elapsed} gone, {eta} left  {msg}";
        // A constant template: if it were wrong, the default look is as good.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            quiet,
            bar,
            spoke: Mutex::new(Instant::now()),
        }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

impl Observer for Speaker {
    fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    fn warn(&self, text: &str) {
        self.say(&format!("warning: {text}"));
    }

    fn progress(&self, done: u64, total: u64, note: &str) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar.set_message(note.to_owned());
        if self.quiet || !self.bar.is_hidden() {
            return;
        }
        let mut spoke = self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        if spoke.elapsed() >= EVERY {
            *spoke = Instant::now();
            self.say(&format!("{done} of {total} updates: {note}"));
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
