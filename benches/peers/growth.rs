//! How our time grows with the size of a problem.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::cases::Case;
use crate::compare::{Repetition, alone};
use crate::lengths::Lengths;
use crate::table::Spread;
use crate::workload::{Task, Workload, tokens};

/// A DPO update along one axis at a time.
pub(crate) fn of_updates(
    threads: usize,
    repetition: Repetition,
    directory: &Path,
) -> Result<(), Box<dyn Error>> {
    let dpo = |lengths: &[Lengths]| Workload::new(Task::Dpo, "growth", threads, lengths).steps(2);
    let fixed = || dpo(&Lengths::equal(32, 96, 16));
    let mut rows: Vec<(&str, usize, Workload)> = Vec::new();
    for length in [64, 128, 256, 512, 1024] {
        let workload = dpo(&Lengths::equal(length / 4, length * 3 / 4, 16));
        rows.push((
            "length",
            length,
            Workload {
                batch: 4,
                ..workload
            },
        ));
    }
    for vocabulary in [256, 1024, 4096, 16_384, 65_536] {
        let pairs = tokens(&Lengths::equal(32, 96, 16), vocabulary);
        rows.push((
            "vocabulary",
            vocabulary,
            Workload {
                vocabulary,
                pairs,
                ..fixed()
            },
        ));
    }
    for batch in [1, 2, 4, 8, 16, 32] {
        rows.push(("batch", batch, Workload { batch, ..fixed() }));
    }
    println!(
        "| axis | size | s/update: median (least–most) | tokens/s | ratio to the size before | peak MiB |"
    );
    println!("|---|---|---|---|---|---|");
    let mut before: Option<(&str, f64)> = None;
    for (axis, size, workload) in rows {
        let tokens = workload.tokens_per_step();
        let case = Case {
            name: "growth",
            workload,
            peers: Vec::new(),
        };
        let measured = alone(&case, repetition, directory)?;
        let seconds = Spread::of(&measured.seconds);
        let ratio = match before {
            Some((same, last)) if same == axis => format!("{:.2}", seconds.median / last),
            _ => "—".to_owned(),
        };
        println!(
            "| {axis} | {size} | {:.4} ({:.4}–{:.4}) | {:.0} | {ratio} | {:.0} |",
            seconds.median,
            seconds.least,
            seconds.most,
            tokens / seconds.median,
            measured.peak.unwrap_or(f64::NAN),
        );
        before = Some((axis, seconds.median));
    }
    Ok(())
}

/// A whole experiment, with more arms and more seeds.
pub(crate) fn of_runs(threads: usize, directory: &Path) -> Result<(), Box<dyn Error>> {
    println!("| arms | seeds | seconds | ratio to the row before |");
    println!("|---|---|---|---|");
    let mut before = None;
    for (number, (arms, seeds)) in [(1, 1), (2, 1), (4, 1), (4, 2), (4, 4)]
        .into_iter()
        .enumerate()
    {
        let file = directory.join("growth.toml");
        std::fs::write(&file, experiment(arms, seeds))?;
        let begun = Instant::now();
        let ended = Command::new(env!("CARGO_BIN_EXE_preflab"))
            .arg("run")
            .arg(&file)
            .args(["--quiet", "--threads", &threads.to_string(), "--out"])
            .arg(directory.join(format!("run-{number}")))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()?;
        let seconds = begun.elapsed().as_secs_f64();
        if !ended.status.success() {
            return Err(String::from_utf8_lossy(&ended.stderr).into_owned().into());
        }
        let ratio = before.map_or("—".to_owned(), |last: f64| {
            format!("{:.2}", seconds / last)
        });
        println!("| {arms} | {seeds} | {seconds:.1} | {ratio} |");
        before = Some(seconds);
    }
    Ok(())
}

/// Arms of the DPO family on generated verse, small enough for a table.
fn experiment(arms: usize, seeds: usize) -> String {
    let mut text = format!(
        "question = \"How does the time of a run grow?\"\nseeds = {seeds}\nvaries = [\"method\"]\n\n\
         [base]\n\
         task.verse = {{ train_prompts = 256, test_prompts = 64, forms = [\"quatrain5\"] }}\n\
         model = \"tiny\"\n\
         sft = {{ epochs = 1, batch_size = 32, optimizer.learning_rate = 2e-3 }}\n\
         sampling.max_tokens = 40\n\
         preferences = {{ candidates = 4, pairs = 128, held_out_pairs = 32, sampling.max_tokens = 40 }}\n\
         budget.updates = 40\n\
         evaluation.prompts = 64\n"
    );
    for arm in 0..arms {
        let beta = 0.05 * (arm + 1) as f64;
        text.push_str(&format!(
            "\n[arms.dpo-{arm}]\nmethod.dpo = {{ objective.dpo = {{ beta = {beta} }}, batch_size = 32 }}\n"
        ));
    }
    text
}
