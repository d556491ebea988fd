//! The memory of a queue: as many slots as it has descriptors, each of them for a header and a frame.

use nic::HEADER_BYTES;

use super::wire::header;
use crate::hardware::{Bytes, Function};
use crate::{Buffer, Fault};

/// Most memory of a queue.
const MOST_BYTES: usize = 1 << 20;
/// Slots begin at cache lines of their own.
const LINE_BYTES: usize = 64;

/// Slots.
pub(super) struct Slots<F: Function> {
    bytes: F::Bytes,
    address: u64,
    slot_bytes: usize,
    count: u16,
}

/// How many bytes a slot takes for frames with so much behind their header.
pub(super) const fn slot_bytes(mtu_bytes: u16) -> usize {
    (header::BYTES + HEADER_BYTES + mtu_bytes as usize).next_multiple_of(LINE_BYTES)
}

/// Most descriptors of a queue of such slots: a power of 2.
pub(super) const fn most(mtu_bytes: u16) -> u16 {
    let most = MOST_BYTES / slot_bytes(mtu_bytes);
    if most >= crate::transport::MOST_DESCRIPTORS as usize {
        crate::transport::MOST_DESCRIPTORS
    } else {
        1 << most.ilog2()
    }
}

impl<F: Function> Slots<F> {
    pub(super) fn new(function: &F, count: u16, mtu_bytes: u16) -> Result<Self, Fault> {
        let slot_bytes = slot_bytes(mtu_bytes);
        let (bytes, address) = function.bytes(slot_bytes * usize::from(count))?;
        Ok(Self {
            bytes,
            address,
            slot_bytes,
            count,
        })
    }

    pub(super) const fn count(&self) -> u16 {
        self.count
    }

    pub(super) const fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Slot `slot`, for so many bytes, to be given to the device.
    pub(super) fn buffer(&self, slot: u32, bytes: usize, device_writes: bool) -> Buffer {
        Buffer {
            address: self.address + u64::from(slot) * self.slot_bytes as u64,
            bytes: bytes.min(self.slot_bytes) as u32,
            device_writes,
        }
    }

    /// The first bytes of a slot that the device does not have.
    pub(super) fn part(&mut self, slot: u32, len: usize) -> Option<<F::Bytes as Bytes>::Part<'_>> {
        let slot = usize::try_from(slot).ok()?;
        let is_inside = slot < usize::from(self.count) && len <= self.slot_bytes;
        let start = slot.checked_mul(self.slot_bytes).filter(|_| is_inside)?;
        self.bytes.part(start, len)
    }
}
