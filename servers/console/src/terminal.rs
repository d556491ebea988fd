//! The control sequences that are understood: the part of xterm's ("XTerm Control Sequences") that
//! line editors, full-screen tables and coloured output use. LF also returns to the first column, as
//! a terminal does for the output of a program.

use vte::{Params, Perform};

use crate::cell::{Cell, Color, Style};
use crate::screen::Screen;

const TAB_COLUMNS: usize = 8;

/// A screen with what control sequences change beside it.
pub struct Terminal<'a> {
    pub(crate) screen: Screen<'a>,
    style: Style,
    saved: (usize, usize, Style),
}

impl<'a> Terminal<'a> {
    pub(crate) fn new(screen: Screen<'a>) -> Self {
        Self {
            screen,
            style: Style::DEFAULT,
            saved: (0, 0, Style::DEFAULT),
        }
    }

    /// What erasing leaves: the current background, nothing else.
    fn blank(&self) -> Cell {
        Cell::new(
            ' ',
            Style {
                background: self.style.background,
                ..Style::DEFAULT
            },
        )
    }

    fn erase_display(&mut self, mode: u16) {
        let (column, row) = self.screen.cursor();
        let (columns, rows) = (self.screen.columns(), self.screen.rows());
        let blank = self.blank();
        let (first, after_last) = match mode {
            0 => {
                self.screen.erase(row, column, columns, blank);
                (row + 1, rows)
            }
            1 => {
                self.screen.erase(row, 0, column + 1, blank);
                (0, row)
            }
            2 | 3 => (0, rows),
            _ => return,
        };
        for row in first..after_last {
            self.screen.erase(row, 0, columns, blank);
        }
    }

    fn erase_line(&mut self, mode: u16) {
        let (column, row) = self.screen.cursor();
        let columns = self.screen.columns();
        let (first, after_last) = match mode {
            0 => (column, columns),
            1 => (0, column + 1),
            2 => (0, columns),
            _ => return,
        };
        let blank = self.blank();
        self.screen.erase(row, first, after_last, blank);
    }

    fn move_by(&mut self, columns: isize, rows: isize) {
        let (column, row) = self.screen.cursor();
        self.screen.move_to(
            column.saturating_add_signed(columns),
            row.saturating_add_signed(rows),
        );
    }

    fn select_graphics(&mut self, params: &Params) {
        let mut groups = params.iter();
        while let Some(group) = groups.next() {
            let code = group.first().copied().unwrap_or(0);
            let style = &mut self.style;
            match code {
                0 => *style = Style::DEFAULT,
                1 => style.bold = true,
                4 => style.underlined = true,
                7 => style.inverse = true,
                22 => style.bold = false,
                24 => style.underlined = false,
                27 => style.inverse = false,
                30..=37 => style.foreground = Color::new((code - 30) as u8),
                39 => style.foreground = Style::DEFAULT.foreground,
                40..=47 => style.background = Color::new((code - 40) as u8),
                49 => style.background = Style::DEFAULT.background,
                90..=97 => style.foreground = Color::new((code - 90) as u8).bright(),
                100..=107 => style.background = Color::new((code - 100) as u8).bright(),
                // An extended colour: its parameters are not codes of their own.
                38 | 48 if group.len() == 1 => match groups.next() {
                    Some([5]) => drop(groups.next()),
                    Some([2]) => drop(groups.nth(2)),
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn save(&mut self) {
        let (column, row) = self.screen.cursor();
        self.saved = (column, row, self.style);
    }

    fn restore(&mut self) {
        let (column, row, style) = self.saved;
        self.style = style;
        self.screen.move_to(column, row);
    }

    fn line_feed(&mut self) {
        let (_, row) = self.screen.cursor();
        self.screen.move_to(0, row);
        self.screen.line_feed();
    }
}

impl Perform for Terminal<'_> {
    fn print(&mut self, character: char) {
        self.screen.put(character, self.style);
    }

    fn execute(&mut self, byte: u8) {
        let (column, row) = self.screen.cursor();
        match byte {
            0x08 => self.screen.move_to(column.saturating_sub(1), row),
            b'\t' => self
                .screen
                .move_to((column / TAB_COLUMNS + 1) * TAB_COLUMNS, row),
            b'\n' | 0x0b | 0x0c => self.line_feed(),
            b'\r' => self.screen.move_to(0, row),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore {
            return;
        }
        let number = |index: usize| {
            params
                .iter()
                .nth(index)
                .and_then(|codes| codes.first().copied())
                .unwrap_or(0)
        };
        if intermediates == b"?" {
            if matches!(action, 'h' | 'l') && number(0) == 25 {
                self.screen.show_cursor(action == 'h');
            }
            return;
        }
        if !intermediates.is_empty() {
            return;
        }
        let count = usize::from(number(0).max(1));
        let step = isize::from(number(0).max(1).min(i16::MAX as u16) as i16);
        let (column, row) = self.screen.cursor();
        match action {
            'A' => self.move_by(0, -step),
            'B' | 'e' => self.move_by(0, step),
            'C' | 'a' => self.move_by(step, 0),
            'D' => self.move_by(-step, 0),
            'E' => self.screen.move_to(0, row.saturating_add(count)),
            'F' => self.screen.move_to(0, row.saturating_sub(count)),
            'G' | '`' => self.screen.move_to(count - 1, row),
            'd' => self.screen.move_to(column, count - 1),
            'H' | 'f' => self
                .screen
                .move_to(usize::from(number(1).max(1)) - 1, count - 1),
            'J' => self.erase_display(number(0)),
            'K' => self.erase_line(number(0)),
            'X' => {
                let blank = self.blank();
                self.screen
                    .erase(row, column, column.saturating_add(count), blank);
            }
            '@' => self.screen.insert(count, self.blank()),
            'P' => self.screen.delete(count, self.blank()),
            'm' => self.select_graphics(params),
            's' => self.save(),
            'u' => self.restore(),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        if ignore || !intermediates.is_empty() {
            return;
        }
        match byte {
            b'7' => self.save(),
            b'8' => self.restore(),
            b'D' => self.screen.line_feed(),
            b'E' => self.line_feed(),
            b'M' => self.screen.reverse_line_feed(),
            b'c' => {
                self.style = Style::DEFAULT;
                self.erase_display(2);
                self.screen.move_to(0, 0);
                self.screen.show_cursor(true);
                self.save();
            }
            _ => {}
        }
    }
}
