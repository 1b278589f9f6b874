//! Preference data sets as tasks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use preflab_config::{ColumnValue, Count, Fraction, PreferenceDataSettings, RowFilter, Wanted};
use preflab_tasks::preference_data::PreferenceData;
use preflab_tasks::{Split, Task};

use crate::shared::shared;

fn rows(from: usize, to: usize) -> String {
    let row = |i: usize| {
        format!(
            "{{\"prompt\": \"question {}\", \"chosen\": \"yes {i}\", \"rejected\": \"no\"}}\n",
            i / 2
        )
    };
    (from..to).map(row).collect()
}

fn written(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn settings(train: PathBuf) -> PreferenceDataSettings {
    PreferenceDataSettings {
        train,
        test: None,
        rows: RowFilter::default(),
        test_rows: RowFilter::default(),
        held_out: Fraction::of(0.2),
        max_pairs: None,
        max_prompt: None,
        max_answer: None,
        seed: 0,
    }
}

fn prompts(data: &PreferenceData, split: Split) -> BTreeSet<String> {
    data.pairs(split)
        .iter()
        .map(|row| row.prompt.plain())
        .collect()
}

#[test]
fn splits_are_divided_by_prompt_whatever_the_length_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let data = |text: String| {
        PreferenceData::open(&settings(written(directory.path(), "a.jsonl", &text))).unwrap()
    };
    let (some, more) = (data(rows(0, 200)), data(rows(0, 400)));
    let sizes = [Split::Train, Split::Validation, Split::Test].map(|split| some.pairs(split).len());
    assert_eq!(sizes.iter().sum::<usize>(), 200);
    assert!(
        (80..160).contains(&sizes[0]) && sizes[1] > 10 && sizes[2] > 10,
        "{sizes:?}"
    );
    for split in [Split::Train, Split::Validation, Split::Test] {
        assert!(prompts(&some, split).is_subset(&prompts(&more, split)));
    }
    assert!(prompts(&more, Split::Train).is_disjoint(&prompts(&more, Split::Test)));
    assert!(prompts(&more, Split::Train).is_disjoint(&prompts(&more, Split::Validation)));
    assert_eq!(some.texts().len(), 3 * sizes[0]);
}

#[test]
fn a_prompt_of_the_test_file_is_not_trained_on() {
    let directory = tempfile::tempdir().unwrap();
    let train = written(directory.path(), "train.jsonl", &rows(0, 200));
    let test = written(directory.path(), "test.jsonl", &rows(0, 40));
    let data = PreferenceData::open(&PreferenceDataSettings {
        test: Some(test),
        ..settings(train)
    })
    .unwrap();
    assert_eq!(data.pairs(Split::Test).len(), 40);
    assert_eq!(
        data.pairs(Split::Train).len() + data.pairs(Split::Validation).len(),
        160
    );
    assert!(prompts(&data, Split::Train).is_disjoint(&prompts(&data, Split::Test)));
}

#[test]
fn splits_may_be_told_by_a_column() {
    let directory = tempfile::tempdir().unwrap();
    let row = |i: usize, split: &str| {
        format!(
            "{{\"prompt\": \"{split} {i}\", \"chosen\": \"yes\", \"rejected\": \"no\", \"split\": \"{split}\"}}\n"
        )
    };
    let text: String = (0..100)
        .map(|i| row(i, ["train", "test", "other"][i % 3]))
        .collect();
    let of = |split: &str| {
        let wanted = Wanted(vec![ColumnValue::Text(split.to_owned())]);
        RowFilter([("split".to_owned(), wanted)].into())
    };
    let open = |rows: RowFilter, test_rows: RowFilter| {
        PreferenceData::open(&PreferenceDataSettings {
            rows,
            test_rows,
            ..settings(written(directory.path(), "a.jsonl", &text))
        })
    };
    let data = open(of("train"), of("test")).unwrap();
    assert_eq!(data.pairs(Split::Test).len(), 33);
    let trained = data.pairs(Split::Train).len() + data.pairs(Split::Validation).len();
    assert_eq!(trained, 34);
    assert!(
        prompts(&data, Split::Train)
            .iter()
            .all(|prompt| prompt.starts_with("train"))
    );
    assert!(
        prompts(&data, Split::Test)
            .iter()
            .all(|prompt| prompt.starts_with("test"))
    );
    let error = open(of("trian"), RowFilter::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("none of its 100 rows has `split` = `trian`"),
        "{error}"
    );
}

#[test]
fn limits_hold() {
    let directory = tempfile::tempdir().unwrap();
    let train = written(directory.path(), "a.jsonl", &rows(0, 400));
    let limited = PreferenceDataSettings {
        max_pairs: Some(Count::of(10)),
        max_prompt: Some(Count::of(11)),
        ..settings(train.clone())
    };
    let data = PreferenceData::open(&limited).unwrap();
    assert_eq!(data.pairs(Split::Train).len(), 10);
    // `question 100` and later have 12 characters.
    assert!(
        data.pairs(Split::Train)
            .iter()
            .all(|row| row.prompt.characters() <= 11)
    );
    let none = PreferenceDataSettings {
        max_answer: Some(Count::of(1)),
        ..settings(train.clone())
    };
    assert!(
        PreferenceData::open(&none)
            .unwrap_err()
            .to_string()
            .contains("leaves nothing to train on")
    );
    let half = PreferenceDataSettings {
        held_out: Fraction::of(0.5),
        ..settings(train)
    };
    assert!(
        PreferenceData::open(&half)
            .unwrap_err()
            .to_string()
            .contains("`held_out` is 0.5")
    );
}

#[test]
fn the_draw_does_not_depend_on_the_order_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let text = rows(0, 200);
    let reversed: String = text.lines().rev().map(|line| format!("{line}\n")).collect();
    let drawn = |text: &str, most: usize| {
        let limited = PreferenceDataSettings {
            max_pairs: Some(Count::of(most)),
            ..settings(written(directory.path(), "a.jsonl", text))
        };
        PreferenceData::open(&limited)
            .unwrap()
            .pairs(Split::Train)
            .to_vec()
    };
    assert_eq!(drawn(&text, 20), drawn(&reversed, 20));
    assert_eq!(drawn(&text, 20), drawn(&text, 60)[..20]);
}

#[test]
fn a_data_set_is_a_task_without_a_gold_score() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "a.jsonl", &rows(0, 200));
    let task =
        preflab_tasks::open(&preflab_config::TaskSettings::Preferences(settings(file))).unwrap();
    assert!(!task.has_gold() && task.criteria().is_empty());
    for split in [Split::Train, Split::Validation, Split::Test] {
        assert_eq!(task.prompts(split).len(), task.pairs(split).len());
        for (index, (prompt, pair)) in task
            .prompts(split)
            .iter()
            .zip(task.pairs(split))
            .enumerate()
        {
            assert_eq!((prompt.split(), prompt.index()), (split, index));
            assert_eq!(prompt.text, pair.prompt.plain());
            assert_eq!(prompt.reference, pair.chosen.plain());
        }
    }
    assert!(
        task.score(&task.prompts(Split::Test)[0], "yes")
            .gold
            .is_nan()
    );
}

#[test]
fn the_harmless_pairs_are_divided() {
    let Some(path) = shared("data/preference/hh_harmless_base.jsonl.gz") else {
        return;
    };
    let data = PreferenceData::open(&settings(path)).unwrap();
    let sizes = [Split::Train, Split::Validation, Split::Test].map(|split| data.pairs(split).len());
    eprintln!("{sizes:?} pairs for training, validation and test");
    assert_eq!(sizes.iter().sum::<usize>(), 2312);
}
