//! Elements of a JSON array, one at a time, without the whole array in memory.

use std::io::BufRead;

/// Cuts the elements out of an array. What is between two commas of the array is an element; that it is JSON is for the
/// reader of the element to find out.
pub(super) struct Elements {
    reader: Box<dyn BufRead + Send>,
    line: usize,
    state: State,
    limit: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Inside,
    Finished,
}

/// Why an element cannot be cut out.
#[derive(Debug)]
pub(super) enum Trouble {
    Read(std::io::Error),
    /// What is wrong, at [`Elements::line`].
    Text(&'static str),
}

impl Elements {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, limit: u64) -> Self {
        Self {
            reader,
            line: 1,
            state: State::Start,
            limit,
        }
    }

    /// The line reached, from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// The next element with the line on which it starts.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Vec<u8>)>, Trouble> {
        if self.state == State::Start {
            match self.skip_blanks()? {
                Some(b'[') => self.take(),
                Some(_) | None => return Err(Trouble::Text("the file is not a JSON array")),
            }
            self.state = State::Inside;
            if self.skip_blanks()? == Some(b']') {
                self.take();
                self.state = State::Finished;
            }
        }
        if self.state == State::Finished {
            return match self.skip_blanks()? {
                None => Ok(None),
                Some(_) => Err(Trouble::Text("there is text after the array")),
            };
        }
        self.skip_blanks()?;
        let start = self.line;
        self.element().map(|element| Some((start, element)))
    }

    /// Bytes up to the comma or bracket that ends the element, which is taken too.
    fn element(&mut self) -> Result<Vec<u8>, Trouble> {
        let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
        let mut element = Vec::new();
        loop {
            let byte = self
                .peek()?
                .ok_or(Trouble::Text("the array ends in the middle of an element"))?;
            self.take();
            self.line += usize::from(byte == b'\n');
            if in_string {
                in_string = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            } else {
                match byte {
                    b',' if depth == 0 => return Ok(element),
                    b']' if depth == 0 => {
                        self.state = State::Finished;
                        return Ok(element);
                    }
                    b'"' => in_string = true,
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            element.push(byte);
            if element.len() as u64 > self.limit {
                return Err(Trouble::Text("an element of the array is too long"));
            }
        }
    }

    fn skip_blanks(&mut self) -> Result<Option<u8>, Trouble> {
        loop {
            match self.peek()? {
                // A byte-order mark before the array counts as blank.
                Some(byte @ (b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf)) => {
                    self.take();
                    self.line += usize::from(byte == b'\n');
                }
                other => return Ok(other),
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Trouble> {
        let buffer = self.reader.fill_buf().map_err(Trouble::Read)?;
        Ok(buffer.first().copied())
    }

    fn take(&mut self) {
        self.reader.consume(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &'static str) -> Result<Vec<(usize, String)>, Trouble> {
        let mut elements = Elements::new(Box::new(text.as_bytes()), 100);
        let mut found = Vec::new();
        while let Some((line, element)) = elements.next()? {
            found.push((line, String::from_utf8(element).unwrap().trim().to_owned()));
        }
        Ok(found)
    }

    #[test]
    fn elements_are_cut_at_the_commas_of_the_array_alone() {
        let text = "[\n {\"a\": [1, 2], \"b\": \"],\\\"\\\\\"},\n\n 3 ]\n";
        assert_eq!(
            elements(text).unwrap(),
            [
                (2, "{\"a\": [1, 2], \"b\": \"],\\\"\\\\\"}".into()),
                (4, "3".into())
            ]
        );
        assert!(elements(" [ ] ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in ["", "{}", "[1", "[\"a]", "[1] 2"] {
            assert!(elements(text).is_err(), "{text}");
        }
        assert!(matches!(
            elements(Box::leak(
                format!("[\"{}\"]", "a".repeat(200)).into_boxed_str()
            )),
            Err(Trouble::Text(_))
        ));
    }
}
