use preflab_stats::{
    Aggregate, QuantileRule, ReplicateTies, Scores, acceleration, acceleration_of_samples,
    basic_interval, bca_levels, bias_correction, interval_at, iqm, iqm_fractional, jackknife, mean,
    median, percentile_interval, probability_of_improvement, sd, share_below,
};
use serde_json::Value;

use super::case::{Case, Golden, indices, number, numbers, rows};

const STATISTICS: [(&str, Aggregate); 4] = [
    ("mean", Aggregate::Mean),
    ("median", Aggregate::Median),
    ("iqm", Aggregate::Iqm),
    ("optimality_gap_1", Aggregate::OptimalityGap { gamma: 1.0 }),
];

pub fn check(golden: &Golden, case: &mut Case) {
    let matrix = |key: &str| scores(golden, case.input(key));
    match case.kind() {
        "point" => {
            let scores = matrix("matrix");
            point(case, &scores);
        }
        "performance_profile" => {
            let scores = matrix("matrix");
            let at = |f: fn(&Scores, f64) -> f64| -> Vec<f64> {
                let taus = numbers(case.input("taus"));
                taus.iter().map(|&tau| f(&scores, tau)).collect()
            };
            let (above, tasks) = (at(Scores::share_above), at(Scores::share_of_tasks_above));
            let at_least = at(Scores::share_at_least);
            case.list("score_distribution", &above);
            case.list("average_score_distribution", &tasks);
            case.list("at_least", &at_least);
        }
        "probability_of_improvement" => {
            let per_task = probability_of_improvement(&matrix("x"), &matrix("y")).unwrap();
            case.close("value", mean(&per_task));
            case.list("per_task", &per_task);
        }
        "stratified_bootstrap" | "task_bootstrap" => {
            let scores = matrix("matrix");
            bootstrap(golden, case, &scores);
        }
        "stratified_bca_scipy" => {
            let scores = matrix("matrix");
            bca_by_task(golden, case, &scores);
        }
        "poi_bootstrap" => {
            let (x, y) = (matrix("x"), matrix("y"));
            let value = |x: &Scores, y: &Scores| mean(&probability_of_improvement(x, y).unwrap());
            let (draws_x, draws_y) = (case.input("indices_x"), case.input("indices_y"));
            let draws_y = draws_y.as_array().unwrap().iter();
            let replicates: Vec<f64> = (draws_x.as_array().unwrap().iter().zip(draws_y))
                .map(|(i, j)| value(&x.resampled(&draw(i)), &y.resampled(&draw(j))))
                .collect();
            case.close("point", value(&x, &y));
            case.list("replicates", &replicates);
            let interval = percentile_interval(&replicates, 0.95, QuantileRule::Linear);
            case.interval("percentile_95", interval);
        }
        "bootstrap_1d_bca" => one_sample(golden, case),
        kind => panic!("{}: unknown kind {kind}", case.id()),
    }
}

fn scores(golden: &Golden, name: &Value) -> Scores {
    Scores::by_run(&rows(&golden.root["matrices"][name.as_str().unwrap()])).unwrap()
}

fn draw(value: &Value) -> Vec<Vec<usize>> {
    value.as_array().unwrap().iter().map(indices).collect()
}

fn point(case: &mut Case, scores: &Scores) {
    let pooled = scores.pooled();
    case.close("mean", Aggregate::Mean.of(scores));
    case.close("median", Aggregate::Median.of(scores));
    case.close("iqm", Aggregate::Iqm.of(scores));
    case.close("iqm_fractional", iqm_fractional(&pooled));
    case.count("iqm_trimmed_each_end", pooled.len() / 4);
    let gap = |gamma| Aggregate::OptimalityGap { gamma }.of(scores);
    case.close("optimality_gap_1", gap(1.0));
    case.close("optimality_gap_half", gap(0.5));
    case.list("per_task_mean", &scores.task_means());
    case.close("median_all_scores", median(&pooled));
    assert_eq!(iqm(&pooled), Aggregate::Iqm.of(scores));
}

/// Resampled scores of every replicate of a case.
fn resamples(golden: &Golden, case: &Value) -> Vec<Scores> {
    let input = &case["input"];
    let scores = scores(golden, &input["matrix"]);
    let draws = input["indices"].as_array().unwrap();
    match input["task_indices"].as_array() {
        None => draws.iter().map(|i| scores.resampled(&draw(i))).collect(),
        Some(tasks) => (draws.iter().zip(tasks))
            .map(|(i, tasks)| scores.resampled_tasks(&draw(i), &indices(tasks)))
            .collect(),
    }
}

/// Coverage in a key such as `percentile_95`.
fn level(key: &str) -> f64 {
    key.rsplit('_').next().unwrap().parse::<f64>().unwrap() / 100.0
}

fn bootstrap(golden: &Golden, case: &mut Case, scores: &Scores) {
    let resamples = resamples(golden, case.value);
    let expected = &case.value["expected"];
    let kinds: Vec<String> = expected["intervals"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    for (s, (name, aggregate)) in STATISTICS.iter().enumerate() {
        if let Some(recorded) = case.take(&format!("statistics[{s}]")) {
            assert_eq!(recorded.as_str(), Some(*name));
        }
        let estimate = aggregate.of(scores);
        let replicates: Vec<f64> = resamples
            .iter()
            .map(|scores| aggregate.of(scores))
            .collect();
        for (i, &replicate) in replicates.iter().enumerate() {
            case.close(&format!("replicates[{i}][{s}]"), replicate);
        }
        let runs = scores.tasks()[0].len();
        let rows: Vec<f64> = (0..runs)
            .map(|run| aggregate.of(&scores.without_run(run).unwrap()))
            .collect();
        let share = share_below(&replicates, estimate, ReplicateTies::NotBelow, 0.0);
        let bias = bias_correction(share);
        for kind in &kinds {
            let level = level(kind);
            let found = match kind.split('_').next().unwrap() {
                "percentile" => percentile_interval(&replicates, level, QuantileRule::Linear),
                "basic" => basic_interval(&replicates, estimate, level),
                "bc" => interval_at(&replicates, bca_levels(bias, 0.0, level)),
                "bca" => interval_at(&replicates, bca_levels(bias, acceleration(&rows), level)),
                _ => panic!("{}: unknown interval {kind}", case.id()),
            };
            case.interval(&format!("intervals.{kind}.{name}"), found);
        }
        for (key, rule) in [
            ("linear", QuantileRule::Linear),
            ("inverted_cdf", QuantileRule::InvertedCdf),
            ("hazen", QuantileRule::Hazen),
            ("median_unbiased", QuantileRule::MedianUnbiased),
        ] {
            let found = percentile_interval(&replicates, 0.95, rule);
            case.interval(
                &format!("percentile_95_by_quantile_rule.{name}.{key}"),
                found,
            );
        }
        case.close(&format!("std_error_ddof1.{name}"), sd(&replicates));
        let part = |key: &str| format!("arch_bca_parts.{name}.{key}");
        ties(case, &part(""), &replicates, estimate);
        case.close(&part("prop_less"), share);
        let half = share_below(&replicates, estimate, ReplicateTies::HalfBelow, 0.0);
        case.close(&part("prop_less_plus_half_ties"), half);
        case.close(&part("z0"), bias);
        case.close(&part("acceleration"), acceleration(&rows));
        case.interval(&part("levels"), bca_levels(bias, acceleration(&rows), 0.95));
        case.list(&part("row_jackknife"), &rows);
    }
}

/// The estimate, and how many replicates equal it, exactly and but for rounding.
fn ties(case: &mut Case, prefix: &str, replicates: &[f64], estimate: f64) {
    let within = |slack: f64| {
        let near = replicates
            .iter()
            .filter(|value| (*value - estimate).abs() <= slack);
        near.count()
    };
    case.close(&format!("{prefix}theta"), estimate);
    case.count(&format!("{prefix}n_equal_theta"), within(0.0));
    case.count(&format!("{prefix}n_within_1e9_of_theta"), within(1e-9));
    case.flag(
        &format!("{prefix}rounding_sensitive"),
        within(0.0) != within(1e-9),
    );
    if case.value["expected"]["tolerant_half_ties"].is_object() {
        let share = share_below(replicates, estimate, ReplicateTies::HalfBelow, 1e-9);
        case.close("tolerant_half_ties.proportion", share);
        case.close("tolerant_half_ties.z0", bias_correction(share));
    }
}

fn bca_by_task(golden: &Golden, case: &mut Case, scores: &Scores) {
    let source = golden.case_named(case.input("replicates_of").as_str().unwrap());
    let resamples = source.map(|source| resamples(golden, &source));
    for (name, aggregate) in STATISTICS {
        let by_task: Vec<Vec<f64>> = (0..scores.tasks().len())
            .map(|task| {
                (0..scores.tasks()[task].len())
                    .map(|run| aggregate.of(&scores.without(task, run).unwrap()))
                    .collect()
            })
            .collect();
        let found = Bca {
            prefix: format!("{name}."),
            interval_key: "ci95",
            estimate: aggregate.of(scores),
            acceleration: acceleration_of_samples(&by_task),
            replicates: (resamples.as_ref()).map(|resamples| {
                resamples
                    .iter()
                    .map(|scores| aggregate.of(scores))
                    .collect()
            }),
        };
        found.compare(case);
        case.matrix(&format!("{name}.jackknife_by_task_then_run"), &by_task);
    }
}

/// What a BCa interval with half ties is made of.
struct Bca {
    prefix: String,
    interval_key: &'static str,
    estimate: f64,
    acceleration: f64,
    /// None where the case refers to draws that no file holds.
    replicates: Option<Vec<f64>>,
}

impl Bca {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn compare(&self, case: &mut Case) {
        case.close(&self.key("acceleration"), self.acceleration);
        match &self.replicates {
            Some(replicates) => self.compare_replicates(case, replicates),
            None => self.compare_levels(case),
        }
    }

    fn compare_replicates(&self, case: &mut Case, replicates: &[f64]) {
        ties(case, &self.prefix, replicates, self.estimate);
        let share = share_below(replicates, self.estimate, ReplicateTies::HalfBelow, 0.0);
        let bias = bias_correction(share);
        let levels = bca_levels(bias, self.acceleration, 0.95);
        case.interval(
            &self.key(self.interval_key),
            interval_at(replicates, levels),
        );
        case.close(&self.key("prop_half_ties"), share);
        case.close(&self.key("z0"), bias);
        case.interval(&self.key("levels"), levels);
    }

    /// Without replicates the recorded bias stands in for ours, and what only they can give is not compared.
    fn compare_levels(&self, case: &mut Case) {
        case.close(&self.key("theta"), self.estimate);
        let bias = case.take(&self.key("z0")).map(number).unwrap();
        case.interval(
            &self.key("levels"),
            bca_levels(bias, self.acceleration, 0.95),
        );
        if let Some(share) = case.take(&self.key("prop_half_ties")) {
            assert!((bias_correction(number(share)) - bias).abs() < 1e-12);
        }
        for key in [
            "n_equal_theta",
            "n_within_1e9_of_theta",
            "rounding_sensitive",
        ] {
            case.take(&self.key(key));
        }
        for limit in ["[0]", "[1]"] {
            case.take(&self.key(&format!("{}{limit}", self.interval_key)));
        }
    }
}

fn one_sample(golden: &Golden, case: &mut Case) {
    let statistic: fn(&[f64]) -> f64 = match case.id().rsplit('/').next() {
        Some("mean") => mean,
        Some("median") => median,
        other => panic!("{}: unknown statistic {other:?}", case.id()),
    };
    let values = numbers(case.input("values"));
    let source = if case.has_input("indices") {
        Some(case.value.clone())
    } else {
        golden.case_named(case.input("indices_of").as_str().unwrap())
    };
    let replicates: Option<Vec<f64>> = source.map(|source| {
        let draws = draw(&source["input"]["indices"]);
        assert_eq!(number(case.input("reps")) as usize, draws.len());
        let resample = |draw: &Vec<usize>| draw.iter().map(|&i| values[i]).collect::<Vec<_>>();
        draws
            .iter()
            .map(|draw| statistic(&resample(draw)))
            .collect()
    });
    let left_out = jackknife(&values, statistic);
    case.list("jackknife", &left_out);
    let found = Bca {
        prefix: String::new(),
        interval_key: "bca_95",
        estimate: statistic(&values),
        acceleration: acceleration(&left_out),
        replicates,
    };
    found.compare(case);
    let Some(replicates) = &found.replicates else {
        // Nothing but replicates gives these.
        for key in ["percentile_95", "basic_95"] {
            case.take(&format!("{key}[0]"));
            case.take(&format!("{key}[1]"));
        }
        case.take("std_error");
        return;
    };
    let tolerant = share_below(replicates, found.estimate, ReplicateTies::HalfBelow, 1e-9);
    let levels = bca_levels(bias_correction(tolerant), found.acceleration, 0.95);
    case.interval("tolerant_half_ties.levels", levels);
    case.interval("tolerant_half_ties.ci95", interval_at(replicates, levels));
    let linear = percentile_interval(replicates, 0.95, QuantileRule::Linear);
    case.interval("percentile_95", linear);
    case.interval("basic_95", basic_interval(replicates, found.estimate, 0.95));
    case.close("std_error", sd(replicates));
}
