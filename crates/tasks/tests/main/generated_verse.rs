//! The verse task in its generated language.

use std::collections::BTreeSet;

use preflab_config::{
    Count, Fraction, GeneratedVerse, TaskSettings, VerseForm, VerseSettings, VerseSource,
};
use preflab_data::Tokenizer;
use preflab_tasks::{Prompt, Split, Task, open};

fn verse(settings: VerseSettings) -> Box<dyn Task> {
    open(&TaskSettings::Verse(settings)).unwrap()
}

fn small(corruption: f64) -> VerseSettings {
    VerseSettings {
        train_prompts: Count::of(600),
        validation_prompts: Count::of(20),
        test_prompts: Count::of(50),
        source: VerseSource::Generated(GeneratedVerse {
            corruption: Fraction::of(corruption),
        }),
        ..VerseSettings::default()
    }
}

fn quatrain() -> (Box<dyn Task>, Prompt) {
    let task = verse(VerseSettings {
        forms: vec![VerseForm::Quatrain5],
        ..small(0.0)
    });
    let prompt = Prompt {
        id: 0,
        text: "quatrain5|KaLo|an\n".into(),
        reference: String::new(),
    };
    (task, prompt)
}

/// Rows, words, rhyme, tone, title; checked by hand against the pattern `*P*Z* *Z*PP *Z*PZ *P*ZP`.
const GOOD: &str = "KaLoMiGehSu\nBaKohSeNiDan\nGuMehLonSaKih\nDaNeSoLihMan";

#[test]
fn a_verse_checked_by_hand_is_perfect() {
    let (task, prompt) = quatrain();
    assert_eq!(task.score(&prompt, GOOD).criteria, [1.0; 5]);
    assert_eq!(task.score(&prompt, &format!("{GOOD}\n")).gold, 1.0);
}

#[test]
fn bad_answers_get_the_documented_scores() {
    let (task, prompt) = quatrain();
    let row = "KaLoMiGehSu";
    let long_row = "KaLo".repeat(40);
    let many_rows = GOOD.lines().cycle().take(9).collect::<Vec<_>>().join("\n");
    for (answer, expected) in [
        ("", [0.0; 5]),
        ("\n\n\n", [0.0; 5]),
        ("the moon is bright", [0.0; 5]),
        (many_rows.as_str(), [0.0; 5]),
        (&GOOD.replace('\n', ""), [0.25, 0.0, 0.0, 0.0, 0.0]),
        (long_row.as_str(), [0.25, 0.0, 0.0, 0.0, 0.0]),
        (&[row; 4].join("\n"), [0.25, 0.25, 0.0, 2.0 / 11.0, 1.0]),
        // twice the poem: the second half repeats, and there are four rows too many
        (&format!("{GOOD}\n{GOOD}"), [0.0, 1.0, 1.0, 1.0, 1.0]),
        // the last row missing: its rhyme, its three tones and its words are gone
        (
            &GOOD[..GOOD.rfind('\n').unwrap()],
            [0.75, 0.75, 0.5, 8.0 / 11.0, 1.0],
        ),
        // a rhyme word used twice rhymes once
        (&GOOD.replace("Man", "Dan"), [1.0, 1.0, 0.5, 1.0, 1.0]),
        // a row of one word three times over is not a row of words
        (
            &GOOD
                .replace("KaLoMiGehSu", "KaLoMiGehMi")
                .replace("KaLoMi", "MiLoMi"),
            [1.0, 0.75, 1.0, 1.0, 0.5],
        ),
    ] {
        assert_eq!(task.score(&prompt, answer).criteria, expected, "{answer}");
    }
}

#[test]
fn the_same_settings_give_the_same_prompts_and_another_seed_gives_others() {
    let prompts = |seed| {
        verse(VerseSettings { seed, ..small(0.5) })
            .prompts(Split::Train)
            .to_vec()
    };
    assert_eq!(prompts(3), prompts(3));
    assert_ne!(prompts(3), prompts(4));
}

#[test]
fn splits_share_no_prompt_and_more_training_prompts_leave_the_test_alone() {
    let task = verse(small(0.5));
    let more = verse(VerseSettings {
        train_prompts: Count::of(900),
        ..small(0.5)
    });
    assert_eq!(task.prompts(Split::Test), more.prompts(Split::Test));
    assert_eq!(
        task.prompts(Split::Train),
        &more.prompts(Split::Train)[..600]
    );
    let all: Vec<&Prompt> = Split::ALL
        .into_iter()
        .flat_map(|split| more.prompts(split))
        .collect();
    assert_eq!(all.len(), 970);
    assert_eq!(
        all.iter()
            .map(|prompt| &prompt.text)
            .collect::<BTreeSet<_>>()
            .len(),
        970
    );
    assert_eq!(
        all.iter()
            .map(|prompt| prompt.id)
            .collect::<BTreeSet<_>>()
            .len(),
        970
    );
}

#[test]
fn references_leave_room_above_them() {
    let mean = |corruption| {
        let task = verse(small(corruption));
        let prompts = task.prompts(Split::Train);
        prompts
            .iter()
            .map(|prompt| task.score(prompt, &prompt.reference).gold)
            .sum::<f64>()
            / prompts.len() as f64
    };
    assert_eq!(mean(0.0), 1.0);
    let default = mean(GeneratedVerse::default().corruption.get());
    eprintln!("references score {default:.3} at the default corruption");
    assert!((0.65..0.8).contains(&default), "{default}");
}

#[test]
fn a_syllable_is_one_token_and_every_text_round_trips() {
    let task = verse(VerseSettings {
        train_prompts: Count::of(5),
        ..small(0.5)
    });
    let tokenizer = Tokenizer::train(task.texts(), &task.units()).unwrap();
    assert!(tokenizer.vocabulary() <= 150, "{}", tokenizer.vocabulary());
    assert_eq!(tokenizer.encode(GOOD).unwrap().len(), 4 * 5 + 3);
    assert_eq!(tokenizer.encode("quatrain5|KaLo|an\n").unwrap().len(), 7);
    for text in task.texts() {
        let ids = tokenizer.encode(text).unwrap();
        assert!(!ids.contains(&tokenizer.unknown().unwrap()));
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let error = |settings| open(&TaskSettings::Verse(settings)).unwrap_err();
    let twice = error(VerseSettings {
        forms: vec![VerseForm::Song, VerseForm::Song],
        ..small(0.5)
    });
    assert!(twice.to_string().contains("each only once"), "{twice}");
    let many = error(VerseSettings {
        train_prompts: Count::of(1_000_000),
        ..small(0.5)
    });
    assert!(
        many.to_string().contains("1000070 prompts are asked for"),
        "{many}"
    );
    assert!(many.hint().starts_with("ask for"), "{}", many.hint());
}
