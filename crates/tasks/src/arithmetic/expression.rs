//! Value of a written calculation.

/// An expression's value and how many operations it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// The number it comes to.
    pub number: f64,
    /// Additions, subtractions, multiplications and divisions; signs and percent signs do not count.
    pub operations: usize,
}

/// Parentheses deeper than this are not read: no honest working nests them, and depth is stack.
const DEEPEST: usize = 8;

/// The value of `text`: numbers (`1,000`, `0.5`, `.5`, `$3`, `20%`), `+ - * × / ÷`, parentheses. `None` if it is anything
/// else or not a finite number.
///
/// # Example
/// ```
/// use preflab_tasks::arithmetic::expression::evaluate;
/// assert_eq!(evaluate("100 - 2*(3 + 4)").unwrap().number, 86.0);
/// assert_eq!(evaluate("1 +"), None);
/// ```
pub fn evaluate(text: &str) -> Option<Value> {
    let mut reader = Reader {
        rest: text,
        operations: 0,
    };
    let number = reader.sum(0)?;
    let finished = reader.peek().is_none() && number.is_finite();
    finished.then_some(Value {
        number,
        operations: reader.operations,
    })
}

struct Reader<'t> {
    rest: &'t str,
    operations: usize,
}

impl Reader<'_> {
    /// The next character that is not a blank.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches(' ');
        self.rest.chars().next()
    }

    /// Takes the next character if it is one of `wanted`.
    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let next = self.peek().filter(|next| wanted.contains(next))?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn sum(&mut self, depth: usize) -> Option<f64> {
        let mut total = self.product(depth)?;
        while let Some(sign) = self.take(&['+', '-', '−']) {
            let next = self.product(depth)?;
            total += if sign == '+' { next } else { -next };
            self.operations += 1;
        }
        Some(total)
    }

    fn product(&mut self, depth: usize) -> Option<f64> {
        let mut total = self.factor(depth)?;
        while let Some(sign) = self.take(&['*', '×', '/', '÷']) {
            let next = self.factor(depth)?;
            total = if matches!(sign, '*' | '×') {
                total * next
            } else {
                total / next
            };
            self.operations += 1;
        }
        Some(total)
    }

    fn factor(&mut self, depth: usize) -> Option<f64> {
        let sign = if self.take(&['-', '−']).is_some() {
            -1.0
        } else {
            1.0
        };
        let _ = self.take(&['$']);
        let number = if self.take(&['(']).is_some() {
            if depth == DEEPEST {
                return None;
            }
            let inner = self.sum(depth + 1)?;
            self.take(&[')'])?;
            inner
        } else {
            self.number()?
        };
        let hundredth = if self.take(&['%']).is_some() {
            0.01
        } else {
            1.0
        };
        Some(sign * number * hundredth)
    }

    fn number(&mut self) -> Option<f64> {
        self.peek()?;
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        let is_grouped = digits.split(',').skip(1).all(|group| {
            let whole = group.split('.').next().unwrap_or(group);
            whole.len() == 3
        });
        if !is_grouped || !digits.contains(|c: char| c.is_ascii_digit()) {
            return None;
        }
        digits.replace(',', "").parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn calculations_come_to_their_value() {
        for (text, number, operations) in [
            ("2+3*4", 14.0, 2),
            ("(2+3)*4", 20.0, 2),
            ("100-50-30-15", 5.0, 3),
            ("8/4/2", 1.0, 2),
            (" $1,000 × .5 ", 500.0, 1),
            ("20% * 50", 10.0, 1),
            ("-3 - -4", 1.0, 1),
            ("7", 7.0, 0),
        ] {
            assert_eq!(evaluate(text), Some(Value { number, operations }), "{text}");
        }
    }

    #[test]
    fn what_is_no_calculation_has_no_value() {
        for text in [
            "",
            "+",
            "2+",
            "2 3",
            "1,00",
            "1.2.3",
            "x+1",
            "1/0",
            "(1",
            "1)",
            "--1",
            &"(".repeat(100_000),
        ] {
            assert_eq!(evaluate(text), None);
        }
    }

    proptest! {
        #[test]
        fn chains_of_whole_numbers_are_exact(start in 0..1000i64, steps in prop::collection::vec((0..3usize, 0..50i64), 0..6)) {
            let (mut text, mut total, mut terms) = (start.to_string(), 0, start);
            for (kind, operand) in &steps {
                text.push_str(&format!("{}{operand}", ['+', '-', '*'][*kind]));
                match kind {
                    0 => { total += terms; terms = *operand; }
                    1 => { total += terms; terms = -operand; }
                    _ => terms *= operand,
                }
            }
            prop_assert_eq!(evaluate(&text).unwrap().number, (total + terms) as f64);
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9+*/().,%$ x=−×÷-]{0,40}") {
            let _ = evaluate(&text);
        }
    }
}
