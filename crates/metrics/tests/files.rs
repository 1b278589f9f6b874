use std::fs;
use std::path::{Path, PathBuf};

use preflab_metrics::{
    Discard, Image, Memory, Metric, RunLog, SCALARS_FILE, Sink, SinkError, Text, read_events,
    read_scalars,
};
use tensorboard_proto::event::Event;

/// A PNG file of one grey pixel.
pub(crate) const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0x68, 0, 0, 0, 0x82, 0, 0x81, 0x77, 0xcd, 0x72, 0xb6, 0, 0, 0, 0, b'I', b'E',
    b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

pub(crate) fn event_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("events.out.tfevents.")
    });
    files.sort();
    files
}

fn scalars_of(events: &[Event], metric: Metric) -> Vec<(i64, f32)> {
    let mut scalars = Vec::new();
    for event in events {
        for value in event.get_summary().get_value() {
            if value.get_tag() == metric.tag() {
                scalars.push((event.get_step(), value.get_simple_value()));
            }
        }
    }
    scalars
}

#[test]
fn everything_logged_is_in_the_event_file_with_valid_checksums() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(directory.path()).unwrap();
    log.scalars(1, &[(Metric::Loss, 0.5), (Metric::GradNorm, 2.0)])
        .unwrap();
    log.scalar(2, Metric::Loss, f64::NAN).unwrap();
    log.histogram(2, Metric::DynamicsTokenChangeChosen, &[-1.0, 0.0, 3.0])
        .unwrap();
    log.text(2, Text::Verdict, "**drop** since step 1").unwrap();
    log.image(2, Image::ToyMap, PIXEL).unwrap();
    log.flush().unwrap();

    let files = event_files(directory.path());
    assert_eq!(files.len(), 1);
    let events = read_events(&files[0]).unwrap();
    assert_eq!(events[0].get_file_version(), "brain.Event:2");
    assert!(events.iter().all(|event| event.get_wall_time() > 1.6e9));
    let losses = scalars_of(&events, Metric::Loss);
    assert_eq!(losses[0], (1, 0.5));
    assert!(losses[1].0 == 2 && losses[1].1.is_nan());
    let value = |tag: &str| {
        let mut values = events
            .iter()
            .flat_map(|event| event.get_summary().get_value());
        values.find(|value| value.get_tag() == tag).unwrap().clone()
    };
    assert_eq!(
        value("dynamics/token_change/chosen/histogram")
            .get_histo()
            .get_num(),
        3.0
    );
    let text = value("dynamics/verdict");
    assert_eq!(
        text.get_metadata().get_plugin_data().get_plugin_name(),
        "text"
    );
    assert_eq!(
        text.get_tensor().get_string_val()[0],
        b"**drop** since step 1"
    );
    let image = value("toy/figure/map");
    assert_eq!(
        (
            image.get_image().get_width(),
            image.get_image().get_height()
        ),
        (1, 1)
    );
}

#[test]
fn a_damaged_record_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(directory.path()).unwrap();
    log.scalar(1, Metric::Loss, 0.5).unwrap();
    drop(log);
    let file = &event_files(directory.path())[0];
    let mut bytes = fs::read(file).unwrap();
    let last = bytes.len() - 6;
    bytes[last] ^= 1;
    fs::write(file, &bytes).unwrap();
    let error = read_events(file).unwrap_err().to_string();
    assert!(
        error.contains("the message's checksum does not fit"),
        "{error}"
    );
}

#[test]
fn the_json_lines_keep_every_bit_and_every_odd_value() {
    let directory = tempfile::tempdir().unwrap();
    let odd = [
        0.1 + 0.2,
        -0.0,
        f64::MIN_POSITIVE,
        1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        3.0,
    ];
    let mut log = RunLog::create(directory.path()).unwrap();
    for (step, value) in (0..).zip(odd) {
        log.scalar(step, Metric::ObjectiveKl, value).unwrap();
    }
    log.scalar(99, Metric::ObjectiveKl, f64::NAN).unwrap();
    log.flush().unwrap();
    let path = directory.path().join(SCALARS_FILE);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        r#"{"step":0,"tag":"objective/kl","value":0.30000000000000004}"#
    );
    assert!(text.ends_with("{\"step\":99,\"tag\":\"objective/kl\",\"value\":\"NaN\"}\n"));
    let curves = read_scalars(&path).unwrap();
    let series = curves.series(Metric::ObjectiveKl);
    for (&(_, read), written) in series.iter().zip(odd) {
        assert_eq!(read.to_bits(), written.to_bits());
    }
    assert!(curves.last(Metric::ObjectiveKl).unwrap().is_nan());
    assert_eq!(curves.series(Metric::Loss), []);
    assert_eq!(curves.metrics().collect::<Vec<_>>(), [Metric::ObjectiveKl]);
}

#[test]
fn a_line_that_is_not_a_scalar_is_named_and_a_torn_last_line_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(SCALARS_FILE);
    fs::write(&path, "{\"step\":0,\"tag\":\"loss\",\"value\":1.5}\n{\"step\":1,\"tag\":\"later/tag\",\"value\":1}\n{\"step\":2,\"ta").unwrap();
    let curves = read_scalars(&path).unwrap();
    assert_eq!(curves.series(Metric::Loss), [(0, 1.5)]);
    assert_eq!(curves.unknown().get("later/tag"), Some(&1));
    fs::write(&path, "{\"step\":0,\"tag\":\"loss\",\"value\":1.5}\n{\"step\":1,\"tag\":\"loss\",\"value\":\"big\"}\n").unwrap();
    let error = read_scalars(&path).unwrap_err().to_string();
    assert!(error.contains("scalars.jsonl:2: expected"), "{error}");
    assert!(matches!(
        read_scalars(&directory.path().join("none")),
        Err(SinkError::Io { action: "read", .. })
    ));
}

/// Logs steps `0..steps`, two scalars each.
fn train(log: &mut RunLog, steps: std::ops::Range<u64>) {
    for step in steps {
        log.scalar(step, Metric::Loss, 1.0 / (step + 1) as f64)
            .unwrap();
        log.scalar(step, Metric::ObjectiveKl, step as f64).unwrap();
    }
    log.flush().unwrap();
}

#[test]
fn an_interrupted_run_ends_in_the_same_lines() {
    let whole = tempfile::tempdir().unwrap();
    train(&mut RunLog::create(whole.path()).unwrap(), 0..10);

    let broken = tempfile::tempdir().unwrap();
    train(&mut RunLog::create(broken.path()).unwrap(), 0..8);
    // The kill tore the last line; the checkpoint was made after step 4.
    let path = broken.path().join(SCALARS_FILE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 7]).unwrap();
    train(&mut RunLog::resume(broken.path(), 5).unwrap(), 5..10);

    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        fs::read_to_string(whole.path().join(SCALARS_FILE)).unwrap()
    );
    let files = event_files(broken.path());
    assert_eq!(files.len(), 2);
    let later = read_events(&files[1]).unwrap();
    let restart = later.iter().find(|event| event.has_session_log()).unwrap();
    assert_eq!(restart.get_step(), 5);
    assert_eq!(
        scalars_of(&later, Metric::ObjectiveKl).first(),
        Some(&(5, 5.0))
    );
}

#[test]
fn resuming_where_nothing_is_starts_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("new/run");
    train(&mut RunLog::resume(&inner, 0).unwrap(), 0..2);
    assert_eq!(
        read_scalars(&inner.join(SCALARS_FILE))
            .unwrap()
            .series(Metric::ObjectiveKl)
            .len(),
        2
    );
}

#[test]
fn two_logs_of_one_second_get_files_of_their_own_in_reading_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = RunLog::create(directory.path()).unwrap();
    let mut second = RunLog::resume(directory.path(), 0).unwrap();
    first.text(0, Text::Settings, "first").unwrap();
    second.text(0, Text::Settings, "second").unwrap();
    first.flush().unwrap();
    second.flush().unwrap();
    let files = event_files(directory.path());
    assert_eq!(files.len(), 2);
    let text = |file: &Path| {
        let events = read_events(file).unwrap();
        let value = events.last().unwrap().get_summary().get_value()[0].clone();
        String::from_utf8(value.get_tensor().get_string_val()[0].clone()).unwrap()
    };
    assert_eq!([text(&files[0]), text(&files[1])], ["first", "second"]);
}

#[test]
fn a_directory_with_a_log_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    train(&mut RunLog::create(directory.path()).unwrap(), 0..1);
    let error = RunLog::create(directory.path()).unwrap_err();
    assert!(matches!(error, SinkError::Exists { .. }));
    assert!(error.to_string().contains("\n\nhint: "));
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = RunLog::create(&file.join("run")).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot create `") && error.contains("file/run"),
        "{error}"
    );
}

/// Every write to `/dev/full` fails with "no space left on device".
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_and_not_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(directory.path()).unwrap();
    drop(log);
    let path = directory.path().join(SCALARS_FILE);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    log = RunLog::append(directory.path()).unwrap();
    log.scalar(0, Metric::Loss, 1.0).unwrap();
    let error = log.flush().unwrap_err().to_string();
    assert!(
        error.starts_with("cannot write `") && error.contains("scalars.jsonl"),
        "{error}"
    );
}

#[test]
fn memory_keeps_and_discard_drops() {
    let mut memory = Memory::new();
    let mut discard = Discard;
    for sink in [&mut memory as &mut dyn Sink, &mut discard] {
        sink.scalars(3, &[(Metric::Loss, 1.0), (Metric::Loss, 2.0)])
            .unwrap();
        sink.histogram(3, Metric::Loss, &[1.0]).unwrap();
        sink.text(3, Text::Samples, "a").unwrap();
        sink.image(3, Image::Curves, PIXEL).unwrap();
        sink.flush().unwrap();
    }
    assert_eq!(memory.series(Metric::Loss), [(3, 1.0), (3, 2.0)]);
    assert_eq!(memory.last(Metric::Loss), Some(2.0));
    assert_eq!(
        (
            memory.histograms.len(),
            memory.texts.len(),
            memory.images.len()
        ),
        (1, 1, 1)
    );
}
