//! The rectangle between the axes of a plot, and how lines and bands are cut to it.

use super::axis::Ruler;
use super::scene::{Ink, Scene, Shape};
use super::style::Style;

/// The rectangle in pixels, with the rulers of its two sides.
pub(crate) struct Area<'a> {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x: &'a Ruler,
    pub(crate) y: &'a Ruler,
}

impl Area<'_> {
    pub(crate) fn y_of_share(&self, share: f64) -> f64 {
        // Values grow upwards, names run downwards.
        let from_top = if self.y.is_categorical() {
            share
        } else {
            1.0 - share
        };
        self.top + from_top * self.height
    }

    pub(crate) fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let x = self.left + self.x.share(x)? * self.width;
        Some((x, self.y_of_share(self.y.share(y)?)))
    }

    pub(crate) fn contains(&self, (x, y): (f64, f64)) -> bool {
        let inside =
            |value: f64, low: f64, size: f64| (low - 0.5..=low + size + 0.5).contains(&value);
        inside(x, self.left, self.width) && inside(y, self.top, self.height)
    }

    pub(crate) fn clamp(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (
            x.clamp(self.left, self.left + self.width),
            y.clamp(self.top, self.top + self.height),
        )
    }

    /// The part of the segment that lies inside (Liang and Barsky).
    pub(crate) fn clip(
        &self,
        from: (f64, f64),
        to: (f64, f64),
    ) -> Option<((f64, f64), (f64, f64))> {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let (mut start, mut end) = (0.0_f64, 1.0_f64);
        let sides = [
            (-dx, from.0 - self.left),
            (dx, self.left + self.width - from.0),
            (-dy, from.1 - self.top),
            (dy, self.top + self.height - from.1),
        ];
        for (toward, room) in sides {
            if toward == 0.0 {
                if room < 0.0 {
                    return None;
                }
            } else if toward < 0.0 {
                start = start.max(room / toward);
            } else {
                end = end.min(room / toward);
            }
        }
        let at = |share: f64| (from.0 + share * dx, from.1 + share * dy);
        (start <= end).then(|| (at(start), at(end)))
    }
}

/// A line, cut at points that cannot be drawn and at the frame.
pub(crate) fn draw_line(scene: &mut Scene, area: &Area<'_>, points: &[(f64, f64)], style: Style) {
    let ink = Ink::Series(style.series);
    let mut run: Vec<(f64, f64)> = Vec::new();
    let mut finish = |run: &mut Vec<(f64, f64)>| {
        let run = std::mem::take(run);
        if run.len() > 1 {
            scene.line(run, ink, 1.8, style.dash);
        }
    };
    let placed: Vec<Option<(f64, f64)>> = points.iter().map(|&point| area.place(point)).collect();
    for pair in placed.windows(2) {
        let clipped = pair[0]
            .zip(pair[1])
            .and_then(|(from, to)| area.clip(from, to));
        let Some((from, to)) = clipped else {
            finish(&mut run);
            continue;
        };
        if run.last() != Some(&from) {
            finish(&mut run);
            run.push(from);
        }
        run.push(to);
    }
    finish(&mut run);
    // A point between two gaps has no line: show it as a dot.
    for (index, point) in placed.iter().enumerate() {
        let alone = |neighbour: Option<&Option<(f64, f64)>>| neighbour.is_none_or(Option::is_none);
        let before = index.checked_sub(1).and_then(|before| placed.get(before));
        if let Some((x, y)) = *point
            && alone(before)
            && alone(placed.get(index + 1))
            && area.contains((x, y))
        {
            scene.shapes.push(Shape::Dot {
                x,
                y,
                radius: 2.5,
                marker: style.marker,
                ink,
                opacity: 1.0,
            });
        }
    }
}

/// A band, one area for each run of points that can be drawn.
pub(crate) fn draw_band(
    scene: &mut Scene,
    area: &Area<'_>,
    points: &[(f64, f64, f64)],
    style: Style,
) {
    let placed: Vec<_> = points
        .iter()
        .map(|&(x, low, high)| area.place((x, low)).zip(area.place((x, high))))
        .collect();
    for run in placed.split(Option::is_none) {
        let lower = run.iter().flatten().map(|(low, _)| area.clamp(*low));
        let upper = run
            .iter()
            .flatten()
            .rev()
            .map(|(_, high)| area.clamp(*high));
        let outline: Vec<(f64, f64)> = lower.chain(upper).collect();
        if outline.len() > 2 {
            scene.area(outline, Ink::Series(style.series), 0.18);
        }
    }
}
