//! Letters: [`Font`] draws and measures lines of text, and keeps the letters it has drawn.
//!
//! Two fonts come along: [`Face::Ui`], Ubuntu Light (Ubuntu Font Licence 1.0), and [`Face::Mono`], Hack (MIT and Bitstream Vera licences), whose
//! letters are all equally wide.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use fontdue::{Font as Outlines, FontSettings};

use crate::{Canvas, Pixel};

/// Which font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// For titles, buttons and the like.
    Ui,
    /// Letters of equal width, for terminals and tables.
    Mono,
}

impl Face {
    const fn file(self) -> &'static [u8] {
        match self {
            Self::Ui => include_bytes!(concat!(env!("OUT_DIR"), "/ui.ttf")),
            Self::Mono => include_bytes!(concat!(env!("OUT_DIR"), "/mono.ttf")),
        }
    }
}

/// Most letters kept; when there are more, all are drawn anew.
const MOST_KEPT: usize = 1024;
/// Shown for a letter that the font does not have.
const MISSING: char = '\u{fffd}';

/// A font at one size.
pub struct Font {
    outlines: Outlines,
    size_px: f32,
    ascent_px: i32,
    height_px: i32,
    kept: BTreeMap<char, Letter>,
}

/// A drawn letter.
struct Letter {
    coverage: Vec<u8>,
    width: u32,
    /// From the place on the line to its left edge.
    left: i32,
    /// From the base line up to its upper edge.
    top: i32,
    /// To the next letter, in 64ths of a pixel.
    advance_64: i32,
}

impl core::fmt::Debug for Font {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Font")
            .field("size_px", &self.size_px)
            .finish_non_exhaustive()
    }
}

impl Font {
    /// The font `face`, so many pixels high. `None` if its file cannot be read, which a test shows it can.
    #[must_use]
    pub fn new(face: Face, size_px: u16) -> Option<Self> {
        let size = f32::from(size_px);
        let settings = FontSettings {
            scale: size,
            ..FontSettings::default()
        };
        let outlines = Outlines::from_bytes(face.file(), settings).ok()?;
        let lines = outlines.horizontal_line_metrics(size)?;
        Some(Self {
            size_px: size,
            ascent_px: lines.ascent as i32 + 1,
            height_px: (lines.ascent - lines.descent + lines.line_gap) as i32 + 1,
            outlines,
            kept: BTreeMap::new(),
        })
    }

    /// Rows of a line.
    #[must_use]
    pub const fn height_px(&self) -> i32 {
        self.height_px
    }

    /// Pixels to the right that `text` takes, rounded up.
    pub fn width_px(&mut self, text: &str) -> i32 {
        let width_64: i32 = text
            .chars()
            .map(|letter| self.letter(letter).advance_64)
            .fold(0, i32::saturating_add);
        width_64.saturating_add(63) / 64
    }

    /// Draws a line whose upper left corner is at `x`, `y`. Gives the column behind it.
    pub fn draw(
        &mut self,
        canvas: &mut Canvas<'_>,
        x: i32,
        y: i32,
        text: &str,
        pixel: Pixel,
    ) -> i32 {
        let base = y.saturating_add(self.ascent_px);
        let mut at_64 = i64::from(x) * 64;
        for character in text.chars() {
            let letter = self.letter(character);
            let place = i32::try_from((at_64 + 32) / 64).unwrap_or(i32::MAX);
            if place > canvas.clip().right {
                break;
            }
            let left = place.saturating_add(letter.left);
            canvas.stamp(
                left,
                base.saturating_sub(letter.top),
                letter.width,
                &letter.coverage,
                pixel,
            );
            at_64 += i64::from(letter.advance_64);
        }
        i32::try_from((at_64 + 63) / 64).unwrap_or(i32::MAX)
    }

    /// The longest start of `text` that is at most so wide.
    pub fn fitting<'t>(&mut self, text: &'t str, width_px: i32) -> &'t str {
        let room_64 = width_px.saturating_mul(64);
        let mut taken_64 = 0_i32;
        for (at, letter) in text.char_indices() {
            taken_64 = taken_64.saturating_add(self.letter(letter).advance_64);
            if taken_64 > room_64 {
                return text.get(..at).unwrap_or_default();
            }
        }
        text
    }

    fn letter(&mut self, character: char) -> &Letter {
        let known = if self.outlines.has_glyph(character) {
            character
        } else {
            MISSING
        };
        if self.kept.len() >= MOST_KEPT && !self.kept.contains_key(&known) {
            self.kept.clear();
        }
        let (outlines, size_px) = (&self.outlines, self.size_px);
        self.kept.entry(known).or_insert_with(|| {
            let (metrics, coverage) = outlines.rasterize(known, size_px);
            Letter {
                coverage,
                width: metrics.width as u32,
                left: metrics.xmin,
                top: metrics.ymin + metrics.height as i32,
                advance_64: (metrics.advance_width * 64.0) as i32,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::rgb;

    #[test]
    fn lines_are_as_wide_as_measured() {
        for face in [Face::Ui, Face::Mono] {
            let mut font = Font::new(face, 15).expect("comes along");
            let mut pixels = vec![0; 300 * 40];
            let mut canvas = Canvas::new(&mut pixels, 300, 40);
            let text = "Grüße, 你好 (Raede)";
            let end = font.draw(&mut canvas, 10, 5, text, rgb(0xff_ffff));
            let width = font.width_px(text);
            assert!((end - 10 - width).abs() <= 1, "{end} {width}");
            let used = |x: usize| (0..40).any(|y| pixels[y * 300 + x] != 0);
            assert!((0..8).all(|x| !used(x)));
            assert!((12..end as usize).any(used));
            assert!((end as usize + 2..300).all(|x| !used(x)));
            assert!((14..24).contains(&font.height_px()), "{}", font.height_px());
        }
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let mut font = Font::new(Face::Mono, 15).expect("comes along");
        let one = font.width_px("m");
        let fitting = font.fitting("mmmmm", 3 * one).len();
        assert!((2..=3).contains(&fitting), "{fitting}");
        assert_eq!(font.fitting("", 0), "");
        assert_eq!(font.fitting("m", 0), "");
    }

    #[test]
    fn letters_do_not_pile_up() {
        let mut font = Font::new(Face::Ui, 9).expect("comes along");
        for letter in ('\u{20}'..'\u{3000}').take(5000) {
            let _ = font.letter(letter);
            assert!(font.kept.len() <= MOST_KEPT);
        }
    }
}
