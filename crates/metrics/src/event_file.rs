//! TensorBoard's event file: records with checksums, one protobuf message each.
//!
//! A record is the length (u64), the masked CRC-32C of those eight bytes (u32), the message, the masked CRC-32C of the message (u32), all
//! little-endian. Checksums and message types are those of tensorboard-rs; the files are written here, because its own writer shares names between two
//! writers of one second, flushes by message to a thread, panics on an I/O error and cannot write texts or histograms.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use protobuf::Message;
use tensorboard_proto::event::{Event, SessionLog, SessionLog_SessionStatus};
use tensorboard_proto::summary::{Summary, Summary_Value};
use tensorboard_rs::masked_crc32c::masked_crc32c;

use crate::SinkError;

const PREFIX: &str = "events.out.tfevents.";

/// One event file, open for appending.
#[derive(Debug)]
pub(crate) struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventFile {
    /// Starts a new file in `directory`: its version record, and a session start if it is the directory's first file.
    ///
    /// TensorBoard takes the first session start of a run as its beginning and each later one as a restart that voids steps.
    ///
    /// TensorBoard reads the files of a directory in the order of their names, so the name's time is later than that of every file already
    /// there, whatever the clock says, and a counter keeps two writers of one process apart.
    pub(crate) fn create(directory: &Path) -> Result<Self, SinkError> {
        static WRITERS: AtomicU64 = AtomicU64::new(0);
        let now = seconds_since_epoch() as u64;
        let before = latest(directory)?;
        let seconds = before.map_or(now, |before| now.max(before + 1));
        let host = gethostname::gethostname();
        let host = host.to_string_lossy().replace('/', "-");
        let process = std::process::id();
        let (path, file) = loop {
            let writer = WRITERS.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{PREFIX}{seconds:010}.{host}.{process}.{writer}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(SinkError::io("create", path)(error)),
            }
        };
        let mut events = Self {
            path,
            file: BufWriter::new(file),
        };
        let mut version = Event::new();
        version.set_file_version("brain.Event:2".to_owned());
        events.write(version)?;
        if before.is_none() {
            events.session_start(0)?;
        }
        Ok(events)
    }

    /// Tells readers that everything logged so far at `step` or later is void.
    pub(crate) fn session_start(&mut self, step: u64) -> Result<(), SinkError> {
        let mut log = SessionLog::new();
        log.set_status(SessionLog_SessionStatus::START);
        let mut event = Event::new();
        event.set_step(step as i64);
        event.set_session_log(log);
        self.write(event)
    }

    /// Appends one summary value.
    pub(crate) fn value(&mut self, step: u64, value: Summary_Value) -> Result<(), SinkError> {
        let mut summary = Summary::new();
        summary.mut_value().push(value);
        let mut event = Event::new();
        event.set_step(step as i64);
        event.set_summary(summary);
        self.write(event)
    }

    /// Hands what is buffered to the operating system.
    pub(crate) fn flush(&mut self) -> Result<(), SinkError> {
        self.file
            .flush()
            .map_err(SinkError::io("write", &self.path))
    }

    fn write(&mut self, mut event: Event) -> Result<(), SinkError> {
        event.set_wall_time(seconds_since_epoch());
        let message = event
            .write_to_bytes()
            .expect("an event of our own making is complete");
        let length = (message.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(message.len() + 16);
        record.extend_from_slice(&length);
        record.extend_from_slice(&masked_crc32c(&length).to_le_bytes());
        record.extend_from_slice(&message);
        record.extend_from_slice(&masked_crc32c(&message).to_le_bytes());
        self.file
            .write_all(&record)
            .map_err(SinkError::io("write", &self.path))
    }
}

fn seconds_since_epoch() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// The latest time in the names of the event files in `directory`.
fn latest(directory: &Path) -> Result<Option<u64>, SinkError> {
    let entries = std::fs::read_dir(directory).map_err(SinkError::io("list", directory))?;
    let mut latest = None;
    for entry in entries {
        let name = entry.map_err(SinkError::io("list", directory))?.file_name();
        let name = name.to_string_lossy();
        let seconds = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('.').next()?.parse().ok());
        latest = latest.max(seconds);
    }
    Ok(latest)
}

/// Why an event file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EventFileError {
    /// The file system refused.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A record's checksum or message is wrong.
    #[error("`{}`: the record at byte {offset} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record starts.
        offset: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Every event of one file, with its checksums verified. A last record that is not complete yet is left out.
///
/// # Errors
/// If the file cannot be read, or a complete record is damaged.
pub fn read_events(path: &Path) -> Result<Vec<Event>, EventFileError> {
    let bytes = std::fs::read(path).map_err(|source| EventFileError::Io {
        path: path.to_owned(),
        source,
    })?;
    let mut events = Vec::new();
    let mut offset = 0;
    while let Some(header) = bytes.get(offset..offset + 12) {
        let damaged = |what| EventFileError::Damaged {
            path: path.to_owned(),
            offset,
            what,
        };
        let (length, check) = header.split_at(8);
        if masked_crc32c(length).to_le_bytes() != check {
            return Err(damaged("the length's checksum does not fit"));
        }
        let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
        let start = offset + 12;
        let Some(rest) = bytes.get(start..start + length + 4) else {
            break;
        };
        let (message, check) = rest.split_at(length);
        if masked_crc32c(message).to_le_bytes() != check {
            return Err(damaged("the message's checksum does not fit"));
        }
        let event =
            Event::parse_from_bytes(message).map_err(|_| damaged("the message is not an event"))?;
        events.push(event);
        offset = start + length + 4;
    }
    Ok(events)
}
