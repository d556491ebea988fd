//! Reads the text console's characters back from a picture of the screen.
//!
//! The console paints glyphs of a known font into a grid of cells from the top left corner. Each
//! cell is compared with every glyph, whatever its colours; the nearest one is the character.

use crate::picture::Picture;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const HEIGHT: RasterHeight = RasterHeight::Size16;
const CELL_HEIGHT: usize = HEIGHT.val();
const CELL_WIDTH: usize = get_raster_width(FontWeight::Regular, HEIGHT);
const CELL_PIXELS: usize = CELL_WIDTH * CELL_HEIGHT;
/// Less contrast than this within a cell is no glyph.
const LEAST_CONTRAST: u8 = 40;

/// How much of each pixel of a cell is covered, 0 to 255.
type Coverage = [u8; CELL_PIXELS];

/// The glyphs of printable ASCII.
#[derive(Debug)]
pub struct Reader {
    glyphs: Vec<(char, Coverage)>,
}

impl Reader {
    /// Takes the glyphs from the font.
    pub fn new() -> Reader {
        let weights = [FontWeight::Regular, FontWeight::Bold];
        let characters =
            ('!'..='~').flat_map(|character| weights.map(|weight| (character, weight)));
        let glyphs = characters
            .filter_map(|(character, weight)| Some((character, coverage(character, weight)?)));
        Reader {
            glyphs: glyphs.collect(),
        }
    }

    /// The screen's lines, without blanks at their ends.
    pub fn lines(&self, picture: &Picture) -> Vec<String> {
        (0..picture.height / CELL_HEIGHT)
            .map(|row| {
                let columns = 0..picture.width / CELL_WIDTH;
                let line: String = columns
                    .map(|column| self.character(picture, column, row))
                    .collect();
                line.trim_end().to_owned()
            })
            .collect()
    }

    fn character(&self, picture: &Picture, column: usize, row: usize) -> char {
        let mut cell = [0; CELL_PIXELS];
        for (i, pixel) in cell.iter_mut().enumerate() {
            let (x, y) = (
                column * CELL_WIDTH + i % CELL_WIDTH,
                row * CELL_HEIGHT + i / CELL_WIDTH,
            );
            *pixel = picture.light(x, y);
        }
        let (dark, light) = cell.iter().fold((255, 0), |(low, high), &pixel| {
            (pixel.min(low), pixel.max(high))
        });
        if light - dark < LEAST_CONTRAST {
            return ' ';
        }
        // The corners are never covered: they show the background, which may be the lighter colour.
        let inverse = u16::from(cell[0]) * 2 > u16::from(dark) + u16::from(light);
        for pixel in &mut cell {
            let share = u32::from(*pixel - dark) * 255 / u32::from(light - dark);
            *pixel = if inverse {
                255 - share as u8
            } else {
                share as u8
            };
        }
        let nearest = self
            .glyphs
            .iter()
            .min_by_key(|(_, glyph)| distance(&cell, glyph));
        nearest.map_or(' ', |(character, _)| *character)
    }
}

/// A glyph stretched to full contrast, as cells are.
fn coverage(character: char, weight: FontWeight) -> Option<Coverage> {
    let raster = get_raster(character, weight, HEIGHT)?;
    let mut pixels = [0; CELL_PIXELS];
    for (pixel, value) in pixels.iter_mut().zip(raster.pixels()) {
        *pixel = *value;
    }
    let most = u32::from(*pixels.iter().max()?).max(1);
    for pixel in &mut pixels {
        *pixel = (u32::from(*pixel) * 255 / most) as u8;
    }
    Some(pixels)
}

fn distance(a: &Coverage, b: &Coverage) -> u64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paints lines as the console does, in a colour on a background.
    fn paint(lines: &[&str], (front, back): (u32, u32)) -> Picture {
        let (width, height) = (40 * CELL_WIDTH + 5, lines.len() * CELL_HEIGHT + 3);
        let mut file = format!("P6\n{width} {height}\n255\n").into_bytes();
        for y in 0..height {
            for x in 0..width {
                let line = lines.get(y / CELL_HEIGHT).copied().unwrap_or_default();
                let character = line.chars().nth(x / CELL_WIDTH).unwrap_or(' ');
                let glyph = get_raster(character, FontWeight::Regular, HEIGHT).expect("a glyph");
                let cover =
                    u32::from(glyph.pixels()[y % CELL_HEIGHT * CELL_WIDTH + x % CELL_WIDTH]);
                let value = (front * cover + back * (255 - cover)) / 255;
                file.extend([value as u8; 3]);
            }
        }
        Picture::parse(&file).expect("a picture")
    }

    #[test]
    fn reads_every_character_in_any_colour() {
        let all: String = ('!'..='~').collect();
        let (first, rest) = all.split_at(40);
        let (second, third) = rest.split_at(40);
        let lines = [first, second, third, "", "raede> echo 0Oo lI1| .,;: `'"];
        for colours in [(255, 0), (204, 20), (0, 255), (90, 10)] {
            assert_eq!(
                Reader::new().lines(&paint(&lines, colours)),
                lines,
                "{colours:?}"
            );
        }
    }
}
