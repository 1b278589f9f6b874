//! The stages of an experiment as a graph: each cell's chain of stages, equal ones shared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use preflab_config::{Method, NoTraining, Settings, TokenizerSettings};
use serde_json::{Value, json};

use crate::StageKind;
use crate::arms::Arm;
use crate::data_hashes::DataHashes;
use crate::plan::{Cell, Environment};
use crate::records::{ArmOrigin, cell_directory};
use crate::stage::{Stage, StageId, StageKey, relevant};

/// Stages as they are found, each once.
pub(crate) struct Graph<'a> {
    data: &'a DataHashes,
    environment: &'a Environment,
    stages: Vec<Stage>,
    by_key: BTreeMap<StageKey, StageId>,
}

/// The start that some arms share.
pub(crate) struct Start {
    /// Key of its evaluation.
    pub key: StageKey,
    /// The arm it is shown as; none where an arm of the file is the start itself.
    pub arm: Option<Arm>,
    /// The arms that start from it.
    pub of: BTreeSet<String>,
}

impl<'a> Graph<'a> {
    pub fn new(data: &'a DataHashes, environment: &'a Environment) -> Self {
        Self {
            data,
            environment,
            stages: Vec::new(),
            by_key: BTreeMap::new(),
        }
    }

    /// The stages of an arm under a seed, and the cell they make.
    pub fn cell(&mut self, index: usize, arm: &Arm, seed: u64) -> Cell {
        let settings = Arc::new(arm.settings.clone());
        let needs = settings.method.needs();
        let task = self.add(
            StageKind::TaskData,
            None,
            &settings,
            &[],
            "task data and tokenizer",
        );
        let sft = self.add(
            StageKind::Sft,
            Some(seed),
            &settings,
            &[task],
            "supervised start",
        );
        let pairs =
            (needs.pairs || needs.reward_model).then(|| self.pairs(&settings, seed, task, sft));
        let mut inputs = vec![task, sft];
        if let Some(pairs) = pairs {
            if needs.pairs {
                inputs.push(pairs);
            }
            if needs.reference_logps {
                let from = [task, sft, pairs];
                inputs.push(self.add(
                    StageKind::ReferenceLogps,
                    Some(seed),
                    &settings,
                    &from,
                    "reference log-probs",
                ));
            }
            if needs.reward_model {
                let from = [task, sft, pairs];
                inputs.push(self.add(
                    StageKind::RewardModel,
                    Some(seed),
                    &settings,
                    &from,
                    "reward model",
                ));
            }
        }
        let title = format!("{} · training", arm.name);
        let training = needs
            .training
            .then(|| self.add(StageKind::Training, Some(seed), &settings, &inputs, &title));
        let answering = match (training, pairs) {
            // A model that does not answer prompts is judged by pairs.
            (Some(training), Some(pairs)) if !settings.method.answers() => vec![pairs, training],
            (Some(training), _) => vec![task, sft, training],
            (None, _) => inputs,
        };
        let title = format!("{} · evaluation", arm.name);
        let evaluation = self.add(
            StageKind::Evaluation,
            Some(seed),
            &settings,
            &answering,
            &title,
        );
        let logs = match (training, needs.reward_model) {
            (Some(training), _) => vec![
                (training, PathBuf::new()),
                (evaluation, PathBuf::from("evaluation")),
            ],
            (None, true) => vec![(evaluation, PathBuf::new())],
            (None, false) => vec![
                (sft, PathBuf::new()),
                (evaluation, PathBuf::from("evaluation")),
            ],
        };
        Cell {
            arm: index,
            seed,
            stages: self.behind(evaluation),
            training,
            evaluation,
            logs,
        }
    }

    /// The stages, with what can only be known when all cells are there: how many share each, and where logs go.
    pub fn finish(mut self, arms: &[Arm], cells: &mut [Cell]) -> Vec<Stage> {
        for cell in cells.iter() {
            for id in &cell.stages {
                self.stages[id.index()].shared_by += 1;
            }
        }
        let mut homes: BTreeMap<StageId, PathBuf> = BTreeMap::new();
        for cell in cells.iter() {
            let directory = cell_directory("".as_ref(), &arms[cell.arm].name, cell.seed);
            for (id, below) in &cell.logs {
                homes
                    .entry(*id)
                    .or_insert_with(|| directory.join(below).components().collect());
            }
        }
        let mut count: BTreeMap<(StageKind, Option<u64>), usize> = BTreeMap::new();
        for stage in &self.stages {
            *count.entry((stage.kind, stage.seed)).or_default() += 1;
        }
        for (index, stage) in self.stages.iter_mut().enumerate() {
            let only = count[&(stage.kind, stage.seed)] == 1;
            stage.log_directory = homes
                .remove(&StageId(index))
                .unwrap_or_else(|| shared_directory(stage, only));
        }
        self.stages
    }

    /// Key of the evaluation of an arm's start, under a seed that stands for all.
    pub fn start_key(&mut self, arm: &Arm) -> StageKey {
        let evaluation = self.cell(0, &self.start_arm(arm), 0).evaluation;
        self.stages[evaluation.index()].key.clone()
    }

    /// The arm that leaves an arm's start as it is.
    pub fn start_arm(&self, arm: &Arm) -> Arm {
        let settings = Settings {
            method: Method::Sft(NoTraining {}),
            ..arm.settings.clone()
        };
        Arm {
            name: String::new(),
            origin: ArmOrigin::Start,
            settings,
            varied: Vec::new(),
            point: Vec::new(),
        }
    }

    fn pairs(
        &mut self,
        settings: &Arc<Settings>,
        seed: u64,
        task: StageId,
        sft: StageId,
    ) -> StageId {
        let scenario = settings.preferences.scenario;
        let mut inputs = vec![task];
        let brought = settings.task.brings_pairs();
        // The pairs of a data set are the same under every seed.
        let seed_of_pairs = (!brought).then_some(seed);
        let from_policy = !scenario.chosen_from_data() || !scenario.rejected_from_weaker();
        if !brought && from_policy {
            inputs.push(self.add(
                StageKind::Candidates,
                Some(seed),
                settings,
                &[task, sft],
                "candidates",
            ));
        }
        if !brought && scenario.rejected_from_weaker() {
            let weaker = self.add(
                StageKind::WeakerModel,
                Some(seed),
                settings,
                &[task],
                "weaker model",
            );
            let title = "candidates of the weaker model";
            inputs.push(self.add(
                StageKind::WeakerCandidates,
                Some(seed),
                settings,
                &[task, weaker],
                title,
            ));
        }
        self.add(
            StageKind::Pairs,
            seed_of_pairs,
            settings,
            &inputs,
            "preference pairs",
        )
    }

    fn add(
        &mut self,
        kind: StageKind,
        seed: Option<u64>,
        settings: &Arc<Settings>,
        inputs: &[StageId],
        title: &str,
    ) -> StageId {
        let input_keys: Vec<&StageKey> = inputs
            .iter()
            .map(|id| &self.stages[id.index()].key)
            .collect();
        let key = StageKey::of(&json!({
            "kind": kind,
            "version": kind.version(),
            "device": self.environment.device,
            "seed": seed,
            "settings": relevant(kind, settings),
            "data": self.data_of(kind, settings),
            "inputs": input_keys,
        }));
        if let Some(&id) = self.by_key.get(&key) {
            return id;
        }
        let id = StageId(self.stages.len());
        self.stages.push(Stage {
            kind,
            key: key.clone(),
            seed,
            settings: Arc::clone(settings),
            inputs: inputs.to_vec(),
            shared_by: 0,
            log_directory: PathBuf::new(),
            title: title.to_owned(),
        });
        self.by_key.insert(key, id);
        id
    }

    /// Hashes of the files that a stage of a kind reads.
    fn data_of(&self, kind: StageKind, settings: &Settings) -> Value {
        match kind {
            StageKind::TaskData => match settings.tokenizer {
                TokenizerSettings::Auto => {
                    json!([self.data.of_task(settings), self.data.of_model(settings)])
                }
                TokenizerSettings::Characters | TokenizerSettings::Bpe(_) => {
                    json!([self.data.of_task(settings)])
                }
            },
            StageKind::Sft => json!(self.data.of_model(settings)),
            StageKind::WeakerModel => json!(self.data.of_models(settings)),
            StageKind::Candidates
            | StageKind::WeakerCandidates
            | StageKind::Pairs
            | StageKind::ReferenceLogps
            | StageKind::RewardModel
            | StageKind::Training
            | StageKind::Evaluation => Value::Null,
        }
    }

    /// A stage and everything it builds on, inputs first.
    fn behind(&self, id: StageId) -> Vec<StageId> {
        let mut behind = BTreeSet::from([id]);
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            for &input in &self.stages[id.index()].inputs {
                if behind.insert(input) {
                    open.push(input);
                }
            }
        }
        behind.into_iter().collect()
    }
}

/// Whether an arm is nothing but its start.
pub(crate) fn is_start(arm: &Arm) -> bool {
    matches!(arm.settings.method, Method::Sft(_))
}

/// Home of the curves of a stage that is no cell's own.
fn shared_directory(stage: &Stage, only: bool) -> PathBuf {
    let kind = if only {
        stage.kind.to_string()
    } else {
        format!("{}-{}", stage.kind, &stage.key.as_str()[..8])
    };
    let directory = PathBuf::from("shared").join(kind);
    match stage.seed {
        Some(seed) => directory.join(format!("seed-{seed}")),
        None => directory,
    }
}
