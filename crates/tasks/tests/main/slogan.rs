//! The slogan task.

use std::collections::BTreeSet;

use preflab_config::{Count, Fraction, SloganSettings, Span};
use preflab_data::Tokenizer;
use preflab_tasks::slogan::Slogan;
use preflab_tasks::{Split, Task};

fn small(corruption: f64) -> SloganSettings {
    SloganSettings {
        train_prompts: Count::of(500),
        validation_prompts: Count::of(20),
        test_prompts: Count::of(50),
        corruption: Fraction::of(corruption),
        ..SloganSettings::default()
    }
}

fn mean(corruption: f64) -> f64 {
    let task = Slogan::open(&small(corruption)).unwrap();
    let prompts = task.prompts(Split::Train);
    prompts
        .iter()
        .map(|prompt| task.score(prompt, &prompt.reference).gold)
        .sum::<f64>()
        / prompts.len() as f64
}

#[test]
fn references_leave_room_above_them() {
    assert_eq!(mean(0.0), 1.0);
    let default = mean(SloganSettings::default().corruption.get());
    eprintln!("slogans score {default:.3} at the default corruption");
    assert!((0.75..0.9).contains(&default), "{default}");
}

#[test]
fn prompts_are_deterministic_and_none_is_asked_twice() {
    let texts = |settings: &SloganSettings| {
        let task = Slogan::open(settings).unwrap();
        Split::ALL
            .into_iter()
            .flat_map(|split| task.prompts(split).to_vec())
            .map(|prompt| prompt.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&small(0.5)), texts(&small(0.5)));
    assert_eq!(
        texts(&small(0.5))
            .into_iter()
            .collect::<BTreeSet<_>>()
            .len(),
        570
    );
    assert!(Slogan::open(&SloganSettings::default()).is_ok());
}

#[test]
fn a_word_is_one_token_and_every_text_round_trips() {
    let task = Slogan::open(&small(0.5)).unwrap();
    let tokenizer = Tokenizer::train(task.texts(), &task.units()).unwrap();
    assert!(tokenizer.vocabulary() < 100, "{}", tokenizer.vocabulary());
    for text in task.texts() {
        let ids = tokenizer.encode(text).unwrap();
        assert!(ids.len() <= 16, "{text}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn ranges_that_do_not_fit_are_refused() {
    let error = |settings| Slogan::open(&settings).unwrap_err();
    let long = error(SloganSettings {
        words: Span::of(6, 13),
        ..small(0.5)
    });
    assert!(long.to_string().contains("`words` is [6, 13]"), "{long}");
    let crowded = error(SloganSettings {
        words: Span::of(5, 8),
        content_words: Span::of(1, 2),
        ..small(0.5)
    });
    assert!(
        crowded
            .to_string()
            .contains("`content_words` is [1, 2] in slogans of 5 words"),
        "{crowded}"
    );
    let few = error(SloganSettings {
        content_words: Span::of(1, 1),
        ..small(0.5)
    });
    assert!(few.hint().contains("widen `words`"), "{few}");
}
