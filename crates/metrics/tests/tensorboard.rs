use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use preflab_metrics::{Image, Metric, RunLog, Setting, Sink, Text};

use crate::files::PIXEL;

/// Reads a directory twice, once now and once after a line on its input, with the loader behind TensorBoard's dashboards, and prints what it sees.
const READER: &str = r#"
import json, sys
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util
accumulator = EventAccumulator(sys.argv[1], size_guidance={"tensors": 0})
def show():
    accumulator.Reload()
    seen = {}
    for tag in sorted(accumulator.Tags()["tensors"]):
        plugin = accumulator.SummaryMetadata(tag).plugin_data
        events = [(e.step, tensor_util.make_ndarray(e.tensor_proto)) for e in accumulator.Tensors(tag)]
        if plugin.plugin_name == "scalars":
            seen[tag] = ["scalar", [[step, repr(float(value))] for step, value in events]]
        elif plugin.plugin_name == "histograms":
            seen[tag] = ["histogram", [[step, list(value.shape), float(value[:, 2].sum())] for step, value in events]]
        elif plugin.plugin_name == "images":
            seen[tag] = ["image", [[step, [v.decode("latin-1")[:4] if i == 2 else v.decode() for i, v in enumerate(value)]] for step, value in events]]
        elif plugin.plugin_name == "text":
            seen[tag] = ["text", [[step, value[0].decode()] for step, value in events]]
        elif plugin.plugin_name == "hparams":
            data = plugin_data_pb2.HParamsPluginData.FromString(plugin.content)
            seen[tag] = ["hparams", data.WhichOneof("data"), sorted(data.session_start_info.hparams) + [info.name for info in data.experiment.hparam_infos]]
        elif plugin.plugin_name == "custom_scalars":
            layout = layout_pb2.Layout.FromString(events[0][1].item())
            seen[tag] = ["layout", [category.title for category in layout.category]]
    print(json.dumps(seen), flush=True)
show()
sys.stdin.readline()
show()
"#;

/// A Python that has TensorBoard, named by `PREFLAB_TENSORBOARD_PYTHON` or found as `python3`.
fn python() -> Option<String> {
    let python =
        std::env::var("PREFLAB_TENSORBOARD_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python)
        .args([
            "-c",
            "import tensorboard.backend.event_processing.plugin_event_accumulator",
        ])
        .output();
    probe
        .is_ok_and(|output| output.status.success())
        .then_some(python)
}

#[test]
fn tensorboard_reads_the_files_while_they_grow_and_forgets_voided_steps() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with TensorBoard (set PREFLAB_TENSORBOARD_PYTHON to one)");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut log = RunLog::create(directory.path()).unwrap();
    let settings = BTreeMap::from([
        ("beta".to_owned(), Setting::Number(0.1)),
        ("method".to_owned(), Setting::Words("dpo".to_owned())),
        ("tied".to_owned(), Setting::Flag(true)),
    ]);
    log.hparams(&settings, &[Metric::TaskGold]).unwrap();
    for step in 0..6 {
        log.scalar(step, Metric::ObjectiveKl, step as f64 * 0.5)
            .unwrap();
    }
    log.scalar(5, Metric::GradNorm, f64::NAN).unwrap();
    log.histogram(
        5,
        Metric::DynamicsTokenChangeChosen,
        &[-1.0, 0.0, 3.0, f64::NAN],
    )
    .unwrap();
    log.text(5, Text::Samples, "one **text**").unwrap();
    log.image(5, Image::ToyMap, PIXEL).unwrap();
    log.flush().unwrap();

    let mut reader = Command::new(python)
        .args(["-c", READER, directory.path().to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(reader.stdout.take().unwrap()));
    let mut next =
        || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();

    let first = next();
    assert_eq!(
        first["objective/kl"],
        serde_json::json!([
            "scalar",
            [
                [0, "0.0"],
                [1, "0.5"],
                [2, "1.0"],
                [3, "1.5"],
                [4, "2.0"],
                [5, "2.5"]
            ]
        ])
    );
    assert_eq!(
        first["grad_norm"],
        serde_json::json!(["scalar", [[5, "nan"]]])
    );
    assert_eq!(
        first["dynamics/token_change/chosen/histogram"],
        serde_json::json!(["histogram", [[5, [30, 3], 3.0]]])
    );
    assert_eq!(
        first["samples/answers"],
        serde_json::json!(["text", [[5, "one **text**"]]])
    );
    assert_eq!(
        first["toy/figure/map"],
        serde_json::json!(["image", [[5, ["1", "1", "\u{89}PNG"]]]])
    );
    assert_eq!(
        first["_hparams_/session_start_info"],
        serde_json::json!(["hparams", "session_start_info", ["beta", "method", "tied"]])
    );
    assert_eq!(
        first["_hparams_/experiment"],
        serde_json::json!(["hparams", "experiment", ["beta", "method", "tied"]])
    );
    assert_eq!(
        first["custom_scalars__config__"],
        serde_json::json!(["layout", ["Preference training", "Dynamics", "PPO"]])
    );

    // The run is killed, goes on from step 3, and the same reader looks again.
    drop(log);
    let mut log = RunLog::resume(directory.path(), 3).unwrap();
    log.scalar(3, Metric::ObjectiveKl, 30.0).unwrap();
    log.flush().unwrap();
    writeln!(reader.stdin.take().unwrap()).unwrap();
    let second = next();
    assert_eq!(
        second["objective/kl"],
        serde_json::json!(["scalar", [[0, "0.0"], [1, "0.5"], [2, "1.0"], [3, "30.0"]]])
    );
    assert!(reader.wait().unwrap().success());
}
