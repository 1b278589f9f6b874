//! What tells one series from another: colour, dashes, shape of its dots.

/// Number of different colours before they repeat.
pub(crate) const COLOURS: usize = 7;

/// The look of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Index into the palette; beyond its end the colours repeat, with other dashes and shapes.
    pub series: usize,
    /// The line's dashes.
    pub dash: Dash,
    /// The shape of the dots.
    pub marker: Marker,
}

/// The dashes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dash {
    /// No gaps.
    Solid,
    /// Long dashes.
    Dashed,
    /// Dots.
    Dotted,
    /// Dash, dot, dash, dot.
    DashDot,
}

/// The shape of a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle on its base.
    Triangle,
    /// A square on its corner.
    Diamond,
}

impl Style {
    /// The look of the `index`-th series: as many differ from each other as there are colours times dashes.
    pub const fn series(index: usize) -> Self {
        let dash = match (index / COLOURS) % 4 {
            0 => Dash::Solid,
            1 => Dash::Dashed,
            2 => Dash::Dotted,
            _ => Dash::DashDot,
        };
        let marker = match index % 4 {
            0 => Marker::Circle,
            1 => Marker::Square,
            2 => Marker::Triangle,
            _ => Marker::Diamond,
        };
        Self {
            series: index,
            dash,
            marker,
        }
    }

    /// The same with other dashes.
    #[must_use]
    pub const fn dash(mut self, dash: Dash) -> Self {
        self.dash = dash;
        self
    }

    /// The same with dots of another shape.
    #[must_use]
    pub const fn marker(mut self, marker: Marker) -> Self {
        self.marker = marker;
        self
    }
}

impl Dash {
    /// Lengths of dash and gap in pixels; none for a solid line.
    pub(crate) const fn pattern(self) -> &'static [f64] {
        match self {
            Dash::Solid => &[],
            Dash::Dashed => &[7.0, 4.0],
            Dash::Dotted => &[2.0, 3.0],
            Dash::DashDot => &[7.0, 3.0, 2.0, 3.0],
        }
    }
}
