//! Training an arm in rounds: sample from the policy as it is, judge, train on the round's pairs.

use burn::module::Module;
use preflab_config::{BudgetSettings, DpoSettings, IterativeDpoSettings, Labels, RoundReference};
use preflab_data::TokenExample;
use preflab_dpo::detector::Thresholds;
use preflab_dpo::dynamics::{Dynamics, Trace};
use preflab_dpo::{
    AccuracyPairs, DpoTrainer, Monitoring, ReferenceLogps, ScoredPairs, reference_logps,
};
use preflab_metrics::{Metric, Sink};
use preflab_tasks::Split;
use preflab_tasks::judge::{Judge, best_worst};
use preflab_training::{Minibatches, Order, Stream, TrainError, Watch, Work};
use preflab_transformer::CausalLm;

use crate::answers::ValidationAnswers;
use crate::candidates::{Draw, PromptCandidates};
use crate::pairs::{JudgedPair, gold, gold_margins, own_pair};
use crate::preference::probes;
use crate::reward::TrainedReward;
use crate::runner::{Given, POLICY_ADAPTER, ROWS, Run};
use crate::text_measures::mean;
use crate::{StageError, TaskData, models};
use preflab_experiment::StageKind;

/// What a round may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Updates, on as many prompts as they take in the passes asked for.
    Updates(usize),
    /// Sampled tokens, of this round and all earlier ones together.
    Tokens(u64),
}

/// The share of round `round` of `rounds`, which differ by at most one update or token.
fn share(budget: &BudgetSettings, round: usize, rounds: usize) -> Result<Share, StageError> {
    let until = |amount: usize, rounds_done: usize| amount * rounds_done / rounds;
    match budget {
        BudgetSettings::Updates(updates) => {
            let (done, then) = (until(updates.get(), round), until(updates.get(), round + 1));
            Ok(Share::Updates(then - done))
        }
        BudgetSettings::GeneratedTokens(tokens) => {
            Ok(Share::Tokens(until(tokens.get(), round + 1) as u64))
        }
        BudgetSettings::TrainedTokens(_)
        | BudgetSettings::Flops(_)
        | BudgetSettings::Seconds(_) => Err(StageError::Nothing {
            problem: format!(
                "rounds of sampling and training cannot share a budget of {}",
                budget.currency()
            ),
            hint: "set `budget.updates` or `budget.generated-tokens`".to_owned(),
        }),
    }
}

/// Trains the arm from the supervised start and saves its policy.
///
/// A round draws its random numbers from (seed, prompt, times that the prompt was sampled) and from nothing else, so a
/// stage that was interrupted and is computed again ends in the same bits, and the first round samples what the offline
/// pairs of the same settings are made of.
pub(crate) fn train(
    run: &Run<'_>,
    settings: &IterativeDpoSettings,
    log: &mut dyn Sink,
) -> Result<Given, StageError> {
    let data = run.data()?;
    let device = run.device.clone().autodiff();
    let (start, config) = run.load(StageKind::Sft, &device)?;
    let lora = run.settings().lora.as_ref();
    let mut policy: CausalLm = run.to_train(start, &config, lora, POLICY_ADAPTER)?;
    let start = policy.valid();
    let labels = Labeller::new(run, settings)?;
    let objective = DpoSettings {
        objective: settings.objective.clone(),
        batch_size: settings.batch_size,
        micro_batch_size: settings.micro_batch_size,
        optimizer: settings.optimizer,
    };
    let rounds = settings.rounds.get();
    let monitoring = run.settings().monitoring;
    let answers = ValidationAnswers::new(&data, run)?;
    let mut state = State::default();
    let mut followed: Option<Dynamics> = None;
    for round in 0..rounds {
        let frozen = policy.valid();
        let share = share(&run.settings().budget, round, rounds)?;
        let sampled = state.sample(run, &data, &frozen, settings, share)?;
        let pairs = labels.pairs(&data, &sampled, round, &mut state.work)?;
        state.record(&sampled, &pairs, log)?;
        if pairs.is_empty() {
            // Every answer is as good as every other: there is nothing to learn from, now or later.
            if round == 0 {
                return Err(no_pairs(sampled.len()));
            }
            break;
        }
        let reference = match settings.reference {
            RoundReference::Start => &start,
            RoundReference::Previous => &frozen,
        };
        let round_pairs = RoundPairs::new(pairs, reference, &mut state.work);
        let scored = round_pairs.scored();
        let dynamics = followed.get_or_insert_with(|| {
            let watched = monitoring.probes.get().min(scored.pairs.len());
            let probes = probes(
                &scored.pairs[..watched],
                &round_pairs.unseen[..watched],
                &data,
                run,
            );
            Dynamics::new(probes, &start)
        });
        let batch = settings.batch_size.get();
        let updates = match share {
            Share::Updates(updates) => updates,
            Share::Tokens(_) => (scored.pairs.len() * settings.epochs.get()).div_ceil(batch),
        };
        let order = Order::Shuffled(Minibatches::new(run.streams(), scored.pairs.len(), batch));
        let none = ScoredPairs {
            pairs: &[],
            reference: &[],
            score_gaps: None,
        };
        let watch = Monitoring {
            held_out: none,
            accuracy: AccuracyPairs {
                held_out: none,
                train: none,
            },
            probe_pairs: scored,
            dynamics,
            every: monitoring.every.get(),
            answers: Some(&answers),
            first: state.work.updates,
        };
        let trainer = DpoTrainer::new(policy, &objective, order, updates)
            .continuing(state.work, std::mem::take(&mut state.trace));
        let trained = trainer.run(updates, scored, watch, log, run)?;
        state.work = trained.work();
        state.trace = trained.trace().clone();
        policy = trained.into_policy();
    }
    models::save(&policy, &config, data.tokenizer(), run.job.directory)?;
    let mut given = Given {
        work: state.work,
        ..Given::default()
    };
    for (metric, value) in state.trace.conclude(&Thresholds::per_token(), log)? {
        given.measure(metric, value);
    }
    Ok(given)
}

/// What rounds hand to one another.
#[derive(Default)]
struct State {
    /// Prompts sampled so far: the next round goes on behind them.
    sampled: usize,
    work: Work,
    trace: Trace,
}

impl State {
    /// Candidates of the next training prompts, as many as the share allows, and at least one batch of them.
    fn sample(
        &mut self,
        run: &Run<'_>,
        data: &TaskData,
        policy: &CausalLm,
        settings: &IterativeDpoSettings,
        share: Share,
    ) -> Result<Vec<PromptCandidates>, StageError> {
        let prompts = data.task().prompts(Split::Train).len();
        let mut sampled = Vec::new();
        let mut last = 0;
        loop {
            let room = match share {
                Share::Updates(updates) => {
                    let taken = updates * settings.batch_size.get();
                    taken
                        .div_ceil(settings.epochs.get())
                        .saturating_sub(sampled.len())
                }
                Share::Tokens(until) => {
                    if self.work.generated_tokens + last > until && !sampled.is_empty() {
                        0
                    } else {
                        usize::MAX
                    }
                }
            };
            if room == 0 {
                return Ok(sampled);
            }
            if run.stop() {
                return Err(TrainError::Stopped.into());
            }
            let draw = Draw {
                policy,
                data,
                settings: &run.settings().preferences,
                stream: Stream::Candidates,
                streams: run.streams(),
                round: (self.sampled / prompts) as u64,
            };
            let first = self.sampled % prompts;
            let end = prompts.min(first + draw.prompts().min(room));
            let indices: Vec<usize> = (first..end).collect();
            let before = self.work.generated_tokens;
            sampled.extend(draw.of(&indices, &mut self.work)?);
            self.sampled += indices.len();
            last = self.work.generated_tokens - before;
        }
    }

    /// Logs what a round samples and makes of it.
    fn record(
        &self,
        sampled: &[PromptCandidates],
        pairs: &[JudgedPair],
        log: &mut dyn Sink,
    ) -> Result<(), StageError> {
        let step = self.work.updates;
        let candidates = sampled.iter().flat_map(|prompt| &prompt.candidates);
        let sampled_gold = mean(candidates.map(|candidate| candidate.score.gold));
        let gold = |of: fn(preflab_data::Pair<f64>) -> f64| {
            mean(pairs.iter().filter_map(|pair| pair.gold).map(of))
        };
        let (chosen, rejected) = (gold(|pair| pair.chosen), gold(|pair| pair.rejected));
        let generated = self.work.generated_tokens as f64;
        if sampled_gold.is_finite() {
            log.scalar(step, Metric::ObjectiveGold, sampled_gold)?;
        }
        log.scalars(
            step,
            &[
                (Metric::PairsKept, pairs.len() as f64),
                (
                    Metric::PairsDroppedUniform,
                    (sampled.len() - pairs.len()) as f64,
                ),
                (Metric::BudgetGeneratedTokens, generated),
            ],
        )?;
        if chosen.is_finite() {
            log.scalars(
                step,
                &[
                    (Metric::PairsGoldChosen, chosen),
                    (Metric::PairsGoldRejected, rejected),
                    (Metric::PairsGoldMargin, chosen - rejected),
                ],
            )?;
        }
        Ok(())
    }
}

/// Says which of a round's answers are chosen and rejected.
struct Labeller<'r> {
    run: &'r Run<'r>,
    /// Where the labels come from it.
    reward: Option<TrainedReward>,
}

impl<'r> Labeller<'r> {
    fn new(run: &'r Run<'r>, settings: &IterativeDpoSettings) -> Result<Self, StageError> {
        let reward = match settings.labels {
            Labels::Judge => None,
            Labels::RewardModel => Some(TrainedReward::load(run)?),
        };
        Ok(Self { run, reward })
    }

    /// A pair for each prompt whose candidates differ.
    fn pairs(
        &self,
        data: &TaskData,
        sampled: &[PromptCandidates],
        round: usize,
        work: &mut Work,
    ) -> Result<Vec<JudgedPair>, StageError> {
        let preferences = &self.run.settings().preferences;
        let noise = self.run.streams().at(Stream::Judge, round as u64);
        let judge = Judge::new(preferences.judge, noise);
        let mut pairs = Vec::with_capacity(sampled.len());
        for of_prompt in sampled {
            let prompt = &data.task().prompts(Split::Train)[of_prompt.prompt];
            let candidates = &of_prompt.candidates;
            let picked = match &self.reward {
                None => judge.pick(prompt.id, &gold(candidates), preferences.tolerance.get()),
                Some(reward) => {
                    let ids = data.prompt(prompt)?;
                    let rows: Vec<TokenExample> = candidates
                        .iter()
                        .map(|candidate| TokenExample {
                            prompt: ids.clone(),
                            completion: candidate.tokens.clone(),
                        })
                        .collect();
                    let (rewards, cost) = reward.rewards(&rows);
                    *work += cost;
                    best_worst(&rewards, 0.0)
                }
            };
            if let Some(pair) = picked {
                pairs.push(own_pair(data, prompt, candidates, pair)?);
            }
        }
        Ok(pairs)
    }
}

/// The pairs of a round with their log-probabilities under the reference.
struct RoundPairs {
    tokens: Vec<preflab_data::TokenPair>,
    gaps: Option<Vec<f64>>,
    unseen: Vec<Option<Vec<u32>>>,
    reference: Vec<ReferenceLogps>,
}

impl RoundPairs {
    fn new(pairs: Vec<JudgedPair>, reference: &CausalLm, work: &mut Work) -> Self {
        let gaps = gold_margins(&pairs);
        let unseen = pairs.iter().map(|pair| pair.unseen.clone()).collect();
        let tokens: Vec<_> = pairs.into_iter().map(|pair| pair.tokens).collect();
        let (reference, cost) = reference_logps(reference, &tokens, ROWS);
        *work += cost;
        Self {
            tokens,
            gaps,
            unseen,
            reference,
        }
    }

    fn scored(&self) -> ScoredPairs<'_> {
        ScoredPairs {
            pairs: &self.tokens,
            reference: &self.reference,
            score_gaps: self.gaps.as_deref(),
        }
    }
}

fn no_pairs(prompts: usize) -> StageError {
    StageError::Nothing {
        problem: format!(
            "no preference pair could be made: the answers to each of {prompts} prompts are equally good"
        ),
        hint: "raise `preferences.candidates` or the sampling temperature, lower `preferences.tolerance`, or train the \
               start for fewer updates"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use preflab_config::Count;

    use super::*;

    #[test]
    fn rounds_share_a_budget_without_rest() {
        let updates = |round| share(&BudgetSettings::Updates(Count::of(10)), round, 4).unwrap();
        let shares: Vec<Share> = (0..4).map(updates).collect();
        assert_eq!(shares, [2, 3, 2, 3].map(Share::Updates));
        let tokens =
            |round| share(&BudgetSettings::GeneratedTokens(Count::of(100)), round, 4).unwrap();
        let shares: Vec<Share> = (0..4).map(tokens).collect();
        assert_eq!(shares, [25, 50, 75, 100].map(Share::Tokens));
        assert!(share(&BudgetSettings::TrainedTokens(Count::of(9)), 0, 4).is_err());
    }
}
