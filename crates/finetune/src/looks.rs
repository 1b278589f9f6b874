//! What is asked of a policy besides its training: answers to read, and their score where there is a reward model.

use preflab_config::SamplingSettings;
use preflab_data::TokenExample;
use preflab_metrics::{Metric, Sink, Text};
use preflab_ppo::Scorer;
use preflab_training::{Stream, Streams, Trained};
use preflab_transformer::{CausalLm, Generation};

use crate::FinetuneError;
use crate::checkpoints::Look;
use crate::start::Words;

/// Rows that are sampled together.
pub(crate) const ROWS: usize = 64;

/// Answers to a few prompts, written to the log as text; and, with a scorer, the mean score of the answers to all held-out
/// prompts.
pub(crate) struct Answers<'a> {
    pub words: &'a Words,
    /// Prompts whose answers are shown.
    pub shown: Vec<Vec<u32>>,
    /// Prompts whose answers are scored.
    pub scored: &'a [Vec<u32>],
    pub scorer: Option<&'a dyn Scorer>,
    pub sampling: SamplingSettings,
    pub streams: Streams,
}

impl Answers<'_> {
    /// Answers drawn with the same seeds at every look, so that a change of the model is what changes them.
    fn answer(&self, policy: &CausalLm, prompts: &[Vec<u32>]) -> Vec<Generation> {
        let seeds = self.streams.rows(Stream::Evaluation, 0, prompts.len());
        let mut answers = Vec::with_capacity(prompts.len());
        for (prompts, seeds) in prompts.chunks(ROWS).zip(seeds.chunks(ROWS)) {
            answers.extend(policy.generate(prompts, seeds, &self.sampling, &self.words.stop));
        }
        answers
    }
}

impl Look for Answers<'_> {
    fn look(&self, step: u64, model: Trained<'_>, log: &mut dyn Sink) -> Result<(), FinetuneError> {
        let Trained::Policy(policy) = model else {
            return Ok(());
        };
        if !self.shown.is_empty() {
            let mut text = String::from("| prompt | answer |\n| --- | --- |\n");
            for (prompt, answer) in self.shown.iter().zip(self.answer(policy, &self.shown)) {
                let prompt = self.words.tokenizer.decode(prompt)?;
                let answer = self.words.tokenizer.decode(&answer.tokens)?;
                text += &format!("| {} | {} |\n", cell(&prompt), cell(&answer));
            }
            log.text(step, Text::Samples, &text)?;
        }
        let Some(scorer) = self.scorer else {
            return Ok(());
        };
        if self.scored.is_empty() {
            return Ok(());
        }
        let answers = self.answer(policy, self.scored);
        let rows: Vec<TokenExample> = self
            .scored
            .iter()
            .zip(&answers)
            .map(|(prompt, answer)| TokenExample {
                prompt: prompt.clone(),
                completion: answer.tokens.clone(),
            })
            .collect();
        let indices: Vec<usize> = (0..rows.len()).collect();
        let rewards = scorer.score(&indices, &rows).rewards;
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / rows.len() as f64;
        let lengths = &mut answers.iter().map(|answer| answer.tokens.len() as f64);
        let ended = &mut answers.iter().map(|a| f64::from(u8::from(a.finished)));
        log.scalars(
            step,
            &[
                (Metric::TaskProxyReward, mean(&mut rewards.into_iter())),
                (Metric::TaskLength, mean(lengths)),
                (Metric::TaskEosRate, mean(ended)),
            ],
        )?;
        Ok(())
    }
}

/// A text as a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.trim()
        .replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('\n', "<br>")
}
