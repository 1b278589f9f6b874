//! The arithmetic task, generated and from files.

use std::collections::BTreeSet;

use preflab_config::{
    ArithmeticSettings, ArithmeticSource, Count, Fraction, GeneratedArithmetic, ProblemFiles, Span,
};
use preflab_data::Tokenizer;
use preflab_tasks::arithmetic::Arithmetic;
use preflab_tasks::{Prompt, Split, Task};

use crate::shared::shared;

fn generated(corruption: f64) -> ArithmeticSettings {
    ArithmeticSettings {
        train_prompts: Count::of(800),
        validation_prompts: Count::of(20),
        test_prompts: Count::of(100),
        shifted_prompts: Count::of(100),
        source: ArithmeticSource::Generated(GeneratedArithmetic {
            corruption: Fraction::of(corruption),
            ..GeneratedArithmetic::default()
        }),
        seed: 0,
    }
}

fn points(task: &Arithmetic, split: Split) -> Vec<u8> {
    let prompts = task.prompts(split);
    prompts
        .iter()
        .map(|prompt| task.mark(prompt, &prompt.reference).points)
        .collect()
}

fn mean(points: &[u8]) -> f64 {
    points.iter().map(|&points| f64::from(points)).sum::<f64>() / points.len() as f64
}

#[test]
fn references_without_corruption_get_five_points_in_every_split() {
    let task = Arithmetic::open(&generated(0.0)).unwrap();
    for split in Split::ALL {
        assert!(points(&task, split).iter().all(|&points| points == 5));
    }
    let score = task.score(
        &task.prompts(Split::Test)[0],
        &task.prompts(Split::Test)[0].reference,
    );
    assert_eq!(
        (score.criteria.as_slice(), score.gold),
        ([5.0, 1.0, 1.0, 1.0, 1.0].as_slice(), 1.0)
    );
    assert_eq!(task.score(&task.prompts(Split::Test)[0], "").gold, 0.0);
}

#[test]
fn default_references_leave_room() {
    let task = Arithmetic::open(&generated(0.3)).unwrap();
    let mean = mean(&points(&task, Split::Train));
    eprintln!("references get {mean:.2} points at the default corruption");
    assert!((4.3..4.8).contains(&mean), "{mean}");
}

#[test]
fn the_shifted_test_has_longer_chains_larger_numbers_and_other_sentences() {
    let task = Arithmetic::open(&generated(0.0)).unwrap();
    let steps = |split| {
        task.prompts(split)
            .iter()
            .map(|prompt| prompt.reference.lines().count() - 1)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(steps(Split::Test), BTreeSet::from([2, 3]));
    assert_eq!(steps(Split::Shifted), BTreeSet::from([3, 4]));
    let names = |prompt: &Prompt| {
        let name = prompt.text.split(' ').next().unwrap().to_owned();
        prompt.text.matches(&name).count()
    };
    assert!(
        task.prompts(Split::Test)
            .iter()
            .all(|prompt| names(prompt) == 1)
    );
    assert!(
        task.prompts(Split::Shifted)
            .iter()
            .all(|prompt| names(prompt) >= 4)
    );
}

#[test]
fn problems_are_deterministic_and_none_is_asked_twice() {
    let texts = |settings: &ArithmeticSettings| {
        let task = Arithmetic::open(settings).unwrap();
        Split::ALL
            .into_iter()
            .flat_map(|split| task.prompts(split).to_vec())
            .map(|prompt| prompt.text)
            .collect::<Vec<_>>()
    };
    let first = texts(&generated(0.3));
    assert_eq!(first, texts(&generated(0.3)));
    assert_ne!(
        first,
        texts(&ArithmeticSettings {
            seed: 1,
            ..generated(0.3)
        })
    );
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 1020);
}

#[test]
fn the_vocabulary_is_words_digits_and_signs() {
    let task = Arithmetic::open(&ArithmeticSettings {
        train_prompts: Count::of(1),
        ..generated(0.3)
    })
    .unwrap();
    let tokenizer = Tokenizer::train(task.texts(), &task.units()).unwrap();
    // 4 special tokens, 6 names, `has`, 6 verbs, 51 numbers, `+-*=#.`, `, `, line feed
    assert_eq!(tokenizer.vocabulary(), 4 + 6 + 1 + 6 + 51 + 6 + 1 + 1);
    let longest = task
        .texts()
        .iter()
        .map(|text| tokenizer.encode(text).unwrap().len())
        .max()
        .unwrap();
    assert!(longest <= 40, "{longest}");
}

#[test]
fn ranges_without_problems_are_refused() {
    let refused = |generated_settings| {
        let source = ArithmeticSource::Generated(generated_settings);
        Arithmetic::open(&ArithmeticSettings {
            source,
            train_prompts: Count::of(2000),
            ..generated(0.0)
        })
        .unwrap_err()
    };
    let none = refused(GeneratedArithmetic {
        steps: Span::of(0, 2),
        ..GeneratedArithmetic::default()
    });
    assert!(none.to_string().contains("`steps` is [0, 2]"), "{none}");
    let large = refused(GeneratedArithmetic {
        operands: Span::of(1, 90),
        ..GeneratedArithmetic::default()
    });
    assert!(
        large.to_string().contains("`operands` is [1, 90]"),
        "{large}"
    );
    let few = refused(GeneratedArithmetic {
        steps: Span::of(1, 1),
        operands: Span::of(1, 1),
        ..GeneratedArithmetic::default()
    });
    assert!(few.hint().contains("widen `steps`"), "{few}");
}

fn files(
    directory: &std::path::Path,
    train: &str,
    test: &str,
    shifted: &str,
) -> ArithmeticSettings {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = ProblemFiles {
        train: write("train.jsonl", train),
        test: write("test.jsonl", test),
        shifted: Some(write("shifted.jsonl", shifted)),
        max_question: Count::of(100),
        max_answer: Count::of(100),
    };
    ArithmeticSettings {
        source: ArithmeticSource::Problems(files),
        ..generated(0.0)
    }
}

fn problem(question: &str, answer: &str) -> String {
    format!("{{\"question\": \"{question}\", \"answer\": \"{answer}\", \"final\": \"ignored\"}}\n")
}

#[test]
fn problems_of_files_are_divided_and_marked() {
    let directory = tempfile::tempdir().unwrap();
    let train: String = (1..=6)
        .map(|i| {
            problem(
                &format!("{i} and 2?"),
                &format!("<<{i}+2={}>>\\n#### {}", i + 2, i + 2),
            )
        })
        .collect();
    let settings = files(
        directory.path(),
        &train,
        &problem("1 and 2?", "1+2=3\\n#### 3"),
        &problem("9-4?", "5"),
    );
    let task = Arithmetic::open(&settings).unwrap();
    // The question of the test is not trained on; half of the other five, at most 20, is held out.
    assert_eq!(
        Split::ALL.map(|split| task.prompts(split).len()),
        [3, 2, 1, 1]
    );
    for split in [Split::Train, Split::Validation, Split::Test] {
        assert!(points(&task, split).iter().all(|&points| points == 5));
    }
    let shifted = &task.prompts(Split::Shifted)[0];
    assert_eq!(shifted.reference, "#### 5");
    assert_eq!(task.mark(shifted, "9-4=5\n#### 5").points, 5);
}

#[test]
fn a_bad_problem_is_named_by_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let good = problem("1 and 2?", "1+2=3\\n#### 3");
    for (bad, message) in [
        (
            problem("2?", "two"),
            "train.jsonl:2: `answer` has no result",
        ),
        (problem("2?", "2"), "train.jsonl:2: `answer` has no result"),
        (
            "{\"question\": \"2?\"}".to_owned(),
            "train.jsonl:2: missing field `answer`",
        ),
    ] {
        let shifted = problem("9-4?", "5");
        let settings = files(directory.path(), &format!("{good}{bad}"), &good, &shifted);
        let error = Arithmetic::open(&settings).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn the_references_of_gsm8k_get_full_marks() {
    let (Some(train), Some(test)) = (
        shared("data/math/gsm8k_train.jsonl.gz"),
        shared("data/math/gsm8k_test.jsonl.gz"),
    ) else {
        return;
    };
    let settings = ArithmeticSettings {
        train_prompts: Count::of(8192),
        source: ArithmeticSource::Problems(ProblemFiles {
            train,
            test,
            shifted: shared("data/math/cmath_dev_zh.jsonl.gz"),
            max_question: Count::of(2000),
            max_answer: Count::of(2000),
        }),
        ..generated(0.0)
    };
    let task = Arithmetic::open(&settings).unwrap();
    let points = points(&task, Split::Train);
    let five = points.iter().filter(|&&points| points == 5).count() as f64 / points.len() as f64;
    let four = points.iter().filter(|&&points| points >= 4).count() as f64 / points.len() as f64;
    eprintln!(
        "{} problems: 5 points {five:.4}, 4 and 5 points {four:.4}",
        points.len()
    );
    // The rest rounds in its own calculations, or has none.
    assert!(five > 0.95 && four > 0.98);
}
