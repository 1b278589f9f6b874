//! The log of one run: TensorBoard events and JSON lines, side by side in one directory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::event_file::EventFile;
use crate::scalar_lines::{self, Line};
use crate::{Image, Metric, Setting, Sink, SinkError, Text, hparams, layout, summaries};

/// The name of the file of JSON lines.
pub const SCALARS_FILE: &str = "scalars.jsonl";

/// How long values may wait in memory before TensorBoard can see them.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// A sink that writes `events.out.tfevents.*` and `scalars.jsonl`.
///
/// Values reach the files at the latest two seconds after the step is over, at [`Sink::flush`], and when the log is dropped.
#[derive(Debug)]
pub struct RunLog {
    directory: PathBuf,
    events: EventFile,
    lines: BufWriter<File>,
    step: u64,
    flushed: Instant,
}

impl RunLog {
    /// Starts the log of a new run in `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// [`SinkError::Exists`] if the directory already holds a log; [`SinkError::Io`] if it cannot be written.
    pub fn create(directory: &Path) -> Result<Self, SinkError> {
        if directory.join(SCALARS_FILE).exists() {
            return Err(SinkError::Exists {
                path: directory.to_owned(),
            });
        }
        std::fs::create_dir_all(directory).map_err(SinkError::io("create", directory))?;
        Self::open(directory, None)
    }

    /// Goes on with the log of an interrupted run, whose next steps are `from_step` and later: what was logged for those steps is void.
    ///
    /// The JSON lines lose them; TensorBoard is told to forget them by a session-start event in a new file. Also right where there is no log yet.
    ///
    /// # Errors
    /// [`SinkError::Io`] if the directory cannot be read or written; [`SinkError::Malformed`] if a line of `scalars.jsonl` is not a scalar.
    pub fn resume(directory: &Path, from_step: u64) -> Result<Self, SinkError> {
        std::fs::create_dir_all(directory).map_err(SinkError::io("create", directory))?;
        scalar_lines::truncate(&directory.join(SCALARS_FILE), from_step)?;
        Self::open(directory, Some(from_step))
    }

    /// The directory of the log.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Declares the run to TensorBoard's HParams tab: its settings, and the metrics by which runs are compared there.
    ///
    /// # Errors
    /// [`SinkError::Io`] if it cannot be written.
    pub fn hparams(
        &mut self,
        settings: &BTreeMap<String, Setting>,
        metrics: &[Metric],
    ) -> Result<(), SinkError> {
        hparams::summaries(settings, metrics)
            .into_iter()
            .try_for_each(|value| self.events.value(0, value))
    }

    /// Goes on with a log that was closed, or starts one, in a directory that is there; nothing is void.
    ///
    /// # Errors
    /// [`SinkError::Io`] if the directory cannot be written.
    pub fn append(directory: &Path) -> Result<Self, SinkError> {
        Self::open(directory, None)
    }

    fn open(directory: &Path, void_from: Option<u64>) -> Result<Self, SinkError> {
        let path = directory.join(SCALARS_FILE);
        let lines = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(SinkError::io("create", path))?;
        let mut events = EventFile::create(directory)?;
        if let Some(step) = void_from {
            events.session_start(step)?;
        }
        events.value(0, layout::summary())?;
        let mut log = Self {
            directory: directory.to_owned(),
            events,
            lines: BufWriter::new(lines),
            step: 0,
            flushed: Instant::now(),
        };
        log.flush()?;
        Ok(log)
    }

    /// Flushes when a new step begins and the last flush is long ago.
    fn enter(&mut self, step: u64) -> Result<(), SinkError> {
        if step != self.step && self.flushed.elapsed() >= FLUSH_EVERY {
            self.flush()?;
        }
        self.step = step;
        Ok(())
    }
}

impl Sink for RunLog {
    fn scalar(&mut self, step: u64, metric: Metric, value: f64) -> Result<(), SinkError> {
        self.enter(step)?;
        self.events
            .value(step, summaries::scalar(metric.tag(), value))?;
        let line = Line {
            step,
            tag: metric.tag().into(),
            value,
        };
        let mut line = serde_json::to_vec(&line).expect("a step, a tag and a number are JSON");
        line.push(b'\n');
        self.lines
            .write_all(&line)
            .map_err(SinkError::io("write", self.directory.join(SCALARS_FILE)))
    }

    fn histogram(&mut self, step: u64, metric: Metric, values: &[f64]) -> Result<(), SinkError> {
        self.enter(step)?;
        let summary = summaries::histogram(&metric.histogram_tag(), values);
        summary.map_or(Ok(()), |summary| self.events.value(step, summary))
    }

    fn text(&mut self, step: u64, tag: Text, text: &str) -> Result<(), SinkError> {
        self.enter(step)?;
        self.events.value(step, summaries::text(tag.tag(), text))
    }

    fn image(&mut self, step: u64, tag: Image, png: &[u8]) -> Result<(), SinkError> {
        self.enter(step)?;
        let summary =
            summaries::image(tag.tag(), png).ok_or(SinkError::NotPng { tag: tag.tag() })?;
        self.events.value(step, summary)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.events.flush()?;
        self.lines
            .flush()
            .map_err(SinkError::io("write", self.directory.join(SCALARS_FILE)))?;
        self.flushed = Instant::now();
        Ok(())
    }
}
