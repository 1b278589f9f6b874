//! A recorded rollout, processed as TRL does.

use preflab_config::{ScorePosition, Whitening};
use preflab_data::TokenExample;
use preflab_training::parity::{Node, Parity, ParityError};
use preflab_transformer::{CausalLm, Completions};

use super::super::leaf::{padded, prefixes};
use super::{
    INVALID_LOGPROB, LOG_RATIO_SCALE, Replay, SOURCE, Settings, TOLERANCE, VALUE_SCALE, compare_at,
    subject,
};
use crate::rollout::token_rows;
use crate::{
    Experience, Rows, ScoreShaper, ValueTargets, from_tensor, gae_rows, mean, mean_sum,
    token_rewards, whiten, zip_rows,
};

/// Names and values of logged figures.
type Figures = Vec<(&'static str, f64)>;

/// A recorded rollout, and what is computed of it before the passes.
pub struct Rolled {
    pub experience: Experience,
    pub targets: ValueTargets,
    pub lengths: Vec<usize>,
    pub columns: usize,
    /// Queries and responses as TRL ran them, padding included.
    pub padded: Vec<Vec<u32>>,
    pub context: usize,
}

impl Replay<'_> {
    fn logps(&self, model: &CausalLm, examples: &[TokenExample], lengths: &[usize]) -> Rows {
        let model = burn::module::Module::valid(model);
        let batch = Completions::new(&token_rows(examples), &model.device());
        from_tensor(
            model
                .completion_logps(&batch, self.settings.objective.temperature)
                .logps,
            lengths,
        )
    }

    /// Processes a recorded rollout. Returns it with the numbers of `objective/*`.
    pub fn roll(
        &self,
        update: &Node<'_>,
        parity: &mut Parity,
    ) -> Result<(Rolled, Figures), ParityError> {
        let ids = |key: &str| -> Result<Vec<Vec<u32>>, ParityError> {
            let rows = update.get(key)?.items()?;
            rows.iter()
                .map(|row| Ok(row.indices()?.into_iter().map(|id| id as u32).collect()))
                .collect()
        };
        let Settings {
            pad, eos, kl_coef, ..
        } = self.settings;
        let (queries, responses) = (ids("queries")?, ids("responses")?);
        let columns = responses.first().map_or(0, Vec::len);
        let processed: Vec<Vec<u32>> = responses
            .iter()
            .map(|row| truncated(row, eos, pad))
            .collect();
        let lengths: Vec<usize> = processed
            .iter()
            .map(|row| row.iter().position(|&id| id == pad).unwrap_or(row.len()))
            .collect();
        let finished: Vec<bool> = processed.iter().map(|row| row.contains(&eos)).collect();
        let examples: Vec<TokenExample> = (queries.iter().zip(&processed).zip(&lengths))
            .map(|((query, response), &length)| TokenExample {
                prompt: query.iter().copied().filter(|&id| id != pad).collect(),
                completion: response[..length].to_vec(),
            })
            .collect();

        let old_logps = prefixes(&update.get("old_logprobs")?.matrix()?, &lengths);
        let reference_logps = self.logps(&self.reference, &examples, &lengths);
        let kl = zip_rows(&old_logps, &reference_logps, |old, reference| {
            self.settings.estimator.value(old - reference)
        });
        let batch = Completions::new(&token_rows(&examples), &self.reward.device());
        let raw: Vec<f64> = self
            .reward
            .completion_scores(&batch)
            .into_data()
            .iter::<f64>()
            .collect();
        let scores = ScoreShaper::new(self.settings.shaping)
            .shape(&raw, &lengths, &finished)
            .scores;
        let rewards = token_rewards(
            &kl,
            kl_coef,
            &scores,
            ScorePosition::AfterLastToken,
            columns,
        );
        let rewards = whiten(&rewards, self.settings.whiten_rewards);
        let steps: Vec<usize> = rewards.iter().map(Vec::len).collect();
        let values = self.critic.values(&examples, &steps, examples.len());
        let (advantages, returns) =
            gae_rows(&rewards, &values, self.settings.gamma, self.settings.lambda);
        let advantages = whiten(&prefixes(&advantages, &lengths), Whitening::Centre);

        let mut compare = parity.case(subject("trajectory: rollouts", SOURCE, TOLERANCE), update);
        let same = |ours: &[Vec<u32>], theirs: &[Vec<u32>]| f64::from(u8::from(ours != theirs));
        compare.number(
            "postprocessed_responses",
            same(&processed, &ids("postprocessed_responses")?),
            0.0,
        );
        let last: Vec<f64> = lengths.iter().map(|&length| length as f64 - 1.0).collect();
        compare.vector(
            "sequence_lengths",
            &last,
            &update.get("sequence_lengths")?.vector()?,
        );
        let ends: Vec<f64> = steps.iter().map(|&steps| steps as f64 - 1.0).collect();
        compare.vector("actual_end", &ends, &update.get("actual_end")?.vector()?);
        let eos_found: Vec<f64> = finished
            .iter()
            .map(|&finished| f64::from(u8::from(finished)))
            .collect();
        compare.vector(
            "contain_eos_token",
            &eos_found,
            &update.get("contain_eos_token")?.vector()?,
        );
        compare.vector(
            "scores",
            &scores,
            &update.get("scores_after_eos_penalty")?.vector()?,
        );
        let ours = self.logps(self.learner.policy(), &examples, &lengths);
        let matrices = [
            ("old_logprobs", &ours, INVALID_LOGPROB),
            ("ref_logprobs", &reference_logps, INVALID_LOGPROB),
        ];
        for (key, rows, fill) in matrices {
            compare.matrix(
                key,
                &padded(rows, columns, fill),
                &update.get(key)?.matrix()?,
            );
        }
        let cancelling = [
            ("kl", &kl, LOG_RATIO_SCALE),
            ("rewards", &rewards, LOG_RATIO_SCALE * kl_coef.max(0.01)),
            ("values", &values, VALUE_SCALE),
            ("advantages", &advantages, VALUE_SCALE),
            ("returns", &returns, VALUE_SCALE),
        ];
        for (key, rows, scale) in cancelling {
            compare_at(
                &mut compare,
                key,
                &padded(rows, columns, 0.0),
                &update.get(key)?.matrix()?,
                scale,
            );
        }

        let non_score = -kl_coef * mean_sum(&kl);
        let mean_score = mean(std::slice::from_ref(&scores));
        let objective = vec![
            ("objective/kl", mean_sum(&kl)),
            ("objective/entropy", -mean_sum(&old_logps)),
            ("objective/non_score_reward", non_score),
            ("objective/rlhf_reward", non_score + mean_score),
            ("objective/scores", mean_score),
            (
                "val/num_eos_tokens",
                responses.iter().flatten().filter(|&&id| id == eos).count() as f64,
            ),
        ];
        let targets = ValueTargets { values, returns };
        let rolled = Rolled {
            padded: queries
                .iter()
                .zip(&responses)
                .map(|(query, response)| [query.as_slice(), response].concat())
                .collect(),
            context: queries.first().map_or(0, Vec::len),
            experience: Experience {
                examples,
                old_logps,
                reference_logps,
                advantages,
                weights: None,
                targets: Some(targets.clone()),
            },
            targets,
            lengths,
            columns,
        };
        Ok((rolled, objective))
    }
}

/// A response up to its first end-of-sequence token, padding after it.
fn truncated(response: &[u32], eos: u32, pad: u32) -> Vec<u32> {
    let end = response
        .iter()
        .position(|&id| id == eos)
        .map_or(response.len(), |place| place + 1);
    let filled = response[..end]
        .iter()
        .copied()
        .chain(std::iter::repeat(pad));
    filled.take(response.len()).collect()
}
