//! The last bytes of a stream: what a console that starts on a blank screen shows first.

use alloc::collections::VecDeque;

use super::bridge::PIECE_BYTES;

/// More than a screen of 160 columns and 50 lines holds.
const BYTES: usize = 16 << 10;

/// A ring of the last bytes.
pub struct Tail {
    bytes: VecDeque<u8>,
    /// Older bytes are gone, so the first line may be cut.
    is_cut: bool,
}

impl Tail {
    /// An empty one; `None` without memory for it.
    pub fn new() -> Option<Self> {
        let mut bytes = VecDeque::new();
        bytes.try_reserve_exact(BYTES).ok()?;
        Some(Self {
            bytes,
            is_cut: false,
        })
    }

    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(BYTES);
        let bytes = bytes.get(skipped..).unwrap_or_default();
        let room = BYTES - self.bytes.len();
        let over = bytes.len().saturating_sub(room);
        self.is_cut |= over > 0 || skipped > 0;
        self.bytes.drain(..over);
        // There is room now: nothing is allocated.
        self.bytes.extend(bytes);
    }

    /// Where the first whole line begins.
    pub fn start(&self) -> usize {
        if !self.is_cut {
            return 0;
        }
        let end = self.bytes.iter().position(|&byte| byte == b'\n');
        end.map_or(0, |end| end + 1)
    }

    /// As many bytes from place `from` on as make a piece.
    pub fn piece(&self, from: usize) -> heapless::Vec<u8, PIECE_BYTES> {
        self.bytes
            .iter()
            .skip(from)
            .take(PIECE_BYTES)
            .copied()
            .collect()
    }
}
