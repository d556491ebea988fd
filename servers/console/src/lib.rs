//! A text console on a framebuffer.
//!
//! [`Console`] is a terminal: bytes in ([`Console::write`]), pixels out ([`Console::flush_some`]).
//! [`run`] is the server's task, from a byte stream to the screen.
//!
//! * [`framebuffer`]: what the host implements, and bridges to and from `embedded-graphics`.
//! * [`cell`]: one character with its looks, in 32 bits.
//! * [`screen`]: the grid of cells, the cursor, scrolling.
//! * [`terminal`]: the control sequences that are understood, a subset of xterm's.
//! * [`paint`]: cells into pixels.
//!
//! What must hold:
//! * **The grid is the truth.** Writing changes only the grid, in memory. Flushing compares it with
//!   what the screen shows and paints the cells that differ, each once, however often they changed
//!   in between: output that scrolls does not flicker, and cells that look the same cost nothing.
//! * **Short polls.** A flush is cut into slices of [`CELLS_PER_POLL`] cells.
//! * **No input does harm**: unknown sequences are skipped, bytes that are not UTF-8 and characters
//!   the font lacks show as `�`, and every position is clamped to the grid.
#![no_std]
#![forbid(unsafe_code)]

pub mod cell;
pub mod framebuffer;
mod paint;
pub mod screen;
pub mod terminal;

use core::fmt;

use rt::{ByteSource, yield_now};

pub use cell::{Cell, Color, Style};
pub use framebuffer::{Canvas, Framebuffer, TargetFramebuffer};
use paint::Painter;
pub use paint::{CELL_HEIGHT, CELL_WIDTH};
use screen::Screen;
use terminal::Terminal;

/// Cells painted before other tasks get their turn.
pub const CELLS_PER_POLL: usize = 512;
/// Bytes taken in before the screen is brought up to date.
const BYTES_PER_FLUSH: usize = 4096;
/// Fewest columns and rows that make a console.
const LEAST_COLUMNS: usize = 20;
const LEAST_ROWS: usize = 4;

/// Why there is no console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleError {
    /// The framebuffer is too small to read anything on.
    ScreenTooSmall {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// The caller brought too few cells for this framebuffer.
    TooFewCells {
        /// What [`cells_needed`] says.
        needed: usize,
        /// What the caller brought.
        given: usize,
    },
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScreenTooSmall { width, height } => write!(
                f,
                "a framebuffer of {width}x{height} pixels is too small for a console: it takes \
                 {}x{}; choose a larger mode or use the serial console",
                LEAST_COLUMNS * CELL_WIDTH,
                LEAST_ROWS * CELL_HEIGHT
            ),
            Self::TooFewCells { needed, given } => {
                write!(
                    f,
                    "the console needs {needed} cells for this framebuffer and got {given}"
                )
            }
        }
    }
}

impl core::error::Error for ConsoleError {}

/// How many [`Cell`]s a console on a framebuffer of this size (in pixels) needs from its caller:
/// two for each place on the screen.
#[must_use]
pub const fn cells_needed(width: u32, height: u32) -> usize {
    2 * (width as usize / CELL_WIDTH) * (height as usize / CELL_HEIGHT)
}

/// A text console.
pub struct Console<'a, F> {
    framebuffer: F,
    terminal: Terminal<'a>,
    parser: vte::Parser,
    /// What the screen shows, in screen order.
    shown: &'a mut [Cell],
    painter: Painter,
    margins_clear: bool,
}

impl<'a, F: Framebuffer> Console<'a, F> {
    /// A blank console that fills `framebuffer`; `cells` is its memory, [`cells_needed`] long. The
    /// screen itself changes with the first flush.
    ///
    /// # Errors
    /// [`ConsoleError`], if the framebuffer or the memory is too small.
    pub fn new(framebuffer: F, cells: &'a mut [Cell]) -> Result<Self, ConsoleError> {
        let (width, height) = framebuffer.size();
        let columns = width as usize / CELL_WIDTH;
        let rows = height as usize / CELL_HEIGHT;
        if columns < LEAST_COLUMNS || rows < LEAST_ROWS {
            return Err(ConsoleError::ScreenTooSmall { width, height });
        }
        let (needed, given) = (cells_needed(width, height), cells.len());
        let Some((grid, shown)) = cells
            .get_mut(..needed)
            .and_then(|cells| cells.split_at_mut_checked(needed / 2))
        else {
            return Err(ConsoleError::TooFewCells { needed, given });
        };
        shown.fill(Cell::UNKNOWN);
        Ok(Self {
            framebuffer,
            terminal: Terminal::new(Screen::new(grid, columns)),
            parser: vte::Parser::new(),
            shown,
            painter: Painter::new(),
            margins_clear: false,
        })
    }

    /// Columns of the grid.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.terminal.screen.columns()
    }

    /// Rows of the grid.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.terminal.screen.rows()
    }

    /// The cell at a place on the screen; blank outside of it.
    #[must_use]
    pub fn cell(&self, column: usize, row: usize) -> Cell {
        self.terminal.screen.cell(column, row)
    }

    /// Column and row of the cursor.
    #[must_use]
    pub fn cursor(&self) -> (usize, usize) {
        self.terminal.screen.cursor()
    }

    /// The framebuffer.
    pub fn framebuffer(&self) -> &F {
        &self.framebuffer
    }

    /// Takes text and control sequences in; the screen changes with the next flush. Sequences and
    /// characters may be split over calls.
    pub fn write(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.terminal, bytes);
    }

    /// Brings the screen up to date, painting at most `cells` cells. Returns whether there is more
    /// to paint.
    pub fn flush_some(&mut self, cells: usize) -> bool {
        if !self.margins_clear {
            self.margins_clear = true;
            let grid = (self.columns() * CELL_WIDTH, self.rows() * CELL_HEIGHT);
            self.painter.clear_margins(&mut self.framebuffer, grid);
        }
        let screen = &mut self.terminal.screen;
        let columns = screen.columns();
        let mut left = cells;
        while let Some(row) = screen.first_dirty_row() {
            let shown = &mut self.shown[row * columns..][..columns];
            let mut column = 0;
            while column < columns {
                if screen.visible(column, row) == shown[column] {
                    column += 1;
                    continue;
                }
                if left == 0 {
                    return true;
                }
                // A run of cells that changed becomes one rectangle.
                let start = column;
                let most = left.min(Painter::RUN_CELLS).min(columns - start);
                while column < start + most && screen.visible(column, row) != shown[column] {
                    shown[column] = screen.visible(column, row);
                    column += 1;
                }
                left -= column - start;
                self.painter
                    .paint(&mut self.framebuffer, start, row, &shown[start..column]);
            }
            screen.row_is_clean(row);
        }
        false
    }

    /// Brings the screen up to date at once.
    pub fn flush(&mut self) {
        while self.flush_some(usize::MAX) {}
    }
}

/// Shows what comes from `source` on `console`, until the source is closed.
pub async fn run<F: Framebuffer, S: ByteSource>(console: &mut Console<'_, F>, source: &S) {
    let mut chunk = [0; 512];
    loop {
        while console.flush_some(CELLS_PER_POLL) {
            yield_now().await;
        }
        let mut taken = source.read(&mut chunk).await;
        if taken == 0 {
            return;
        }
        console.write(&chunk[..taken]);
        // Whatever else is there now joins in, so that a burst is painted once.
        while taken < BYTES_PER_FLUSH {
            let more = source.try_read(&mut chunk);
            if more == 0 {
                break;
            }
            console.write(&chunk[..more]);
            taken += more;
        }
        yield_now().await;
    }
}
