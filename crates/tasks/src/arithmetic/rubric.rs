//! The rubric of 1 to 5 points (arXiv:2406.07327, table 4) as a rule.
//!
//! A **needed step** is a calculation of the solution; it is there if the answer has an equation that holds and is that
//! calculation (for generated problems: the same left side and value; for files, where there are many ways: the same
//! value). An answer's working is **very redundant** if it has more than twice as many equations as steps are needed.
//!
//! | points | result | working |
//! | --- | --- | --- |
//! | 5 | right | every needed step is there, every equation holds, not very redundant |
//! | 4 | right | every equation holds, but steps or all working are missing, or it is very redundant |
//! | 3 | right | some equation does not hold |
//! | 3 | wrong | more than half of the needed steps are there, and more than half of the equations hold |
//! | 2 | wrong | some needed step is there |
//! | 1 | wrong | none is |
//!
//! A result counts only if it stands alone at the end after the one mark `#`, so that naming several numbers, or
//! equations about nothing (`1+1=2`), earn nothing.

use super::working::{Equation, Working};

/// A step of a solution.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The left side asked for; `None` where any calculation of the value will do.
    pub left: Option<String>,
    /// Its value.
    pub value: f64,
}

/// What a right answer has.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Needed steps, none twice.
    pub steps: Vec<Step>,
    /// The result.
    pub result: f64,
}

/// The points of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// 1 to 5.
    pub points: u8,
    /// Whether the result is right.
    pub result: bool,
    /// Share of the needed steps that are there.
    pub process: f64,
}

impl Solution {
    /// The solution that a reference answer shows: the values of its calculations and its result. Where it shows no
    /// calculation, the one needed step is any calculation of the result. `None` if the reference has no result.
    pub fn of_reference(reference: &str) -> Option<Self> {
        let working = Working::read(reference);
        let result = working.result?;
        let mut steps: Vec<Step> = Vec::new();
        for value in working
            .equations
            .iter()
            .map(|equation| equation.claimed)
            .chain(
                // With calculations of its own, a reference needs no further step for the result.
                working.equations.is_empty().then_some(result),
            )
        {
            if !steps.iter().any(|step| is_close(step.value, value)) {
                steps.push(Step { left: None, value });
            }
        }
        Some(Self { steps, result })
    }
}

/// Marks `answer` against `solution`.
///
/// # Panics
/// If the solution has no step.
pub fn mark(solution: &Solution, answer: &str) -> Mark {
    assert!(!solution.steps.is_empty(), "a solution has a step");
    let working = Working::read(answer);
    let needed = solution.steps.len();
    let there = solution
        .steps
        .iter()
        .filter(|step| {
            working
                .equations
                .iter()
                .any(|equation| meets(equation, step))
        })
        .count();
    let (equations, holding) = (
        working.equations.len(),
        working
            .equations
            .iter()
            .filter(|equation| equation.holds)
            .count(),
    );
    let result = working
        .result
        .is_some_and(|result| is_close(result, solution.result));
    let points = match result {
        true if holding < equations => 3,
        true if there == needed && equations <= 2 * needed => 5,
        true => 4,
        false if 2 * there > needed && 2 * holding > equations => 3,
        false if there > 0 => 2,
        false => 1,
    };
    Mark {
        points,
        result,
        process: there as f64 / needed as f64,
    }
}

fn meets(equation: &Equation, step: &Step) -> bool {
    let is_same = step.left.as_ref().is_none_or(|left| *left == equation.left);
    equation.holds && is_same && is_close(equation.claimed, step.value)
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solution() -> Solution {
        let step = |left: &str, value| Step {
            left: Some(left.into()),
            value,
        };
        Solution {
            steps: vec![step("12+7", 19.0), step("19-5", 14.0), step("14*3", 42.0)],
            result: 42.0,
        }
    }

    #[test]
    fn each_line_of_the_rubric_has_its_answer() {
        let right = "12+7=19\n19-5=14\n14*3=42\n";
        for (answer, points, process) in [
            (format!("{right}#42"), 5, 1.0),
            ("#42".into(), 4, 0.0),
            ("1+1=2\n#42".into(), 4, 0.0),
            ("12+7=19\n14*3=42\n#42".into(), 4, 2.0 / 3.0),
            (format!("{}#42", right.repeat(2)), 5, 1.0),
            (format!("{}#42", right.repeat(3)), 4, 1.0),
            ("12+7=18\n19-5=14\n14*3=42\n#42".into(), 3, 2.0 / 3.0),
            ("12+7=19\n19-5=14\n14*3=41\n#41".into(), 3, 2.0 / 3.0),
            (right.to_owned(), 3, 1.0),
            ("12+7=19\n19-5=15\n15*3=45\n#45".into(), 2, 1.0 / 3.0),
            ("12+7=18\n18-5=13\n13*3=39\n#39".into(), 1, 0.0),
            ("1+1=2\n2+2=4\n#4".into(), 1, 0.0),
            ("#41\n#42".into(), 1, 0.0),
            (String::new(), 1, 0.0),
            ("forty-two".into(), 1, 0.0),
        ] {
            let mark = mark(&solution(), &answer);
            assert_eq!((mark.points, mark.process), (points, process), "{answer}");
            assert_eq!(
                mark.result,
                answer.ends_with("#42") && answer.matches('#').count() == 1,
                "{answer}"
            );
        }
    }

    #[test]
    fn a_reference_gives_its_own_solution() {
        let reference = "Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.\nShe earned 0.2 x 50 = $<<0.2*50=10>>10.\n#### 10";
        let solution = Solution::of_reference(reference).unwrap();
        assert_eq!(
            solution
                .steps
                .iter()
                .map(|step| step.value)
                .collect::<Vec<_>>(),
            [0.2, 10.0]
        );
        assert_eq!(mark(&solution, reference).points, 5);
        assert_eq!(mark(&solution, "50/5=10\n#10").points, 4);
        let bare = Solution::of_reference("#### 9").unwrap();
        assert_eq!(mark(&bare, "99-90=9\n#9").points, 5);
        assert_eq!(mark(&bare, "#9").points, 4);
        assert_eq!(Solution::of_reference("nine"), None);
    }
}
