//! The lines typed before.

use heapless::Vec;

/// Bytes of lines that are kept.
const HISTORY_BYTES: usize = 4096;

/// Lines, oldest first, each ended by a newline, which no line contains.
#[derive(Default)]
pub struct History {
    bytes: Vec<u8, HISTORY_BYTES>,
}

impl History {
    /// Keeps a line; the oldest ones make room for it. Blank lines and repetitions are not kept.
    pub fn add(&mut self, line: &str) {
        if line.trim().is_empty() || self.get(0) == Some(line) || line.contains('\n') {
            return;
        }
        let needed = line.len() + 1;
        if needed > self.bytes.capacity() {
            return;
        }
        while self.bytes.len() + needed > self.bytes.capacity() {
            let first = self.bytes.iter().position(|byte| *byte == b'\n');
            let start = first.map_or(self.bytes.len(), |position| position + 1);
            self.bytes.copy_within(start.., 0);
            self.bytes.truncate(self.bytes.len() - start);
        }
        // Room for both was just made.
        let kept = self
            .bytes
            .extend_from_slice(line.as_bytes())
            .and_then(|()| self.bytes.extend_from_slice(b"\n"));
        debug_assert!(kept.is_ok());
    }

    /// The line `back` lines before the last one.
    pub fn get(&self, back: usize) -> Option<&str> {
        let lines = self.bytes.strip_suffix(b"\n")?;
        let line = lines.rsplit(|byte| *byte == b'\n').nth(back)?;
        core::str::from_utf8(line).ok()
    }

    /// The newest line, from `back` on, that contains `text`; and how far back it is.
    pub fn find(&self, text: &str, back: usize) -> Option<(usize, &str)> {
        (back..)
            .map_while(|back| self.get(back).map(|line| (back, line)))
            .find(|(_, line)| line.contains(text))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use super::*;

    #[test]
    fn newest_first_without_repetitions() {
        let mut history = History::default();
        assert_eq!(history.get(0), None);
        for line in ["a", "b", "b", "", "  ", "c"] {
            history.add(line);
        }
        assert_eq!(
            (history.get(0), history.get(1), history.get(2)),
            (Some("c"), Some("b"), Some("a"))
        );
        assert_eq!(history.get(3), None);
        assert_eq!(history.find("a", 0), Some((2, "a")));
        assert_eq!(history.find("a", 3), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut history = History::default();
        for number in 0..1000 {
            history.add(&format!("line {number} ä"));
        }
        assert_eq!(history.get(0), Some("line 999 ä"));
        assert!(history.get(200).is_some());
        assert_eq!(history.get(999), None);
        let long = "x".repeat(HISTORY_BYTES - 1);
        history.add(&long);
        assert_eq!(history.get(0), Some(long.as_str()));
        assert_eq!(history.get(1), None);
        history.add(&"y".repeat(HISTORY_BYTES));
        assert_eq!(history.get(0), Some(long.as_str()));
    }
}
