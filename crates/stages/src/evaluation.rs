//! Scores of one policy on the test prompts.

use std::collections::BTreeMap;

use burn::tensor::activation::log_softmax;
use preflab_config::Settings;
use preflab_metrics::Metric;
use preflab_tasks::{Prompt, Split};
use preflab_training::{Stream, Streams, TrainError, Watch, Work, policy_parameters};
use preflab_transformer::{CausalLm, Completions, Generation};

use crate::candidates::sample;
use crate::text_measures::{distinct, mean, repetition};
use crate::{StageError, TaskData};

/// Test prompts answered together.
const PROMPTS: usize = 64;

/// Completions kept as samples.
const SAMPLES: usize = 8;

/// What a policy is evaluated with.
#[derive(Clone, Copy)]
pub struct Evaluated<'e> {
    /// The policy.
    pub policy: &'e CausalLm,
    /// The start it is compared with.
    pub reference: &'e CausalLm,
    /// Picks the answer that is judged among several samples; absent: the sample itself.
    pub choose: Option<&'e dyn Choose>,
}

/// A rule that answers with the best of several samples.
pub trait Choose {
    /// How many samples each answer is chosen from.
    fn samples(&self) -> usize;
    /// Index of the answer among the samples of one prompt, the KL to the sampling policy that choosing costs (nats), and
    /// the work of choosing.
    fn choose(&self, prompt: &[u32], samples: &[Generation]) -> (usize, f64, Work);
}

/// Figures of an evaluation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Figure by tag.
    pub measures: BTreeMap<String, f64>,
    /// The same for each test prompt, averaged over its answers.
    pub per_prompt: BTreeMap<String, Vec<f64>>,
    /// Some answers: prompt, completion, scores by tag.
    pub samples: Vec<(String, String, BTreeMap<String, f64>)>,
    /// What it cost.
    pub work: Work,
}

/// The answers to one prompt and what was measured of them.
#[derive(Default)]
struct Rows {
    by_tag: BTreeMap<String, Vec<f64>>,
    tokens: Vec<Vec<u32>>,
}

impl Rows {
    fn push(&mut self, metric: Metric, value: f64) {
        self.by_tag
            .entry(metric.tag().to_owned())
            .or_default()
            .push(value);
    }
}

/// Answers the test prompts (and those of the second test set, where the task has one) and scores the answers.
///
/// Every arm of a seed answers the same prompts with the same sampling seeds. `task/kl` is the exact KL to the start,
/// summed over the positions of a sampled answer, of the distributions that answers are drawn from.
///
/// # Errors
/// If the tokenizer fails or `watch` asked to stop.
pub fn evaluate(
    evaluated: Evaluated<'_>,
    data: &TaskData,
    settings: &Settings,
    streams: Streams,
    watch: &dyn Watch,
) -> Result<Evaluation, StageError> {
    let mut evaluation = Evaluation::default();
    for (split, prefix) in [(Split::Test, "task/"), (Split::Shifted, "ood/")] {
        let prompts = data.task().prompts(split);
        let most = settings
            .evaluation
            .prompts
            .map_or(prompts.len(), |most| most.get());
        let prompts = &prompts[..prompts.len().min(most)];
        if prompts.is_empty() {
            continue;
        }
        let mut rows = Rows::default();
        for prompts in prompts.chunks(PROMPTS) {
            if watch.stop() {
                return Err(TrainError::Stopped.into());
            }
            answer(
                evaluated,
                data,
                settings,
                streams,
                prompts,
                &mut rows,
                &mut evaluation,
            )?;
        }
        summarise(
            rows,
            prefix,
            settings.evaluation.samples_per_prompt.get(),
            &mut evaluation,
        );
    }
    Ok(evaluation)
}

fn answer(
    evaluated: Evaluated<'_>,
    data: &TaskData,
    settings: &Settings,
    streams: Streams,
    prompts: &[Prompt],
    rows: &mut Rows,
    evaluation: &mut Evaluation,
) -> Result<(), StageError> {
    let each = settings.evaluation.samples_per_prompt.get();
    let pool = evaluated.choose.map_or(1, Choose::samples);
    let sampling = settings.evaluation_sampling();
    let (mut ids, mut seeds) = (Vec::new(), Vec::new());
    for prompt in prompts {
        let prompt_ids = data.prompt(prompt)?;
        ids.extend(std::iter::repeat_n(prompt_ids, each * pool));
        seeds.extend(streams.rows(Stream::Evaluation, prompt.id, each * pool));
    }
    let drawn = sample(
        evaluated.policy,
        data,
        &ids,
        &seeds,
        &sampling,
        &mut evaluation.work,
    );
    let mut answers = Vec::with_capacity(prompts.len() * each);
    for (place, samples) in drawn.chunks(pool).enumerate() {
        let prompt = &ids[place * pool];
        let (index, extra_kl) = match evaluated.choose {
            Some(choose) => {
                let (index, kl, work) = choose.choose(prompt, samples);
                evaluation.work += work;
                (index, kl)
            }
            None => (0, 0.0),
        };
        answers.push((prompt.as_slice(), &samples[index], extra_kl));
    }
    let kl = kl_to(
        evaluated,
        &answers,
        sampling.temperature.get(),
        &mut evaluation.work,
    );
    for (place, (_, answer, extra_kl)) in answers.iter().enumerate() {
        let prompt = &prompts[place / each];
        let (text, score) = data.score(prompt, &answer.tokens)?;
        if data.task().has_gold() {
            rows.push(Metric::TaskGold, score.gold);
        }
        for (criterion, value) in data.task().criteria().iter().zip(&score.criteria) {
            let metric = Metric::of_criterion(criterion).expect("a criterion of the catalogue");
            rows.push(metric, *value);
        }
        rows.push(Metric::TaskLength, answer.tokens.len() as f64);
        rows.push(Metric::TaskEosRate, f64::from(u8::from(answer.finished)));
        rows.push(Metric::TaskKl, kl[place] + extra_kl);
        if evaluation.samples.len() < SAMPLES && place % each == 0 {
            let scores = data.task().criteria().iter().zip(&score.criteria);
            let scores = scores.map(|(name, value)| (format!("task/{name}"), *value));
            let gold = (Metric::TaskGold.tag().to_owned(), score.gold);
            let gold = data.task().has_gold().then_some(gold);
            let scores = scores.chain(gold).collect();
            evaluation.samples.push((prompt.text.clone(), text, scores));
        }
        rows.tokens.push(answer.tokens.clone());
    }
    Ok(())
}

/// Exact KL from the reference over the vocabulary, summed over the positions of each answer, nats.
fn kl_to(
    evaluated: Evaluated<'_>,
    answers: &[(&[u32], &Generation, f64)],
    temperature: f64,
    work: &mut Work,
) -> Vec<f64> {
    let rows: Vec<(&[u32], &[u32])> = answers
        .iter()
        .map(|(prompt, answer, _)| (*prompt, answer.tokens.as_slice()))
        .collect();
    let completions = Completions::new(&rows, &evaluated.policy.device());
    let read = rows
        .iter()
        .map(|(prompt, completion)| prompt.len() + completion.len())
        .sum();
    let logps =
        |model: &CausalLm| log_softmax(model.completion_logits(&completions) / temperature, 1);
    let (policy, reference) = (logps(evaluated.policy), logps(evaluated.reference));
    for model in [evaluated.policy, evaluated.reference] {
        *work += Work::forward(read, policy_parameters(model));
    }
    let n = policy.dims()[0];
    let kl = (policy.clone().exp() * (policy - reference))
        .sum_dim(1)
        .reshape([n]);
    let kl = completions.spread(kl).sum_dim(1).into_data();
    kl.iter::<f32>().map(f64::from).collect()
}

fn summarise(rows: Rows, prefix: &str, each: usize, evaluation: &mut Evaluation) {
    let renamed = |tag: &str| tag.replacen("task/", prefix, 1);
    for (tag, values) in &rows.by_tag {
        // A task's second test set is reported in the figures that the catalogue has for it.
        let tag = renamed(tag);
        if Metric::from_tag(&tag).is_none() {
            continue;
        }
        evaluation
            .measures
            .insert(tag.clone(), mean(values.iter().copied()));
        let by_prompt = values
            .chunks(each)
            .map(|answers| mean(answers.iter().copied()));
        evaluation.per_prompt.insert(tag, by_prompt.collect());
    }
    if prefix == "task/" {
        let tokens: Vec<&[u32]> = rows.tokens.iter().map(Vec::as_slice).collect();
        for (metric, n) in [
            (Metric::DynamicsDistinct1, 1),
            (Metric::DynamicsDistinct2, 2),
            (Metric::DynamicsDistinct3, 3),
        ] {
            evaluation
                .measures
                .insert(metric.tag().to_owned(), distinct(&tokens, n));
        }
        let tag = Metric::DynamicsRepetition.tag().to_owned();
        evaluation.measures.insert(tag, repetition(&tokens));
    }
}
