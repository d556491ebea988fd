//! The sending half: slots in the order of the ring.

use nic::{Counters, HEADER_BYTES, STANDARD_MTU_BYTES, SendError};
use pci::{Function, Space};

use crate::registers::{register, sent};
use crate::ring::{COUNT, Ring, after};

/// The sending half.
pub struct Transmitter<F: Function> {
    pub(crate) ring: Ring<F>,
    /// The next descriptor that is filled.
    next: u16,
    /// The oldest one that the card has.
    oldest: u16,
    /// How many it has. One always is free, by which a full ring differs from an empty one.
    busy: u16,
    /// What the card was told.
    told: u16,
    /// Who asked last was told that there is no room.
    pub(crate) is_awaited: bool,
    pub(crate) counters: Counters,
}

impl<F: Function> Transmitter<F> {
    pub(crate) fn new(ring: Ring<F>) -> Self {
        Self {
            ring,
            next: 0,
            oldest: 0,
            busy: 0,
            told: 0,
            is_awaited: false,
            counters: Counters::default(),
        }
    }

    pub(crate) fn flush(&mut self, registers: &F::Space) {
        if self.told != self.next {
            self.told = self.next;
            registers.store_u32(register::TDT, self.next.into());
        }
    }

    /// Takes back what the card has sent; whether there is room then.
    pub(crate) fn reclaim(&mut self) -> bool {
        while self.busy > 0 && self.ring.byte(self.oldest, sent::STATUS) & sent::DONE != 0 {
            self.oldest = after(self.oldest);
            self.busy -= 1;
        }
        self.busy < COUNT - 1
    }
}

impl<F: Function> nic::Transmit for Transmitter<F> {
    fn has_room(&mut self) -> bool {
        // The card is asked only when it has a good part of them.
        let has_room = self.busy < COUNT / 2 || self.reclaim();
        self.is_awaited = !has_room;
        has_room
    }

    fn send<R>(
        &mut self,
        len_bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, SendError> {
        let lengths = HEADER_BYTES..=HEADER_BYTES + usize::from(STANDARD_MTU_BYTES);
        if !lengths.contains(&len_bytes) {
            return Err(SendError::Length);
        }
        if !self.has_room() {
            self.counters.refused_full += 1;
            return Err(SendError::Full);
        }
        let index = self.next;
        let mut slot = self.ring.slot(index, len_bytes).ok_or(SendError::Length)?;
        let result = fill(&mut slot);
        drop(slot);
        let [low, high] = (len_bytes as u16).to_le_bytes();
        // Length, no checksum, command, no status yet.
        self.ring
            .put(index, [low, high, 0, sent::COMMAND, 0, 0, 0, 0]);
        self.next = after(index);
        self.busy += 1;
        self.counters.sent_frames += 1;
        self.counters.sent_bytes += len_bytes as u64;
        Ok(result)
    }
}
