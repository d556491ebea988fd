//! Which reservations fit on a core: the books of one core, pure.
//!
//! [`ledger`] keeps what was given out and is asked by anyone, under a lock; [`fit`] is the test that a reservation must pass,
//! with its derivation; [`error`] is what a refusal says. The core's scheduler learns of changes by
//! [`Ledger::next_change`](ledger::Ledger::next_change). What must hold: whatever the ledger has admitted at any time passes the test, and
//! what was given up counts until the scheduler says that its bandwidth is free.

pub(crate) mod error;
mod fit;
mod ledger;
#[cfg(test)]
mod tests;

pub use self::error::AdmissionError;
pub(crate) use self::ledger::{Change, Claim, Division, Ledger};

use crate::sched::cbs::{SHARE_BITS, WHOLE};

/// Thousandths as a 32-bit fixed-point share.
pub(crate) const fn permille(value: u32) -> u64 {
    (WHOLE as u128 * (if value > 1000 { 1000 } else { value }) as u128 / 1000) as u64
}

/// `share` of `ticks`.
pub(crate) const fn part_of(ticks: u64, share: u64) -> u64 {
    ((ticks as u128 * share as u128) >> SHARE_BITS) as u64
}

/// A share as parts in a million, rounded.
const fn ppm(share: u64) -> u64 {
    ((share as u128 * 1_000_000 + WHOLE as u128 / 2) >> SHARE_BITS) as u64
}
