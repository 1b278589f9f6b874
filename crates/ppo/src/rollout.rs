//! Sampled completions with everything that is known of them before the policy changes.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use preflab_config::KlEstimator;
use preflab_data::TokenExample;
use preflab_training::{Work, policy_parameters, scalar_parameters};
use preflab_transformer::{CausalLm, Completions, Generation, ScalarModel};

use crate::kl::SampledKl;
use crate::rows::{Rows, from_tensor, map_rows, zip_rows};

/// Gives completions their reward.
pub trait Scorer {
    /// Scores of `rows`; `prompts` are the indices of their prompts among the training prompts.
    fn score(&self, prompts: &[usize], rows: &[TokenExample]) -> Scored;
}

/// Scores of completions.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    /// What is maximised.
    pub rewards: Vec<f64>,
    /// The task's own score, where it is watched; never trained on.
    pub gold: Option<Vec<f64>>,
    /// What scoring cost.
    pub work: Work,
}

/// A batch of sampled completions. Rows hold one number a completion token.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Prompts with sampled completions.
    pub rows: Vec<TokenExample>,
    /// Which training prompt each row answers; rows of one prompt stand together.
    pub prompts: Vec<usize>,
    /// Whether the completion ended by itself.
    pub finished: Vec<bool>,
    /// Log-probs as the sampler gave them, nats.
    pub sampled_logps: Rows,
    /// Log-probs under the policy at sampling time by a training pass, nats.
    pub policy_logps: Rows,
    /// Log-probs under the reference, nats.
    pub reference_logps: Rows,
    /// Exact KL of the next-token distribution from the reference, nats.
    pub exact_kl: Rows,
    /// Values of the state before each token; empty rows without a value model.
    pub values: Rows,
    /// Value of the finished completion; empty without a value model.
    pub last_values: Vec<f64>,
    /// Scores.
    pub scored: Scored,
}

impl Rollout {
    /// Completion tokens of each row.
    pub fn lengths(&self) -> Vec<usize> {
        self.rows.iter().map(|row| row.completion.len()).collect()
    }

    /// All completion tokens.
    pub fn tokens(&self) -> usize {
        self.rows.iter().map(|row| row.completion.len()).sum()
    }

    /// The KL penalty at each token, nats.
    pub fn kl(&self, estimator: KlEstimator) -> Rows {
        match SampledKl::of(estimator) {
            Some(estimator) => self.sampled_kl(estimator),
            None => self.exact_kl.clone(),
        }
    }

    /// A sampled estimate at each token, nats.
    pub fn sampled_kl(&self, estimator: SampledKl) -> Rows {
        let log_ratios = zip_rows(&self.policy_logps, &self.reference_logps, |p, r| p - r);
        map_rows(&log_ratios, |log_ratio| estimator.value(log_ratio))
    }

    /// Differences of the sampler's and the training pass's log-probs, nats.
    pub fn mismatch(&self) -> Rows {
        zip_rows(&self.sampled_logps, &self.policy_logps, |a, b| {
            (a - b).abs()
        })
    }
}

/// The models that look at a fresh rollout.
#[derive(Clone, Copy)]
pub(crate) struct Judges<'m> {
    pub policy: &'m CausalLm,
    pub reference: &'m CausalLm,
    pub critic: Option<&'m ScalarModel>,
    pub scorer: &'m dyn Scorer,
    pub temperature: f64,
    /// Rows in one forward pass.
    pub rows: usize,
}

/// Looks at sampled completions with every model, none of which is trained here.
pub(crate) fn judge(
    prompts: Vec<usize>,
    texts: Vec<Vec<u32>>,
    sampled: Vec<Generation>,
    judges: Judges<'_>,
    work: &mut Work,
) -> Rollout {
    let to_f64 = |logps: &[f32]| logps.iter().map(|&logp| f64::from(logp)).collect();
    let sampled_logps = sampled.iter().map(|row| to_f64(&row.logps)).collect();
    let finished = sampled.iter().map(|row| row.finished).collect();
    let rows: Vec<TokenExample> = texts
        .into_iter()
        .zip(sampled)
        .map(|(prompt, sampled)| TokenExample {
            prompt,
            completion: sampled.tokens,
        })
        .collect();
    let scored = judges.scorer.score(&prompts, &rows);
    *work += scored.work;
    let mut rollout = Rollout {
        prompts,
        finished,
        sampled_logps,
        policy_logps: Rows::new(),
        reference_logps: Rows::new(),
        exact_kl: Rows::new(),
        values: Rows::new(),
        last_values: Vec::new(),
        scored,
        rows: Vec::new(),
    };
    for chunk in rows.chunks(judges.rows) {
        let completions = batch(chunk.iter(), &judges.policy.device());
        let read = chunk.iter().map(TokenExample::tokens).sum();
        let logps = |model: &CausalLm| {
            log_softmax(
                model.completion_logits(&completions) / judges.temperature,
                1,
            )
        };
        let (policy, reference) = (logps(judges.policy), logps(judges.reference));
        let spread =
            |values: Tensor<1>| from_tensor(completions.spread(values), &completions.lengths);
        let targets: Tensor<2, Int> = completions.targets().unsqueeze_dim(1);
        let n = targets.dims()[0];
        let own = |logps: &Tensor<2>| spread(logps.clone().gather(1, targets.clone()).reshape([n]));
        rollout.policy_logps.extend(own(&policy));
        rollout.reference_logps.extend(own(&reference));
        let kl = (policy.clone().exp() * (policy - reference))
            .sum_dim(1)
            .reshape([n]);
        rollout.exact_kl.extend(spread(kl));
        *work += Work::forward(read, policy_parameters(judges.policy));
        *work += Work::forward(read, policy_parameters(judges.reference));
        match judges.critic {
            Some(critic) => {
                let values = critic.values(&completions);
                rollout
                    .values
                    .extend(from_tensor(values, &completions.lengths));
                let last = critic.completion_scores(&completions).into_data();
                rollout.last_values.extend(last.iter::<f64>());
                *work += Work::forward(read, scalar_parameters(critic));
            }
            None => rollout.values.extend(chunk.iter().map(|_| Vec::new())),
        }
    }
    rollout.rows = rows;
    rollout
}

/// Rows as a batch.
pub(crate) fn batch<'r>(
    rows: impl Iterator<Item = &'r TokenExample>,
    device: &burn::tensor::Device,
) -> Completions {
    let rows: Vec<(&[u32], &[u32])> = rows
        .map(|row| (row.prompt.as_slice(), row.completion.as_slice()))
        .collect();
    Completions::new(&rows, device)
}
