//! Marked text: from one letter to another, row by row.

use draw::Rect;

/// A column and a row.
type Cell = (i32, i32);

/// What is marked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marked {
    /// Where the pointer was pressed, and where it is.
    ends: Option<(Cell, Cell)>,
    is_pressed: bool,
    /// Pixels that look different now.
    changed: Rect,
}

impl Marked {
    /// Begins at a letter.
    pub fn begin(&mut self, cell: Cell, cell_size: (i32, i32)) {
        self.note_changed(cell_size);
        self.ends = Some((cell, cell));
        self.is_pressed = true;
    }

    /// Goes on to a letter, while it is pressed.
    pub fn move_to(&mut self, cell: Cell, cell_size: (i32, i32)) {
        if let Some((start, end)) = self.ends
            && self.is_pressed
            && end != cell
        {
            self.note_changed(cell_size);
            self.ends = Some((start, cell));
            self.note_changed(cell_size);
        }
    }

    /// It stays.
    pub const fn end(&mut self) {
        self.is_pressed = false;
    }

    /// Nothing is marked.
    pub fn forget(&mut self, cell_size: (i32, i32)) {
        self.note_changed(cell_size);
        self.ends = None;
        self.is_pressed = false;
    }

    /// Pixels that look different than when this was last asked.
    pub fn take_changed(&mut self) -> Rect {
        core::mem::take(&mut self.changed)
    }

    fn note_changed(&mut self, (_, height): (i32, i32)) {
        if let Some((start, end)) = self.ends {
            let (top, bottom) = (start.1.min(end.1), start.1.max(end.1) + 1);
            let rows = Rect {
                left: 0,
                top: top * height,
                right: i32::MAX,
                bottom: bottom * height,
            };
            self.changed = self.changed.hull(&rows);
        }
    }

    /// The marked part of each row: first column, row, columns. A single letter that was only pressed is not marked.
    pub fn rows(&self, columns: usize) -> impl Iterator<Item = (i32, i32, i32)> + use<> {
        let columns = i32::try_from(columns).unwrap_or(i32::MAX);
        let ends = self.ends.filter(|(start, end)| start != end);
        let (start, end) = ends.unwrap_or(((0, 0), (0, -1)));
        let (first, last) = if (start.1, start.0) <= (end.1, end.0) {
            (start, end)
        } else {
            (end, start)
        };
        let rows = if ends.is_some() {
            first.1.max(0)..last.1 + 1
        } else {
            0..0
        };
        rows.filter_map(move |row| {
            let left = if row == first.1 {
                first.0.clamp(0, columns)
            } else {
                0
            };
            let right = if row == last.1 {
                (last.0 + 1).clamp(0, columns)
            } else {
                columns
            };
            (left < right).then_some((left, row, right - left))
        })
    }
}
