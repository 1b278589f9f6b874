//! The claims as a table for a terminal.

use std::fmt::Write;

use super::{Claim, Claims, Comparison, Finding, RULE, Verdict, word};
use crate::figure::short_number;
use crate::format::with_interval;

/// Columns of a terminal that the table fits in.
const WIDTH: usize = 100;
const NUMBER: usize = 2;
const VERDICT: usize = 12;
/// As much as `−0.000002 [−0.000033, −0.000030]` takes.
const EFFECT: usize = 32;
const SEEDS: usize = 5;
const GAP: usize = 2;
const CLAIM: usize = WIDTH - NUMBER - VERDICT - EFFECT - SEEDS - 4 * GAP;

const INFALLIBLE: &str = "a string takes any text";

pub(super) fn table(claims: &Claims, every: bool) -> String {
    let mut text = String::new();
    line(
        &mut text,
        ["#", "verdict", "claim", "effect [95 % interval]", "seeds"],
    );
    text.push_str(&"-".repeat(WIDTH));
    text.push('\n');
    for claim in &claims.claims {
        write_claim(&mut text, claim, every);
    }
    let tally = claims.tally();
    write!(
        text,
        "\n{} claims: {} PASS, {} FAIL, {} INCONCLUSIVE, {} MISSING\n\n",
        claims.claims.len(),
        tally.pass,
        tally.fail,
        tally.inconclusive,
        tally.missing
    )
    .expect(INFALLIBLE);
    for run in &claims.runs {
        if let Some((done, planned)) = run.cells
            && done < planned
        {
            let note = format!(
                "`{}` is not complete: {done} of {planned} cells are done.",
                run.directory.display()
            );
            for part in wrapped(&note, WIDTH) {
                writeln!(text, "{part}").expect(INFALLIBLE);
            }
        }
    }
    for part in wrapped(RULE, WIDTH) {
        writeln!(text, "{part}").expect(INFALLIBLE);
    }
    text.truncate(text.trim_end().len());
    text
}

fn write_claim(text: &mut String, claim: &Claim, every: bool) {
    let statement = wrapped(claim.statement, CLAIM);
    let number = claim.number.to_string();
    let verdict = word(claim.verdict);
    for (index, part) in statement.iter().enumerate() {
        match index {
            0 => line(text, [&number, &verdict, part, "", ""]),
            _ => line(text, ["", "", part, "", ""]),
        }
    }
    line(text, ["", "", &format!("({})", claim.place), "", ""]);
    if claim.findings.is_empty() {
        for part in wrapped(&format!("supplied by {}", claim.supplied_by), CLAIM) {
            line(text, ["", "", &part, "", ""]);
        }
    }
    for finding in &claim.findings {
        write_finding(text, finding, every, claim.findings.len() > 1);
    }
}

fn write_finding(text: &mut String, finding: &Finding, every: bool, several: bool) {
    let total = finding.comparisons.len();
    let run = format!("{}:", finding.run.display());
    for part in wrapped(&run, CLAIM) {
        line(text, ["", "", &part, "", ""]);
    }
    let shown: Vec<&Comparison> = if every {
        finding.comparisons.iter().collect()
    } else {
        finding.deciding().into_iter().collect()
    };
    let verdict = |of: Verdict| of.to_string().to_lowercase();
    for comparison in shown {
        let mut name = format!("  {}", comparison.effect_name);
        if comparison.margin != 0.0 {
            let margin = short_number(comparison.margin);
            write!(name, ", above {margin}").expect(INFALLIBLE);
        }
        if !every && total > 1 {
            write!(name, " (decides, of {total})").expect(INFALLIBLE);
        }
        let own = match (every && total > 1, several) {
            (true, _) => verdict(comparison.verdict),
            (false, true) => verdict(finding.verdict),
            (false, false) => String::new(),
        };
        let (effect, seeds) = (effect(comparison), seeds(comparison));
        for (index, part) in wrapped(&name, CLAIM).iter().enumerate() {
            match index {
                0 => line(text, ["", &own, part, &effect, &seeds]),
                _ => line(text, ["", "", part, "", ""]),
            }
        }
    }
}

/// `0.12 [0.10, 0.14]`.
pub(super) fn effect(comparison: &Comparison) -> String {
    let interval = (comparison.interval.low, comparison.interval.high);
    let defined = interval.0.is_finite() && interval.1.is_finite();
    with_interval(comparison.effect, defined.then_some(interval))
}

fn seeds(comparison: &Comparison) -> String {
    match comparison.left_out {
        0 => comparison.seeds.to_string(),
        left_out => format!("{} (-{left_out})", comparison.seeds),
    }
}

fn line(text: &mut String, [number, verdict, claim, effect, seeds]: [&str; 5]) {
    let row = format!(
        "{number:>NUMBER$}  {verdict:<VERDICT$}  {claim:<CLAIM$}  {effect:<EFFECT$}  {seeds:>SEEDS$}"
    );
    text.push_str(row.trim_end());
    text.push('\n');
}

/// Text in lines of at most `width` characters, broken at spaces; what is longer in itself, after a slash, or anywhere.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut lines = Vec::new();
    let mut current = indent.clone();
    for word in text.split_whitespace() {
        for piece in pieces(word, width - indent.len()) {
            let starts = current.trim().is_empty();
            if !starts && current.chars().count() + 1 + piece.chars().count() > width {
                lines.push(std::mem::replace(&mut current, indent.clone()));
            } else if !starts {
                current.push(' ');
            }
            current.push_str(&piece);
        }
    }
    lines.push(current);
    lines
}

/// A word in pieces of at most `width` characters.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest: Vec<char> = word.chars().collect();
    while rest.len() > width {
        let slash = rest[..width].iter().rposition(|c| *c == '/');
        let at = slash.map_or(width, |slash| slash + 1);
        pieces.push(rest.drain(..at).collect());
    }
    pieces.push(rest.into_iter().collect());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_long_paths_at_slashes() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("  a bb ccc", 6), ["  a bb", "  ccc"]);
        assert_eq!(wrapped("/long/path/name", 8), ["/long/", "path/", "name"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
    }
}
