//! Addresses behind a bridge: what the firmware left to a slot is shared out among the registers of what is plugged in there.

use core::ops::Range;

/// 4 GiB: what registers of 32 bits reach.
const REACH_32: u64 = 1 << 32;

/// A base address register that wants an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How much room, in bytes: a power of two, to which it is aligned.
    pub len: u64,
    /// It may lie above 4 GiB.
    pub is_64_bit: bool,
    /// It may lie in the window whose reads have no side effects.
    pub prefetchable: bool,
}

/// The windows of a bridge (PCI Express base specification 6.0 §7.5.1.3), from the first address that is free to the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// For any register; below 4 GiB.
    pub memory: Range<u64>,
    /// For registers whose reads have no side effects.
    pub prefetchable: Range<u64>,
}

impl Windows {
    /// An address for a register; `None` if there is no room left. Larger ones should come first: less is lost between them.
    pub fn take(&mut self, wanted: Wanted) -> Option<u64> {
        let reach = if wanted.is_64_bit { u64::MAX } else { REACH_32 };
        let here = wanted
            .prefetchable
            .then(|| take(&mut self.prefetchable, wanted.len, reach))
            .flatten();
        here.or_else(|| take(&mut self.memory, wanted.len, reach.min(REACH_32)))
    }
}

fn take(window: &mut Range<u64>, len: u64, reach: u64) -> Option<u64> {
    if !len.is_power_of_two() {
        return None;
    }
    let start = window.start.checked_next_multiple_of(len)?;
    let end = start.checked_add(len)?;
    // Address 0 stands for none.
    if start == 0 || end > window.end || end > reach {
        return None;
    }
    window.start = end;
    Some(start)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn windows() -> Windows {
        Windows {
            memory: 0xfe00_0000..0xfe20_0000,
            prefetchable: 0x80_0000_0000..0x80_0020_0000,
        }
    }

    #[test]
    fn each_register_gets_what_it_can_use() {
        let mut windows = windows();
        let mut take = |len, is_64_bit, prefetchable| {
            windows.take(Wanted {
                len,
                is_64_bit,
                prefetchable,
            })
        };
        assert_eq!(take(0x4000, true, true), Some(0x80_0000_0000));
        assert_eq!(take(0x1000, false, false), Some(0xfe00_0000));
        assert_eq!(take(0x4000, false, true), Some(0xfe00_4000), "below 4 GiB");
        assert_eq!(take(0x40_0000, true, true), None);
        assert_eq!(take(0x3000, true, true), None, "no power of two");
    }

    proptest! {
        #[test]
        fn addresses_are_aligned_inside_and_apart(
            wanted in prop::collection::vec((4_u32..22, any::<bool>(), any::<bool>()), 0..20)
        ) {
            let whole = windows();
            let mut left = windows();
            let mut taken: Vec<Range<u64>> = Vec::new();
            for (bits, is_64_bit, prefetchable) in wanted {
                let len = 1 << bits;
                let Some(at) = left.take(Wanted { len, is_64_bit, prefetchable }) else {
                    continue;
                };
                let range = at..at + len;
                let inside = |window: &Range<u64>| window.start <= range.start && range.end <= window.end;
                prop_assert!(at % len == 0);
                prop_assert!(inside(&whole.memory) || prefetchable && inside(&whole.prefetchable));
                prop_assert!(is_64_bit || range.end <= REACH_32);
                prop_assert!(taken.iter().all(|other| other.end <= range.start || range.end <= other.start));
                taken.push(range);
            }
        }
    }
}
