//! A child process that works in rounds: one line in, one line out.
//!
//! The child says `@ready {..}`, then for each `go` it does a round of steps and says `@round {..}`; anything else it is
//! told ends it. Other lines it writes are of no interest.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a child says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// What it runs.
    pub(crate) library: String,
    /// Tokens it computes on, as a share of the tokens of its rows, padding aside.
    #[serde(default = "one")]
    pub(crate) computed: f64,
}

fn one() -> f64 {
    1.0
}

/// A timed round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) seconds: f64,
    /// Share of computed cells that hold padding.
    pub(crate) padding: f64,
}

/// The child's end.
pub(crate) struct Side;

impl Side {
    pub(crate) fn ready(&self, library: &str, computed: f64) {
        let ready = Ready {
            library: library.to_owned(),
            computed,
        };
        say("ready", &ready);
    }

    pub(crate) fn round(&self, took: Duration, padding: f64) {
        let seconds = took.as_secs_f64();
        say("round", &Round { seconds, padding });
    }

    /// Whether another round is wanted.
    pub(crate) fn wait(&self) -> bool {
        let mut line = String::new();
        stdin().read_line(&mut line).is_ok() && line.trim() == "go"
    }
}

fn say(what: &str, value: &impl Serialize) {
    let text = serde_json::to_string(value).expect("numbers and strings");
    let mut out = stdout().lock();
    // A runner that is gone is noticed at the next wait.
    let _ = writeln!(out, "@{what} {text}").and_then(|()| out.flush());
}

/// The runner's end.
pub(crate) struct Process {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    pub(crate) ready: Ready,
}

impl Process {
    /// Starts `command`, whose errors go to the file `errors`, and waits until it is ready.
    pub(crate) fn start(mut command: Command, errors: &Path) -> Result<Self, Box<dyn Error>> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(errors)?)
            .spawn()?;
        let to = child.stdin.take().expect("piped");
        let from = BufReader::new(child.stdout.take().expect("piped"));
        let ready = Ready {
            library: String::new(),
            computed: 1.0,
        };
        let mut process = Self {
            child,
            to,
            from,
            ready,
        };
        process.ready = process.hear("ready").map_err(|error| {
            let text = std::fs::read_to_string(errors).unwrap_or_default();
            let end: Vec<&str> = text.lines().rev().take(3).collect();
            let end: Vec<&str> = end.into_iter().rev().collect();
            format!("{error}: {}", end.join(" | "))
        })?;
        Ok(process)
    }

    /// One round.
    pub(crate) fn round(&mut self) -> Result<Round, Box<dyn Error>> {
        writeln!(self.to, "go")?;
        self.to.flush()?;
        self.hear("round")
    }

    fn hear<T: for<'de> Deserialize<'de>>(&mut self, what: &str) -> Result<T, Box<dyn Error>> {
        let mark = format!("@{what} ");
        let mut line = String::new();
        loop {
            line.clear();
            if self.from.read_line(&mut line)? == 0 {
                return Err("the process ended".into());
            }
            if let Some(text) = line.strip_prefix(&mark) {
                return Ok(serde_json::from_str(text)?);
            }
        }
    }

    /// Processor seconds so far, where the system tells.
    pub(crate) fn cpu(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks: f64 =
            fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some(ticks / TICKS)
    }

    /// Most memory it held, MiB, where the system tells.
    pub(crate) fn peak(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = writeln!(self.to, "stop");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Clock ticks of `/proc` in a second: 100 on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// Busy processor seconds of the whole machine, where the system tells.
pub(crate) fn machine_cpu() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let numbers: Vec<f64> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .filter_map(|number| number.parse().ok())
        .collect();
    let all: f64 = numbers.iter().take(8).sum();
    Some((all - numbers.get(3)? - numbers.get(4)?) / TICKS)
}
