//! `preprocessing.json` of the golden files: token ids and masks equal to TRL's trainers.
//!
//! Where TRL loses characters at a merging boundary, its ids do not decode to the text; there ours must, and differ.

use preflab_data::{
    ChatTemplate, Columns, KtoRecord, PairRecord, Preprocessor, Record, SupervisedRecord, Text,
    TokenExample, Tokenizer, Truncation,
};
use serde_json::Value;

use crate::golden::{ids, read, tokenizer};

/// What the trainers of TRL are told.
struct Config {
    max_length: Option<usize>,
    truncation: Truncation,
    completion_only: bool,
}

impl Config {
    fn read(case: &Value) -> Self {
        let config = case["config"].as_object().unwrap();
        for key in config.keys() {
            let known = [
                "max_length",
                "truncation_mode",
                "completion_only_loss",
                "note",
            ];
            assert!(
                known.contains(&key.as_str()),
                "unknown setting `{key}` in {}",
                case["name"]
            );
        }
        Self {
            max_length: config
                .get("max_length")
                .and_then(Value::as_u64)
                .map(|length| length as usize),
            truncation: match config.get("truncation_mode").and_then(Value::as_str) {
                None | Some("keep_start") => Truncation::KeepStart,
                Some("keep_end") => Truncation::KeepEnd,
                Some(other) => panic!("unknown truncation mode `{other}`"),
            },
            completion_only: config
                .get("completion_only_loss")
                .and_then(Value::as_bool)
                .unwrap_or(true),
        }
    }
}

/// One row of a collated batch without its padding: ids, and whether each counts.
#[derive(Debug, PartialEq)]
struct Sequence {
    ids: Vec<u32>,
    counts: Vec<bool>,
}

/// The rows of a collated batch, after checking its padding.
fn collated(batch: &Value, prefix: &str, tokenizer: &Tokenizer) -> Vec<Sequence> {
    let rows = |key: &str| {
        batch
            .get(format!("{prefix}{key}"))
            .map(|rows| rows.as_array().unwrap().clone())
    };
    let (all_ids, attention) = (rows("input_ids").unwrap(), rows("attention_mask").unwrap());
    let (mask, labels) = (rows("completion_mask"), rows("labels"));
    (0..all_ids.len())
        .map(|row| {
            let (all, attention) = (ids(&all_ids[row]), ids(&attention[row]));
            let length = attention.iter().filter(|&&seen| seen == 1).count();
            assert!(
                attention[..length].iter().all(|&seen| seen == 1),
                "padding is on the right"
            );
            assert!(all[length..].iter().all(|&id| id == tokenizer.pad()));
            let counts: Vec<bool> = match (&mask, &labels) {
                (Some(mask), None) => ids(&mask[row]).iter().map(|&counts| counts == 1).collect(),
                (None, Some(labels)) => {
                    let labels: Vec<i64> = labels[row]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|l| l.as_i64().unwrap())
                        .collect();
                    assert!(
                        labels
                            .iter()
                            .zip(&all)
                            .all(|(&label, &id)| label == -100 || label == i64::from(id))
                    );
                    labels.iter().map(|&label| label != -100).collect()
                }
                (None, None) => vec![true; all.len()],
                (Some(_), Some(_)) => panic!("a mask and labels"),
            };
            assert!(
                mask.is_none() && labels.is_none()
                    || counts[length..].iter().all(|&counts| !counts)
            );
            Sequence {
                ids: all[..length].to_vec(),
                counts: counts[..length].to_vec(),
            }
        })
        .collect()
}

impl From<TokenExample> for Sequence {
    fn from(example: TokenExample) -> Self {
        let counts = [
            vec![false; example.prompt.len()],
            vec![true; example.completion.len()],
        ]
        .concat();
        Self {
            ids: [example.prompt, example.completion].concat(),
            counts,
        }
    }
}

/// Everything a case needs.
struct Case<'g> {
    name: &'g str,
    golden: &'g Value,
    config: Config,
    tokenizer: &'g Tokenizer,
    template: &'g ChatTemplate,
    preprocessor: Preprocessor<'g>,
}

impl Case<'_> {
    fn rows<T: Record>(&self) -> Vec<T> {
        let rows = self.golden["rows"].as_array().unwrap();
        rows.iter()
            .map(|row| T::read(&Columns::new(row.as_object().unwrap().clone())).unwrap())
            .collect()
    }

    fn processed(&self) -> &Vec<Value> {
        self.golden["processed"].as_array().unwrap()
    }

    /// Whether prompt and completion decode to the very texts.
    fn is_right(
        &self,
        prompt: &Text,
        prompt_ids: &[u32],
        completion: &Text,
        completion_ids: &[u32],
    ) -> bool {
        let (prompt, completion) = match (prompt, completion) {
            (Text::Prose(prompt), Text::Prose(completion)) => {
                let eos = &self.tokenizer.special().eos.0;
                let ending = if completion.ends_with(eos) { "" } else { eos };
                (prompt.clone(), format!("{completion}{ending}"))
            }
            (Text::Messages(prompt), Text::Messages(completion)) => {
                let start = self.template.render(prompt, true).unwrap();
                let whole = self
                    .template
                    .render(&[prompt.as_slice(), completion].concat(), false)
                    .unwrap();
                let rest = whole.strip_prefix(&start).unwrap().to_owned();
                (start, rest)
            }
            (Text::Prose(_), Text::Messages(_)) | (Text::Messages(_), Text::Prose(_)) => {
                panic!("a mixed row")
            }
        };
        let decoded = |ids: &[u32]| self.tokenizer.decode_with_special(ids).unwrap();
        decoded(prompt_ids) == prompt && decoded(completion_ids) == completion
    }

    /// Compares a completion with TRL's; returns whether TRL's was right.
    fn check(
        &self,
        prompt: &Text,
        completion: &Text,
        ours: &TokenExample,
        theirs: (&[u32], &[u32]),
    ) -> bool {
        let is_right = self.is_right(prompt, theirs.0, completion, theirs.1);
        assert_eq!(ours.prompt, theirs.0, "{}", self.name);
        assert_eq!(
            ours.completion == theirs.1,
            is_right,
            "{}: {:?}",
            self.name,
            completion
        );
        assert!(
            self.is_right(prompt, &ours.prompt, completion, &ours.completion),
            "{}",
            self.name
        );
        is_right
    }

    /// Compares collated rows with ours; rows of `None` are ones that TRL gets wrong.
    fn check_collated(&self, prefix: &str, ours: Vec<Option<Sequence>>) {
        let theirs = collated(&self.golden["collated"], prefix, self.tokenizer);
        assert_eq!(theirs.len(), ours.len(), "{}", self.name);
        for (theirs, ours) in theirs.into_iter().zip(ours) {
            if let Some(ours) = ours {
                assert_eq!(ours, theirs, "{}", self.name);
            }
        }
    }

    fn truncated(&self, example: TokenExample) -> TokenExample {
        match self.config.max_length {
            Some(length) => example.truncated(length, self.config.truncation).unwrap(),
            None => example,
        }
    }

    /// Whether a row is kept: with the start kept, a prompt that fills the length leaves nothing to train on.
    fn keeps(&self, prompt: &[u32]) -> bool {
        self.config.truncation == Truncation::KeepEnd
            || self
                .config
                .max_length
                .is_none_or(|length| prompt.len() < length)
    }

    fn dpo(&self) -> usize {
        let mut rows: Vec<(PairRecord, _)> = self
            .rows::<PairRecord>()
            .into_iter()
            .map(|row| (row.clone(), self.preprocessor.pair(&row).unwrap().0))
            .collect();
        rows.retain(|(_, pair)| self.keeps(&pair.prompt));
        assert_eq!(rows.len(), self.processed().len(), "{}", self.name);
        let mut wrong = 0;
        let (mut chosen_rows, mut rejected_rows) = (Vec::new(), Vec::new());
        for ((row, pair), expected) in rows.into_iter().zip(self.processed()) {
            let prompt = ids(&expected["prompt_ids"]);
            let sides = pair.examples();
            for (completion, ours, key, sequences) in [
                (&row.chosen, sides.chosen, "chosen_ids", &mut chosen_rows),
                (
                    &row.rejected,
                    sides.rejected,
                    "rejected_ids",
                    &mut rejected_rows,
                ),
            ] {
                let is_right = self.check(
                    &row.prompt,
                    completion,
                    &ours,
                    (&prompt, &ids(&expected[key])),
                );
                wrong += usize::from(!is_right);
                sequences.push(is_right.then(|| self.truncated(ours).into()));
            }
        }
        self.check_collated("", chosen_rows.into_iter().chain(rejected_rows).collect());
        wrong
    }

    fn reward(&self) -> usize {
        let sides = |row: &PairRecord| {
            [&row.chosen, &row.rejected]
                .map(|side| self.preprocessor.whole(Some(&row.prompt), side).unwrap())
        };
        let mut rows: Vec<[Vec<u32>; 2]> = self.rows::<PairRecord>().iter().map(sides).collect();
        rows.retain(|sides| {
            sides.iter().all(|side| {
                self.config
                    .max_length
                    .is_none_or(|length| side.len() <= length)
            })
        });
        assert_eq!(rows.len(), self.processed().len(), "{}", self.name);
        for (row, expected) in rows.iter().zip(self.processed()) {
            assert_eq!(row[0], ids(&expected["chosen_ids"]), "{}", self.name);
            assert_eq!(row[1], ids(&expected["rejected_ids"]), "{}", self.name);
        }
        let all = |side: usize| rows.iter().map(move |row| row[side].clone());
        let sequences = all(0).chain(all(1)).map(|ids| {
            let counts = vec![true; ids.len()];
            Some(Sequence { ids, counts })
        });
        self.check_collated("", sequences.collect());
        0
    }

    fn sft(&self) -> usize {
        let mut wrong = 0;
        let mut sequences = Vec::new();
        let mut expected = self.processed().iter();
        for row in self.rows::<SupervisedRecord>() {
            let example = match &row {
                SupervisedRecord::Completion { prompt, completion }
                    if self.config.completion_only =>
                {
                    self.preprocessor
                        .example(prompt, completion)
                        .unwrap()
                        .into()
                }
                SupervisedRecord::Completion { prompt, completion } => TokenExample {
                    prompt: Vec::new(),
                    completion: self.preprocessor.whole(Some(prompt), completion).unwrap(),
                },
                SupervisedRecord::Whole(text) => TokenExample {
                    prompt: Vec::new(),
                    completion: self.preprocessor.whole(None, text).unwrap(),
                },
            };
            let truncated = match self.config.max_length {
                Some(length) => example.clone().truncated(length, self.config.truncation),
                None => Some(example.clone()),
            };
            let Some(truncated) = truncated else { continue };
            let expected = expected
                .next()
                .unwrap_or_else(|| panic!("{}: too few rows", self.name));
            let labels: Vec<i64> = expected["labels"]
                .as_array()
                .unwrap()
                .iter()
                .map(|l| l.as_i64().unwrap())
                .collect();
            let theirs = Sequence {
                ids: ids(&expected["input_ids"]),
                counts: labels.iter().map(|&l| l != -100).collect(),
            };
            // A boundary inside a token: TRL masks that token, the start of the completion, with the prompt.
            let is_right = match &row {
                SupervisedRecord::Completion { prompt, completion }
                    if self.config.completion_only =>
                {
                    let joined = self.preprocessor.whole(Some(prompt), completion).unwrap();
                    joined == [example.prompt.as_slice(), &example.completion].concat()
                }
                SupervisedRecord::Completion { .. } | SupervisedRecord::Whole(_) => true,
            };
            wrong += usize::from(!is_right);
            let ours = Sequence::from(truncated);
            assert_eq!(
                ours == theirs,
                is_right,
                "{}: {ours:?} against {theirs:?}",
                self.name
            );
            sequences.push(is_right.then_some(ours));
        }
        assert!(expected.next().is_none(), "{}: too many rows", self.name);
        self.check_collated("", sequences);
        wrong
    }

    fn kto(&self) -> usize {
        let is_paired = self.golden["rows"][0].get("chosen").is_some();
        let records = if is_paired {
            KtoRecord::unpaired(&self.rows())
        } else {
            self.rows()
        };
        let mut rows: Vec<(KtoRecord, TokenExample)> = records
            .into_iter()
            .map(|row| {
                let example = self
                    .preprocessor
                    .example(&row.prompt, &row.completion)
                    .unwrap()
                    .into();
                (row, example)
            })
            .collect();
        rows.retain(|(_, example)| self.keeps(&example.prompt));
        assert_eq!(rows.len(), self.processed().len(), "{}", self.name);
        let mut right = Vec::new();
        for ((row, example), expected) in rows.iter().zip(self.processed()) {
            assert_eq!(row.label, expected["label"].as_bool().unwrap());
            let theirs = (
                ids(&expected["prompt_ids"]),
                ids(&expected["completion_ids"]),
            );
            right.push(self.check(
                &row.prompt,
                &row.completion,
                example,
                (&theirs.0, &theirs.1),
            ));
        }
        let sequences = rows.iter().zip(&right).map(|((_, example), &is_right)| {
            is_right.then(|| self.truncated(example.clone()).into())
        });
        self.check_collated("", sequences.collect());
        // The completions that estimate the KL term: each prompt with the completion before it, within a batch.
        let note = self.golden["config"]["note"].as_str().unwrap_or_default();
        let batch: usize = note
            .split(['(', ')'])
            .nth(1)
            .and_then(|size| size.parse().ok())
            .unwrap_or(rows.len());
        let mismatched = (0..rows.len()).map(|row| {
            let start = row / batch * batch;
            let last = (start + batch).min(rows.len()) - 1;
            let other = if row == start { last } else { row - 1 };
            let example = TokenExample {
                prompt: rows[row].1.prompt.clone(),
                completion: rows[other].1.completion.clone(),
            };
            right[other].then(|| self.truncated(example).into())
        });
        if self.golden["collated"].get("KL_input_ids").is_some() {
            self.check_collated("KL_", mismatched.collect());
        }
        right.iter().filter(|&&is_right| !is_right).count()
    }
}

#[test]
fn ids_and_masks_equal_those_of_trl_where_it_loses_nothing() {
    let golden = read("preprocessing.json");
    let (tokenizer, template) = tokenizer(&golden);
    let cases = golden["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let case = Case {
            name,
            golden: case,
            config: Config::read(case),
            tokenizer: &tokenizer,
            template: &template,
            preprocessor: Preprocessor::new(&tokenizer, Some(&template)),
        };
        let wrong = match name.split('_').next().unwrap() {
            "dpo" => case.dpo(),
            "reward" => case.reward(),
            "sft" => case.sft(),
            "kto" => case.kto(),
            other => panic!("`{name}` is a case of an unknown kind `{other}`"),
        };
        eprintln!("{name}: equal, {wrong} completions that TRL cuts wrongly");
    }
}
