//! Golden files and the values in them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Why golden figures could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not JSON.
    #[error("{} is not JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Something there that is not what is expected there, or nothing.
    #[error("{at}: expected {expected}")]
    Expected {
        /// File and keys.
        at: String,
        /// In words.
        expected: String,
    },
    /// A section, kind or key that no comparison covers.
    #[error("{at}: `{found}` is not covered by any comparison")]
    Unknown {
        /// File and keys.
        at: String,
        /// The name.
        found: String,
    },
    /// A checkpoint or data set that a case names and that cannot be used.
    #[error("{at}: {reason}")]
    Unusable {
        /// File and keys.
        at: String,
        /// Why.
        reason: String,
    },
}

/// The directory of golden figures: `$PREFLAB_GOLDEN`, or `tests/golden` at the root of the repository.
pub fn golden_directory() -> PathBuf {
    std::env::var_os("PREFLAB_GOLDEN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden"),
        PathBuf::from,
    )
}

/// One golden file, in memory.
#[derive(Debug)]
pub struct GoldenFile {
    name: String,
    root: Value,
}

impl GoldenFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read or is not JSON.
    pub fn open(path: &Path) -> Result<Self, ParityError> {
        let text = std::fs::read_to_string(path).map_err(|source| ParityError::Read {
            path: path.to_owned(),
            source,
        })?;
        let root = serde_json::from_str(&text).map_err(|source| ParityError::Json {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into_owned(),
        );
        Ok(Self { name, root })
    }

    /// A file that is in memory already.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn of_text(name: &str, text: &str) -> Result<Self, ParityError> {
        let root = serde_json::from_str(text).map_err(|source| ParityError::Json {
            path: name.into(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            root,
        })
    }

    /// Every `.json` file of `directory`, in the order of their names; none if there is no such directory.
    ///
    /// # Errors
    /// If the directory or a file cannot be read, or a file is not JSON.
    pub fn all_in(directory: &Path) -> Result<Vec<Self>, ParityError> {
        if !directory.is_dir() {
            return Ok(Vec::new());
        }
        let fail = |source| ParityError::Read {
            path: directory.to_owned(),
            source,
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| Self::open(path)).collect()
    }

    /// Reads `name` of `directory`, or `None` if the directory has no such file.
    ///
    /// # Errors
    /// If it is there but cannot be read or is not JSON.
    pub fn open_if_present(directory: &Path, name: &str) -> Result<Option<Self>, ParityError> {
        let path = directory.join(name);
        if path.exists() {
            Self::open(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The whole file.
    pub fn root(&self) -> Node<'_> {
        Node {
            value: &self.root,
            at: self.name.clone(),
        }
    }
}

/// A value in a golden file that knows where it stands, so that every error names file and keys.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    value: &'a Value,
    at: String,
}

impl<'a> Node<'a> {
    /// File and keys of this value.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// The JSON value itself.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    fn expected(&self, what: &str) -> ParityError {
        ParityError::Expected {
            at: self.at.clone(),
            expected: what.to_owned(),
        }
    }

    /// The error for a `found` name here that no comparison covers.
    pub fn unknown(&self, found: &str) -> ParityError {
        ParityError::Unknown {
            at: self.at.clone(),
            found: found.to_owned(),
        }
    }

    /// The error for something named here that cannot be used.
    pub fn unusable(&self, reason: impl fmt::Display) -> ParityError {
        ParityError::Unusable {
            at: self.at.clone(),
            reason: reason.to_string(),
        }
    }

    fn object(&self) -> Result<&'a Map<String, Value>, ParityError> {
        self.value
            .as_object()
            .ok_or_else(|| self.expected("an object"))
    }

    /// The keys of an object, in file order.
    ///
    /// # Errors
    /// If this is no object.
    pub fn keys(&self) -> Result<Vec<&'a str>, ParityError> {
        Ok(self.object()?.keys().map(String::as_str).collect())
    }

    /// Refuses an object with a key that is not among `known`.
    ///
    /// # Errors
    /// If this is no object or has another key.
    pub fn only(&self, known: &[&str]) -> Result<(), ParityError> {
        match self.keys()?.into_iter().find(|key| !known.contains(key)) {
            Some(key) => Err(self.unknown(key)),
            None => Ok(()),
        }
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// If this is no object or has no such key.
    pub fn get(&self, key: &str) -> Result<Node<'a>, ParityError> {
        self.find(key)?
            .ok_or_else(|| self.expected(&format!("a key `{key}`")))
    }

    /// The value under `key`, unless it is absent or null.
    ///
    /// # Errors
    /// If this is no object.
    pub fn find(&self, key: &str) -> Result<Option<Node<'a>>, ParityError> {
        let value = self.object()?.get(key).filter(|value| !value.is_null());
        Ok(value.map(|value| Node {
            value,
            at: format!("{}: {key}", self.at),
        }))
    }

    /// The elements of a list.
    ///
    /// # Errors
    /// If this is no list.
    pub fn items(&self) -> Result<Vec<Node<'a>>, ParityError> {
        let items = self
            .value
            .as_array()
            .ok_or_else(|| self.expected("a list"))?;
        Ok(items
            .iter()
            .enumerate()
            .map(|(i, value)| Node {
                value,
                at: format!("{}[{i}]", self.at),
            })
            .collect())
    }

    /// A number.
    ///
    /// # Errors
    /// If this is none.
    pub fn number(&self) -> Result<f64, ParityError> {
        match self.value {
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "nan" => Ok(f64::NAN),
                "inf" | "infinity" => Ok(f64::INFINITY),
                "-inf" | "-infinity" => Ok(f64::NEG_INFINITY),
                _ => Err(self.expected("a number")),
            },
            value => value.as_f64().ok_or_else(|| self.expected("a number")),
        }
    }

    /// A whole number of at least 0.
    ///
    /// # Errors
    /// If this is none.
    pub fn index(&self) -> Result<usize, ParityError> {
        let index = self
            .value
            .as_u64()
            .ok_or_else(|| self.expected("a whole number of at least 0"))?;
        usize::try_from(index).map_err(|_| self.expected("a smaller number"))
    }

    /// A text.
    ///
    /// # Errors
    /// If this is none.
    pub fn text(&self) -> Result<&'a str, ParityError> {
        self.value.as_str().ok_or_else(|| self.expected("a text"))
    }

    /// True or false; numbers count as true unless 0.
    ///
    /// # Errors
    /// If this is neither.
    pub fn truth(&self) -> Result<bool, ParityError> {
        match self.value {
            Value::Bool(truth) => Ok(*truth),
            value => value
                .as_f64()
                .map(|x| x != 0.0)
                .ok_or_else(|| self.expected("true or false")),
        }
    }

    /// A list of numbers.
    ///
    /// # Errors
    /// If this is none.
    pub fn vector(&self) -> Result<Vec<f64>, ParityError> {
        self.items()?.iter().map(Node::number).collect()
    }

    /// A list of lists of numbers.
    ///
    /// # Errors
    /// If this is none.
    pub fn matrix(&self) -> Result<Vec<Vec<f64>>, ParityError> {
        self.items()?.iter().map(Node::vector).collect()
    }

    /// A list of lists of lists of numbers.
    ///
    /// # Errors
    /// If this is none.
    pub fn cube(&self) -> Result<Vec<Vec<Vec<f64>>>, ParityError> {
        self.items()?.iter().map(Node::matrix).collect()
    }

    /// A list of whole numbers of at least 0.
    ///
    /// # Errors
    /// If this is none.
    pub fn indices(&self) -> Result<Vec<usize>, ParityError> {
        self.items()?.iter().map(Node::index).collect()
    }

    /// A list of lists of true and false.
    ///
    /// # Errors
    /// If this is none.
    pub fn mask(&self) -> Result<Vec<Vec<bool>>, ParityError> {
        self.items()?
            .iter()
            .map(|row| row.items()?.iter().map(Node::truth).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_file_and_keys() {
        let file = GoldenFile::of_text("x.json", r#"{"cases": [{"loss": "much"}]}"#).unwrap();
        let case = &file.root().get("cases").unwrap().items().unwrap()[0];
        let error = case.get("loss").unwrap().number().unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.json: cases[0]: loss: expected a number"
        );
        assert_eq!(
            case.get("grad").unwrap_err().to_string(),
            "x.json: cases[0]: expected a key `grad`"
        );
        let error = case.only(&["seed"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.json: cases[0]: `loss` is not covered by any comparison"
        );
    }
}
