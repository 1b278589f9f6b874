//! What an answer to an arithmetic problem says: its calculations and its result.

use super::expression::evaluate;

/// A calculation with the value that the answer gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Equation {
    /// The left side without blanks.
    pub left: String,
    /// The value claimed.
    pub claimed: f64,
    /// Whether it is so.
    pub holds: bool,
}

/// The calculations and the result of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Working {
    /// In the order in which they stand.
    pub equations: Vec<Equation>,
    /// The number after the mark `#` or `####`; `None` without a number there, with several marks, or with text after it.
    pub result: Option<f64>,
}

impl Working {
    /// Reads an answer. If it marks calculations (`<<48/2=24>>`), those alone are read; otherwise every run of digits and
    /// signs with an equals sign in it.
    pub fn read(text: &str) -> Self {
        let (working, result) = split_result(text);
        let equations = if working.contains("<<") {
            let marked = working
                .split("<<")
                .skip(1)
                .filter_map(|part| part.split(">>").next());
            marked.flat_map(equations).collect()
        } else {
            // A full stop or comma before a blank ends a clause; inside a number it is followed by a digit.
            let clauses = working.split(". ").flat_map(|clause| clause.split(", "));
            let runs = clauses.flat_map(|clause| clause.split(|c| !is_calculation(c)));
            runs.flat_map(equations).collect()
        };
        Self { equations, result }
    }
}

/// The text before the mark, and the number after it. The mark is `####` where there is one, else `#`, so that a sentence
/// may speak of "number #1".
fn split_result(text: &str) -> (&str, Option<f64>) {
    let Some(start) = text.find("####").or_else(|| text.find('#')) else {
        return (text, None);
    };
    let (working, rest) = text.split_at(start);
    (working, number(rest.trim_start_matches('#').trim()))
}

/// The value of a written number: without operations, or a fraction of two whole numbers.
pub(super) fn number(text: &str) -> Option<f64> {
    let is_whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_fraction = text
        .split_once('/')
        .is_some_and(|(above, below)| is_whole(above) && is_whole(below));
    let value = evaluate(text)?;
    (value.operations == 0 || is_fraction).then_some(value.number)
}

fn is_calculation(c: char) -> bool {
    c.is_ascii_digit()
        || matches!(
            c,
            '.' | ',' | '+' | '-' | '−' | '*' | '×' | '/' | '÷' | '(' | ')' | '=' | '$' | '%' | ' '
        )
}

/// The equations of one run: in `2+3=5`, the left side has an operation and the right side none.
fn equations(run: &str) -> impl Iterator<Item = Equation> {
    let sides: Vec<&str> = run
        .split('=')
        .map(|side| side.trim_matches([' ', '.', ',']))
        .collect();
    let pairs: Vec<Equation> = sides
        .windows(2)
        .filter_map(|pair| equation(pair[0], pair[1]))
        .collect();
    pairs.into_iter()
}

fn equation(left: &str, right: &str) -> Option<Equation> {
    let value = evaluate(left).filter(|value| value.operations > 0)?;
    let claimed = evaluate(right).filter(|value| value.operations == 0)?;
    Some(Equation {
        left: left.replace(' ', ""),
        claimed: claimed.number,
        holds: (value.number - claimed.number).abs() <= rounding(right),
    })
}

/// How far a number written with these decimals may be from what it stands for.
fn rounding(number: &str) -> f64 {
    match number.split_once('.') {
        Some((_, decimals)) if decimals.contains(|c: char| c.is_ascii_digit()) => {
            let places = decimals
                .chars()
                .filter(char::is_ascii_digit)
                .count()
                .min(12);
            0.5 * 10f64.powi(-(places as i32)) * (1.0 + 1e-6)
        }
        Some(_) | None => 1e-6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lefts(text: &str) -> Vec<(String, f64, bool)> {
        let equations = Working::read(text).equations;
        equations
            .into_iter()
            .map(|equation| (equation.left, equation.claimed, equation.holds))
            .collect()
    }

    #[test]
    fn marked_calculations_are_read_alone() {
        let text =
            "Natalia sold 48/2 = <<48/2=24>>24 clips.\nThat is 48+24 = <<48+24=73>>73.\n#### 73";
        assert_eq!(
            lefts(text),
            [("48/2".into(), 24.0, true), ("48+24".into(), 73.0, false)]
        );
        assert_eq!(Working::read(text).result, Some(73.0));
    }

    #[test]
    fn plain_calculations_are_found_in_sentences() {
        let text = "She has 5 + 3 = 8 apples. Then 8*2=16. 1/3 = 0.33, and 4 = 4.\n#16";
        assert_eq!(
            lefts(text),
            [
                ("5+3".into(), 8.0, true),
                ("8*2".into(), 16.0, true),
                ("1/3".into(), 0.33, true)
            ]
        );
    }

    #[test]
    fn a_chain_is_read_pair_by_pair() {
        assert_eq!(lefts("2+3=5=5"), [("2+3".into(), 5.0, true)]);
        assert_eq!(lefts("2+3=4+1=5"), [("4+1".into(), 5.0, true)]);
    }

    #[test]
    fn only_one_result_at_the_end_counts() {
        for (text, result) in [
            ("#14", Some(14.0)),
            ("1+1=2\n#### $1,400 ", Some(1400.0)),
            ("#14\n", Some(14.0)),
            ("14", None),
            ("#14 #15", None),
            ("#14\n#14", None),
            ("Number #1 has 2+2=4.\n#### 4", Some(4.0)),
            ("#### 14\n#### 14", None),
            ("#14\n7*2=14", None),
            ("#7*2", None),
            ("#3/4", Some(0.75)),
            ("#12%", Some(0.12)),
            ("#3/4/2", None),
            ("#", None),
        ] {
            assert_eq!(Working::read(text).result, result, "{text}");
        }
    }
}
