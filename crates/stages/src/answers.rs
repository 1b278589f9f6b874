//! Answers to validation prompts, sampled now and then while an arm trains on pairs: what a loss over pairs cannot show.

use preflab_dpo::Answers;
use preflab_metrics::Metric;
use preflab_tasks::{Prompt, Split};
use preflab_training::{Stream, Work};
use preflab_transformer::CausalLm;

use crate::candidates::sample;
use crate::runner::Run;
use crate::text_measures::{distinct, mean, repetition};
use crate::{StageError, TaskData};

/// Prompts that are answered at a look: few, so that looking stays cheap.
const PROMPTS: usize = 16;

/// Samples answers to the same prompts with the same random numbers at every look.
pub(crate) struct ValidationAnswers<'r> {
    run: &'r Run<'r>,
    data: &'r TaskData,
    prompts: &'r [Prompt],
    ids: Vec<Vec<u32>>,
    seeds: Vec<u64>,
}

impl<'r> ValidationAnswers<'r> {
    /// On the first validation prompts of the task; on training prompts, where it has none.
    pub fn new(data: &'r TaskData, run: &'r Run<'r>) -> Result<Self, StageError> {
        let of = |split| {
            let prompts = data.task().prompts(split);
            &prompts[..prompts.len().min(PROMPTS)]
        };
        let validation = of(Split::Validation);
        let prompts = match validation.is_empty() {
            true => of(Split::Train),
            false => validation,
        };
        Ok(Self {
            run,
            data,
            prompts,
            ids: prompts
                .iter()
                .map(|prompt| data.prompt(prompt))
                .collect::<Result<_, _>>()?,
            seeds: run.streams().rows(Stream::Probes, 1, prompts.len()),
        })
    }
}

impl Answers for ValidationAnswers<'_> {
    fn look(&self, policy: &CausalLm) -> Vec<(Metric, f64)> {
        let sampling = self.run.settings().sampling;
        let mut watching = Work::default();
        let answers = sample(
            policy,
            self.data,
            &self.ids,
            &self.seeds,
            &sampling,
            &mut watching,
        );
        let tokens: Vec<&[u32]> = answers.iter().map(|answer| &answer.tokens[..]).collect();
        let gold = self.prompts.iter().zip(&tokens).map(|(prompt, tokens)| {
            let scored = self.data.score(prompt, tokens);
            scored.map_or(f64::NAN, |(_, score)| score.gold)
        });
        let finished = answers
            .iter()
            .map(|answer| f64::from(u8::from(answer.finished)));
        let gold = self
            .data
            .task()
            .has_gold()
            .then(|| (Metric::DynamicsGold, mean(gold)));
        let form = [
            (
                Metric::DynamicsLength,
                mean(tokens.iter().map(|tokens| tokens.len() as f64)),
            ),
            (Metric::DynamicsEosRate, mean(finished)),
            (Metric::DynamicsDistinct1, distinct(&tokens, 1)),
            (Metric::DynamicsDistinct2, distinct(&tokens, 2)),
            (Metric::DynamicsDistinct3, distinct(&tokens, 3)),
            (Metric::DynamicsRepetition, repetition(&tokens)),
        ];
        gold.into_iter().chain(form).collect()
    }
}
