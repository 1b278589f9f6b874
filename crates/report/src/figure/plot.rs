//! A panel with two axes: lines, bands, dots, intervals.

use super::area::{self, Area};
use super::axis::{Axis, Ruler, Tick};
use super::font;
use super::legend::{Entry, Sample};
use super::scene::{Anchor, Ink, Scene, Shape};
use super::style::{Dash, Style};

/// What is drawn into a plot.
#[derive(Debug, Clone, PartialEq)]
enum Mark {
    Line {
        label: String,
        points: Vec<(f64, f64)>,
        style: Style,
    },
    Band {
        points: Vec<(f64, f64, f64)>,
        style: Style,
    },
    Dots {
        label: String,
        points: Vec<(f64, f64)>,
        radius: f64,
        opacity: f64,
        style: Style,
    },
    /// From (x0, y0) to (x1, y1), with a bar across at both ends.
    Interval {
        from: (f64, f64),
        to: (f64, f64),
        style: Style,
    },
    /// A line across the plot at one coordinate.
    Rule { x: Option<f64>, y: Option<f64> },
}

/// A plot with a horizontal and a vertical axis.
///
/// Built by chaining: each method adds something and returns the plot. A series with an empty label is not in the legend. Points that are
/// not finite (or not above 0 on a logarithmic axis) interrupt a line and are not drawn as dots.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    title: String,
    x: Axis,
    y: Axis,
    marks: Vec<Mark>,
    width: f64,
    height: f64,
}

const TICK_SIZE: f64 = 11.0;
const LABEL_SIZE: f64 = 12.0;
const TITLE_SIZE: f64 = 13.0;

impl Plot {
    /// An empty plot.
    pub fn new(x: Axis, y: Axis) -> Self {
        Self {
            title: String::new(),
            x,
            y,
            marks: Vec::new(),
            width: 300.0,
            height: 200.0,
        }
    }

    /// A title above the plot.
    #[must_use]
    pub fn title(mut self, title: &str) -> Self {
        title.clone_into(&mut self.title);
        self
    }

    /// The size of the area between the axes, in pixels (300 by 200 unless said otherwise).
    #[must_use]
    pub fn size(mut self, width: f64, height: f64) -> Self {
        assert!(width > 0.0 && height > 0.0, "a plot has a size");
        (self.width, self.height) = (width, height);
        self
    }

    /// A line through `points`, in their order.
    #[must_use]
    pub fn line(mut self, label: &str, points: &[(f64, f64)], style: Style) -> Self {
        self.marks.push(Mark::Line {
            label: label.to_owned(),
            points: points.to_vec(),
            style,
        });
        self
    }

    /// A band from low to high over x: `(x, low, high)`.
    #[must_use]
    pub fn band(mut self, points: &[(f64, f64, f64)], style: Style) -> Self {
        self.marks.push(Mark::Band {
            points: points.to_vec(),
            style,
        });
        self
    }

    /// Small, half transparent dots, for single observations.
    #[must_use]
    pub fn dots(mut self, label: &str, points: &[(f64, f64)], style: Style) -> Self {
        self.marks.push(Mark::Dots {
            label: label.to_owned(),
            points: points.to_vec(),
            radius: 3.2,
            opacity: 0.6,
            style,
        });
        self
    }

    /// One large dot, for an estimate.
    #[must_use]
    pub fn estimate(mut self, label: &str, point: (f64, f64), style: Style) -> Self {
        self.marks.push(Mark::Dots {
            label: label.to_owned(),
            points: vec![point],
            radius: 4.8,
            opacity: 1.0,
            style,
        });
        self
    }

    /// A horizontal interval at height `y`.
    #[must_use]
    pub fn interval_x(mut self, y: f64, low: f64, high: f64, style: Style) -> Self {
        self.marks.push(Mark::Interval {
            from: (low, y),
            to: (high, y),
            style,
        });
        self
    }

    /// A vertical interval at `x`.
    #[must_use]
    pub fn interval_y(mut self, x: f64, low: f64, high: f64, style: Style) -> Self {
        self.marks.push(Mark::Interval {
            from: (x, low),
            to: (x, high),
            style,
        });
        self
    }

    /// A dashed line across the plot at `x`.
    #[must_use]
    pub fn rule_x(mut self, x: f64) -> Self {
        self.marks.push(Mark::Rule {
            x: Some(x),
            y: None,
        });
        self
    }

    /// A dashed line across the plot at height `y`.
    #[must_use]
    pub fn rule_y(mut self, y: f64) -> Self {
        self.marks.push(Mark::Rule {
            x: None,
            y: Some(y),
        });
        self
    }

    /// Width and height with title, numbers and labels.
    pub(crate) fn outer_size(&self) -> (f64, f64) {
        let frame = self.frame();
        (
            frame.left + self.width + frame.right,
            frame.top + self.height + frame.bottom,
        )
    }

    pub(crate) fn legend(&self) -> Vec<Entry> {
        let entry = |mark: &Mark| {
            let (label, style, sample) = match mark {
                Mark::Line { label, style, .. } => (label, *style, Sample::Line),
                Mark::Dots { label, style, .. } => (label, *style, Sample::Dot),
                Mark::Band { .. } | Mark::Interval { .. } | Mark::Rule { .. } => return None,
            };
            (!label.is_empty()).then(|| Entry {
                label: label.clone(),
                style,
                sample,
            })
        };
        self.marks.iter().filter_map(entry).collect()
    }

    pub(crate) fn draw(&self, scene: &mut Scene, x: f64, y: f64) {
        let frame = self.frame();
        let area = Area {
            left: x + frame.left,
            top: y + frame.top,
            width: self.width,
            height: self.height,
            x: &frame.x,
            y: &frame.y,
        };
        if !self.title.is_empty() {
            scene.text(
                area.left,
                y + 13.0,
                &font::fit(&self.title, TITLE_SIZE, self.width + frame.right),
                TITLE_SIZE,
                Anchor::Start,
                Ink::Text,
            );
        }
        self.draw_axes(scene, &area, &frame, x);
        for mark in &self.marks {
            draw_mark(scene, &area, mark);
        }
    }

    fn draw_axes(&self, scene: &mut Scene, area: &Area<'_>, frame: &Frame, outer_left: f64) {
        let (left, top) = (area.left, area.top);
        let (right, bottom) = (left + self.width, top + self.height);
        for tick in &frame.x_ticks {
            let x = left + tick.share * self.width;
            scene.segment((x, top), (x, bottom), Ink::Grid, 1.0);
            if frame.x_turned {
                scene.turned_text(
                    x + 4.0,
                    bottom + 10.0,
                    &tick.label,
                    TICK_SIZE,
                    Anchor::End,
                    Ink::Muted,
                    -35.0,
                );
            } else {
                scene.text(
                    x,
                    bottom + 15.0,
                    &tick.label,
                    TICK_SIZE,
                    Anchor::Middle,
                    Ink::Muted,
                );
            }
        }
        for tick in &frame.y_ticks {
            let y = area.y_of_share(tick.share);
            scene.segment((left, y), (right, y), Ink::Grid, 1.0);
            scene.text(
                left - 6.0,
                y + 4.0,
                &tick.label,
                TICK_SIZE,
                Anchor::End,
                Ink::Muted,
            );
        }
        scene.line(
            vec![(left, top), (left, bottom), (right, bottom)],
            Ink::Axis,
            1.0,
            Dash::Solid,
        );
        let label_y = bottom + frame.bottom - 6.0;
        scene.text(
            left + self.width / 2.0,
            label_y,
            &font::fit(&self.x.label, LABEL_SIZE, self.width + frame.left),
            LABEL_SIZE,
            Anchor::Middle,
            Ink::Text,
        );
        let (label_x, middle) = (outer_left + 11.0, top + self.height / 2.0);
        scene.turned_text(
            label_x,
            middle,
            &font::fit(&self.y.label, LABEL_SIZE, self.height + 40.0),
            LABEL_SIZE,
            Anchor::Middle,
            Ink::Text,
            -90.0,
        );
    }

    /// Ranges, marked values and the room they need.
    fn frame(&self) -> Frame {
        let x = self.x.ruler(
            self.marks
                .iter()
                .flat_map(|mark| mark.extent(|point| point.0, |band| [band.0; 2])),
        );
        let y = self.y.ruler(
            self.marks
                .iter()
                .flat_map(|mark| mark.extent(|point| point.1, |band| [band.1, band.2])),
        );
        let x_ticks = x.ticks(((self.width / 65.0) as usize).max(2));
        let y_ticks = y.ticks(((self.height / 38.0) as usize).max(2));
        let widest = |ticks: &[Tick]| {
            ticks
                .iter()
                .map(|tick| font::width(&tick.label, TICK_SIZE))
                .fold(0.0, f64::max)
        };
        let (x_widest, y_widest) = (widest(&x_ticks), widest(&y_ticks));
        let slot = self.width / x_ticks.len().max(1) as f64;
        let x_turned = x.is_categorical() && x_widest > slot - 6.0;
        let numbers = if x_turned {
            x_widest * 0.6 + 18.0
        } else {
            20.0
        };
        let x_label = if self.x.label.is_empty() { 4.0 } else { 20.0 };
        let y_label = if self.y.label.is_empty() { 0.0 } else { 18.0 };
        Frame {
            left: y_label + y_widest + 8.0,
            right: 14.0_f64.max(if x_turned {
                0.0
            } else {
                last_overhang(&x_ticks, self.width)
            }),
            top: if self.title.is_empty() { 8.0 } else { 22.0 },
            bottom: numbers + x_label,
            x,
            y,
            x_ticks,
            y_ticks,
            x_turned,
        }
    }
}

/// How far the last number sticks out of the plot.
fn last_overhang(ticks: &[Tick], width: f64) -> f64 {
    ticks.last().map_or(0.0, |tick| {
        font::width(&tick.label, TICK_SIZE) / 2.0 - (1.0 - tick.share) * width + 2.0
    })
}

impl Mark {
    /// The coordinates that one axis must show.
    fn extent(
        &self,
        of_point: impl Fn((f64, f64)) -> f64,
        of_band: impl Fn((f64, f64, f64)) -> [f64; 2],
    ) -> Vec<f64> {
        match self {
            Mark::Line { points, .. } | Mark::Dots { points, .. } => {
                points.iter().map(|&point| of_point(point)).collect()
            }
            Mark::Band { points, .. } => points.iter().flat_map(|&point| of_band(point)).collect(),
            Mark::Interval { from, to, .. } => vec![of_point(*from), of_point(*to)],
            Mark::Rule { x, y } => {
                let coordinate = of_point((x.unwrap_or(f64::NAN), y.unwrap_or(f64::NAN)));
                vec![coordinate]
            }
        }
    }
}

/// Axes that know their range, with the room around the plot.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Ruler,
    y: Ruler,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    x_turned: bool,
}

fn draw_mark(scene: &mut Scene, area: &Area<'_>, mark: &Mark) {
    match mark {
        Mark::Line { points, style, .. } => area::draw_line(scene, area, points, *style),
        Mark::Band { points, style } => area::draw_band(scene, area, points, *style),
        Mark::Dots {
            points,
            radius,
            opacity,
            style,
            ..
        } => {
            for (x, y) in points
                .iter()
                .filter_map(|&point| area.place(point))
                .filter(|&point| area.contains(point))
            {
                let (ink, marker) = (Ink::Series(style.series), style.marker);
                scene.shapes.push(Shape::Dot {
                    x,
                    y,
                    radius: *radius,
                    marker,
                    ink,
                    opacity: *opacity,
                });
            }
        }
        Mark::Interval { from, to, style } => {
            let Some((from, to)) = area.place(*from).zip(area.place(*to)) else {
                return;
            };
            let Some((low, high)) = area.clip(from, to) else {
                return;
            };
            let ink = Ink::Series(style.series);
            scene.segment(low, high, ink, 2.0);
            // A bar across each end that is not cut off.
            let across = if from.1 == to.1 {
                (0.0, 4.0)
            } else {
                (4.0, 0.0)
            };
            for end in [from, to].into_iter().filter(|&end| area.contains(end)) {
                scene.segment(
                    (end.0 - across.0, end.1 - across.1),
                    (end.0 + across.0, end.1 + across.1),
                    ink,
                    2.0,
                );
            }
        }
        Mark::Rule { x, y } => {
            let (right, bottom) = (area.left + area.width, area.top + area.height);
            if let Some(share) = x.and_then(|x| area.x.share(x)) {
                let x = area.left + share * area.width;
                scene.line(
                    vec![(x, area.top), (x, bottom)],
                    Ink::Muted,
                    1.2,
                    Dash::Dashed,
                );
            }
            if let Some(share) = y.and_then(|y| area.y.share(y)) {
                let y = area.y_of_share(share);
                scene.line(
                    vec![(area.left, y), (right, y)],
                    Ink::Muted,
                    1.2,
                    Dash::Dashed,
                );
            }
        }
    }
}
