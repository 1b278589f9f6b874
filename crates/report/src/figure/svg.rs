//! A scene as SVG.

use std::fmt::Write;

use super::colour::{Rgb, SERIES};
use super::scene::{Anchor, Ink, Scene, Shape, corners};
use crate::escape::escape;

/// The style sheet for inline figures: theme colours for both themes, chosen by the reader's system.
pub const FIGURE_CSS: &str = "\
.figure{max-width:100%;height:auto;--text:#222;--muted:#555;--axis:#555;--grid:#e4e4e4;\
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;--c6:#555}
.figure text{font-family:'DejaVu Sans',Verdana,'Helvetica Neue',Arial,sans-serif}
.figure .it{fill:var(--text)}.figure .im{fill:var(--muted)}
.figure .lm{stroke:var(--muted)}.figure .la{stroke:var(--axis)}.figure .lg{stroke:var(--grid)}
.figure .s0{stroke:var(--c0)}.figure .s1{stroke:var(--c1)}.figure .s2{stroke:var(--c2)}.figure .s3{stroke:var(--c3)}
.figure .s4{stroke:var(--c4)}.figure .s5{stroke:var(--c5)}.figure .s6{stroke:var(--c6)}
.figure .f0{fill:var(--c0)}.figure .f1{fill:var(--c1)}.figure .f2{fill:var(--c2)}.figure .f3{fill:var(--c3)}
.figure .f4{fill:var(--c4)}.figure .f5{fill:var(--c5)}.figure .f6{fill:var(--c6)}
@media (prefers-color-scheme:dark){.figure{--text:#e8e8e8;--muted:#b4b4b4;--axis:#8a8a8a;--grid:#3a3a3a;\
--c0:#4aa8e0;--c1:#ff8a3d;--c2:#2fc79b;--c3:#e0a0c4;--c4:#f2b632;--c5:#8fd0f5;--c6:#b0b0b0}}
";

/// A document with a white background.
pub(crate) fn document(scene: &Scene, title: &str) -> String {
    let mut svg = open(scene, title, "");
    let (width, height) = (scene.width, scene.height);
    write!(
        svg,
        "<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"
    )
    .expect(INFALLIBLE);
    write_shapes(&mut svg, scene, "");
    svg
}

/// An element whose colours come from [`FIGURE_CSS`].
pub(crate) fn inline(scene: &Scene, title: &str) -> String {
    let mut svg = open(scene, title, " class=\"figure\"");
    write_shapes(&mut svg, scene, "class");
    svg
}

const INFALLIBLE: &str = "a string takes any text";

fn open(scene: &Scene, title: &str, class: &str) -> String {
    let (width, height) = (scene.width, scene.height);
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\"{class} width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{title}\" font-family=\"'DejaVu Sans',Verdana,Arial,sans-serif\"><title>{title}</title>\n"
    )
}

fn write_shapes(svg: &mut String, scene: &Scene, theme: &str) {
    let themed = !theme.is_empty();
    for shape in &scene.shapes {
        match shape {
            Shape::Line {
                points,
                ink,
                width,
                dash,
            } => {
                let stroke = paint(*ink, "stroke", themed);
                write!(
                    svg,
                    "<path d=\"{}\" fill=\"none\" {stroke} stroke-width=\"{width}\"",
                    path(points)
                )
                .expect(INFALLIBLE);
                if !dash.pattern().is_empty() {
                    let lengths: Vec<String> = dash.pattern().iter().map(f64::to_string).collect();
                    write!(svg, " stroke-dasharray=\"{}\"", lengths.join(" ")).expect(INFALLIBLE);
                }
                svg.push_str(" stroke-linejoin=\"round\"/>\n");
            }
            Shape::Area {
                points,
                ink,
                opacity,
            } => {
                let fill = paint(*ink, "fill", themed);
                writeln!(
                    svg,
                    "<path d=\"{}Z\" {fill}{}/>",
                    path(points),
                    opacity_of(*opacity)
                )
                .expect(INFALLIBLE);
            }
            Shape::Dot {
                x,
                y,
                radius,
                marker,
                ink,
                opacity,
            } => {
                let fill = paint(*ink, "fill", themed);
                let opacity = opacity_of(*opacity);
                match corners(*marker, *radius) {
                    None => writeln!(
                        svg,
                        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" {fill}{opacity}/>"
                    )
                    .expect(INFALLIBLE),
                    Some(corners) => {
                        let corners: Vec<(f64, f64)> = corners
                            .into_iter()
                            .map(|(dx, dy)| (x + dx, y + dy))
                            .collect();
                        writeln!(svg, "<path d=\"{}Z\" {fill}{opacity}/>", path(&corners))
                            .expect(INFALLIBLE);
                    }
                }
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
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                write!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\"{anchor} {}",
                    paint(*ink, "fill", themed)
                )
                .expect(INFALLIBLE);
                if *turn != 0.0 {
                    write!(svg, " transform=\"rotate({turn} {x:.1} {y:.1})\"").expect(INFALLIBLE);
                }
                writeln!(svg, ">{}</text>", escape(text)).expect(INFALLIBLE);
            }
        }
    }
    svg.push_str("</svg>\n");
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (index, (x, y)) in points.iter().enumerate() {
        write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' }).expect(INFALLIBLE);
    }
    path
}

fn opacity_of(opacity: f64) -> String {
    if opacity < 1.0 {
        format!(" fill-opacity=\"{opacity}\"")
    } else {
        String::new()
    }
}

/// The attribute that paints: a class where the page's theme decides, a colour otherwise.
fn paint(ink: Ink, attribute: &str, themed: bool) -> String {
    let fill = attribute == "fill";
    let class = match ink {
        Ink::Text if fill => "it".to_owned(),
        Ink::Muted if fill => "im".to_owned(),
        Ink::Series(index) => format!("{}{}", if fill { 'f' } else { 's' }, index % SERIES.len()),
        Ink::Text | Ink::Muted => "lm".to_owned(),
        Ink::Axis => "la".to_owned(),
        Ink::Grid => "lg".to_owned(),
        Ink::Fixed(_) => String::new(),
    };
    if themed && !class.is_empty() {
        format!("class=\"{class}\"")
    } else {
        let [red, green, blue] = on_white(ink);
        format!("{attribute}=\"#{red:02x}{green:02x}{blue:02x}\"")
    }
}

/// The colour of an ink on a white background.
pub(crate) fn on_white(ink: Ink) -> Rgb {
    match ink {
        Ink::Text => [0x22; 3],
        Ink::Muted | Ink::Axis => [0x55; 3],
        Ink::Grid => [0xe4; 3],
        Ink::Series(index) => SERIES[index % SERIES.len()],
        Ink::Fixed(colour) => colour,
    }
}
