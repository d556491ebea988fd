//! The grid of cells, the cursor, scrolling.
//!
//! Rows are a ring: scrolling by a line moves the top, and clears one row, instead of moving all
//! cells. Which rows may differ from what the screen shows is kept as one range.

use crate::cell::{Cell, Style};

/// The grid and the cursor. All positions are clamped to the grid.
pub struct Screen<'a> {
    cells: &'a mut [Cell],
    columns: usize,
    rows: usize,
    /// Where in the ring the first row of the screen is.
    top: usize,
    column: usize,
    row: usize,
    /// A character was put into the last column; the next one goes to a new line.
    wrap_pending: bool,
    /// Whether the cursor shows.
    cursor_shown: bool,
    /// The rows from the first to before the second may have changed.
    dirty: (usize, usize),
}

impl<'a> Screen<'a> {
    /// A blank screen. `cells` is a whole number of rows of `columns` cells.
    pub(crate) fn new(cells: &'a mut [Cell], columns: usize) -> Self {
        cells.fill(Cell::BLANK);
        let rows = cells.len().checked_div(columns).unwrap_or(0);
        Self {
            cells,
            columns,
            rows,
            top: 0,
            column: 0,
            row: 0,
            wrap_pending: false,
            cursor_shown: true,
            dirty: (0, rows),
        }
    }

    /// Columns.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Column and row of the cursor.
    #[must_use]
    pub const fn cursor(&self) -> (usize, usize) {
        (self.column, self.row)
    }

    fn start_of(&self, row: usize) -> usize {
        (self.top + row) % self.rows * self.columns
    }

    /// The cell at a place; blank outside of the grid.
    #[must_use]
    pub fn cell(&self, column: usize, row: usize) -> Cell {
        if column < self.columns && row < self.rows {
            self.cells[self.start_of(row) + column]
        } else {
            Cell::BLANK
        }
    }

    /// The cell at a place as it is to be seen, the cursor included.
    pub(crate) fn visible(&self, column: usize, row: usize) -> Cell {
        let cell = self.cell(column, row);
        let is_cursor = self.cursor_shown && (column, row) == (self.column, self.row);
        if is_cursor { cell.inverted() } else { cell }
    }

    pub(crate) fn first_dirty_row(&self) -> Option<usize> {
        (self.dirty.0 < self.dirty.1).then_some(self.dirty.0)
    }

    pub(crate) fn row_is_clean(&mut self, row: usize) {
        if self.dirty.0 == row {
            self.dirty.0 += 1;
        }
    }

    fn touch(&mut self, first: usize, after_last: usize) {
        if self.dirty.0 >= self.dirty.1 {
            self.dirty = (first, after_last);
        } else {
            self.dirty = (self.dirty.0.min(first), self.dirty.1.max(after_last));
        }
    }

    fn row_mut(&mut self, row: usize) -> &mut [Cell] {
        self.touch(row, row + 1);
        let start = self.start_of(row);
        &mut self.cells[start..][..self.columns]
    }

    /// Moves the cursor, clamped to the grid.
    pub fn move_to(&mut self, column: usize, row: usize) {
        self.touch(self.row, self.row + 1);
        self.column = column.min(self.columns - 1);
        self.row = row.min(self.rows - 1);
        self.wrap_pending = false;
        self.touch(self.row, self.row + 1);
    }

    /// Puts a character at the cursor and moves it on.
    pub fn put(&mut self, character: char, style: Style) {
        if self.wrap_pending {
            self.move_to(0, self.row);
            self.line_feed();
        }
        let (column, row) = (self.column, self.row);
        self.row_mut(row)[column] = Cell::new(character, style);
        if column + 1 < self.columns {
            self.column += 1;
        } else {
            self.wrap_pending = true;
        }
    }

    /// Moves the cursor down, scrolling at the bottom.
    pub fn line_feed(&mut self) {
        if self.row + 1 < self.rows {
            self.move_to(self.column, self.row + 1);
        } else {
            self.top = (self.top + 1) % self.rows;
            self.wrap_pending = false;
            self.row_mut(self.rows - 1).fill(Cell::BLANK);
            self.touch(0, self.rows);
        }
    }

    /// Moves the cursor up, scrolling down at the top.
    pub fn reverse_line_feed(&mut self) {
        if self.row > 0 {
            self.move_to(self.column, self.row - 1);
        } else {
            self.top = (self.top + self.rows - 1) % self.rows;
            self.wrap_pending = false;
            self.row_mut(0).fill(Cell::BLANK);
            self.touch(0, self.rows);
        }
    }

    /// Fills the cells from column `first` to before `after_last` of a row with `blank`.
    pub fn erase(&mut self, row: usize, first: usize, after_last: usize, blank: Cell) {
        let after_last = after_last.min(self.columns);
        if row < self.rows && first < after_last {
            self.row_mut(row)[first..after_last].fill(blank);
            self.wrap_pending = false;
        }
    }

    /// Makes room for `count` cells at the cursor; what moves off the end of the row is lost.
    pub fn insert(&mut self, count: usize, blank: Cell) {
        let (column, row, columns) = (self.column, self.row, self.columns);
        let count = count.min(columns - column);
        let cells = self.row_mut(row);
        cells.copy_within(column..columns - count, column + count);
        cells[column..column + count].fill(blank);
        self.wrap_pending = false;
    }

    /// Removes `count` cells at the cursor; the rest of the row moves up.
    pub fn delete(&mut self, count: usize, blank: Cell) {
        let (column, row, columns) = (self.column, self.row, self.columns);
        let count = count.min(columns - column);
        let cells = self.row_mut(row);
        cells.copy_within(column + count..columns, column);
        cells[columns - count..].fill(blank);
        self.wrap_pending = false;
    }

    /// Shows or hides the cursor.
    pub fn show_cursor(&mut self, shown: bool) {
        self.cursor_shown = shown;
        self.touch(self.row, self.row + 1);
    }
}
