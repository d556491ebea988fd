//! (work in progress in the next commit)

use crate::sched::cbs::{SHARE_BITS, WHOLE};

/// Thousandths as a 32-bit fixed-point share.
pub(crate) const fn permille(value: u32) -> u64 {
    (WHOLE as u128 * (if value > 1000 { 1000 } else { value }) as u128 / 1000) as u64
}

/// `share` of `ticks`.
pub(crate) const fn part_of(ticks: u64, share: u64) -> u64 {
    ((ticks as u128 * share as u128) >> SHARE_BITS) as u64
}
