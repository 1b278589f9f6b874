//! Recorded runs of TRL's `PPOTrainer`, replayed: the tokens are forced, everything else is computed here.
//!
//! Both sides compute in 32-bit floats, and small numbers divide small numbers in Adam: logged numbers and weights may
//! differ by 1e-4 (relative). TRL's ways are followed where its figures need them: score and value one step after the last
//! token, no clipping of gradients, minibatch means averaged under accumulation, an update wherever the record says that
//! gradients were synchronised, and statistics that count padding (see [`padding`] for the entropy).

mod padding;
mod passes;
mod rollout;
mod settings;

use std::path::Path;

use preflab_config::Positive;
use preflab_training::parity::{
    Comparison, GoldenFile, Node, Parity, ParityError, Weights, compare_weights, golden_device,
};
use preflab_transformer::checkpoint::{self, Config, Model};
use preflab_transformer::{CausalLm, ScalarModel};

use self::settings::Settings;
use super::subject;
use crate::{Critic, PolicyLearner};

const SOURCE: &str = "TRL PPOTrainer, recorded run";
const TOLERANCE: f64 = 1e-4;
/// What TRL fills the log-probs of padding with.
const INVALID_LOGPROB: f64 = 1.0;
/// A difference of two log-probs of some nats carries their rounding: it counts as at least this, nats.
const LOG_RATIO_SCALE: f64 = 0.1;
/// Values, and whitened advantages, are of order one; what is summed from them may cancel and counts as at least this.
const VALUE_SCALE: f64 = 0.1;

/// Compares with every recorded run of `directory/trajectories`.
pub(super) fn run(directory: &Path, parity: &mut Parity) -> Result<(), ParityError> {
    for file in GoldenFile::all_in(&directory.join("trajectories"))? {
        let root = file.root();
        let source = root.get("source")?;
        // Runs of the other trainers name a trainer, PPO runs the function they were recorded in.
        if source.find("trainer")?.is_some() {
            continue;
        }
        let function = source.get("function")?;
        if !function.text()?.contains("PPOTrainer") {
            return Err(function.unknown(function.text()?));
        }
        Replay::new(directory, &root)?.run(parity)?;
    }
    Ok(())
}

/// A run while it is replayed.
struct Replay<'a> {
    root: &'a Node<'a>,
    settings: Settings,
    learner: PolicyLearner,
    critic: Critic,
    reference: CausalLm,
    reward: ScalarModel,
    policy_config: Config,
    value_config: Config,
}

fn load<M: Model>(directory: &Path, node: &Node<'_>) -> Result<(M, Config), ParityError> {
    let path = node.get("path")?;
    let model = checkpoint::load(&directory.join(path.text()?), &golden_device().autodiff());
    model.map_err(|error| path.unusable(error))
}

fn tensors<M: Model>(model: &M, config: &Config, node: &Node<'_>) -> Result<Weights, ParityError> {
    checkpoint::tensors(model, config).map_err(|error| node.unusable(error))
}

impl<'a> Replay<'a> {
    fn new(directory: &Path, root: &'a Node<'a>) -> Result<Self, ParityError> {
        root.only(&[
            "source",
            "checkpoints",
            "name",
            "config",
            "optimizer",
            "clip_grad_norm_calls",
            "conventions",
            "updates",
            "final_policy",
            "final_value_model",
        ])?;
        let clipped = root.get("clip_grad_norm_calls")?;
        if clipped.index()? != 0 {
            return Err(clipped.unusable("the run clipped gradients"));
        }
        let settings = Settings::read(&root.get("config")?)?;
        let checkpoints = root.get("checkpoints")?;
        checkpoints.only(&["policy_and_reference", "reward_and_value"])?;
        let policy = checkpoints.get("policy_and_reference")?;
        let value = checkpoints.get("reward_and_value")?;
        let (start, policy_config) = load::<CausalLm>(directory, &policy)?;
        let (value_model, value_config) = load::<ScalarModel>(directory, &value)?;
        let Settings {
            optimizer,
            objective,
            value_clip,
            value_coefficient,
            ..
        } = &settings;
        let critic = Critic::new(
            value_model.clone(),
            *optimizer,
            *value_clip,
            *value_coefficient,
            usize::MAX,
        );
        Ok(Self {
            root,
            reference: burn::module::Module::valid(&start),
            learner: PolicyLearner::new(start, *optimizer, *objective, usize::MAX),
            critic,
            reward: burn::module::Module::valid(&value_model),
            settings,
            policy_config,
            value_config,
        })
    }

    fn run(mut self, parity: &mut Parity) -> Result<(), ParityError> {
        for update in self.root.get("updates")?.items()? {
            update.only(&[
                "update",
                "context_length",
                "lr",
                "queries",
                "responses",
                "postprocessed_responses",
                "sequence_lengths",
                "contain_eos_token",
                "actual_end",
                "old_logprobs",
                "ref_logprobs",
                "values",
                "scores_after_eos_penalty",
                "kl",
                "rewards",
                "advantages",
                "returns",
                "epochs",
                "stats_shape",
                "stats_zero_slots",
                "metrics",
            ])?;
            let rate = Positive::of(update.get("lr")?.number()?);
            self.learner.set_learning_rate(rate);
            self.critic.set_learning_rate(rate);
            let (rolled, objective) = self.roll(&update, parity)?;
            let slots = self.passes(&update, &rolled, parity)?;
            self.metrics(&update, &rolled, &objective, &slots, parity)?;
        }
        for (key, weights) in [
            (
                "final_policy",
                tensors(self.learner.policy(), &self.policy_config, self.root)?,
            ),
            (
                "final_value_model",
                tensors(self.critic.model(), &self.value_config, self.root)?,
            ),
        ] {
            let theirs = self.root.get(key)?;
            let mut compare = parity.case(
                subject("trajectory: final weights", SOURCE, TOLERANCE),
                &theirs,
            );
            compare_weights(&mut compare, &weights, &theirs)?;
        }
        Ok(())
    }
}

/// The error of a mean of half squared log ratios, as that of the root mean square log ratio: one that is rounding alone
/// has a square of rounding alone.
fn error_of_half_square(ours: f64, theirs: f64) -> f64 {
    let root = |half_square: f64| (2.0 * half_square).sqrt();
    (root(ours) - root(theirs)).abs() / root(theirs).max(LOG_RATIO_SCALE)
}

/// The error of a number that counts as at least `scale`.
fn error_at(ours: f64, theirs: f64, scale: f64) -> f64 {
    (ours - theirs).abs() / theirs.abs().max(scale)
}

/// Compares numbers that count as at least `scale`.
fn compare_at(
    compare: &mut Comparison<'_>,
    what: &str,
    ours: &[Vec<f64>],
    theirs: &[Vec<f64>],
    scale: f64,
) {
    for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
        compare.error(what, error_at(*ours, *theirs, scale));
    }
}
