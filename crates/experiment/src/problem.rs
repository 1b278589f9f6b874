//! What is wrong with a request, said with place, expectation and way out.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, and what was expected.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// The way out.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a place in a file.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            hint: None,
        }
    }

    /// The same problem at a place.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// The same problem with its way out.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            writeln!(f, "{place}")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// A stretch of a line of a file, or of an override on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, or `--set`.
    pub source: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Length in characters, within the line.
    pub width: usize,
    /// The whole line.
    pub text: String,
}

impl Place {
    /// The place of a span of bytes of `text`.
    pub fn of(source: &str, text: &str, span: Range<usize>) -> Self {
        let start = span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |end| end + 1);
        let line = text[line_start..].lines().next().unwrap_or("");
        let line_end = line_start + line.len();
        let end = span.end.clamp(start, line_end.max(start));
        Self {
            source: source.to_owned(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end].chars().count().max(1),
            text: line.to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = " ".repeat(self.line.to_string().len());
        let indent: String = self
            .text
            .chars()
            .take(self.column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        writeln!(f, "{}:{}:{}", self.source, self.line, self.column)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{} | {}", self.line, self.text)?;
        write!(f, "{gutter} | {indent}{}", "^".repeat(self.width))
    }
}

/// Everything that is wrong with a request, at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` without problems.
    ///
    /// # Errors
    /// With the problems, each once, if there are any.
    pub fn check(problems: Vec<Problem>) -> Result<(), Self> {
        let mut once: Vec<Problem> = Vec::new();
        for problem in problems {
            if !once.contains(&problem) {
                once.push(problem);
            }
        }
        if once.is_empty() {
            Ok(())
        } else {
            Err(Self(once))
        }
    }

    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            if self.0.len() > 1 {
                write!(f, "problem {} of {}: ", index + 1, self.0.len())?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_drawn_with_line_column_and_caret() {
        let text = "[base]\nbeta = -0.1\n";
        let problem = Problem::new("expected a number above 0, found -0.1")
            .at(Place::of("x.toml", text, 14..18))
            .hint("try 0.1");
        insta::assert_snapshot!(problem, @r"
        x.toml:2:8
          |
        2 | beta = -0.1
          |        ^^^^
        expected a number above 0, found -0.1

        hint: try 0.1
        ");
    }

    #[test]
    fn a_place_counts_characters_and_stays_within_its_line() {
        let text = "é = [1,\n2]";
        let place = Place::of("x", text, 5..text.len());
        assert_eq!((place.line, place.column, place.width), (1, 5, 3));
        let end = Place::of("x", "a", 40..50);
        assert_eq!((end.line, end.column, end.width), (1, 2, 1));
    }

    #[test]
    fn the_same_problem_is_said_once() {
        let problems = vec![Problem::new("a"), Problem::new("b"), Problem::new("a")];
        assert_eq!(
            Problems::check(problems).unwrap_err().to_string(),
            "problem 1 of 2: a\n\nproblem 2 of 2: b"
        );
    }
}
