//! Several completions of each prompt, with their gold scores (section 4.2 of arXiv:2406.07327).

use preflab_config::{PreferenceSettings, SamplingSettings};
use preflab_tasks::{Score, Split};
use preflab_training::{Stream, Streams, TrainError, Watch, Work, policy_parameters};
use preflab_transformer::CausalLm;
use serde::{Deserialize, Serialize};

use crate::{StageError, TaskData};

/// Rows that are sampled together.
const ROWS: usize = 256;

/// The candidates of one prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptCandidates {
    /// Index of the prompt among the training prompts.
    pub prompt: usize,
    /// Its candidates, in the order of their seeds.
    pub candidates: Vec<Candidate>,
}

/// One sampled completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Token ids, the end-of-sequence token included where it was sampled.
    pub tokens: Vec<u32>,
    /// Log-probability under the sampling policy, nats.
    pub logp: f64,
    /// Gold score.
    pub score: Score,
}

/// How many training prompts get candidates: those that pairs are wanted for, and a quarter more for the prompts that
/// will be dropped.
pub fn prompts_wanted(settings: &PreferenceSettings, available: usize) -> usize {
    let pairs = settings.pairs.get() + settings.held_out_pairs.get();
    available.min(pairs + pairs / 4)
}

/// Samples candidates of the first training prompts from `policy`.
///
/// # Errors
/// If the tokenizer fails or `watch` asked to stop.
pub fn sample_candidates(
    policy: &CausalLm,
    data: &TaskData,
    settings: &PreferenceSettings,
    stream: Stream,
    streams: Streams,
    watch: &dyn Watch,
) -> Result<(Vec<PromptCandidates>, Work), StageError> {
    let wanted = prompts_wanted(settings, data.task().prompts(Split::Train).len());
    let draw = Draw {
        policy,
        data,
        settings,
        stream,
        streams,
        round: 0,
    };
    let mut work = Work::default();
    let mut sampled = Vec::with_capacity(wanted);
    for first in (0..wanted).step_by(draw.prompts()) {
        if watch.stop() {
            return Err(TrainError::Stopped.into());
        }
        let indices: Vec<usize> = (first..wanted.min(first + draw.prompts())).collect();
        sampled.extend(draw.of(&indices, &mut work)?);
    }
    Ok((sampled, work))
}

/// How candidates are drawn.
#[derive(Clone, Copy)]
pub(crate) struct Draw<'d> {
    pub policy: &'d CausalLm,
    pub data: &'d TaskData,
    pub settings: &'d PreferenceSettings,
    pub stream: Stream,
    pub streams: Streams,
    /// Times that candidates of these prompts were drawn before: each has random numbers of its own.
    pub round: u64,
}

impl Draw<'_> {
    /// Prompts whose candidates are sampled together.
    pub fn prompts(self) -> usize {
        (ROWS / self.settings.candidates.get()).max(1)
    }

    /// Candidates of the training prompts with these indices, their cost added to `work`.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn of(
        self,
        indices: &[usize],
        work: &mut Work,
    ) -> Result<Vec<PromptCandidates>, StageError> {
        let prompts = self.data.task().prompts(Split::Train);
        let each = self.settings.candidates.get();
        let mut rows = Vec::with_capacity(indices.len() * each);
        let mut seeds = Vec::with_capacity(rows.capacity());
        for &index in indices {
            let ids = self.data.prompt(&prompts[index])?;
            rows.extend(std::iter::repeat_n(ids, each));
            // Ids of training prompts stay below this shift.
            let step = (self.round << 44) + prompts[index].id;
            seeds.extend(self.streams.rows(self.stream, step, each));
        }
        let sampling = &self.settings.sampling;
        let answers = sample(self.policy, self.data, &rows, &seeds, sampling, work);
        let of_prompts = indices.iter().zip(answers.chunks(each));
        of_prompts
            .map(|(&index, answers)| {
                let candidates = answers.iter().map(|answer| {
                    let (_, score) = self.data.score(&prompts[index], &answer.tokens)?;
                    let logp = answer.logps.iter().map(|&logp| f64::from(logp)).sum();
                    Ok(Candidate {
                        tokens: answer.tokens.clone(),
                        logp,
                        score,
                    })
                });
                Ok(PromptCandidates {
                    prompt: index,
                    candidates: candidates.collect::<Result<_, StageError>>()?,
                })
            })
            .collect()
    }
}

/// One completion of each of `prompts`, its cost added to `work`.
pub(crate) fn sample(
    policy: &CausalLm,
    data: &TaskData,
    prompts: &[Vec<u32>],
    seeds: &[u64],
    settings: &SamplingSettings,
    work: &mut Work,
) -> Vec<preflab_transformer::Generation> {
    let answers = policy.generate(prompts, seeds, settings, &[data.tokenizer().eos()]);
    let read = prompts.iter().map(Vec::len).sum();
    let new = answers.iter().map(|answer| answer.tokens.len()).sum();
    *work += Work::generation(read, new, policy_parameters(policy));
    answers
}
