//! Numbers that JSON has not, written as text.

use serde::{Deserialize, Serialize};

/// A number that JSON may not have: it knows neither NaN nor infinities, and a diverged run has both.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Other(NonFinite),
}

/// The text that stands for a number JSON has not.
#[derive(Serialize, Deserialize)]
enum NonFinite {
    #[serde(rename = "nan")]
    NotANumber,
    #[serde(rename = "inf")]
    Infinity,
    #[serde(rename = "-inf")]
    MinusInfinity,
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        if value.is_finite() {
            Self::Finite(value)
        } else if value.is_nan() {
            Self::Other(NonFinite::NotANumber)
        } else if value > 0.0 {
            Self::Other(NonFinite::Infinity)
        } else {
            Self::Other(NonFinite::MinusInfinity)
        }
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> Self {
        match number {
            Number::Finite(value) => value,
            Number::Other(NonFinite::NotANumber) => Self::NAN,
            Number::Other(NonFinite::Infinity) => Self::INFINITY,
            Number::Other(NonFinite::MinusInfinity) => Self::NEG_INFINITY,
        }
    }
}

/// Numbers by name, those that JSON has not as text.
pub(crate) mod finite_or_text {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Number;

    pub fn serialize<S: Serializer>(
        map: &BTreeMap<String, f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(name, &value)| (name, Number::from(value))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, f64>, D::Error> {
        let map = BTreeMap::<String, Number>::deserialize(deserializer)?;
        Ok(map
            .into_iter()
            .map(|(name, number)| (name, number.into()))
            .collect())
    }
}

/// The same for lists of numbers.
pub(crate) mod vectors_or_text {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Number;

    pub fn serialize<S: Serializer>(
        map: &BTreeMap<String, Vec<f64>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let numbers = |values: &[f64]| values.iter().copied().map(Number::from).collect::<Vec<_>>();
        serializer.collect_map(map.iter().map(|(name, values)| (name, numbers(values))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Vec<f64>>, D::Error> {
        let map = BTreeMap::<String, Vec<Number>>::deserialize(deserializer)?;
        let values = |numbers: Vec<Number>| numbers.into_iter().map(f64::from).collect();
        Ok(map
            .into_iter()
            .map(|(name, numbers)| (name, values(numbers)))
            .collect())
    }
}
