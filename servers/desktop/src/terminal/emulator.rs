//! The emulator: bytes of a shell become letters in a picture.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use draw::text::{Face, Font};
use draw::{Canvas, Pixel, Rect, rgb};
use gui::Size;
use os_terminal::font::{ContentInfo, FontManager, Rasterized};
use os_terminal::{DrawTarget, MouseInput, Rgb, Terminal};
use spin::Mutex;

use crate::marked::Marked;

/// Size of the letters.
const TEXT_PX: u16 = 15;
/// Lines kept above those that are seen.
const HISTORY_LINES: usize = 2000;
/// Between the window's edge and the letters.
const EDGE_PX: i32 = 6;

/// The picture that the emulator paints, shared with it.
#[derive(Debug, Default)]
struct Picture {
    pixels: Vec<Pixel>,
    width: usize,
    height: usize,
    /// What was painted since it was last shown.
    changed: Rect,
    /// The letters that are seen, and the one that is being painted.
    letters: Vec<char>,
    columns: usize,
    letter: char,
    letter_size: (usize, usize),
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Picture>>);

impl DrawTarget for Shared {
    fn size(&self) -> (usize, usize) {
        let picture = self.0.lock();
        (picture.width.max(1), picture.height.max(1))
    }

    fn draw_pixel(&mut self, x: usize, y: usize, (red, green, blue): Rgb) {
        let mut picture = self.0.lock();
        let picture = &mut *picture;
        if x >= picture.width || y >= picture.height {
            return;
        }
        let pixel = rgb(u32::from(red) << 16 | u32::from(green) << 8 | u32::from(blue));
        if let Some(place) = picture.pixels.get_mut(y * picture.width + x) {
            *place = pixel;
        }
        let (width, height) = picture.letter_size;
        // The first pixel of a cell: the letter that was asked for just before is the one that is there.
        if x.is_multiple_of(width.max(1)) && y.is_multiple_of(height.max(1)) {
            let cell = Rect::new(x as i32, y as i32, width as i32, height as i32);
            picture.changed = picture.changed.hull(&cell);
            let at = y / height.max(1) * picture.columns + x / width.max(1);
            if let Some(place) = picture.letters.get_mut(at) {
                *place = picture.letter;
            }
        }
    }
}

/// Letters of equal width for the emulator.
struct Letters {
    font: Font,
    size: (usize, usize),
    kept: BTreeMap<char, Vec<Vec<u8>>>,
    picture: Shared,
}

/// Most letters kept.
const MOST_KEPT: usize = 1024;

impl Letters {
    fn new(picture: Shared) -> Option<Self> {
        let mut font = Font::new(Face::Mono, TEXT_PX)?;
        let size = (
            font.width_px("M").max(1) as usize,
            font.height_px().max(1) as usize,
        );
        picture.0.lock().letter_size = size;
        Some(Self {
            font,
            size,
            kept: BTreeMap::new(),
            picture,
        })
    }
}

impl FontManager for Letters {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn rasterize(&mut self, info: ContentInfo) -> Rasterized<'_> {
        self.picture.0.lock().letter = info.content;
        if self.kept.len() >= MOST_KEPT && !self.kept.contains_key(&info.content) {
            self.kept.clear();
        }
        let (width, height) = self.size;
        let width = if info.wide { 2 * width } else { width };
        let font = &mut self.font;
        let rows = self.kept.entry(info.content).or_insert_with(|| {
            // White on black: how white a pixel is, is how much of it the letter covers.
            let mut pixels = vec![rgb(0); width * height];
            let mut canvas = Canvas::new(&mut pixels, width as u32, height as u32);
            let mut text = [0; 4];
            font.draw(
                &mut canvas,
                0,
                0,
                info.content.encode_utf8(&mut text),
                rgb(0xff_ffff),
            );
            pixels
                .chunks(width)
                .map(|row| row.iter().map(|pixel| *pixel as u8).collect())
                .collect()
        });
        Rasterized::GrayVec(rows)
    }
}

/// A terminal and its picture.
pub struct Emulator {
    terminal: Terminal<Shared>,
    picture: Shared,
    marked: Marked,
    /// All is to be painted.
    is_new: bool,
    is_sized: bool,
}

impl Emulator {
    /// `None` without letters.
    pub fn new() -> Option<Self> {
        let picture = Shared(Arc::new(Mutex::new(Picture {
            letter: ' ',
            ..Picture::default()
        })));
        let letters = Letters::new(picture.clone())?;
        let mut terminal = Terminal::new(picture.clone(), Box::new(letters));
        terminal.set_history_size(HISTORY_LINES);
        terminal.set_auto_flush(false);
        Some(Self {
            terminal,
            picture,
            marked: Marked::default(),
            is_new: true,
            is_sized: false,
        })
    }

    /// Whether it has a size.
    pub const fn is_sized(&self) -> bool {
        self.is_sized
    }

    /// The window has this size now.
    pub fn resize(&mut self, size: Size) {
        let inner = |side: u16| (i32::from(side) - 2 * EDGE_PX).max(1) as usize;
        {
            let mut picture = self.picture.0.lock();
            let (letter_width, letter_height) = picture.letter_size;
            picture.width = inner(size.width).max(letter_width);
            picture.height = inner(size.height).max(letter_height);
            picture.pixels = vec![rgb(0); picture.width * picture.height];
            picture.columns = picture.width / letter_width;
            picture.letters = vec![' '; picture.columns * (picture.height / letter_height)];
        }
        if let Some(letters) = Letters::new(self.picture.clone()) {
            // Makes it look at its size again.
            self.terminal.set_font_manager(Box::new(letters));
        }
        self.marked = Marked::default();
        self.is_new = true;
        self.is_sized = true;
    }

    /// Columns and rows.
    pub fn columns_and_rows(&self) -> (usize, usize) {
        (self.terminal.columns(), self.terminal.rows())
    }

    /// Shows bytes of the shell's.
    pub fn write(&mut self, bytes: &[u8]) {
        self.forget_mark();
        self.terminal.process(bytes);
    }

    /// Goes back (or, above 0, forth) so many lines.
    pub fn scroll(&mut self, lines: isize) {
        self.forget_mark();
        self.terminal.handle_mouse(MouseInput::Scroll(lines));
    }

    /// Paints what changed. Which part that is.
    pub fn paint(&mut self, canvas: &mut Canvas<'_>) -> Option<Rect> {
        if !self.is_sized {
            return None;
        }
        self.terminal.flush();
        let mut picture = self.picture.0.lock();
        let all = Rect::new(0, 0, picture.width as i32, picture.height as i32);
        let mut changed = core::mem::take(&mut picture.changed).hull(&self.marked.take_changed());
        let is_new = core::mem::take(&mut self.is_new);
        if is_new {
            changed = all;
        }
        let changed = changed.and(&all);
        if changed.is_empty() {
            return None;
        }
        let whole = canvas.clip();
        let ground = picture.pixels.last().copied().unwrap_or(rgb(0));
        if is_new {
            canvas.replace(&whole, ground);
        }
        let part = changed.moved(EDGE_PX, EDGE_PX);
        {
            let mut canvas = canvas.clipped(&part);
            canvas.copy(
                EDGE_PX,
                EDGE_PX,
                picture.width as u32,
                &picture.pixels,
                false,
            );
            let (width, height) = (picture.letter_size.0 as i32, picture.letter_size.1 as i32);
            for row in self.marked.rows(picture.columns) {
                let rect = Rect::new(row.0 * width, row.1 * height, row.2 * width, height);
                canvas.fill(&rect.moved(EDGE_PX, EDGE_PX), draw::rgba(0x4c_9f_f0, 110));
            }
        }
        Some(if is_new { whole } else { part })
    }

    fn cell(&self, x: i32, y: i32) -> (i32, i32) {
        let (width, height) = self.picture.0.lock().letter_size;
        (
            (x - EDGE_PX) / width.max(1) as i32,
            (y - EDGE_PX) / height.max(1) as i32,
        )
    }

    /// The pointer was pressed: from here on text is marked.
    pub fn begin_mark(&mut self, x: i32, y: i32) {
        let cell = self.cell(x, y);
        self.marked.begin(cell, self.cell_size());
    }

    /// The pointer moved.
    pub fn move_mark(&mut self, x: i32, y: i32) {
        let cell = self.cell(x, y);
        self.marked.move_to(cell, self.cell_size());
    }

    /// The pointer was released: the mark stays.
    pub const fn end_mark(&mut self) {
        self.marked.end();
    }

    /// Nothing is marked any more.
    pub fn forget_mark(&mut self) {
        self.marked.forget(self.cell_size());
    }

    fn cell_size(&self) -> (i32, i32) {
        let (width, height) = self.picture.0.lock().letter_size;
        (width as i32, height as i32)
    }

    /// The marked text.
    pub fn marked(&self) -> Option<String> {
        let picture = self.picture.0.lock();
        let mut text = String::new();
        for (left, y, columns) in self.marked.rows(picture.columns) {
            let start = y as usize * picture.columns + left as usize;
            let letters = picture
                .letters
                .get(start..start + columns as usize)
                .unwrap_or_default();
            let line: String = letters.iter().collect();
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line.trim_end());
        }
        (!text.is_empty()).then_some(text)
    }
}
