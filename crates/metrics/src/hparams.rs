//! TensorBoard's HParams tab: the settings of a run and the metrics to compare runs by.

use std::collections::BTreeMap;

use protobuf::well_known_types::{Value, Value_oneof_kind};
use protobuf::{Message, RepeatedField};
use tensorboard_proto::api::{DataType, Experiment, HParamInfo, MetricInfo, MetricName, Status};
use tensorboard_proto::plugin_hparams::{HParamsPluginData, SessionEndInfo, SessionStartInfo};
use tensorboard_proto::summary::Summary_Value;

use crate::{Metric, summaries};

/// A setting's value, as the HParams tab can show and sort it.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// A number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// Anything else, in words.
    Words(String),
}

/// The three values that declare a run to the HParams tab: the experiment's metrics, the run's settings, and that it is done.
pub(crate) fn summaries(
    settings: &BTreeMap<String, Setting>,
    metrics: &[Metric],
) -> [Summary_Value; 3] {
    let mut experiment = Experiment::new();
    let infos = metrics.iter().map(|&metric| {
        let mut name = MetricName::new();
        name.set_tag(metric.tag().to_owned());
        let mut info = MetricInfo::new();
        info.set_name(name);
        info.set_description(metric.meaning().to_owned());
        info
    });
    experiment.set_metric_infos(RepeatedField::from_vec(infos.collect()));
    let infos = settings.iter().map(|(name, setting)| {
        let mut info = HParamInfo::new();
        info.set_name(name.clone());
        info.set_field_type(match setting {
            Setting::Number(_) => DataType::DATA_TYPE_FLOAT64,
            Setting::Flag(_) => DataType::DATA_TYPE_BOOL,
            Setting::Words(_) => DataType::DATA_TYPE_STRING,
        });
        info
    });
    experiment.set_hparam_infos(RepeatedField::from_vec(infos.collect()));
    let mut declared = HParamsPluginData::new();
    declared.set_experiment(experiment);

    let mut start = SessionStartInfo::new();
    start.set_hparams(
        settings
            .iter()
            .map(|(name, setting)| (name.clone(), value(setting)))
            .collect(),
    );
    let mut started = HParamsPluginData::new();
    started.set_session_start_info(start);

    let mut end = SessionEndInfo::new();
    end.set_status(Status::STATUS_SUCCESS);
    let mut ended = HParamsPluginData::new();
    ended.set_session_end_info(end);

    [
        content("_hparams_/experiment", &declared),
        content("_hparams_/session_start_info", &started),
        content("_hparams_/session_end_info", &ended),
    ]
}

fn content(tag: &str, data: &HParamsPluginData) -> Summary_Value {
    let data = data
        .write_to_bytes()
        .expect("a message of our own making is complete");
    summaries::plugin_only(tag, "hparams", data)
}

fn value(setting: &Setting) -> Value {
    let kind = match setting {
        Setting::Number(number) => Value_oneof_kind::number_value(*number),
        Setting::Flag(flag) => Value_oneof_kind::bool_value(*flag),
        Setting::Words(words) => Value_oneof_kind::string_value(words.clone()),
    };
    Value {
        kind: Some(kind),
        ..Value::default()
    }
}
