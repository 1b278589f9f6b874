//! A scene as pixels.

use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Stroke, StrokeDash, Transform};
use ttf_parser::OutlineBuilder;

use super::font;
use super::scene::{Anchor, Ink, Scene, Shape, corners};
use super::svg::on_white;

/// Largest side of a picture, in pixels.
const LARGEST: f64 = 20_000.0;

/// The bytes of a PNG file on a white background.
pub(crate) fn render(scene: &Scene, scale: f64) -> Vec<u8> {
    let (width, height) = ((scene.width * scale).ceil(), (scene.height * scale).ceil());
    let fits = |side: f64| (1.0..=LARGEST).contains(&side);
    assert!(
        scale > 0.0 && fits(width) && fits(height),
        "a picture of {width} by {height} pixels"
    );
    let mut pixels = Pixmap::new(width as u32, height as u32).expect("the size was checked");
    pixels.fill(Color::WHITE);
    let transform = Transform::from_scale(scale as f32, scale as f32);
    for shape in &scene.shapes {
        draw(&mut pixels, shape, transform);
    }
    pixels
        .encode_png()
        .expect("a picture in memory can be encoded")
}

fn draw(pixels: &mut Pixmap, shape: &Shape, transform: Transform) {
    match shape {
        Shape::Line {
            points,
            ink,
            width,
            dash,
        } => {
            let Some(path) = path(points, false) else {
                return;
            };
            let dashes = dash.pattern().iter().map(|&length| length as f32).collect();
            let stroke = Stroke {
                width: *width as f32,
                dash: StrokeDash::new(dashes, 0.0),
                ..Stroke::default()
            };
            pixels.stroke_path(&path, &paint(*ink, 1.0), &stroke, transform, None);
        }
        Shape::Area {
            points,
            ink,
            opacity,
        } => {
            let Some(path) = path(points, true) else {
                return;
            };
            pixels.fill_path(
                &path,
                &paint(*ink, *opacity),
                FillRule::Winding,
                transform,
                None,
            );
        }
        Shape::Dot {
            x,
            y,
            radius,
            marker,
            ink,
            opacity,
        } => {
            let path = match corners(*marker, *radius) {
                None => PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32),
                Some(corners) => path(
                    &corners
                        .into_iter()
                        .map(|(dx, dy)| (x + dx, y + dy))
                        .collect::<Vec<_>>(),
                    true,
                ),
            };
            let Some(path) = path else { return };
            pixels.fill_path(
                &path,
                &paint(*ink, *opacity),
                FillRule::Winding,
                transform,
                None,
            );
        }
        Shape::Text {
            x,
            y,
            text,
            size,
            anchor,
            ink,
            turn,
        } => {
            let shift = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => -0.5 * font::width(text, *size),
                Anchor::End => -font::width(text, *size),
            };
            let unit = *size / f64::from(font::face().units_per_em());
            let pen = Pen {
                builder: PathBuilder::new(),
                left: shift,
                unit,
                right: 0.0,
            };
            let pen = font::outlines(text, pen, |pen, right| pen.right = right);
            let Some(path) = pen.builder.finish() else {
                return;
            };
            let at = transform
                .pre_translate(*x as f32, *y as f32)
                .pre_rotate(*turn as f32);
            pixels.fill_path(&path, &paint(*ink, 1.0), FillRule::Winding, at, None);
        }
    }
}

fn path(points: &[(f64, f64)], closed: bool) -> Option<tiny_skia::Path> {
    let mut builder = PathBuilder::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        if index == 0 {
            builder.move_to(x as f32, y as f32);
        } else {
            builder.line_to(x as f32, y as f32);
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

fn paint(ink: Ink, opacity: f64) -> Paint<'static> {
    let [red, green, blue] = on_white(ink);
    let mut paint = Paint {
        anti_alias: true,
        ..Paint::default()
    };
    paint.set_color_rgba8(red, green, blue, (opacity * 255.0).round() as u8);
    paint
}

/// Turns a glyph's outline (font units, y upwards) into a path (pixels, y downwards).
struct Pen {
    builder: PathBuilder,
    left: f64,
    unit: f64,
    right: f64,
}

impl Pen {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        let x = self.left + (self.right + f64::from(x)) * self.unit;
        (x as f32, (-f64::from(y) * self.unit) as f32)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) =
            (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}
