//! Which rows of a file are used.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The values that a row must have in some of its columns, by the file's own names: `{ split = "train" }`,
/// `{ split = ["train", "extra"], clean = true }`. Without columns, every row is used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowFilter(pub BTreeMap<String, Wanted>);

impl RowFilter {
    /// Whether every row is used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The values that are wanted in a column: one, or any of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Wanted(pub Vec<ColumnValue>);

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ColumnValue {
    /// True or false; in a file also 1 and 0, or text.
    Flag(bool),
    /// A number; in a file also as text.
    Number(f64),
    /// Text; in a file also the number or truth value that it spells.
    Text(String),
}

impl fmt::Display for ColumnValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = Wanted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, `true` or `false`, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Wanted, E> {
                Ok(Wanted(vec![ColumnValue::Text(text.to_owned())]))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Wanted, E> {
                Ok(Wanted(vec![ColumnValue::Flag(flag)]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Wanted, E> {
                Ok(Wanted(vec![ColumnValue::Number(number as f64)]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Wanted, E> {
                Ok(Wanted(vec![ColumnValue::Number(number as f64)]))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Wanted, E> {
                Ok(Wanted(vec![ColumnValue::Number(number)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Wanted, A::Error> {
                let mut all = Vec::new();
                while let Some(Wanted(one)) = values.next_element()? {
                    all.extend(one);
                }
                match all.is_empty() {
                    true => Err(de::Error::custom("expected at least one value, found none")),
                    false => Ok(Wanted(all)),
                }
            }
        }

        deserializer.deserialize_any(Values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_takes_one_value_or_several() {
        let text = "clean = true\nscore = [1, 2.5]\nsplit = [\"train\", \"extra\"]\n";
        let filter: RowFilter = toml::from_str(text).unwrap();
        assert_eq!(filter.0["clean"], Wanted(vec![ColumnValue::Flag(true)]));
        assert_eq!(
            filter.0["score"],
            Wanted(vec![ColumnValue::Number(1.0), ColumnValue::Number(2.5)])
        );
        let written = toml::to_string(&filter).unwrap();
        assert_eq!(toml::from_str::<RowFilter>(&written).unwrap(), filter);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let read = |text: &str| toml::from_str::<RowFilter>(text).unwrap_err().to_string();
        assert!(read("split = []").contains("at least one value"));
        assert!(read("split = { a = 1 }").contains("a text, a number"));
    }
}
