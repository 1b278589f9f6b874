//! Preference pairs: best against worst by the judge, in the four scenarios of arXiv:2406.07327, section 3.2.

use preflab_config::{PreferenceSettings, Scenario};
use preflab_data::{Pair, TokenPair};
use preflab_tasks::{Split, judge::Judge};
use serde::{Deserialize, Serialize};

use crate::candidates::{Candidate, PromptCandidates};
use crate::{StageError, TaskData};

/// A pair with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedPair {
    /// Prompt, chosen and rejected completion.
    pub tokens: TokenPair,
    /// Gold scores of the two sides; of a data set that tells a margin, that and 0; absent where nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gold: Option<Pair<f64>>,
    /// A completion of the same prompt by the start model that is in no pair: what training never shows. Absent where
    /// every candidate is one of the two sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Vec<u32>>,
}

impl JudgedPair {
    /// By how much the chosen side is better, where it is known.
    pub fn gold_margin(&self) -> Option<f64> {
        self.gold.map(|gold| gold.chosen - gold.rejected)
    }
}

/// The gold margins of pairs, unless one is unknown.
pub(crate) fn gold_margins(pairs: &[JudgedPair]) -> Option<Vec<f64>> {
    pairs.iter().map(JudgedPair::gold_margin).collect()
}

/// Training and held-out pairs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    /// Trained on.
    pub train: Vec<JudgedPair>,
    /// Never trained on.
    pub held_out: Vec<JudgedPair>,
    /// Prompts dropped because their candidates were uniformly good or bad; of a data set, pairs that cannot be used.
    pub dropped: usize,
}

/// Where the sides of pairs come from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'c> {
    /// Candidates of the start policy; absent where the scenario uses none.
    pub policy: Option<&'c [PromptCandidates]>,
    /// Candidates of the weaker model; absent where the scenario uses none.
    pub weaker: Option<&'c [PromptCandidates]>,
}

/// Makes pairs from candidates of the start policy and, in scenarios 3 and 4, of the weaker model.
///
/// The first usable prompts are held out, the following are trained on.
///
/// # Errors
/// If the tokenizer fails, or too few prompts have candidates of different quality.
pub fn judge_pairs(
    data: &TaskData,
    settings: &PreferenceSettings,
    judge: &Judge,
    sources: Sources<'_>,
) -> Result<Pairs, StageError> {
    let prompts = sources
        .policy
        .or(sources.weaker)
        .map_or(0, <[PromptCandidates]>::len);
    let mut usable = Vec::new();
    for place in 0..prompts {
        let prompt = PromptSources {
            policy: sources.policy.map(|policy| &policy[place]),
            weaker: sources.weaker.map(|weaker| &weaker[place]),
        };
        usable.extend(judge_prompt(data, settings, judge, prompt)?);
    }
    let dropped = prompts - usable.len();
    let held_out = settings.held_out_pairs.get().min(usable.len() / 4);
    let mut train = usable.split_off(held_out);
    train.truncate(settings.pairs.get());
    if train.is_empty() {
        return Err(StageError::Nothing {
            problem: format!(
                "no preference pair could be made: in all {prompts} prompts the candidates differ by at most {} in gold score",
                settings.tolerance.get()
            ),
            hint: "raise `preferences.candidates` or the sampling temperature, lower `preferences.tolerance`, or train the \
                   start for fewer updates"
                .to_owned(),
        });
    }
    Ok(Pairs {
        train,
        held_out: usable,
        dropped,
    })
}

/// The pairs that a data set brings: those of its training split, and of its test split held out.
///
/// # Errors
/// If the tokenizer fails.
pub fn brought_pairs(data: &TaskData, settings: &PreferenceSettings) -> Result<Pairs, StageError> {
    let of_split = |split, most: usize| -> Result<Vec<JudgedPair>, StageError> {
        let pairs = data.pairs(split, most)?.into_iter();
        let judged = pairs.map(|(tokens, margin)| JudgedPair {
            tokens,
            gold: margin.map(|margin| Pair {
                chosen: margin,
                rejected: 0.0,
            }),
            unseen: None,
        });
        Ok(judged.collect())
    };
    Ok(Pairs {
        train: of_split(Split::Train, settings.pairs.get())?,
        held_out: of_split(Split::Test, settings.held_out_pairs.get())?,
        dropped: data.dropped(),
    })
}

/// [`Sources`] of one prompt.
#[derive(Clone, Copy)]
struct PromptSources<'c> {
    policy: Option<&'c PromptCandidates>,
    weaker: Option<&'c PromptCandidates>,
}

impl<'c> PromptSources<'c> {
    fn policy(self) -> &'c PromptCandidates {
        self.policy
            .expect("candidates of the policy, which the plan lists as an input")
    }

    fn weaker(self) -> &'c PromptCandidates {
        self.weaker
            .expect("candidates of the weaker model, which the plan lists as an input")
    }
}

fn judge_prompt(
    data: &TaskData,
    settings: &PreferenceSettings,
    judge: &Judge,
    sources: PromptSources<'_>,
) -> Result<Option<JudgedPair>, StageError> {
    let any = sources.policy.unwrap_or_else(|| sources.weaker());
    let prompt = &data.task().prompts(Split::Train)[any.prompt];
    let tolerance = settings.tolerance.get();
    let (chosen, rejected) = match settings.scenario {
        Scenario::OnPolicy => {
            let candidates = &sources.policy().candidates;
            let picked = judge.pick(prompt.id, &gold(candidates), tolerance);
            return picked
                .map(|pair| own_pair(data, prompt, candidates, pair))
                .transpose();
        }
        Scenario::ChosenFromData => (reference(data, prompt)?, worst_of(sources.policy())),
        Scenario::RejectedFromWeaker => (best_of(sources.policy()), worst_of(sources.weaker())),
        Scenario::OffPolicy => (reference(data, prompt)?, worst_of(sources.weaker())),
    };
    let golds = Pair {
        chosen: chosen.score.gold,
        rejected: rejected.score.gold,
    };
    // A rejected side that is the better one by gold is no pair of this scenario.
    if golds.chosen < golds.rejected {
        return Ok(None);
    }
    let Some(order) = judge.compare(prompt.id, golds, tolerance) else {
        return Ok(None);
    };
    let sides = [chosen, rejected];
    let pair = order.map(|index| sides[index].clone());
    finish(data, prompt, &any.candidates, pair).map(Some)
}

/// The pair of two candidates of one prompt, given by their indices.
pub(crate) fn own_pair(
    data: &TaskData,
    prompt: &preflab_tasks::Prompt,
    candidates: &[Candidate],
    pair: Pair<usize>,
) -> Result<JudgedPair, StageError> {
    let pair = pair.map(|index| candidates[index].clone());
    finish(data, prompt, candidates, pair)
}

fn finish(
    data: &TaskData,
    prompt: &preflab_tasks::Prompt,
    candidates: &[Candidate],
    pair: Pair<Candidate>,
) -> Result<JudgedPair, StageError> {
    let unseen = candidates
        .iter()
        .find(|other| other.tokens != pair.chosen.tokens && other.tokens != pair.rejected.tokens)
        .map(|other| other.tokens.clone());
    let gold = Some(pair.as_ref().map(|side| side.score.gold));
    Ok(JudgedPair {
        tokens: TokenPair {
            prompt: data.prompt(prompt)?,
            chosen: pair.chosen.tokens,
            rejected: pair.rejected.tokens,
        },
        gold,
        unseen,
    })
}

fn reference(data: &TaskData, prompt: &preflab_tasks::Prompt) -> Result<Candidate, StageError> {
    let tokens = data.tokenizer().encode_completion(&prompt.reference)?;
    Ok(Candidate {
        tokens,
        logp: f64::NAN,
        score: data.task().score(prompt, &prompt.reference),
    })
}

pub(crate) fn gold(candidates: &[Candidate]) -> Vec<f64> {
    candidates
        .iter()
        .map(|candidate| candidate.score.gold)
        .collect()
}

fn best_of(prompt: &PromptCandidates) -> Candidate {
    prompt.candidates[extreme(&gold(&prompt.candidates), |a, b| a > b)].clone()
}

fn worst_of(prompt: &PromptCandidates) -> Candidate {
    prompt.candidates[extreme(&gold(&prompt.candidates), |a, b| a < b)].clone()
}

/// Index of the first best score under `better`.
fn extreme(scores: &[f64], better: fn(f64, f64) -> bool) -> usize {
    (1..scores.len()).fold(0, |best, index| {
        if better(scores[index], scores[best]) {
            index
        } else {
            best
        }
    })
}
