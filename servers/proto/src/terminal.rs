//! The first message in a terminal's channel: what is at the other end.
//!
//! Who is given a handle `terminal.NAME` has a channel of bytes: what is typed comes in, what is written goes out. Before the
//! bytes comes one message that is a [`TerminalInfo`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// "RAEDETM1", little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"RAEDETM1");

/// At the other end is a program: see the shell's script mode.
pub const SCRIPT: u32 = 1;

/// What is at the other end of a terminal's channel: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TerminalInfo {
    /// [`MAGIC`].
    pub magic: u64,
    /// Characters in a line; 0 if not known.
    pub columns: u32,
    /// Lines; 0 if not known.
    pub rows: u32,
    /// [`SCRIPT`] or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

impl TerminalInfo {
    /// A terminal of this size, with a program at the other end or a person.
    #[must_use]
    pub const fn new(columns: u32, rows: u32, flags: u32) -> Self {
        Self {
            magic: MAGIC,
            columns,
            rows,
            flags,
            reserved: 0,
        }
    }

    /// Reads the message; `None` if it is none.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let info = Self::read_from_bytes(message).ok()?;
        (info.magic == MAGIC).then_some(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_read_back_and_nothing_else() {
        let info = TerminalInfo::new(160, 50, SCRIPT);
        assert_eq!(size_of::<TerminalInfo>(), 24);
        assert_eq!(TerminalInfo::parse(info.as_bytes()), Some(info));
        assert_eq!(TerminalInfo::parse(&[0; 24]), None);
        assert_eq!(TerminalInfo::parse(b"hello"), None);
    }
}
