//! The kernel's log in memory: what `dmesg` reads.
//!
//! Any core writes (under the lock its owner keeps around the ring); each reader keeps a sequence number of its own and
//! asks for the record after it. New records overwrite the oldest; a reader that fell behind is told how many it lost.
//! Nothing is allocated. A record's text is stored in one piece, so reading it needs no copy; a reader that
//! must not hold the lock while it prints takes a [`RecordCopy`].
//!
//! Lock order and time stamps are the caller's: the ring stores ticks and knows no clock.

use crate::text::{FixedText, floor_char_boundary};
use core::fmt;
pub use log::{Level, LevelFilter};

/// The longest text of one record in bytes; longer ones are cut and flagged.
pub const MAX_TEXT_BYTES: usize = 512;
/// The longest target (module name) of one record in bytes; longer ones are cut.
pub const MAX_TARGET_BYTES: usize = 64;

/// What is recorded beside the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// Time-stamp counter when the record was made.
    pub time_ticks: u64,
    /// Severity.
    pub level: Level,
    /// Core it was made on.
    pub core: u16,
    /// The module that speaks.
    pub target: &'a str,
}

/// One record, borrowed from the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Position in the log since boot, counted from 0 without gaps.
    pub sequence: u64,
    /// Time-stamp counter when the record was made.
    pub time_ticks: u64,
    /// Severity.
    pub level: Level,
    /// Core it was made on.
    pub core: u16,
    /// The module that speaks.
    pub target: &'a str,
    /// The message, without a line end.
    pub text: &'a str,
    /// Whether the message was longer than [`MAX_TEXT_BYTES`].
    pub truncated: bool,
}

/// A record copied out of the ring. About 600 bytes.
#[derive(Clone, Copy, Debug)]
pub struct RecordCopy {
    /// Position in the log since boot.
    pub sequence: u64,
    /// Time-stamp counter when the record was made.
    pub time_ticks: u64,
    /// Severity.
    pub level: Level,
    /// Core it was made on.
    pub core: u16,
    /// The module that speaks.
    pub target: FixedText<MAX_TARGET_BYTES>,
    /// The message.
    pub text: FixedText<MAX_TEXT_BYTES>,
    /// Whether the message was longer than [`MAX_TEXT_BYTES`].
    pub truncated: bool,
}

impl Record<'_> {
    /// Copies the record.
    pub fn to_copy(&self) -> RecordCopy {
        let mut copy = RecordCopy {
            sequence: self.sequence,
            time_ticks: self.time_ticks,
            level: self.level,
            core: self.core,
            target: FixedText::new(),
            text: FixedText::new(),
            truncated: self.truncated,
        };
        copy.target.push_str(self.target);
        copy.text.push_str(self.text);
        copy
    }

    /// The record as a line of text (without a line end), made at `time_ns` after boot.
    pub fn line(&self, time_ns: u64) -> Line<'_> {
        Line {
            time_ns,
            level: self.level,
            target: self.target,
            text: self.text,
            truncated: self.truncated,
        }
    }
}

impl RecordCopy {
    /// The record as a line of text (without a line end), made at `time_ns` after boot.
    pub fn line(&self, time_ns: u64) -> Line<'_> {
        Line {
            time_ns,
            level: self.level,
            target: self.target.as_str(),
            text: self.text.as_str(),
            truncated: self.truncated,
        }
    }
}

/// How a record looks: `[   12.345678] WARN  target: text`, seconds and microseconds since boot.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Nanoseconds since boot.
    pub time_ns: u64,
    /// Severity.
    pub level: Level,
    /// The module that speaks.
    pub target: &'a str,
    /// The message.
    pub text: &'a str,
    /// Whether the message was cut; shown as an ellipsis.
    pub truncated: bool,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.time_ns / 1000;
        let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
        write!(
            f,
            "[{seconds:5}.{fraction:06}] {:<5} {}: {}",
            self.level, self.target, self.text
        )?;
        f.write_str(if self.truncated { "..." } else { "" })
    }
}

/// What [`LogRing::next`] found for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// The record; the reader has moved past it.
    Record(Record<'a>),
    /// So many records were overwritten before this reader got to them. It now stands at the oldest kept.
    Lost(u64),
    /// Nothing new.
    End,
}

/// A reader's place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    sequence: u64,
}

impl Cursor {
    /// Before the first record since boot. If that one is gone, the first answer is [`Next::Lost`].
    pub const START: Self = Self { sequence: 0 };

    /// Before the record numbered `sequence`: what [`Self::sequence`] gave earlier.
    pub const fn at(sequence: u64) -> Self {
        Self { sequence }
    }

    /// Sequence number of the record that will be read next.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}

#[derive(Clone, Copy)]
struct Slot {
    time_ticks: u64,
    start: u32,
    // Bytes of the buffer that become free with this record: its own, and those skipped before it at the wrap.
    span: u32,
    text_len: u16,
    target_len: u8,
    truncated: bool,
    level: Level,
    core: u16,
}

const EMPTY_SLOT: Slot = Slot {
    time_ticks: 0,
    start: 0,
    span: 0,
    text_len: 0,
    target_len: 0,
    truncated: false,
    level: Level::Error,
    core: 0,
};

/// A log of at most `RECORDS` records and `BYTES` bytes of targets and texts.
///
/// `BYTES` is at least [`MAX_TEXT_BYTES`] + [`MAX_TARGET_BYTES`], checked when compiled.
pub struct LogRing<const BYTES: usize, const RECORDS: usize> {
    bytes: [u8; BYTES],
    slots: [Slot; RECORDS],
    // Where the next text goes, and how many bytes up to there are taken.
    head: usize,
    used: usize,
    oldest: u64,
    next: u64,
}

impl<const BYTES: usize, const RECORDS: usize> LogRing<BYTES, RECORDS> {
    /// An empty log; `const`, so that it can be a static.
    pub const fn new() -> Self {
        const {
            assert!(
                BYTES >= MAX_TEXT_BYTES + MAX_TARGET_BYTES
                    && BYTES <= u32::MAX as usize
                    && RECORDS > 0
            )
        };
        Self {
            bytes: [0; BYTES],
            slots: [EMPTY_SLOT; RECORDS],
            head: 0,
            used: 0,
            oldest: 0,
            next: 0,
        }
    }

    /// Formats and adds a record, overwriting the oldest as needed, and returns its sequence number.
    /// Needs about 600 bytes of stack.
    pub fn push_fmt(&mut self, stamp: Stamp<'_>, message: fmt::Arguments<'_>) -> u64 {
        let text: FixedText<MAX_TEXT_BYTES> = FixedText::format(message);
        self.push_parts(stamp, text.as_str(), text.is_truncated())
    }

    /// Adds a record, overwriting the oldest as needed, and returns its sequence number.
    pub fn push(&mut self, stamp: Stamp<'_>, text: &str) -> u64 {
        self.push_parts(stamp, text, false)
    }

    fn push_parts(&mut self, stamp: Stamp<'_>, text: &str, already_cut: bool) -> u64 {
        let target_len = floor_char_boundary(stamp.target, MAX_TARGET_BYTES);
        let text_len = floor_char_boundary(text, MAX_TEXT_BYTES);
        let len = target_len + text_len;
        // A text is stored in one piece: what is left before the end of the buffer is skipped if it is too short.
        let (mut start, mut span) = if self.head + len > BYTES {
            (0, BYTES - self.head + len)
        } else {
            (self.head, len)
        };
        while self.used + span > BYTES || self.next - self.oldest >= RECORDS as u64 {
            if self.oldest == self.next {
                // Nothing is left to evict: begin anew, with nothing to skip.
                (start, span) = (0, len);
                break;
            }
            self.used -= self.slot(self.oldest).span as usize;
            self.oldest += 1;
        }
        let target = stamp.target.as_bytes().iter().take(target_len);
        let message = text.as_bytes().iter().take(text_len);
        for (place, &byte) in self.bytes.iter_mut().skip(start).zip(target.chain(message)) {
            *place = byte;
        }
        let sequence = self.next;
        self.slots[(sequence % RECORDS as u64) as usize] = Slot {
            time_ticks: stamp.time_ticks,
            start: start as u32,
            span: span as u32,
            text_len: text_len as u16,
            target_len: target_len as u8,
            truncated: already_cut || text_len < text.len(),
            level: stamp.level,
            core: stamp.core,
        };
        self.head = start + len;
        self.used += span;
        self.next += 1;
        sequence
    }

    fn slot(&self, sequence: u64) -> &Slot {
        &self.slots[(sequence % RECORDS as u64) as usize]
    }

    fn record(&self, sequence: u64) -> Record<'_> {
        let slot = self.slot(sequence);
        let middle = slot.start as usize + usize::from(slot.target_len);
        let piece = |from: usize, to: usize| {
            // Whole characters were stored, so the fallback is not reached.
            core::str::from_utf8(self.bytes.get(from..to).unwrap_or(&[])).unwrap_or("")
        };
        Record {
            sequence,
            time_ticks: slot.time_ticks,
            level: slot.level,
            core: slot.core,
            target: piece(slot.start as usize, middle),
            text: piece(middle, middle + usize::from(slot.text_len)),
            truncated: slot.truncated,
        }
    }

    /// The next record for the reader at `cursor`, which moves on.
    pub fn next(&self, cursor: &mut Cursor) -> Next<'_> {
        if cursor.sequence < self.oldest {
            let lost = self.oldest - cursor.sequence;
            cursor.sequence = self.oldest;
            return Next::Lost(lost);
        }
        if cursor.sequence >= self.next {
            return Next::End;
        }
        let record = self.record(cursor.sequence);
        cursor.sequence += 1;
        Next::Record(record)
    }

    /// Like [`Self::next`], passing over records less severe than `filter` allows.
    /// Looks at no more than `RECORDS` records.
    pub fn next_at(&self, cursor: &mut Cursor, filter: LevelFilter) -> Next<'_> {
        loop {
            match self.next(cursor) {
                Next::Record(record) if record.level > filter => {}
                found => return found,
            }
        }
    }

    /// A cursor at the oldest record kept: nothing counts as lost for it yet.
    pub const fn oldest(&self) -> Cursor {
        Cursor {
            sequence: self.oldest,
        }
    }

    /// A cursor after the newest record.
    pub const fn end(&self) -> Cursor {
        Cursor {
            sequence: self.next,
        }
    }

    /// A cursor before the newest `count` records kept.
    pub fn last(&self, count: u64) -> Cursor {
        Cursor {
            sequence: self.next.saturating_sub(count).max(self.oldest),
        }
    }
}

impl<const BYTES: usize, const RECORDS: usize> Default for LogRing<BYTES, RECORDS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::string::{String, ToString};
    use std::vec::Vec;

    type Ring = LogRing<1024, 16>;

    fn stamp(target: &str, level: Level) -> Stamp<'_> {
        Stamp {
            time_ticks: 7,
            level,
            core: 1,
            target,
        }
    }

    #[test]
    fn records_come_back_as_they_were_put_in() {
        let mut ring = Ring::new();
        assert_eq!(ring.push(stamp("pci", Level::Warn), "no MSI"), 0);
        assert_eq!(
            ring.push_fmt(stamp("time", Level::Info), format_args!("{} Hz", 12)),
            1
        );
        let mut cursor = Cursor::START;
        let Next::Record(record) = ring.next(&mut cursor) else {
            panic!()
        };
        assert_eq!(
            (record.sequence, record.target, record.text, record.core),
            (0, "pci", "no MSI", 1)
        );
        assert_eq!(
            record.line(12_345_678_999).to_string(),
            "[   12.345678] WARN  pci: no MSI"
        );
        assert_eq!(
            record.to_copy().line(0).to_string(),
            "[    0.000000] WARN  pci: no MSI"
        );
        let Next::Record(record) = ring.next(&mut cursor) else {
            panic!()
        };
        assert_eq!(record.text, "12 Hz");
        assert_eq!(ring.next(&mut cursor), Next::End);
    }

    #[test]
    fn a_reader_that_fell_behind_is_told_by_how_much() {
        let mut ring = Ring::new();
        for i in 0..50 {
            ring.push_fmt(stamp("t", Level::Info), format_args!("{i}"));
        }
        let mut cursor = Cursor::START;
        assert_eq!(ring.next(&mut cursor), Next::Lost(34));
        let Next::Record(record) = ring.next(&mut cursor) else {
            panic!()
        };
        assert_eq!((record.sequence, record.text), (34, "34"));
        assert_eq!(ring.last(2).sequence(), 48);
        assert_eq!(ring.last(1000), ring.oldest());
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_flagged() {
        let mut ring = Ring::new();
        let long = "ä".repeat(300);
        for write in [
            |ring: &mut Ring, long: &str| ring.push(stamp("t", Level::Info), long),
            |ring: &mut Ring, long: &str| {
                ring.push_fmt(stamp("t", Level::Info), format_args!("{long}"))
            },
        ] {
            let mut cursor = ring.end();
            write(&mut ring, &long);
            let Next::Record(record) = ring.next(&mut cursor) else {
                panic!()
            };
            assert_eq!((record.text, record.truncated), (&*"ä".repeat(256), true));
            assert!(record.line(0).to_string().ends_with("ä..."));
        }
        let exact = "x".repeat(MAX_TEXT_BYTES);
        let mut cursor = ring.end();
        ring.push(stamp("t", Level::Info), &exact);
        let Next::Record(record) = ring.next(&mut cursor) else {
            panic!()
        };
        assert!(!record.truncated);
    }

    #[test]
    fn levels_filter() {
        let mut ring = Ring::new();
        for level in [Level::Debug, Level::Error, Level::Info, Level::Warn] {
            ring.push(stamp("t", level), level.as_str());
        }
        let mut cursor = Cursor::START;
        let mut seen = Vec::new();
        while let Next::Record(record) = ring.next_at(&mut cursor, LevelFilter::Warn) {
            seen.push(record.level);
        }
        assert_eq!(seen, [Level::Error, Level::Warn]);
        assert_eq!(
            ring.next_at(&mut ring.oldest(), LevelFilter::Off),
            Next::End
        );
    }

    proptest! {
        // The model keeps everything; the ring must keep a suffix of it, unaltered, and as much as surely fits.
        #[test]
        fn keeps_an_unaltered_suffix(
            writes in prop::collection::vec((0..80usize, 0..600usize, any::<char>()), 1..120)
        ) {
            let mut ring = Ring::new();
            let mut model: VecDeque<(String, String)> = VecDeque::new();
            for (target_len, text_len, letter) in writes {
                let target: String = core::iter::repeat_n(letter, target_len).collect();
                let text: String = core::iter::repeat_n(letter, text_len).collect();
                ring.push(stamp(&target, Level::Info), &text);
                let kept_target = &target[..floor_char_boundary(&target, MAX_TARGET_BYTES)];
                let kept_text = &text[..floor_char_boundary(&text, MAX_TEXT_BYTES)];
                model.push_back((kept_target.into(), kept_text.into()));

                let mut cursor = ring.oldest();
                let mut kept = 0;
                while let Next::Record(record) = ring.next(&mut cursor) {
                    let (target, text) = &model[record.sequence as usize];
                    prop_assert_eq!((record.target, record.text), (target.as_str(), text.as_str()));
                    kept += 1;
                }
                prop_assert_eq!(cursor.sequence(), model.len() as u64);
                // At most one record's length is lost at the wrap.
                let mut bytes = 0;
                let sure = model.iter().rev().take(16).take_while(|(target, text)| {
                    bytes += target.len() + text.len();
                    bytes + MAX_TEXT_BYTES + MAX_TARGET_BYTES <= 1024
                }).count();
                prop_assert!(kept >= sure.max(1), "kept {}, could keep {}", kept, sure);
            }
        }
    }
}
