//! A terminal, as far as a line editor needs one.

/// One row of a terminal: what a line editor needs of xterm.
#[derive(Default)]
pub struct Row {
    pub cells: Vec<char>,
    pub column: usize,
    pub bells: usize,
}

impl Row {
    pub fn write(&mut self, text: &str) {
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\r' => self.column = 0,
                '\u{8}' => self.column = self.column.saturating_sub(1),
                '\u{7}' => self.bells += 1,
                '\u{1b}' => {
                    assert_eq!(rest.next(), Some('['));
                    let mut number = String::new();
                    let action = loop {
                        match rest.next() {
                            Some(digit @ '0'..='9') => number.push(digit),
                            Some(action) => break action,
                            None => panic!("a cut sequence"),
                        }
                    };
                    match action {
                        'K' => self.cells.truncate(self.column),
                        'G' => self.column = number.parse::<usize>().expect("a column") - 1,
                        'H' | 'J' => {
                            self.cells.clear();
                            self.column = 0;
                        }
                        other => panic!("the editor sent {other:?}"),
                    }
                }
                printed => {
                    assert!(!printed.is_control(), "{printed:?}");
                    while self.cells.len() <= self.column {
                        self.cells.push(' ');
                    }
                    self.cells[self.column] = printed;
                    self.column += 1;
                    assert!(self.column < 80, "the last column would wrap");
                }
            }
        }
    }

    pub fn text(&self) -> String {
        self.cells.iter().collect::<String>().trim_end().to_owned()
    }
}
