//! What goes over the queues of a graphics device (§5.7.6), all numbers little-endian.

use super::{GpuError, Mode, Rect};

/// Before each request and each answer: type, flags, fence (8 bytes), context, ring and padding.
pub const HEADER_BYTES: usize = 24;
/// The longest answer: an EDID with its length.
pub const MOST_ANSWER_BYTES: usize = HEADER_BYTES + 8 + MOST_EDID_BYTES;
/// Longest EDID.
pub const MOST_EDID_BYTES: usize = 1024;
/// Length of the answer with all outputs.
pub const OUTPUTS_BYTES: usize = HEADER_BYTES + MOST_OUTPUTS * OUTPUT_BYTES;
/// Outputs that a device can have.
pub const MOST_OUTPUTS: usize = 16;
const OUTPUT_BYTES: usize = 24;

/// Types of requests.
pub mod request {
    pub const DISPLAY_INFO: u32 = 0x0100;
    pub const CREATE: u32 = 0x0101;
    pub const DESTROY: u32 = 0x0102;
    pub const SET_SCANOUT: u32 = 0x0103;
    pub const FLUSH: u32 = 0x0104;
    pub const TRANSFER: u32 = 0x0105;
    pub const ATTACH: u32 = 0x0106;
    pub const EDID: u32 = 0x010a;
    pub const CURSOR: u32 = 0x0300;
    pub const MOVE_CURSOR: u32 = 0x0301;
}

/// Types of answers.
pub mod answer {
    pub const DONE: u32 = 0x1100;
    pub const DISPLAY_INFO: u32 = 0x1101;
    pub const EDID: u32 = 0x1104;
    pub const OUT_OF_MEMORY: u32 = 0x1201;
    pub const ERRORS: core::ops::RangeInclusive<u32> = 0x1200..=0x1205;
}

/// Longest request: one that names a resource's memory in one piece.
pub const MOST_REQUEST_BYTES: usize = 64;

/// A request being written.
pub struct Request {
    bytes: [u8; MOST_REQUEST_BYTES],
    len: usize,
}

impl Request {
    /// One of this type.
    pub fn new(sort: u32) -> Self {
        let empty = Self {
            bytes: [0; MOST_REQUEST_BYTES],
            len: 0,
        };
        // Without flags: the device answers when it is done.
        let mut request = empty.word(sort);
        request.len = HEADER_BYTES;
        request
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        let places = self.bytes.iter_mut().skip(self.len);
        for (place, byte) in places.zip(bytes) {
            *place = *byte;
        }
        self.len = (self.len + bytes.len()).min(MOST_REQUEST_BYTES);
        self
    }

    /// Adds four bytes.
    pub fn word(self, word: u32) -> Self {
        self.put(&word.to_le_bytes())
    }

    /// Adds eight bytes.
    pub fn long(self, word: u64) -> Self {
        self.put(&word.to_le_bytes())
    }

    /// Adds a rectangle.
    pub fn rect(self, rect: Rect) -> Self {
        self.word(rect.x)
            .word(rect.y)
            .word(rect.width)
            .word(rect.height)
    }

    /// As bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Four bytes of an answer; 0 beyond its end.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |word| u32::from_le_bytes(*word))
}

/// Whether the answer is of this type; the device's error else.
///
/// # Errors
/// [`GpuError`].
pub fn expect(bytes: &[u8], sort: u32) -> Result<(), GpuError> {
    match word(bytes, 0) {
        got if got == sort && bytes.len() >= HEADER_BYTES => Ok(()),
        answer::OUT_OF_MEMORY => Err(GpuError::OutOfMemory),
        error if answer::ERRORS.contains(&error) => Err(GpuError::Refused(error)),
        other => Err(GpuError::Unexpected(other)),
    }
}

/// An output of an answer with all of them.
pub fn mode(bytes: &[u8], output: usize) -> Mode {
    let at = HEADER_BYTES + output * OUTPUT_BYTES;
    Mode {
        rect: Rect {
            x: word(bytes, at),
            y: word(bytes, at + 4),
            width: word(bytes, at + 8),
            height: word(bytes, at + 12),
        },
        enabled: word(bytes, at + 16) != 0,
    }
}
