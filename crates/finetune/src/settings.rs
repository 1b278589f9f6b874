//! From what was typed and written to complete settings.

use std::path::Path;

use preflab_config::{
    DpoSettings, GrpoSettings, ModelSource, OptimizerSettings, Passes, Positive, PpoSettings,
    RewardSettings, RlooSettings, Rollouts, SftSettings, TrainMethod, TrainSettings,
};
use preflab_dpo::Unpaired;
use preflab_experiment::{Document, Problem, Problems, nearest};
use preflab_metrics::{Better, Metric};
use serde::{Deserialize, Serialize};

/// The keys of [`TrainSettings`]: those that every method shares.
const SHARED: [&str; 22] = [
    "model",
    "tokenizer",
    "data",
    "eval",
    "eval_share",
    "columns",
    "rows",
    "eval_rows",
    "max_length",
    "over_long",
    "reference_model",
    "reward_model",
    "lora",
    "memory",
    "precision",
    "seed",
    "evaluate_every",
    "samples",
    "checkpoints",
    "early_stop",
    "save_as",
    "method",
];

/// The methods by name.
pub const METHODS: [&str; 7] = ["sft", "reward", "dpo", "kto", "ppo", "rloo", "grpo"];

/// A complete request to train, apart from where and on what.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainRequest {
    /// What every method shares.
    pub settings: TrainSettings,
    /// The method with its own settings.
    pub method: TrainMethod,
}

impl TrainRequest {
    /// Reads what a document says, `method` being the one that was typed, if any.
    ///
    /// # Errors
    /// With every problem, each at the place it was written.
    pub fn read(document: Document, method: Option<&str>) -> Result<Self, Problems> {
        let method = match (method, document.text("method")?) {
            (Some(typed), Some(written)) if typed != written => {
                let problem = Problem::new(format!(
                    "the method is `{typed}` on the command line and `{written}` in the file"
                ))
                .hint("name it once");
                return Err(document.problem_at("method", problem).into());
            }
            (Some(typed), _) => typed.to_owned(),
            (None, Some(written)) => written.to_owned(),
            (None, None) => {
                let problem = Problem::new("which method?");
                return Err(problem
                    .hint(format!(
                        "`preflab train METHOD` with one of {}, or `method = \"dpo\"` in the file",
                        METHODS.join(", ")
                    ))
                    .into());
            }
        };
        let mut source: OnlyModel = document.read(|key| key == "model", &[])?;
        document.resolve_model("model", &mut source.model)?;
        let rates = match source.model {
            ModelSource::Shape(_) => Rates::Fresh,
            ModelSource::Named(_) => Rates::Checkpoint,
        };
        let mut request = match method.as_str() {
            "sft" => Self::of(document, rates.sft(), TrainMethod::Sft),
            "reward" => Self::of(document, rates.reward(), TrainMethod::Reward),
            "dpo" => Self::of_two(document, rates.dpo(), Passes::default(), TrainMethod::Dpo),
            "kto" => Self::of_two(document, rates.kto(), Passes::default(), TrainMethod::Kto),
            "ppo" => Self::of_two(document, rates.ppo(), Rollouts::default(), TrainMethod::Ppo),
            "rloo" => Self::of_two(
                document,
                rates.rloo(),
                Rollouts::default(),
                TrainMethod::Rloo,
            ),
            "grpo" => Self::of_two(
                document,
                rates.grpo(),
                Rollouts::default(),
                TrainMethod::Grpo,
            ),
            other => {
                let hint = match nearest(other, METHODS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the methods here are: {}", METHODS.join(", ")),
                };
                let problem = Problem::new(format!("unknown method `{other}`")).hint(hint);
                return Err(document.problem_at("method", problem).into());
            }
        }?;
        request.settings.model = source.model;
        if let TrainMethod::Reward(settings) = &mut request.method {
            settings.evaluate_every = request.settings.evaluate_every;
        }
        request.check()?;
        Ok(request)
    }

    fn of<M>(
        mut document: Document,
        defaults: M,
        method: fn(M) -> TrainMethod,
    ) -> Result<Self, Problems>
    where
        M: Serialize + for<'de> Deserialize<'de>,
    {
        let mut table = table(&defaults);
        table.remove("evaluate_every");
        document.lay_under("defaults", &text(&table));
        let known: Vec<&str> = table.keys().map(String::as_str).collect();
        let settings = document.read(|key| SHARED.contains(&key) && key != "method", &known);
        let own = document.read(|key| !SHARED.contains(&key), &SHARED);
        together(settings, own).map(|(settings, own)| Self {
            settings,
            method: method(own),
        })
    }

    fn of_two<M, L>(
        mut document: Document,
        defaults: M,
        length: L,
        method: fn(M, L) -> TrainMethod,
    ) -> Result<Self, Problems>
    where
        M: Serialize + for<'de> Deserialize<'de>,
        L: Serialize + for<'de> Deserialize<'de>,
    {
        // `epochs` of PPO are passes over a rollout, so the length of its training has names of its own.
        let lengths: &[&str] = match table(&length).contains_key("passes") {
            true => &["passes", "budget"],
            false => &["epochs", "max_updates"],
        };
        let own = table(&defaults);
        let mut all = own.clone();
        all.extend(table(&length));
        document.lay_under("defaults", &text(&all));
        let known: Vec<&str> = own
            .keys()
            .map(String::as_str)
            .chain(lengths.iter().copied())
            .collect();
        let settings = document.read(|key| SHARED.contains(&key) && key != "method", &known);
        let length = document.read(|key| lengths.contains(&key), &known);
        let others: Vec<&str> = SHARED.into_iter().chain(lengths.iter().copied()).collect();
        let own = document.read(
            |key| !SHARED.contains(&key) && !lengths.contains(&key),
            &others,
        );
        let (settings, (own, length)) = together(settings, together(own, length))?;
        Ok(Self {
            settings,
            method: method(own, length),
        })
    }

    /// The method's name.
    pub const fn name(&self) -> &'static str {
        match self.method {
            TrainMethod::Sft(_) => "sft",
            TrainMethod::Reward(_) => "reward",
            TrainMethod::Dpo(..) => "dpo",
            TrainMethod::Kto(..) => "kto",
            TrainMethod::Ppo(..) => "ppo",
            TrainMethod::Rloo(..) => "rloo",
            TrainMethod::Grpo(..) => "grpo",
        }
    }

    /// Everything, as a file that [`Self::read`] reads again.
    pub fn to_table(&self) -> toml::Table {
        let mut all = toml::Table::new();
        all.insert("method".to_owned(), self.name().into());
        all.extend(table(&self.settings));
        match &self.method {
            TrainMethod::Sft(own) => all.extend(table(own)),
            TrainMethod::Reward(own) => all.extend(table(own)),
            TrainMethod::Dpo(own, length) | TrainMethod::Kto(own, length) => {
                all.extend(table(own));
                all.extend(table(length));
            }
            TrainMethod::Ppo(own, length) => {
                all.extend(table(own));
                all.extend(table(length));
            }
            TrainMethod::Rloo(own, length) => {
                all.extend(table(own));
                all.extend(table(length));
            }
            TrainMethod::Grpo(own, length) => {
                all.extend(table(own));
                all.extend(table(length));
            }
        }
        all
    }

    /// [`Self::to_table`] as text.
    pub fn to_toml(&self) -> String {
        text(&self.to_table())
    }

    /// Whether rows are held out.
    pub fn evaluates(&self) -> bool {
        self.settings.held_out_files().is_some() || self.settings.eval_share.get() > 0.0
    }

    /// Whether the method samples while it trains, with a reward model.
    pub const fn is_on_policy(&self) -> bool {
        match self.method {
            TrainMethod::Ppo(..) | TrainMethod::Rloo(..) | TrainMethod::Grpo(..) => true,
            TrainMethod::Sft(_)
            | TrainMethod::Reward(_)
            | TrainMethod::Dpo(..)
            | TrainMethod::Kto(..) => false,
        }
    }

    /// The metric that tells which checkpoint is best.
    pub fn best_metric(&self) -> Metric {
        named(self.settings.checkpoints.metric.as_deref()).unwrap_or(match self.method {
            TrainMethod::Sft(_) => Metric::EvalLoss,
            TrainMethod::Reward(_) => Metric::EvalAccuracy,
            TrainMethod::Dpo(..) | TrainMethod::Kto(..) => Metric::EvalRewardsAccuracies,
            TrainMethod::Ppo(..) | TrainMethod::Rloo(..) | TrainMethod::Grpo(..) => {
                match self.evaluates() {
                    true => Metric::TaskProxyReward,
                    false => Metric::ObjectiveRlhfReward,
                }
            }
        })
    }

    /// The metric that ends training early, where that is asked for.
    pub fn stop_metric(&self) -> Option<Metric> {
        let early = self.settings.early_stop.as_ref()?;
        Some(named(early.metric.as_deref()).unwrap_or(self.best_metric()))
    }

    /// What types cannot check.
    fn check(&self) -> Result<(), Problems> {
        let mut problems = Vec::new();
        let settings = &self.settings;
        if let ModelSource::Shape(shape) = &settings.model {
            problems.extend(shape.problems().into_iter().map(|message| {
                Problem::new(message).hint("widths and heads must divide one another: such as `width = 128, heads = 4, kv_heads = 2`")
            }));
        }
        if settings.eval.is_some() && settings.eval_share.get() > 0.0 {
            problems.push(
                Problem::new("both `eval` and `eval_share` are given").hint(
                    "`eval` names a file of held-out rows, `eval_share` takes a share of `data`: keep one of them",
                ),
            );
        }
        if !settings.eval_rows.is_empty() && settings.eval_share.get() > 0.0 {
            problems.push(
                Problem::new("both `eval_rows` and `eval_share` are given").hint(
                    "`eval_rows` says which rows are held out, `eval_share` takes a share of `data`: keep one of them",
                ),
            );
        }
        let early = settings.early_stop.as_ref();
        for (key, tag) in [
            ("checkpoints.metric", settings.checkpoints.metric.as_deref()),
            (
                "early_stop.metric",
                early.and_then(|early| early.metric.as_deref()),
            ),
        ] {
            if let Some(tag) = tag
                && let Err(problem) = judging(key, tag)
            {
                problems.push(problem);
            }
        }
        let judged = early.is_some()
            || settings.checkpoints.keep_best > 0
            || settings.checkpoints.output == preflab_config::OutputModel::Best;
        let needs = [Some(self.best_metric()), self.stop_metric()];
        let held_out = needs.into_iter().flatten().any(is_of_held_out);
        if judged && held_out && !self.evaluates() {
            problems.push(
                Problem::new("the best checkpoint and an early stop are told by held-out rows, and none are held out")
                    .hint("`--eval FILE` or `--eval-share 0.05` holds some out"),
            );
        }
        match (&self.method, &settings.reward_model) {
            (TrainMethod::Ppo(..) | TrainMethod::Rloo(..) | TrainMethod::Grpo(..), None) => {
                problems.push(
                    Problem::new(format!("`{}` needs a reward model", self.name()))
                        .hint("`--reward DIR` names one: `preflab train reward` trains it"),
                );
            }
            (
                TrainMethod::Sft(_)
                | TrainMethod::Reward(_)
                | TrainMethod::Dpo(..)
                | TrainMethod::Kto(..),
                Some(_),
            ) => {
                problems.push(
                    Problem::new(format!("`{}` takes no `reward_model`", self.name()))
                        .hint("only `ppo`, `rloo` and `grpo` follow a reward model"),
                );
            }
            (_, _) => {}
        }
        if let TrainMethod::Kto(own, _) = &self.method {
            problems.extend(judging_alone(own));
        }
        if let TrainMethod::Dpo(own, _) | TrainMethod::Kto(own, _) = &self.method {
            problems.extend(own.objective.problems().into_iter().map(|message| {
                Problem::new(message)
                    .hint("see docs/algorithms/dpo.md for what each objective takes")
            }));
        } else if settings.reference_model.is_some() {
            problems.push(
                Problem::new(format!("`{}` takes no `reference_model`", self.name()))
                    .hint("only the DPO family and KTO compare with a reference of their own"),
            );
        }
        Problems::check(problems)
    }
}

/// What keeps the objective from judging a completion by itself.
fn judging_alone(settings: &DpoSettings) -> Option<Problem> {
    match Unpaired::of(&settings.objective) {
        Err(error) => Some(
            Problem::new(format!("`kto` judges each completion by itself: {error}")).hint(
                "`objective.kto` (with the baseline `unrelated` or `zero`) and `objective.bco` do without pairs; `preflab train dpo` takes every objective",
            ),
        ),
        Ok(objective) if objective.reads_unrelated() && settings.batch_size.get() < 2 => Some(
            Problem::new("`batch_size` is 1, and KTO's baseline is estimated from the other completions of an update")
                .hint("set `batch_size` to 2 or more, or `objective.kto.baseline = \"zero\"`"),
        ),
        Ok(_) => None,
    }
}

#[derive(Deserialize)]
struct OnlyModel {
    model: ModelSource,
}

/// Both, or the problems of both.
fn together<A, B>(a: Result<A, Problems>, b: Result<B, Problems>) -> Result<(A, B), Problems> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(problems), Ok(_)) | (Ok(_), Err(problems)) => Err(problems),
        (Err(a), Err(b)) => Err(Problems::check(a.iter().chain(b.iter()).cloned().collect())
            .expect_err("there are problems")),
    }
}

fn named(tag: Option<&str>) -> Option<Metric> {
    tag.and_then(Metric::from_tag)
}

/// A metric by whose direction something can be judged.
fn judging(key: &str, tag: &str) -> Result<Metric, Problem> {
    let tags = || Metric::ALL.iter().map(|metric| metric.tag());
    let Some(metric) = Metric::from_tag(tag) else {
        let hint = match nearest(tag, tags()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`preflab metrics` lists every tag".to_owned(),
        };
        return Err(Problem::new(format!("`{key}`: there is no metric `{tag}`")).hint(hint));
    };
    match metric.better() {
        Better::Lower | Better::Higher => Ok(metric),
        Better::Neither => Err(Problem::new(format!(
            "`{key}`: `{tag}` describes and does not judge: neither more nor less of it is better"
        ))
        .hint("`preflab metrics` shows the direction of every tag")),
    }
}

/// Whether the metric is measured on held-out rows.
fn is_of_held_out(metric: Metric) -> bool {
    metric.tag().starts_with("eval_") || metric.tag().starts_with("task/")
}

/// Plain settings as a table.
///
/// # Panics
/// If they are not plain.
fn table<T: Serialize>(settings: &T) -> toml::Table {
    toml::Table::try_from(settings).expect("settings are a table")
}

fn text(table: &toml::Table) -> String {
    toml::to_string(table).expect("settings are plain data")
}

/// Peak learning rates where none is set: for fresh weights those of the suite's experiments; for a checkpoint those of TRL
/// 1.16 (`SFTConfig` 2e-5, `RewardConfig` 1e-4, `DPOConfig` and `KTOConfig` 1e-6, `RLOOConfig` and `GRPOConfig` 1e-6;
/// `PPOConfig` 3e-6).
#[derive(Debug, Clone, Copy)]
enum Rates {
    Fresh,
    Checkpoint,
}

impl Rates {
    fn rate(self, optimizer: OptimizerSettings, of_checkpoint: f64) -> OptimizerSettings {
        match self {
            Self::Fresh => optimizer,
            Self::Checkpoint => OptimizerSettings {
                learning_rate: Positive::of(of_checkpoint),
                ..optimizer
            },
        }
    }

    fn sft(self) -> SftSettings {
        let fresh = SftSettings::default();
        SftSettings {
            optimizer: self.rate(fresh.optimizer, 2e-5),
            ..fresh
        }
    }

    fn reward(self) -> RewardSettings {
        let fresh = RewardSettings::default();
        RewardSettings {
            optimizer: self.rate(fresh.optimizer, 1e-4),
            ..fresh
        }
    }

    fn dpo(self) -> DpoSettings {
        let fresh: DpoSettings = toml::from_str("objective.dpo = {}").expect("plain DPO");
        DpoSettings {
            optimizer: self.rate(fresh.optimizer, 1e-6),
            ..fresh
        }
    }

    fn kto(self) -> DpoSettings {
        let fresh: DpoSettings = toml::from_str("objective.kto = {}").expect("plain KTO");
        DpoSettings {
            optimizer: self.rate(fresh.optimizer, 1e-6),
            ..fresh
        }
    }

    fn ppo(self) -> PpoSettings {
        let fresh = PpoSettings::default();
        PpoSettings {
            optimizer: self.rate(fresh.optimizer, 3e-6),
            ..fresh
        }
    }

    fn rloo(self) -> RlooSettings {
        let fresh = RlooSettings::default();
        RlooSettings {
            optimizer: self.rate(fresh.optimizer, 1e-6),
            ..fresh
        }
    }

    fn grpo(self) -> GrpoSettings {
        let fresh = GrpoSettings::default();
        GrpoSettings {
            optimizer: self.rate(fresh.optimizer, 1e-6),
            ..fresh
        }
    }
}

/// A document of a file and of what the command line says.
///
/// # Errors
/// If the file cannot be read, or an override is no assignment.
pub fn document(
    file: Option<&Path>,
    options: &[(&str, &str, String)],
    lists: &[(&str, &str, Vec<String>)],
    set: &[String],
) -> Result<Document, Problems> {
    let mut document = Document::new();
    if let Some(file) = file {
        document.lay_file(file)?;
    }
    for (option, key, text) in options {
        document.set_text(option, key, text);
    }
    for (option, key, texts) in lists.iter().filter(|(_, _, texts)| !texts.is_empty()) {
        document.set_texts(option, &[key], texts);
    }
    for assignment in set {
        document.set("--set", assignment)?;
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key there is, whatever it is set to.
    const FULL: &str = r#"
        model = "DIR"
        data = "a"
        eval = "b"
        columns = { prompt = "question" }
        rows.split = "train"
        eval_rows.split = "test"
        max_length = 1
        reference_model = "c"
        reward_model = "d"
        early_stop.patience = 1
        lora.rank = 1
        memory.recompute = true
        precision = "bf16"
    "#;

    #[test]
    fn the_shared_keys_are_those_of_the_settings_and_all_are_documented() {
        let settings: TrainSettings = toml::from_str(FULL).unwrap();
        let mut keys: Vec<String> = table(&settings).keys().cloned().collect();
        keys.push("method".to_owned());
        keys.sort_unstable();
        let mut shared: Vec<&str> = SHARED.to_vec();
        shared.sort_unstable();
        assert_eq!(keys, shared);
        let page = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/own-models.md"),
        )
        .unwrap();
        let missing = keys
            .iter()
            .filter(|key| !page.contains(&format!("`{key}`")));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn what_is_written_is_read_again() {
        for method in METHODS {
            let mut document = Document::new();
            document.set("--set", "model={ width = 8, layers = 1, heads = 2, kv_heads = 1, feedforward = 16, context = 32 }").unwrap();
            document.set_text("--data", "data", "pairs.jsonl");
            if ["ppo", "rloo", "grpo"].contains(&method) {
                document.set_text("--reward", "reward_model", "reward");
            }
            let request = TrainRequest::read(document, Some(method)).unwrap();
            let place = tempfile::tempdir().unwrap();
            let file = place.path().join("settings.toml");
            std::fs::write(&file, request.to_toml()).unwrap();
            let mut again = Document::new();
            again.lay_file(&file).unwrap();
            assert_eq!(TrainRequest::read(again, None).unwrap(), request);
        }
    }

    #[test]
    fn the_rates_of_a_checkpoint_are_not_those_of_fresh_weights() {
        let rate = |model: &str| {
            let mut document = Document::new();
            document.set("--set", &format!("model={model}")).unwrap();
            document.set_text("--data", "data", "pairs.jsonl");
            let request = TrainRequest::read(document, Some("dpo")).unwrap();
            let TrainMethod::Dpo(own, _) = request.method else {
                panic!("not DPO")
            };
            own.optimizer.learning_rate.get()
        };
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("config.json"), "{}").unwrap();
        assert_eq!(rate(&place.path().display().to_string()), 1e-6);
        assert_eq!(rate("tiny"), 1e-4);
    }
}
