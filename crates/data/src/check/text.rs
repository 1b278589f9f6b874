//! A check's report for people.

use std::fmt::{self, Display, Formatter};

use super::{
    CheckReport, Estimated, Finding, LabelReport, LengthBias, OnPolicy, Severity, SizeReport,
};

impl Display for CheckReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for split in &self.splits {
            let kinds: Vec<String> = match split.kinds.len() {
                0 | 1 => split.kinds.keys().map(ToString::to_string).collect(),
                _ => (split.kinds.iter())
                    .map(|(kind, rows)| format!("{rows} {kind}"))
                    .collect(),
            };
            let kinds = match kinds.is_empty() {
                true => String::new(),
                false => format!(": {}", kinds.join(", ")),
            };
            writeln!(f, "{}: {} rows{kinds}", split.split, split.rows)?;
        }
        let mut found: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|finding| finding.count > 0)
            .collect();
        found.sort_by_key(|finding| std::cmp::Reverse(finding.kind.severity()));
        for finding in found {
            write_finding(f, finding, self.rows())?;
        }
        if let Some(lengths) = &self.lengths {
            writeln!(f)?;
            write_lengths(f, lengths)?;
        }
        if let Some(labels) = &self.labels {
            writeln!(f)?;
            write_labels(f, labels)?;
        }
        if let Some(SizeReport {
            unit,
            mean,
            longest,
        }) = &self.sizes
        {
            writeln!(f, "\nmean length {mean:.1}, longest {longest} {unit}")?;
        }
        if let Some(on_policy) = &self.on_policy {
            writeln!(f)?;
            write_on_policy(f, on_policy)?;
        }
        writeln!(f)?;
        match self.severity() {
            None => write!(f, "nothing found"),
            Some(Severity::Note) => write!(f, "nothing but notes"),
            Some(Severity::Warning) => write!(f, "warnings: see above"),
            Some(Severity::Error) => write!(f, "errors: see above"),
        }
    }
}

fn write_finding(f: &mut Formatter<'_>, finding: &Finding, rows: usize) -> fmt::Result {
    let severity = match finding.kind.severity() {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    writeln!(
        f,
        "\n{severity}: {}: {} of {rows} rows ({:.2} %)",
        finding.kind,
        finding.count,
        100.0 * finding.count as f64 / rows.max(1) as f64
    )?;
    writeln!(f, "  {}", finding.kind.meaning())?;
    for example in &finding.examples {
        writeln!(
            f,
            "  {}:{}: {}",
            example.file.display(),
            example.line,
            example.text
        )?;
    }
    writeln!(f, "  hint: {}", finding.kind.hint())
}

fn write_lengths(f: &mut Formatter<'_>, lengths: &LengthBias) -> fmt::Result {
    writeln!(
        f,
        "{}: the chosen answer is the longer one in {:.1} % of pairs [{:.1}, {:.1}] (95 % interval; {} of equal length left out)",
        verdict(lengths.is_biased),
        100.0 * lengths.chosen_longer,
        100.0 * lengths.interval[0],
        100.0 * lengths.interval[1],
        lengths.equal
    )?;
    writeln!(
        f,
        "  mean length: chosen {:.1}, rejected {:.1} {}",
        lengths.mean_chosen, lengths.mean_rejected, lengths.unit
    )?;
    if lengths.is_biased {
        writeln!(
            f,
            "  hint: watch `eval_length_correlation`, or use an objective that accounts for length (SimPO, LD-DPO, R-DPO)"
        )?;
    }
    Ok(())
}

fn write_labels(f: &mut Formatter<'_>, labels: &LabelReport) -> fmt::Result {
    let rows = labels.desirable + labels.undesirable;
    if labels.is_single() {
        writeln!(
            f,
            "warning: all completions have one label, so nothing tells good answers from bad ones"
        )?;
    }
    writeln!(
        f,
        "labels: {} desirable ({:.1} %), {} undesirable; {} prompts, {} with both; {} pairs can be made of them",
        labels.desirable,
        100.0 * labels.desirable as f64 / rows.max(1) as f64,
        labels.undesirable,
        labels.prompts,
        labels.prompts_with_both,
        labels.pairs
    )?;
    writeln!(
        f,
        "{}: a desirable completion is longer than an undesirable one with probability {:.1} % [{:.1}, {:.1}] (95 % interval; equal lengths count half)",
        verdict(labels.is_biased),
        100.0 * labels.desirable_longer,
        100.0 * labels.interval[0],
        100.0 * labels.interval[1],
    )?;
    writeln!(
        f,
        "  mean length: desirable {:.1}, undesirable {:.1} {}",
        labels.mean_desirable, labels.mean_undesirable, labels.unit
    )
}

fn verdict(is_biased: bool) -> &'static str {
    match is_biased {
        true => "warning: length bias",
        false => "no length bias",
    }
}

fn write_on_policy(f: &mut Formatter<'_>, on_policy: &OnPolicy) -> fmt::Result {
    writeln!(
        f,
        "under {}, {} pairs, nats per token [95 % interval]:",
        on_policy.model.display(),
        on_policy.pairs
    )?;
    for (name, Estimated { mean, interval }) in [
        ("chosen", on_policy.chosen),
        ("rejected", on_policy.rejected),
        ("chosen - rejected", on_policy.difference),
        ("the model's own samples", on_policy.sampled),
    ] {
        writeln!(
            f,
            "  {name:24} {mean:8.3} [{:.3}, {:.3}]",
            interval[0], interval[1]
        )?;
    }
    let Estimated { mean, interval } = on_policy.prefers_chosen;
    writeln!(
        f,
        "  the model finds the chosen answer more likely in {:.1} % of pairs [{:.1}, {:.1}]",
        100.0 * mean,
        100.0 * interval[0],
        100.0 * interval[1]
    )
}
