//! The legend: below the panels, one row after another.

use super::font;
use super::scene::{Anchor, Ink, Scene, Shape};
use super::style::Style;

/// One line of the legend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) label: String,
    pub(crate) style: Style,
    pub(crate) sample: Sample,
}

/// What stands before the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sample {
    Line,
    Dot,
}

const SIZE: f64 = 12.0;
const SAMPLE_WIDTH: f64 = 26.0;
const ROW: f64 = 19.0;

/// Draws each label once, from `y` downwards; returns where the legend ends.
pub(crate) fn draw(
    scene: &mut Scene,
    entries: Vec<Entry>,
    left: f64,
    mut y: f64,
    width: f64,
) -> f64 {
    let mut unique: Vec<Entry> = Vec::new();
    for entry in entries {
        if !unique.iter().any(|known| known.label == entry.label) {
            unique.push(entry);
        }
    }
    if unique.is_empty() {
        return y;
    }
    let mut x = left;
    for entry in unique {
        let label = font::fit(&entry.label, SIZE, width - SAMPLE_WIDTH - 6.0);
        let needed = SAMPLE_WIDTH + 6.0 + font::width(&label, SIZE) + 18.0;
        if x > left && x + needed > left + width {
            x = left;
            y += ROW;
        }
        let middle = y + ROW / 2.0;
        let ink = Ink::Series(entry.style.series);
        match entry.sample {
            Sample::Line => {
                scene.line(
                    vec![(x, middle), (x + SAMPLE_WIDTH, middle)],
                    ink,
                    2.0,
                    entry.style.dash,
                );
            }
            Sample::Dot => scene.shapes.push(Shape::Dot {
                x: x + SAMPLE_WIDTH / 2.0,
                y: middle,
                radius: 4.0,
                marker: entry.style.marker,
                ink,
                opacity: 1.0,
            }),
        }
        scene.text(
            x + SAMPLE_WIDTH + 6.0,
            middle + 4.0,
            &label,
            SIZE,
            Anchor::Start,
            Ink::Text,
        );
        x += needed;
    }
    y + ROW + 8.0
}
