//! The last lines that a unit put out.

use alloc::collections::VecDeque;

use proto::services::MAX_LINE_BYTES;
use proto::{Cursor, Text, UnitLogRow};

/// A ring of lines. It takes bytes as they come, in pieces of any size.
#[derive(Debug)]
pub struct LogRing {
    lines: VecDeque<UnitLogRow>,
    most: usize,
    next_seq: u64,
    /// A line without its end yet.
    partial: [u8; MAX_LINE_BYTES],
    partial_len: usize,
    /// The rest of an over-long line is skipped.
    skipping: bool,
}

impl LogRing {
    /// An empty ring of at most `most` lines.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            most: most.max(1),
            next_seq: 0,
            partial: [0; MAX_LINE_BYTES],
            partial_len: 0,
            skipping: false,
        }
    }

    /// Takes in what an instance put out.
    pub fn write(&mut self, bytes: &[u8], generation: u32, now_ns: u64) {
        for &byte in bytes {
            if byte == b'\n' {
                if !core::mem::take(&mut self.skipping) {
                    self.end_line(generation, now_ns);
                }
                continue;
            }
            if self.skipping {
                continue;
            }
            if self.partial_len == MAX_LINE_BYTES {
                // Cut, as `Text` shows.
                self.end_cut_line(generation, now_ns);
                self.skipping = true;
                continue;
            }
            if let Some(place) = self.partial.get_mut(self.partial_len) {
                *place = byte;
                self.partial_len += 1;
            }
        }
    }

    /// The instance is gone: a line without an end ends here.
    pub fn end(&mut self, generation: u32, now_ns: u64) {
        self.skipping = false;
        if self.partial_len > 0 {
            self.end_line(generation, now_ns);
        }
    }

    fn end_line(&mut self, generation: u32, now_ns: u64) {
        let text = self.text();
        self.push(text, generation, now_ns);
    }

    fn end_cut_line(&mut self, generation: u32, now_ns: u64) {
        let mut text = self.text();
        // One more than fits makes the text say that it was cut.
        text.push("……");
        self.push(text, generation, now_ns);
    }

    fn text(&mut self) -> Text<MAX_LINE_BYTES> {
        let bytes = self.partial.get(..self.partial_len).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let mut text = Text::new();
        for chunk in bytes.utf8_chunks() {
            text.push(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push("\u{fffd}");
            }
        }
        self.partial_len = 0;
        text
    }

    /// Adds a line of the manager's own.
    pub fn push(&mut self, text: Text<MAX_LINE_BYTES>, generation: u32, now_ns: u64) {
        if self.lines.len() == self.most {
            self.lines.pop_front();
        }
        self.lines.push_back(UnitLogRow {
            seq: self.next_seq,
            time_ns: now_ns,
            generation,
            text,
        });
        self.next_seq += 1;
    }

    /// Whether there are lines after the cursor, which is the number of the next line to be read.
    #[must_use]
    pub const fn has_after(&self, cursor: Cursor) -> bool {
        self.next_seq > cursor.0
    }

    /// The lines after the cursor, the oldest first.
    pub fn after(&self, cursor: Cursor) -> impl Iterator<Item = &UnitLogRow> {
        self.lines.iter().filter(move |line| line.seq >= cursor.0)
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn texts(ring: &LogRing) -> Vec<&str> {
        ring.after(Cursor::START)
            .map(|line| line.text.as_str())
            .collect()
    }

    #[test]
    fn lines_are_cut_at_their_ends_and_the_oldest_go() {
        let mut ring = LogRing::new(3);
        ring.write(b"one\r\ntw", 1, 5);
        assert_eq!(texts(&ring), ["one"]);
        ring.write(b"o\n\nfour\nfi", 1, 6);
        assert_eq!(texts(&ring), ["two", "", "four"]);
        assert!(ring.has_after(Cursor(3)) && !ring.has_after(Cursor(4)));
        ring.end(1, 7);
        ring.end(1, 7);
        assert_eq!(texts(&ring), ["", "four", "fi"]);
        let last = ring.after(Cursor(4)).next().expect("line 4");
        assert_eq!((last.seq, last.time_ns, last.generation), (4, 7, 1));
        assert_eq!(ring.after(Cursor(5)).count(), 0);
    }

    #[test]
    fn long_lines_are_cut_once_and_bad_bytes_replaced() {
        let mut ring = LogRing::new(8);
        let long = "x".repeat(2000);
        ring.write(long.as_bytes(), 1, 0);
        ring.write(b"\na\xffb\n", 1, 0);
        let fits = "y".repeat(MAX_LINE_BYTES);
        ring.write(fits.as_bytes(), 1, 0);
        ring.write(b"\n", 1, 0);
        let lines = texts(&ring);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with("x…") && lines[0].len() <= MAX_LINE_BYTES);
        assert_eq!((lines[1], lines[2]), ("a\u{fffd}b", fits.as_str()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn pieces_make_no_difference(text in "[a-c\n]{0,200}", cuts in prop::collection::vec(0_usize..200, 0..8)) {
            let mut whole = LogRing::new(1000);
            whole.write(text.as_bytes(), 1, 0);
            let mut pieces = LogRing::new(1000);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut at = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.write(&text.as_bytes()[at..cut], 1, 0);
                at = cut;
            }
            prop_assert_eq!(texts(&whole), texts(&pieces));
            let lines: Vec<String> = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(String::from).collect();
            prop_assert_eq!(texts(&whole), lines);
        }
    }
}
