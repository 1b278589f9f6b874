//! Colours: the palette of series and the maps of heat maps.

use super::style::COLOURS;

/// A colour as red, green, blue.
pub(crate) type Rgb = [u8; 3];

/// The Okabe-Ito palette on white, most contrast first; its yellow is left out, for it cannot be seen on white.
pub(crate) const SERIES: [Rgb; COLOURS] = [
    [0x00, 0x72, 0xb2], // blue
    [0xd5, 0x5e, 0x00], // vermilion
    [0x00, 0x9e, 0x73], // bluish green
    [0xcc, 0x79, 0xa7], // reddish purple
    [0xe6, 0x9f, 0x00], // orange
    [0x56, 0xb4, 0xe9], // sky blue
    [0x55, 0x55, 0x55], // grey, in the place of black
];

/// How a number becomes a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourMap {
    /// Dark blue to yellow (viridis): for amounts.
    Sequential,
    /// Blue over white to vermilion: for values on two sides of the middle of the range.
    Diverging,
}

/// Matplotlib's viridis (CC0) at equal distances.
const VIRIDIS: [Rgb; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

const BLUE_TO_VERMILION: [Rgb; 5] = [
    [0, 90, 150],
    [110, 170, 215],
    [247, 247, 247],
    [240, 160, 100],
    [200, 75, 0],
];

impl ColourMap {
    /// The colour at `share` of the range, from 0 to 1.
    pub(crate) fn at(self, share: f64) -> Rgb {
        let stops: &[Rgb] = match self {
            ColourMap::Sequential => &VIRIDIS,
            ColourMap::Diverging => &BLUE_TO_VERMILION,
        };
        let place = share.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
        let below = (place.floor() as usize).min(stops.len() - 2);
        let part = place - below as f64;
        let mix = |channel: usize| {
            let (low, high) = (
                f64::from(stops[below][channel]),
                f64::from(stops[below + 1][channel]),
            );
            (low + part * (high - low)).round() as u8
        };
        [mix(0), mix(1), mix(2)]
    }
}

/// Whether black can be read on `colour`; otherwise white can.
pub(crate) fn is_light([red, green, blue]: Rgb) -> bool {
    0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue) > 140.0
}
