//! Cells into pixels.
//!
//! The font holds how much of each pixel a glyph covers, 0 to 255. A table of the 256 blends of
//! the two colours of a cell turns that into pixels with one look-up each. The table for the default
//! colours is kept; another is made when a cell needs it and kept until the next pair of colours.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use embedded_graphics::pixelcolor::RgbColor;

use crate::cell::{Cell, Color, Style};
use crate::framebuffer::{Framebuffer, pixel};

const HEIGHT: RasterHeight = RasterHeight::Size16;
/// Width of a cell in pixels.
pub const CELL_WIDTH: usize = get_raster_width(FontWeight::Regular, HEIGHT);
/// Height of a cell in pixels.
pub const CELL_HEIGHT: usize = HEIGHT.val();
/// Row of the underline, below the baseline of the font.
const UNDERLINE_ROW: usize = CELL_HEIGHT - 2;

const _: () = assert!(
    CELL_WIDTH == get_raster_width(FontWeight::Bold, HEIGHT),
    "both weights fit the same cell"
);

type Blends = [u32; 256];

pub(crate) struct Painter {
    default: Blends,
    other: Blends,
    other_pair: (Color, Color),
    run: [u32; Self::RUN_CELLS * CELL_WIDTH * CELL_HEIGHT],
}

impl Painter {
    /// Most cells in one rectangle.
    pub const RUN_CELLS: usize = 32;

    pub fn new() -> Self {
        let pair = (Color::WHITE, Color::BLACK);
        let default = blends(pair);
        Self {
            default,
            other: default,
            other_pair: pair,
            run: [0; Self::RUN_CELLS * CELL_WIDTH * CELL_HEIGHT],
        }
    }

    /// Paints `cells`, at most [`Self::RUN_CELLS`], side by side from (`column`, `row`) on.
    pub fn paint<F: Framebuffer>(
        &mut self,
        framebuffer: &mut F,
        column: usize,
        row: usize,
        cells: &[Cell],
    ) {
        let stride = cells.len() * CELL_WIDTH;
        for (index, cell) in cells.iter().enumerate() {
            self.compose(*cell, index * CELL_WIDTH, stride);
        }
        let (x, y) = (column * CELL_WIDTH, row * CELL_HEIGHT);
        if let (Ok(x), Ok(y), Ok(width)) =
            (u32::try_from(x), u32::try_from(y), u32::try_from(stride))
        {
            framebuffer.write_rect(x, y, width, &self.run[..stride * CELL_HEIGHT]);
        }
    }

    fn compose(&mut self, cell: Cell, left: usize, stride: usize) {
        let style = cell.style();
        let pair = colors(style);
        let blends = if pair == (Color::WHITE, Color::BLACK) {
            &self.default
        } else {
            if pair != self.other_pair {
                self.other = blends(pair);
                self.other_pair = pair;
            }
            &self.other
        };
        let weight = if style.bold {
            FontWeight::Bold
        } else {
            FontWeight::Regular
        };
        let glyph = get_raster(cell.character(), weight, HEIGHT)
            .or_else(|| get_raster(char::REPLACEMENT_CHARACTER, weight, HEIGHT))
            .or_else(|| get_raster('?', weight, HEIGHT));
        let rows = self.run.chunks_exact_mut(stride).take(CELL_HEIGHT);
        for (y, line) in rows.enumerate() {
            let line = &mut line[left..][..CELL_WIDTH];
            let glyph_row = glyph
                .as_ref()
                .and_then(|glyph| glyph.pixels().get(y * CELL_WIDTH..))
                .unwrap_or(&[]);
            if style.underlined && y == UNDERLINE_ROW {
                line.fill(blends[255]);
            } else {
                for (pixel, coverage) in line.iter_mut().zip(glyph_row) {
                    *pixel = blends[usize::from(*coverage)];
                }
            }
        }
    }

    /// Clears what is right of and below a grid of `grid` pixels.
    pub fn clear_margins<F: Framebuffer>(&mut self, framebuffer: &mut F, grid: (usize, usize)) {
        let background = self.default[0];
        let (width, height) = framebuffer.size();
        let (Ok(grid_width), Ok(grid_height)) = (u32::try_from(grid.0), u32::try_from(grid.1))
        else {
            return;
        };
        self.run.fill(background);
        let right = width.saturating_sub(grid_width);
        for y in 0..height {
            let (mut x, mut left) = if y < grid_height {
                (grid_width, right)
            } else {
                (0, width)
            };
            while left > 0 {
                let count = left.min(CELL_WIDTH as u32 * Self::RUN_CELLS as u32);
                framebuffer.write_rect(x, y, count, &self.run[..count as usize]);
                x += count;
                left -= count;
            }
        }
    }
}

/// Foreground and background as they show.
fn colors(style: Style) -> (Color, Color) {
    if style.inverse {
        (style.background, style.foreground)
    } else {
        (style.foreground, style.background)
    }
}

fn blends((foreground, background): (Color, Color)) -> Blends {
    let (over, under) = (foreground.rgb(), background.rgb());
    let mut table = [pixel(under); 256];
    for (coverage, entry) in (0u32..).zip(table.iter_mut()) {
        let mix = |over: u8, under: u8| {
            let sum = u32::from(over) * coverage + u32::from(under) * (255 - coverage);
            (sum + 127) / 255
        };
        *entry = mix(over.r(), under.r()) << 16
            | mix(over.g(), under.g()) << 8
            | mix(over.b(), under.b());
    }
    table
}
