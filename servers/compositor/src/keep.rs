//! What the next compositor finds: where the windows were, in memory that outlives this one.
//!
//! Two records, written in turn, each with a number and a check sum: a compositor that dies while it writes one leaves the other.

use alloc::vec::Vec;

use draw::Rect;
use proto::window::{Extent, Keepsake};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::desk::Desk;
use crate::place::Place;

/// A window that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What its program knows it by.
    pub keepsake: Keepsake,
    /// Where it was.
    pub place: Place,
    /// How many were behind it.
    pub order: u32,
    /// Whether it had the focus.
    pub focused: bool,
}

/// Most windows kept: those in front.
pub const MOST_KEPT: usize = 256;

/// A window's entry: 48 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
struct Entry {
    keepsake: [u64; 2],
    /// Left, top, right, bottom of the floating window.
    floating: [i32; 4],
    extent: u32,
    /// 1: minimised. 2: with the focus.
    flags: u32,
    reserved: [u32; 2],
}

/// The head of a record: 24 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
struct Head {
    /// [`MAGIC`].
    magic: u64,
    /// Higher in the newer record.
    number: u64,
    /// Of the number and the entries.
    sum: u32,
    /// Entries.
    count: u32,
}

/// "RAEDEWM1", little-endian.
const MAGIC: u64 = u64::from_le_bytes(*b"RAEDEWM1");
const MINIMISED: u32 = 1;
const FOCUSED: u32 = 2;
/// Bytes of one record.
pub const RECORD_BYTES: usize = size_of::<Head>() + MOST_KEPT * size_of::<Entry>();
/// Bytes of the memory; a multiple of the page size.
pub const STATE_BYTES: usize = (2 * RECORD_BYTES).next_multiple_of(4096);

const EXTENTS: [Extent; 5] = [
    Extent::Floating,
    Extent::Maximised,
    Extent::LeftHalf,
    Extent::RightHalf,
    Extent::FullScreen,
];

/// Adler-32 (RFC 1950), begun with the record's number.
fn sum(number: u64, bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in number.to_le_bytes().iter().chain(bytes) {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    high << 16 | low
}

/// The record at the start of `bytes`, if it is whole: its number and windows.
fn read_record(bytes: &[u8]) -> Option<(u64, Vec<Kept>)> {
    let (head, rest) = Head::read_from_prefix(bytes).ok()?;
    if head.magic != MAGIC || head.count as usize > MOST_KEPT {
        return None;
    }
    let entries = rest.get(..head.count as usize * size_of::<Entry>())?;
    if sum(head.number, entries) != head.sum {
        return None;
    }
    let mut all = Vec::new();
    all.try_reserve_exact(head.count as usize).ok()?;
    for (order, entry) in entries.chunks_exact(size_of::<Entry>()).enumerate() {
        let entry = Entry::read_from_bytes(entry).ok()?;
        let [left, top, right, bottom] = entry.floating;
        let [low, high] = entry.keepsake;
        let floating = Rect {
            left,
            top,
            right,
            bottom,
        };
        all.push(Kept {
            keepsake: Keepsake(u128::from(high) << 64 | u128::from(low)),
            place: Place {
                content: floating,
                floating,
                extent: EXTENTS.get(entry.extent as usize).copied()?,
                minimised: entry.flags & MINIMISED != 0,
            },
            order: order as u32,
            focused: entry.flags & FOCUSED != 0,
        });
    }
    Some((head.number, all))
}

/// The newer whole record in the memory: the number behind it, and its windows. None of what is not a record is believed.
#[must_use]
pub fn read(state: &[u8]) -> (u64, Vec<Kept>) {
    let records = [0, RECORD_BYTES].map(|start| state.get(start..).and_then(read_record));
    match records
        .into_iter()
        .flatten()
        .max_by_key(|(number, _)| *number)
    {
        Some((number, kept)) => (number.wrapping_add(1), kept),
        None => (0, Vec::new()),
    }
}

impl Desk {
    /// If windows were moved, opened or closed since it was last asked: the record of that `number`, and where in the memory it goes.
    pub fn keep(&mut self, number: u64, record: &mut Vec<u8>) -> Option<usize> {
        if !core::mem::take(&mut self.keep_changed) {
            return None;
        }
        record.clear();
        record.try_reserve(RECORD_BYTES).ok()?;
        let from = self.windows.len().saturating_sub(MOST_KEPT);
        let windows = self.windows.get(from..).unwrap_or_default();
        let mut head = Head {
            magic: MAGIC,
            number,
            sum: 0,
            count: windows.len() as u32,
        };
        record.extend_from_slice(head.as_bytes());
        for window in windows {
            let floating = window.place.floating;
            let keepsake = window.keepsake.0;
            let extent = EXTENTS
                .iter()
                .position(|extent| *extent == window.place.extent);
            let flags = if window.place.minimised { MINIMISED } else { 0 }
                | if self.focus == Some(window.key) {
                    FOCUSED
                } else {
                    0
                };
            let entry = Entry {
                keepsake: [keepsake as u64, (keepsake >> 64) as u64],
                floating: [floating.left, floating.top, floating.right, floating.bottom],
                extent: extent.unwrap_or(0) as u32,
                flags,
                reserved: [0; 2],
            };
            record.extend_from_slice(entry.as_bytes());
        }
        head.sum = sum(number, record.get(size_of::<Head>()..).unwrap_or_default());
        if let Some(place) = record.get_mut(..size_of::<Head>()) {
            place.copy_from_slice(head.as_bytes());
        }
        Some(if number.is_multiple_of(2) {
            0
        } else {
            RECORD_BYTES
        })
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_believed_that_is_not_whole() {
        let mut state = vec![0; STATE_BYTES];
        assert_eq!(read(&state), (0, vec![]));
        let entry = Entry {
            keepsake: [7, 0],
            floating: [1, 2, 30, 40],
            ..Entry::default()
        };
        for number in 0..2_u64 {
            let head = Head {
                magic: MAGIC,
                number,
                sum: sum(number, entry.as_bytes()),
                count: 1,
            };
            let start = number as usize * RECORD_BYTES;
            state[start..start + 24].copy_from_slice(head.as_bytes());
            state[start + 24..start + 72].copy_from_slice(entry.as_bytes());
        }
        assert_eq!(read(&state).0, 2);
        state[RECORD_BYTES + 30] ^= 1;
        let (number, kept) = read(&state);
        assert_eq!((number, kept.len(), kept[0].keepsake), (1, 1, Keepsake(7)));
        state[9] ^= 1;
        assert_eq!(read(&state), (0, vec![]));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut state = vec![0; STATE_BYTES];
            state[..8].copy_from_slice(&MAGIC.to_le_bytes());
            state[16..16 + bytes.len()].copy_from_slice(&bytes);
            let _ = read(&state);
        }
    }
}
