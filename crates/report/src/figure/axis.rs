//! Axes: what a coordinate means and which of its values are marked.

use super::number::short_number;

/// How values are laid along an axis.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// Equal differences, equal distances.
    Linear,
    /// Equal ratios, equal distances. Values of 0 and below are not drawn.
    Log,
    /// Names; the n-th stands at the coordinate n. On a vertical axis the first is at the top.
    Categories(Vec<String>),
}

/// An axis: label, scale and, if it shall not follow the data, range.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub(crate) label: String,
    pub(crate) scale: Scale,
    range: Option<(f64, f64)>,
    included: Vec<f64>,
}

/// A marked value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    /// Its place from 0 to 1.
    pub(crate) share: f64,
    pub(crate) label: String,
}

/// An axis whose range is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    /// A linear axis. The label names quantity and unit.
    pub fn linear(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            scale: Scale::Linear,
            range: None,
            included: Vec::new(),
        }
    }

    /// A logarithmic axis.
    pub fn log(label: &str) -> Self {
        Self {
            scale: Scale::Log,
            ..Self::linear(label)
        }
    }

    /// An axis of names.
    pub fn categories(label: &str, names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Self {
            scale: Scale::Categories(names),
            ..Self::linear(label)
        }
    }

    /// Fixes the range; what lies outside is cut off.
    ///
    /// # Panics
    /// If the range is empty, or reaches 0 on a logarithmic axis.
    #[must_use]
    pub fn range(mut self, low: f64, high: f64) -> Self {
        assert!(
            low < high,
            "an axis runs from a lower to a higher value, not from {low} to {high}"
        );
        assert!(
            self.scale != Scale::Log || low > 0.0,
            "a logarithmic axis begins above 0, not at {low}"
        );
        self.range = Some((low, high));
        self
    }

    /// Makes the range contain `value`, wherever the data are.
    #[must_use]
    pub fn include(mut self, value: f64) -> Self {
        self.included.push(value);
        self
    }

    /// The axis for these data.
    pub(crate) fn ruler(&self, data: impl Iterator<Item = f64>) -> Ruler {
        let drawable =
            |value: &f64| value.is_finite() && (self.scale != Scale::Log || *value > 0.0);
        let values = data.chain(self.included.iter().copied()).filter(drawable);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = match (&self.scale, self.range) {
            (Scale::Categories(names), _) => (-0.5, names.len().max(1) as f64 - 0.5),
            (_, Some(range)) => range,
            (Scale::Linear, None) if low > high => (0.0, 1.0),
            (Scale::Log, None) if low > high => (0.1, 1.0),
            // One value only, or so close that rounding would eat the distance.
            (Scale::Linear, None) if high - low <= 1e-9 * high.abs().max(low.abs()) => {
                let margin = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
                (low - margin, high + margin)
            }
            (Scale::Log, None) if high / low < 1.0 + 1e-9 => (low / 2.0, high * 2.0),
            (Scale::Linear, None) => {
                let margin = 0.04 * (high - low);
                (low - margin, high + margin)
            }
            (Scale::Log, None) => {
                let margin = (high / low).powf(0.04);
                (low / margin, high * margin)
            }
        };
        Ruler {
            scale: self.scale.clone(),
            low,
            high,
        }
    }
}

impl Ruler {
    /// The place of `value`, from 0 (low end) to 1, beyond if it lies outside; none if it cannot be drawn.
    pub(crate) fn share(&self, value: f64) -> Option<f64> {
        let share = match self.scale {
            Scale::Linear | Scale::Categories(_) => (value - self.low) / (self.high - self.low),
            Scale::Log if value <= 0.0 => return None,
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        share.is_finite().then_some(share)
    }

    /// Whether the scale is one of names.
    pub(crate) fn is_categorical(&self) -> bool {
        matches!(self.scale, Scale::Categories(_))
    }

    /// The marked values, about `wanted` of them.
    pub(crate) fn ticks(&self, wanted: usize) -> Vec<Tick> {
        let values: Vec<(f64, String)> = match &self.scale {
            Scale::Linear => linear_ticks(self.low, self.high, wanted),
            Scale::Log => log_ticks(self.low, self.high, wanted),
            Scale::Categories(names) => names
                .iter()
                .enumerate()
                .map(|(index, name)| (index as f64, name.clone()))
                .collect(),
        };
        let placed = values.into_iter().filter_map(|(value, label)| {
            Some(Tick {
                share: self.share(value)?,
                label,
            })
        });
        placed
            .filter(|tick| (-1e-9..=1.0 + 1e-9).contains(&tick.share))
            .collect()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, wanted: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / wanted.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let count = |step: f64| (high / step).floor() - (low / step).ceil() + 1.0;
    let few_enough = |step: &f64| count(*step) <= wanted as f64 + 1.0;
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(few_enough).unwrap_or(20.0 * power);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let label = |value: f64| {
        let text = if decimals <= 5 && value.abs() < 1e6 {
            super::number::fixed(value, decimals)
        } else {
            short_number(value)
        };
        (value, text)
    };
    (first..=last)
        .map(|multiple| label(multiple as f64 * step))
        .collect()
}

/// Powers of ten, thinned out when there are many, with their doubles and fives when there are few.
fn log_ticks(low: f64, high: f64, wanted: usize) -> Vec<(f64, String)> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (high / low).log10();
    let enough = |stride: &i32| decades / f64::from(*stride) <= wanted.max(1) as f64;
    let stride = [1, 2, 3, 5, 10, 20, 50]
        .into_iter()
        .find(enough)
        .unwrap_or(100);
    let factors: &[f64] = if decades < 1.2 {
        &[1.0, 2.0, 3.0, 5.0, 7.0]
    } else if decades < 2.5 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let powers = (first..=last).filter(|power| power.rem_euclid(stride) == 0);
    let values = powers.flat_map(|power| {
        factors
            .iter()
            .map(move |factor| factor * 10_f64.powi(power))
    });
    values.map(|value| (value, short_number(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, data: &[f64]) -> Vec<String> {
        axis.ruler(data.iter().copied())
            .ticks(5)
            .into_iter()
            .map(|tick| tick.label)
            .collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        assert_eq!(
            labels(&Axis::linear(""), &[0.0, 1.0]),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(&Axis::linear(""), &[-3.0, 400.0]),
            ["0", "100", "200", "300", "400"]
        );
        assert_eq!(
            labels(&Axis::log(""), &[1e-40, 1.0]),
            ["1e-40", "1e-30", "1e-20", "1e-10", "1"]
        );
        assert_eq!(
            labels(&Axis::log(""), &[0.01, 0.1]),
            ["0.01", "0.02", "0.03", "0.05", "0.07", "0.1"]
        );
        assert_eq!(labels(&Axis::categories("", &["a", "b"]), &[]), ["a", "b"]);
    }

    #[test]
    fn strange_data_still_give_an_axis() {
        for data in [
            &[][..],
            &[f64::NAN],
            &[0.0],
            &[5.0, 5.0],
            &[f64::INFINITY, 1.0],
            &[-1.0, 0.0],
        ] {
            for axis in [Axis::linear(""), Axis::log("")] {
                let ruler = axis.ruler(data.iter().copied());
                assert!(
                    ruler.low.is_finite() && ruler.low < ruler.high,
                    "{data:?}: {ruler:?}"
                );
            }
        }
        let ruler = Axis::log("").ruler([1.0, 10.0].into_iter());
        assert_eq!(ruler.share(0.0), None);
        assert_eq!(ruler.share(f64::NAN), None);
    }
}
