//! What is compared with what.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lengths::Lengths;
use crate::workload::{Task, Workload};

/// A peer: a script of `benches/peers/python/` with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) script: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// The release of TRL that the script runs on.
    pub(crate) trl: Trl,
    /// What sets it apart in the table.
    pub(crate) note: &'static str,
}

/// Releases of TRL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trl {
    /// The interpreter's own.
    Installed,
    /// The one in `PREFLAB_TRL_1_12`: the last that has PPO.
    Old,
}

/// One workload with its peers.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) workload: Workload,
    pub(crate) peers: Vec<Peer>,
}

const fn peer(script: &'static str, trl: Trl, note: &'static str) -> Peer {
    Peer {
        script,
        arguments: &[],
        trl,
        note,
    }
}

const CACHED: &[&str] = &["--reference", "cached"];

/// All cases; `hh` are the lengths of the second shape.
pub(crate) fn all(threads: usize, hh: &[Lengths]) -> Vec<Case> {
    let fixed = Lengths::equal(32, 96, 64);
    let long = Lengths::equal(384, 64, 64);
    let dpo = |trl| Peer {
        arguments: CACHED,
        ..peer("dpo.py", trl, "cached reference")
    };
    let recomputed = |trl| peer("dpo.py", trl, "reference recomputed");
    let torch = |script, note| peer(script, Trl::Installed, note);
    let case = |name, task, lengths: &[Lengths], steps, peers| {
        let shape = name_of_shape(name);
        Case {
            name,
            workload: Workload::new(task, shape, threads, lengths).steps(steps),
            peers,
        }
    };
    use Trl::{Installed, Old};
    vec![
        case(
            "dpo/fixed",
            Task::Dpo,
            &fixed,
            4,
            vec![
                dpo(Old),
                recomputed(Old),
                dpo(Installed),
                recomputed(Installed),
                torch("torch_dpo.py", "plain loop, cached reference"),
            ],
        ),
        case(
            "dpo/hh",
            Task::Dpo,
            hh,
            hh.len() / 8,
            vec![
                dpo(Old),
                dpo(Installed),
                torch("torch_dpo.py", "plain loop, cached reference"),
            ],
        ),
        case(
            "dpo/long",
            Task::Dpo,
            &long,
            2,
            vec![
                dpo(Old),
                dpo(Installed),
                torch("torch_dpo.py", "plain loop, cached reference"),
            ],
        ),
        case(
            "reward/fixed",
            Task::Reward,
            &fixed,
            4,
            vec![peer("reward.py", Old, ""), peer("reward.py", Installed, "")],
        ),
        case(
            "reward/hh",
            Task::Reward,
            hh,
            hh.len() / 8,
            vec![peer("reward.py", Old, ""), peer("reward.py", Installed, "")],
        ),
        case(
            "reward/long",
            Task::Reward,
            &long,
            2,
            vec![peer("reward.py", Old, ""), peer("reward.py", Installed, "")],
        ),
        case(
            "sft/fixed",
            Task::Sft,
            &fixed,
            4,
            vec![
                peer("sft.py", Old, ""),
                peer("sft.py", Installed, ""),
                torch("torch_sft.py", "plain loop"),
            ],
        ),
        case(
            "generate",
            Task::Generate,
            &fixed,
            1,
            vec![torch("generate.py", "key-value cache, sampled")],
        ),
        case("ppo", Task::Ppo, &fixed, 1, vec![peer("ppo.py", Old, "")]),
        case(
            "ppo/recomputed",
            Task::PpoRecomputed,
            &fixed,
            1,
            vec![peer("ppo.py", Old, "old log-probs of the sampler")],
        ),
    ]
}

fn name_of_shape(name: &str) -> &str {
    name.rsplit_once('/').map_or("fixed", |(_, shape)| shape)
}

/// Where peers live, from the environment.
#[derive(Debug, Clone)]
pub(crate) struct Python {
    /// `PREFLAB_PYTHON`: an interpreter with torch, transformers and TRL.
    pub(crate) interpreter: PathBuf,
    /// `PREFLAB_TRL_1_12`: a directory that holds that release of TRL.
    pub(crate) old_trl: Option<PathBuf>,
}

impl Python {
    /// `None` where no interpreter is named.
    pub(crate) fn of_environment() -> Option<Self> {
        Some(Self {
            interpreter: std::env::var_os("PREFLAB_PYTHON")?.into(),
            old_trl: std::env::var_os("PREFLAB_TRL_1_12").map(PathBuf::from),
        })
    }

    /// The command of a peer; `None` if its release of TRL is not installed.
    pub(crate) fn command(&self, peer: &Peer, workload: &Path, threads: usize) -> Option<Command> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/python");
        let mut command = Command::new(&self.interpreter);
        command
            .arg(scripts.join(peer.script))
            .arg(workload)
            .args(peer.arguments);
        if peer.trl == Trl::Old {
            command.env("PYTHONPATH", self.old_trl.as_ref()?);
        }
        for threads_of in ["OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(threads_of, threads.to_string());
        }
        for (name, value) in [
            ("HF_HUB_OFFLINE", "1"),
            ("TRANSFORMERS_OFFLINE", "1"),
            ("TRL_EXPERIMENTAL_SILENCE", "1"),
            ("TOKENIZERS_PARALLELISM", "false"),
            ("CUDA_VISIBLE_DEVICES", ""),
        ] {
            command.env(name, value);
        }
        Some(command)
    }
}
