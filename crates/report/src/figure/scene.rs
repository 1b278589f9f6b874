//! What a figure is made of before it becomes SVG or pixels: a list of simple shapes.

use super::colour::Rgb;
use super::style::{Dash, Marker};

/// What a shape is painted with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ink {
    /// Titles and labels.
    Text,
    /// Numbers on axes.
    Muted,
    /// Frames of plots.
    Axis,
    /// Lines behind the data.
    Grid,
    /// The colour of the n-th series.
    Series(usize),
    /// A colour of its own, the same in every theme.
    Fixed(Rgb),
}

/// Which point of a text is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A shape; coordinates in pixels, y downwards.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Line {
        points: Vec<(f64, f64)>,
        ink: Ink,
        width: f64,
        dash: Dash,
    },
    Area {
        points: Vec<(f64, f64)>,
        ink: Ink,
        opacity: f64,
    },
    Dot {
        x: f64,
        y: f64,
        radius: f64,
        marker: Marker,
        ink: Ink,
        opacity: f64,
    },
    /// `y` is the base line; `turn` in degrees, clockwise around the point.
    Text {
        x: f64,
        y: f64,
        text: String,
        size: f64,
        anchor: Anchor,
        ink: Ink,
        turn: f64,
    },
}

/// Shapes in the order in which they are painted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Scene {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

impl Scene {
    pub(crate) fn line(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64, dash: Dash) {
        self.shapes.push(Shape::Line {
            points,
            ink,
            width,
            dash,
        });
    }

    pub(crate) fn segment(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        self.line(vec![from, to], ink, width, Dash::Solid);
    }

    pub(crate) fn area(&mut self, points: Vec<(f64, f64)>, ink: Ink, opacity: f64) {
        self.shapes.push(Shape::Area {
            points,
            ink,
            opacity,
        });
    }

    pub(crate) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, ink: Ink) {
        let (right, bottom) = (x + width, y + height);
        self.area(
            vec![(x, y), (right, y), (right, bottom), (x, bottom)],
            ink,
            1.0,
        );
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, text: &str, size: f64, anchor: Anchor, ink: Ink) {
        self.turned_text(x, y, text, size, anchor, ink, 0.0);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "place, content and look of one text"
    )]
    pub(crate) fn turned_text(
        &mut self,
        x: f64,
        y: f64,
        text: &str,
        size: f64,
        anchor: Anchor,
        ink: Ink,
        turn: f64,
    ) {
        self.shapes.push(Shape::Text {
            x,
            y,
            text: text.to_owned(),
            size,
            anchor,
            ink,
            turn,
        });
    }
}

/// The corners of a marker that is not a circle, around the origin, for a disc of `radius` of about the same area.
pub(crate) fn corners(marker: Marker, radius: f64) -> Option<Vec<(f64, f64)>> {
    match marker {
        Marker::Circle => None,
        Marker::Square => {
            let half = radius * 0.89;
            Some(vec![
                (-half, -half),
                (half, -half),
                (half, half),
                (-half, half),
            ])
        }
        Marker::Triangle => {
            let (half, up, down) = (radius * 1.25, radius * 1.35, radius * 0.85);
            Some(vec![(0.0, -up), (half, down), (-half, down)])
        }
        Marker::Diamond => {
            let reach = radius * 1.25;
            Some(vec![
                (0.0, -reach),
                (reach, 0.0),
                (0.0, reach),
                (-reach, 0.0),
            ])
        }
    }
}
