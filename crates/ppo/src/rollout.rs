//! Sampling: completions of the policy, with what is known of each of their tokens.

use burn::module::Module;
use preflab_config::{KlEstimator, OldLogps, SamplingSettings};
use preflab_data::TokenExample;
use preflab_training::{Minibatches, Stream, Streams, Work, policy_parameters};
use preflab_transformer::{CausalLm, Completions};

use crate::kl::{SampledKl, exact_kl};
use crate::recipe::Recipe;
use crate::rows::{Rows, from_tensor, map_rows, zip_rows};
use crate::scorer::{Scored, Scorer};

/// Completions sampled by the policy. Rows hold one number for each completion token, vectors one for each completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Which prompt each completion answers.
    pub prompts: Vec<usize>,
    /// Prompts with completions.
    pub examples: Vec<TokenExample>,
    /// Whether the completion ended by itself.
    pub finished: Vec<bool>,
    /// `log policy` as the sampler had it, nats.
    pub sampled_logps: Rows,
    /// `log policy` at sampling time as the update uses it, nats: the sampler's, or of one more forward pass.
    pub old_logps: Rows,
    /// `log reference`, nats.
    pub reference_logps: Rows,
    /// KL(policy, reference) over the whole vocabulary at each token, nats, where it was computed.
    pub exact_kl: Option<Rows>,
    /// Raw scores.
    pub scored: Scored,
}

impl Rollout {
    /// `log policy - log reference` at each token, nats.
    pub fn log_ratios(&self) -> Rows {
        zip_rows(
            &self.old_logps,
            &self.reference_logps,
            |policy, reference| policy - reference,
        )
    }

    /// The KL penalty at each token, nats.
    ///
    /// # Panics
    /// If it is the exact one and that was not computed.
    pub fn kl(&self, estimator: KlEstimator) -> Rows {
        match SampledKl::of(estimator) {
            Some(estimator) => map_rows(&self.log_ratios(), |log_ratio| estimator.value(log_ratio)),
            None => self.exact_kl.clone().expect("the exact KL of the rollout"),
        }
    }

    /// Tokens of each completion.
    pub fn lengths(&self) -> Vec<usize> {
        self.examples
            .iter()
            .map(|example| example.completion.len())
            .collect()
    }

    /// Prompt and completion tokens of the rollout.
    pub fn tokens(&self) -> usize {
        self.examples.iter().map(TokenExample::tokens).sum()
    }

    /// How far the sampler's log-probs of some completions are from those of a training pass.
    pub fn mismatch(&self, training: &[(usize, Vec<f64>)]) -> Mismatch {
        let gaps = training.iter().flat_map(|(row, logps)| {
            self.sampled_logps[*row]
                .iter()
                .zip(logps)
                .map(|(sampled, trained)| (sampled - trained).abs())
        });
        let (tokens, sum, largest) = gaps.fold((0usize, 0.0, 0.0), |(n, sum, largest), gap| {
            (n + 1, sum + gap, f64::max(largest, gap))
        });
        Mismatch {
            largest,
            mean: sum / tokens.max(1) as f64,
        }
    }
}

/// How far sampler and training pass are apart, nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mismatch {
    /// Over all tokens.
    pub largest: f64,
    /// Over all tokens.
    pub mean: f64,
}

/// How rollouts are made.
#[derive(Debug, Clone)]
pub(crate) struct Roller {
    /// Sampling from the policy; its temperature is that of every log-prob.
    pub sampling: SamplingSettings,
    /// Tokens that end a completion.
    pub stop: Vec<u32>,
    /// The random streams of the run.
    pub streams: Streams,
    /// Prompts of a rollout.
    pub prompts: usize,
    /// Completions of each prompt.
    pub group: usize,
    /// Completions in one forward pass.
    pub micro_batch: usize,
    /// Where log-probs at sampling time come from.
    pub old_logps: OldLogps,
    /// Whether the exact KL is needed whatever else is.
    pub exact: bool,
}

/// What is known of the tokens of a batch after one forward pass of policy and reference.
struct Looked {
    policy: Option<Rows>,
    reference: Rows,
    exact_kl: Option<Rows>,
}

impl Roller {
    /// As a recipe says.
    pub fn new(recipe: &Recipe, stop: Vec<u32>, streams: Streams) -> Self {
        let exact = |estimator| SampledKl::of(estimator).is_none();
        Self {
            sampling: recipe.sampling,
            stop,
            streams,
            prompts: recipe.prompts(),
            group: recipe.group_size,
            micro_batch: recipe.micro_batch,
            old_logps: recipe.old_logps,
            exact: exact(recipe.kl_estimator),
        }
    }

    /// Rollout number `index` over `prompts`, and what it cost.
    pub fn roll(
        &self,
        index: usize,
        policy: &CausalLm,
        reference: &CausalLm,
        prompts: &[Vec<u32>],
        scorer: &dyn Scorer,
    ) -> (Rollout, Work) {
        let order = Minibatches::of(
            Stream::PromptOrder,
            self.streams,
            prompts.len(),
            self.prompts,
        );
        let taken: Vec<usize> = order
            .update(index)
            .into_iter()
            .flat_map(|prompt| std::iter::repeat_n(prompt, self.group))
            .collect();
        let asked: Vec<Vec<u32>> = taken
            .iter()
            .map(|&prompt| prompts[prompt].clone())
            .collect();
        let seeds = self
            .streams
            .rows(Stream::Sampling, index as u64, asked.len());
        let generated = policy.generate(&asked, &seeds, &self.sampling, &self.stop);

        let parameters = policy_parameters(policy);
        let mut work = Work::default();
        let (mut examples, mut finished, mut sampled_logps) = (Vec::new(), Vec::new(), Rows::new());
        for (prompt, generation) in asked.into_iter().zip(generated) {
            work += Work::generation(prompt.len(), generation.tokens.len(), parameters);
            sampled_logps.push(
                generation
                    .logps
                    .iter()
                    .map(|&logp| f64::from(logp))
                    .collect(),
            );
            finished.push(generation.finished);
            examples.push(TokenExample {
                prompt,
                completion: generation.tokens,
            });
        }

        let recompute = matches!(self.old_logps, OldLogps::Recomputed(_));
        let both = recompute || self.exact;
        let policy = &policy.valid();
        let (mut old, mut reference_logps, mut kl) = (Rows::new(), Rows::new(), Rows::new());
        for chunk in examples.chunks(self.micro_batch) {
            let looked = self.pass(chunk, policy, reference, both);
            old.extend(looked.policy.unwrap_or_default());
            reference_logps.extend(looked.reference);
            kl.extend(looked.exact_kl.unwrap_or_default());
        }
        let tokens: usize = examples.iter().map(TokenExample::tokens).sum();
        work += Work::forward(if both { 2 * tokens } else { tokens }, parameters);
        let scored = scorer.score(&taken, &examples);
        assert_eq!(
            scored.rewards.len(),
            examples.len(),
            "one score for each completion"
        );
        work += scored.work;
        let rollout = Rollout {
            old_logps: if recompute {
                old
            } else {
                sampled_logps.clone()
            },
            prompts: taken,
            examples,
            finished,
            sampled_logps,
            reference_logps,
            exact_kl: both.then_some(kl),
            scored,
        };
        (rollout, work)
    }

    /// One forward pass of the reference, and of the policy if `both`.
    fn pass(
        &self,
        examples: &[TokenExample],
        policy: &CausalLm,
        reference: &CausalLm,
        both: bool,
    ) -> Looked {
        let rows = token_rows(examples);
        let batch = Completions::new(&rows, &policy.device());
        let temperature = self.sampling.temperature.get();
        let of = |model: &CausalLm, hidden| {
            let logps = model.logps_of_hidden(hidden, &batch, temperature).logps;
            from_tensor(logps, &batch.lengths)
        };
        let hidden = reference.completion_hidden(&batch);
        let reference_logps = of(reference, hidden.clone());
        if !both {
            return Looked {
                policy: None,
                reference: reference_logps,
                exact_kl: None,
            };
        }
        let policy_hidden = policy.completion_hidden(&batch);
        let policy_logps = of(policy, policy_hidden.clone());
        let kl = exact_kl(
            policy.logits(policy_hidden),
            reference.logits(hidden),
            temperature,
        );
        Looked {
            policy: Some(policy_logps),
            reference: reference_logps,
            exact_kl: Some(from_tensor(batch.spread(kl), &batch.lengths)),
        }
    }
}

/// Prompts and completions as a batch takes them.
pub(crate) fn token_rows(examples: &[TokenExample]) -> Vec<(&[u32], &[u32])> {
    examples
        .iter()
        .map(|example| (example.prompt.as_slice(), example.completion.as_slice()))
        .collect()
}
