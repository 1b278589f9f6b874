//! A panel of coloured cells.

use super::colour::{ColourMap, is_light};
use super::font;
use super::number::{fixed, short_number};
use super::scene::{Anchor, Ink, Scene};
use super::style::Dash;

/// A grid of numbers as colours, with a colour bar.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    title: String,
    x_label: String,
    y_label: String,
    x_names: Vec<String>,
    y_names: Vec<String>,
    values: Vec<Vec<f64>>,
    value_label: String,
    colours: ColourMap,
    range: Option<(f64, f64)>,
    decimals: Option<usize>,
    cell: (f64, f64),
}

const TICK_SIZE: f64 = 11.0;
const LABEL_SIZE: f64 = 12.0;

impl HeatMap {
    /// A map of `values`, one row per name of `y` (top first), one column per name of `x`. NaN is drawn as an empty cell.
    ///
    /// # Panics
    /// If the rows of `values` do not fit the names.
    pub fn new(x: (&str, &[&str]), y: (&str, &[&str]), values: &[Vec<f64>]) -> Self {
        assert_eq!(values.len(), y.1.len(), "one row of values for each name");
        assert!(
            values.iter().all(|row| row.len() == x.1.len()),
            "one value in each row for each name"
        );
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            title: String::new(),
            x_label: x.0.to_owned(),
            y_label: y.0.to_owned(),
            x_names: names(x.1),
            y_names: names(y.1),
            values: values.to_vec(),
            value_label: String::new(),
            colours: ColourMap::Sequential,
            range: None,
            decimals: None,
            cell: (44.0, 30.0),
        }
    }

    /// A title above the map.
    #[must_use]
    pub fn title(mut self, title: &str) -> Self {
        title.clone_into(&mut self.title);
        self
    }

    /// What the colours stand for: the label of the colour bar.
    #[must_use]
    pub fn value_label(mut self, label: &str) -> Self {
        label.clone_into(&mut self.value_label);
        self
    }

    /// The colours, [`ColourMap::Sequential`] unless said otherwise.
    #[must_use]
    pub fn colours(mut self, colours: ColourMap) -> Self {
        self.colours = colours;
        self
    }

    /// The values of the two ends of the colours; what lies outside takes the end's colour. Without it, the range of the values.
    #[must_use]
    pub fn range(mut self, low: f64, high: f64) -> Self {
        assert!(
            low < high,
            "colours run from a lower to a higher value, not from {low} to {high}"
        );
        self.range = Some((low, high));
        self
    }

    /// Writes each value into its cell, with so many digits after the point.
    #[must_use]
    pub fn decimals(mut self, decimals: usize) -> Self {
        self.decimals = Some(decimals);
        self
    }

    /// Width and height of a cell in pixels (44 by 30 unless said otherwise).
    #[must_use]
    pub fn cell_size(mut self, width: f64, height: f64) -> Self {
        assert!(width > 0.0 && height > 0.0, "a cell has a size");
        self.cell = (width, height);
        self
    }

    pub(crate) fn outer_size(&self) -> (f64, f64) {
        let layout = self.layout();
        (
            layout.left + layout.width + layout.right,
            layout.top + layout.height + layout.bottom,
        )
    }

    pub(crate) fn draw(&self, scene: &mut Scene, x: f64, y: f64) {
        let layout = self.layout();
        let (left, top) = (x + layout.left, y + layout.top);
        if !self.title.is_empty() {
            scene.text(
                left,
                y + 13.0,
                &font::fit(&self.title, 13.0, layout.width + layout.right),
                13.0,
                Anchor::Start,
                Ink::Text,
            );
        }
        self.draw_cells(scene, left, top);
        let (right, bottom) = (left + layout.width, top + layout.height);
        for (index, name) in self.x_names.iter().enumerate() {
            let middle = left + (index as f64 + 0.5) * self.cell.0;
            if layout.x_turned {
                scene.turned_text(
                    middle + 4.0,
                    bottom + 10.0,
                    name,
                    TICK_SIZE,
                    Anchor::End,
                    Ink::Muted,
                    -35.0,
                );
            } else {
                scene.text(
                    middle,
                    bottom + 15.0,
                    name,
                    TICK_SIZE,
                    Anchor::Middle,
                    Ink::Muted,
                );
            }
        }
        for (index, name) in self.y_names.iter().enumerate() {
            let middle = top + (index as f64 + 0.5) * self.cell.1;
            scene.text(
                left - 6.0,
                middle + 4.0,
                name,
                TICK_SIZE,
                Anchor::End,
                Ink::Muted,
            );
        }
        let label_y = bottom + layout.bottom - 6.0;
        scene.text(
            left + layout.width / 2.0,
            label_y,
            &font::fit(&self.x_label, LABEL_SIZE, layout.width + layout.left),
            LABEL_SIZE,
            Anchor::Middle,
            Ink::Text,
        );
        scene.turned_text(
            x + 11.0,
            top + layout.height / 2.0,
            &font::fit(&self.y_label, LABEL_SIZE, layout.height + 40.0),
            LABEL_SIZE,
            Anchor::Middle,
            Ink::Text,
            -90.0,
        );
        self.draw_bar(scene, right + 16.0, top, layout.height);
    }

    fn draw_cells(&self, scene: &mut Scene, left: f64, top: f64) {
        let (low, high) = self.bounds();
        let (width, height) = self.cell;
        for (row, values) in self.values.iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                let (x, y) = (left + column as f64 * width, top + row as f64 * height);
                let (middle, base) = (x + width / 2.0, y + height / 2.0 + 4.0);
                if value.is_nan() {
                    let corners = vec![
                        (x, y),
                        (x + width, y),
                        (x + width, y + height),
                        (x, y + height),
                        (x, y),
                    ];
                    scene.line(corners, Ink::Grid, 1.0, Dash::Solid);
                    scene.text(middle, base, "n/a", TICK_SIZE, Anchor::Middle, Ink::Muted);
                    continue;
                }
                let colour = self.colours.at((value - low) / (high - low));
                scene.rectangle(x, y, width, height, Ink::Fixed(colour));
                if let Some(decimals) = self.decimals {
                    let ink = if is_light(colour) {
                        [0x11; 3]
                    } else {
                        [0xff; 3]
                    };
                    scene.text(
                        middle,
                        base,
                        &fixed(value, decimals),
                        TICK_SIZE,
                        Anchor::Middle,
                        Ink::Fixed(ink),
                    );
                }
            }
        }
    }

    /// The colour bar: highest value at the top.
    fn draw_bar(&self, scene: &mut Scene, x: f64, top: f64, height: f64) {
        let (low, high) = self.bounds();
        let steps = 32;
        let step = height / f64::from(steps);
        for index in 0..steps {
            let share = 1.0 - (f64::from(index) + 0.5) / f64::from(steps);
            // Each step reaches down to the bar's end, under the next ones, so that no seam shows between them.
            let (offset, colour) = (f64::from(index) * step, self.colours.at(share));
            scene.rectangle(x, top + offset, 12.0, height - offset, Ink::Fixed(colour));
        }
        for (value, y) in [
            (high, top + 4.0),
            ((low + high) / 2.0, top + height / 2.0 + 4.0),
            (low, top + height + 3.0),
        ] {
            scene.text(
                x + 17.0,
                y,
                &short_number(value),
                TICK_SIZE,
                Anchor::Start,
                Ink::Muted,
            );
        }
        let label_x = x + 17.0 + self.bar_numbers() + 14.0;
        scene.turned_text(
            label_x,
            top + height / 2.0,
            &font::fit(&self.value_label, LABEL_SIZE, height + 40.0),
            LABEL_SIZE,
            Anchor::Middle,
            Ink::Text,
            -90.0,
        );
    }

    fn bar_numbers(&self) -> f64 {
        let (low, high) = self.bounds();
        [low, (low + high) / 2.0, high]
            .map(|value| font::width(&short_number(value), TICK_SIZE))
            .into_iter()
            .fold(0.0, f64::max)
    }

    fn bounds(&self) -> (f64, f64) {
        let finite = || {
            self.values
                .iter()
                .flatten()
                .copied()
                .filter(|value| value.is_finite())
        };
        let (low, high) = self.range.unwrap_or_else(|| {
            (
                finite().fold(f64::INFINITY, f64::min),
                finite().fold(f64::NEG_INFINITY, f64::max),
            )
        });
        if low < high {
            (low, high)
        } else if low == high {
            (low - 0.5, high + 0.5)
        } else {
            (0.0, 1.0)
        }
    }

    fn layout(&self) -> Layout {
        let widest = |names: &[String]| {
            names
                .iter()
                .map(|name| font::width(name, TICK_SIZE))
                .fold(0.0, f64::max)
        };
        let x_widest = widest(&self.x_names);
        let x_turned = x_widest > self.cell.0 - 4.0;
        let y_label = if self.y_label.is_empty() { 0.0 } else { 18.0 };
        let x_label = if self.x_label.is_empty() { 4.0 } else { 20.0 };
        let bar_label = if self.value_label.is_empty() {
            0.0
        } else {
            18.0
        };
        Layout {
            left: y_label + widest(&self.y_names) + 8.0,
            top: if self.title.is_empty() { 8.0 } else { 22.0 },
            width: self.cell.0 * self.x_names.len() as f64,
            height: self.cell.1 * self.y_names.len() as f64,
            right: 16.0 + 17.0 + self.bar_numbers() + bar_label,
            bottom: if x_turned {
                x_widest * 0.6 + 18.0
            } else {
                20.0
            } + x_label,
            x_turned,
        }
    }
}

struct Layout {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    right: f64,
    bottom: f64,
    x_turned: bool,
}
