//! Figures: curves with bands, dots with intervals, heat maps; as SVG for pages and as PNG for logs and files.
//!
//! A [`Figure`] is a grid of panels, each a [`Plot`] or a [`HeatMap`], with one legend below all of them, where it can cover no curve.
//! Colours are the Okabe-Ito palette, which survives the common kinds of colour blindness; lines also differ in their dashes and dots in
//! their shapes. Nothing is read from the system: the font is compiled in, and the same figure gives the same bytes everywhere.
//!
//! # Example
//! ```
//! use preflab_report::figure::{Axis, Figure, Plot, Style};
//! let chosen: Vec<(f64, f64)> = (0..100).map(|step| (step as f64, (-0.05 * step as f64).exp())).collect();
//! let plot = Plot::new(Axis::linear("update"), Axis::log("likelihood"))
//!     .title("scenario 1")
//!     .line("chosen", &chosen, Style::series(0));
//! let figure = Figure::new("Likelihoods while training").panel(plot);
//! assert!(figure.to_svg().starts_with("<svg"));
//! assert!(figure.to_png(2.0).starts_with(b"\x89PNG"));
//! ```

mod area;
mod axis;
mod colour;
mod font;
mod heat_map;
mod legend;
mod number;
mod plot;
mod png;
mod scene;
mod style;
mod svg;

pub use axis::{Axis, Scale};
pub use colour::ColourMap;
pub use heat_map::HeatMap;
pub(crate) use number::fixed as fixed_number;
pub use number::short_number;
pub use plot::Plot;
pub use style::{Dash, Marker, Style};
pub use svg::FIGURE_CSS;

use scene::{Anchor, Ink, Scene};

/// Distance between panels and around the figure, in pixels.
const GAP: f64 = 14.0;

/// One cell of a figure's grid.
#[derive(Debug, Clone, PartialEq)]
pub enum Panel {
    /// Two axes with lines, bands, dots, intervals.
    Plot(Plot),
    /// Coloured cells.
    HeatMap(HeatMap),
}

impl From<Plot> for Panel {
    fn from(plot: Plot) -> Self {
        Panel::Plot(plot)
    }
}

impl From<HeatMap> for Panel {
    fn from(map: HeatMap) -> Self {
        Panel::HeatMap(map)
    }
}

/// Panels in a grid, with one legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    title: String,
    columns: usize,
    panels: Vec<Panel>,
}

impl Figure {
    /// A figure without panels yet. The title is also what a screen reader says; an empty one takes no room.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            columns: 3,
            panels: Vec::new(),
        }
    }

    /// Adds a panel, left to right, then down.
    #[must_use]
    pub fn panel(mut self, panel: impl Into<Panel>) -> Self {
        self.panels.push(panel.into());
        self
    }

    /// At most so many panels side by side (3 unless said otherwise).
    ///
    /// # Panics
    /// If `columns` is 0.
    #[must_use]
    pub fn columns(mut self, columns: usize) -> Self {
        assert!(columns > 0, "a figure has at least one column");
        self.columns = columns;
        self
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.panels.is_empty()
    }

    /// A complete SVG document with a white background and colours of its own.
    pub fn to_svg(&self) -> String {
        svg::document(&self.scene(), &self.title)
    }

    /// An `<svg>` element for a page that carries [`FIGURE_CSS`]: no background, colours that follow the page's light or dark theme.
    pub fn to_inline_svg(&self) -> String {
        svg::inline(&self.scene(), &self.title)
    }

    /// The bytes of a PNG file, `scale` pixels to a unit of the SVG (2 for a sharp picture).
    ///
    /// # Panics
    /// If `scale` is not above 0, or the picture would be larger than 20,000 pixels on a side.
    pub fn to_png(&self, scale: f64) -> Vec<u8> {
        png::render(&self.scene(), scale)
    }

    fn scene(&self) -> Scene {
        let top = if self.title.is_empty() {
            GAP
        } else {
            GAP + 24.0
        };
        let sizes: Vec<(f64, f64)> = self.panels.iter().map(Panel::size).collect();
        // A column is as wide as its widest panel, a row as high as its highest.
        let columns = self.columns.min(self.panels.len()).max(1);
        let rows = self.panels.len().div_ceil(columns);
        let mut widths = vec![0.0_f64; columns];
        let mut heights = vec![0.0_f64; rows];
        for (index, &(width, height)) in sizes.iter().enumerate() {
            widths[index % columns] = widths[index % columns].max(width);
            heights[index / columns] = heights[index / columns].max(height);
        }
        let grid_width = widths.iter().sum::<f64>() + GAP * (columns - 1) as f64;
        let title_width = font::width(&self.title, 15.0);
        let width = (grid_width.max(title_width) + 2.0 * GAP).ceil();
        let mut scene = Scene::default();
        if !self.title.is_empty() {
            scene.text(GAP, GAP + 12.0, &self.title, 15.0, Anchor::Start, Ink::Text);
        }
        let mut y = top;
        for (row, height) in heights.iter().enumerate() {
            let mut x = GAP;
            for (column, width) in widths.iter().enumerate() {
                if let Some(panel) = self.panels.get(row * columns + column) {
                    panel.draw(&mut scene, x, y);
                }
                x += width + GAP;
            }
            y += height + GAP;
        }
        let entries = self.panels.iter().flat_map(Panel::legend).collect();
        y = legend::draw(&mut scene, entries, GAP, y, width - 2.0 * GAP);
        scene.width = width;
        scene.height = y.ceil();
        scene
    }
}

impl Panel {
    fn size(&self) -> (f64, f64) {
        match self {
            Panel::Plot(plot) => plot.outer_size(),
            Panel::HeatMap(map) => map.outer_size(),
        }
    }

    fn draw(&self, scene: &mut Scene, x: f64, y: f64) {
        match self {
            Panel::Plot(plot) => plot.draw(scene, x, y),
            Panel::HeatMap(map) => map.draw(scene, x, y),
        }
    }

    fn legend(&self) -> Vec<legend::Entry> {
        match self {
            Panel::Plot(plot) => plot.legend(),
            Panel::HeatMap(_) => Vec::new(),
        }
    }
}
