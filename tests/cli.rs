//! Exit code, stdout and stderr of commands that compute nothing.

use std::fs;

use crate::preflab::{Workplace, root, shortened};

#[test]
fn help_names_every_command() {
    let help = Workplace::new().snapshot(&["--help"]);
    assert!(help.starts_with("exit code: 0\n"), "{help}");
    for command in [
        "run", "plan", "report", "train", "generate", "score", "claims", "toy", "metrics", "data",
    ] {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command} in {help}"
        );
    }
}

#[test]
fn run_explains_its_flags() {
    insta::assert_snapshot!(Workplace::new().snapshot(&["run", "--help"]), @"
    exit code: 0
    ----- stdout -----
    Run an experiment: train every cell, evaluate, report; run again to go on after an interruption

    Usage: preflab run [OPTIONS] <FILE>

    Arguments:
      <FILE>  Experiment file, such as experiments/quickstart.toml, or the preflab.lock of an earlier
              run

    Options:
          --set <KEY=VALUE>  Set a key of the file: `--set budget.updates=100`, `--set seeds=1`, `--set
                             arms.dpo.method.dpo.batch_size=16`
          --out <DIR>        Directory to write to, instead of runs/<experiment>
          --device <DEVICE>  Where to compute: cpu, or cuda[:N] in a build with that feature [default:
                             cpu]
          --json             Write for machines: JSON
          --threads <N>      Threads to compute with, all stages together [default: all cores]
          --jobs <N>         Stages to compute side by side; the results are the same [default: as many
                             as pay]
      -q, --quiet            Say nothing but what went wrong
      -h, --help             Print help
      -V, --version          Print version
    ----- stderr -----
    ");
}

#[test]
fn an_unknown_flag() {
    insta::assert_snapshot!(Workplace::new().snapshot(&["run", "small.toml", "--sed", "x=1"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: unexpected argument '--sed' found

      tip: a similar argument exists: '--set'

    Usage: preflab run --set <KEY=VALUE> <FILE>

    For more information, try '--help'.
    ");
}

#[test]
fn a_plan_for_people() {
    insta::assert_snapshot!(shortened(&Workplace::with_experiment().snapshot(&["plan", "small.toml"])), @"
    exit code: 0
    ----- stdout -----
    small: Does it plan?

    6 cells: 3 arms under 2 seeds (0, 1)
      arm             method    sets
      sft (baseline)  sft       the start of the other arms
      ppo             ppo       method.ppo.kl.fixed = 0.05
      dpo             dpo: dpo  method.dpo.objective.dpo.beta = 0.1

    21 stages, 0 on disk
      stage                    number  done  cells sharing each  about
      task data and tokenizer       1     0                   6    1 s
      supervised start              2     0                   3    1 s
      sft · evaluation              2     0                   1    1 s
      candidates                    2     0                   2    1 s
      preference pairs              2     0                   2    2 s
      reward model                  2     0                   1    2 s
      ppo · training                2     0                   1    2 s
      ppo · evaluation              2     0                   1    1 s
      reference log-probs           2     0                   1    1 s
      dpo · training                2     0                   1    1 s
      dpo · evaluation              2     0                   1    1 s

    varied: method
    matched:
      ...
      budget: updates = 4
      ...

    model: about 91 thousand parameters (vocabulary of about 256)
    memory: at most about 129 MB for each stage at work, in reward model
      model   weights  gradients  optimiser  activations  cache
      reward     1 MB       1 MB       1 MB        58 MB      -
    time: about 15 s on two cores
    ----- stderr -----
    ");
}

#[test]
fn a_plan_for_machines() {
    let output =
        Workplace::with_experiment().output(&["plan", "small.toml", "--json", "--set", "seeds=3"]);
    assert!(output.status.success());
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["cells"].as_array().unwrap().len(), 9);
    assert_eq!(plan["overrides"][0], "seeds=3");
    assert_eq!(plan["cells"][0]["done"], false);
    assert!(output.stderr.is_empty());
}

#[test]
fn a_wrong_key_and_a_wrong_value_are_shown_where_they_are() {
    let place = Workplace::with_experiment();
    let text = fs::read_to_string(place.path("small.toml")).unwrap();
    place.write(
        "small.toml",
        &text
            .replace("beta = 0.1", "beat = 0.1")
            .replace("updates = 4", "updates = 0"),
    );
    insta::assert_snapshot!(place.snapshot(&["run", "small.toml"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: problem 1 of 2: small.toml:8:18
      |
    8 | budget.updates = 0
      |                  ^
    `budget.updates`: expected a whole number above 0, found 0

    problem 2 of 2: small.toml:13:34
       |
    13 | method.dpo = { objective.dpo = { beat = 0.1 } }
       |                                  ^^^^
    unknown key `beat`

    hint: did you mean `beta`?
    ");
    assert!(!place.path("runs").exists());
}

#[test]
fn arms_that_are_not_matched() {
    let place = Workplace::with_experiment();
    let text = fs::read_to_string(place.path("small.toml")).unwrap();
    place.write(
        "small.toml",
        &text.replace("[arms.dpo]\n", "[arms.dpo]\nsft.epochs = 3\n"),
    );
    insta::assert_snapshot!(place.snapshot(&["plan", "small.toml"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: small.toml:13:5
       |
    13 | sft.epochs = 3
       |     ^^^^^^
    arm `dpo` sets `sft.epochs`, which is not listed in `varies`

    hint: list `sft.epochs` in `varies` if the comparison is about it; otherwise move it to `[base]`
    ");
}

#[test]
fn an_override_that_is_out_of_range() {
    let arguments = [
        "plan",
        "small.toml",
        "--set",
        "sft.optimizer.learning_rate=-1",
    ];
    insta::assert_snapshot!(Workplace::with_experiment().snapshot(&arguments), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: --set:1:29
      |
    1 | sft.optimizer.learning_rate=-1
      |                             ^^
    `sft.optimizer.learning_rate`: expected a number above 0, found -1
    ");
}

#[test]
fn a_missing_experiment() {
    insta::assert_snapshot!(Workplace::new().snapshot(&["run", "nowhere.toml"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: could not read `nowhere.toml`: No such file or directory (os error 2)

    hint: experiment files are in `experiments/`; paths are relative to the current directory
    ");
}

#[test]
fn a_missing_data_file() {
    let set = "task.verse.source.poems={ poems = \"poems.jsonl.gz\", characters = \"small.toml\" }";
    insta::assert_snapshot!(Workplace::with_experiment().snapshot(&["run", "small.toml", "--set", set]), @r#"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: --set:1:25
      |
    1 | task.verse.source.poems={ poems = "poems.jsonl.gz", characters = "small.toml" }
      |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    there is no file `poems.jsonl.gz`

    hint: paths are relative to the current directory; give another with `--set task.verse.source.poems.poems=PATH`
    "#);
}

#[test]
fn a_device_that_is_none() {
    insta::assert_snapshot!(Workplace::with_experiment().snapshot(&["plan", "small.toml", "--device", "gpu"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: `--device`: expected `cpu` or `cuda[:N]`, found `gpu`
    ");
}

#[test]
fn a_directory_that_cannot_be_made() {
    insta::assert_snapshot!(
        Workplace::with_experiment().snapshot(&["run", "small.toml", "--out", "small.toml/runs"]),
        @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: could not create `small.toml/runs/stages`: Not a directory (os error 20)
    "
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written_to() {
    // Nobody makes directories in /sys, whatever the reason the kernel gives.
    let output =
        Workplace::with_experiment().output(&["run", "small.toml", "--out", "/sys/preflab"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("error: could not create `/sys/preflab/stages`: "),
        "{said}"
    );
    assert!(
        said.trim_end()
            .ends_with("hint: write to a directory of yours with `--out DIR`"),
        "{said}"
    );
}

#[test]
fn a_directory_that_another_run_holds() {
    let place = Workplace::with_experiment();
    place.write("runs/small/.lock", "");
    let held = fs::File::options()
        .write(true)
        .open(place.path("runs/small/.lock"))
        .unwrap();
    held.lock().unwrap();
    insta::assert_snapshot!(place.snapshot(&["run", "small.toml"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: another `preflab` is working in `runs/small`

    hint: wait for it to end, or write to another directory with `--out DIR`
    ");
}

#[test]
fn a_report_of_nothing() {
    insta::assert_snapshot!(Workplace::new().snapshot(&["report", "runs/small"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: `runs/small` holds no experiment: there is no `records.json` in it

    hint: give the directory that `preflab run` wrote, such as `runs/quickstart`
    ");
}

#[test]
fn a_metric_with_its_definition() {
    insta::assert_snapshot!(Workplace::new().snapshot(&["metrics", "objective/kl"]), @"
    exit code: 0
    ----- stdout -----
    objective/kl
      unit    nats per answer
      better  lower
      Mean over sampled answers of the summed token terms log policy - log reference (k1).
    ----- stderr -----
    ");
}

#[test]
fn a_metric_that_is_not_logged() {
    insta::assert_snapshot!(Workplace::new().snapshot(&["metrics", "objective/kll"]), @"
    exit code: 2
    ----- stdout -----

    ----- stderr -----
    error: nothing is logged as `objective/kll`

    hint: did you mean `objective/kl`?
    ");
}

#[test]
fn all_metrics_for_people_and_machines() {
    let place = Workplace::new();
    let json = place.output(&["metrics", "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json.stdout).unwrap();
    let table = String::from_utf8(place.output(&["metrics"]).stdout).unwrap();
    assert!(rows.len() > 50);
    for row in rows {
        assert!(
            table.contains(row["tag"].as_str().unwrap())
                && table.contains(row["meaning"].as_str().unwrap())
        );
    }
}

#[test]
fn the_readme_names_commands_that_exist() {
    let Ok(readme) = fs::read_to_string(root().join("README.md")) else {
        eprintln!("skipped: there is no README.md");
        return;
    };
    let help = String::from_utf8(Workplace::new().output(&["--help"]).stdout).unwrap();
    for line in readme
        .lines()
        .filter_map(|line| line.trim().strip_prefix("preflab "))
    {
        let command = line.split_whitespace().next().unwrap();
        assert!(
            command.starts_with('-') || help.contains(&format!("  {command} ")),
            "{line}"
        );
    }
}

#[test]
fn toy_shows_its_settings_and_refuses_wrong_ones() {
    let place = Workplace::new();
    let shown = place.snapshot(&["toy", "--settings", "--seeds", "3", "--set", "rejected=own"]);
    assert!(shown.starts_with("exit code: 0\n"), "{shown}");
    assert!(
        shown.contains("seeds = 3\n") && shown.contains("rejected = \"own\"\n"),
        "{shown}"
    );
    let refused = place.snapshot(&["toy", "--set", "epoch=3"]);
    assert!(refused.starts_with("exit code: 2\n"), "{refused}");
    assert!(
        refused.contains("unknown field `epoch`") && refused.contains("hint:"),
        "{refused}"
    );
    let conflict = place.snapshot(&["toy", "--set", "arms.mine.preference.aot={}"]);
    assert!(conflict.starts_with("exit code: 2\n"), "{conflict}");
    assert!(conflict.contains("`arms.mine`"), "{conflict}");
}
