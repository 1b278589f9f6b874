//! The one font: DejaVu Sans, compiled in.

use std::sync::OnceLock;

use ttf_parser::{Face, OutlineBuilder};

/// The font, parsed once.
pub(crate) fn face() -> &'static Face<'static> {
    static FACE: OnceLock<Face<'static>> = OnceLock::new();
    FACE.get_or_init(|| {
        Face::parse(dejavu::sans::regular(), 0).expect("the font that is compiled in is valid")
    })
}

/// Width of `text` in pixels at `size` pixels to the em.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let face = face();
    let units: u32 = text.chars().map(|c| advance(face, c)).sum();
    f64::from(units) * size / f64::from(face.units_per_em())
}

/// `text`, or as much of its beginning as fits into `room` pixels, with an ellipsis.
pub(crate) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut kept: String = text.to_owned();
    while kept.pop().is_some() && width(&kept, size) + width("…", size) > room {}
    kept + "…"
}

/// Advance of one character in font units; for one the font lacks (Chinese, say), a full em.
fn advance(face: &Face<'_>, c: char) -> u32 {
    let known = face
        .glyph_index(c)
        .and_then(|glyph| face.glyph_hor_advance(glyph));
    known.map_or_else(|| u32::from(face.units_per_em()), u32::from)
}

/// Gives `builder` the outlines of `text`, each glyph after `place` has been told how many font units it stands to the right.
pub(crate) fn outlines<B: OutlineBuilder>(
    text: &str,
    mut builder: B,
    mut place: impl FnMut(&mut B, f64),
) -> B {
    let face = face();
    let mut right = 0;
    for c in text.chars() {
        if let Some(glyph) = face.glyph_index(c) {
            place(&mut builder, f64::from(right));
            face.outline_glyph(glyph, &mut builder);
        }
        right += advance(face, c);
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_does_not_fit_is_cut() {
        assert_eq!(fit("short", 12.0, 100.0), "short");
        let cut = fit("method.dpo.optimizer.learning_rate", 12.0, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 12.0) <= 100.0, "{cut}");
        assert_eq!(fit("anything", 12.0, 0.0), "…");
    }
}
