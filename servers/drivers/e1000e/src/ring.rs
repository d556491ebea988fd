//! A ring of descriptors with a buffer for each, and the message that tells of it.

use core::sync::atomic::{Ordering, fence};

use pci::{Bytes, Function, Shared, Space};
use rt::Interrupt;

use crate::Fault;
use crate::registers::{DESCRIPTOR_BYTES, register};

/// Descriptors of a ring: a multiple of 8 (§7.1.8).
pub(crate) const COUNT: u16 = 256;
/// Bytes of each buffer, as the card is told.
pub(crate) const SLOT_BYTES: usize = 2048;

/// A ring.
pub(crate) struct Ring<F: Function> {
    descriptors: Shared<F::Space>,
    slots: F::Bytes,
    slots_address: u64,
    line: F::Line,
    /// The cause that its message is for.
    cause: u32,
    /// Its message will be sent.
    armed: bool,
    pub(crate) stamp_ticks: u64,
    pub(crate) interrupts: u64,
}

/// The descriptor after this one.
pub(crate) const fn after(index: u16) -> u16 {
    if index + 1 == COUNT { 0 } else { index + 1 }
}

impl<F: Function> Ring<F> {
    pub(crate) fn new(function: &F, message: u16, cause: u32) -> Result<Self, Fault> {
        let count = usize::from(COUNT);
        let (slots, slots_address) = function.bytes(SLOT_BYTES * count)?;
        Ok(Self {
            descriptors: function.memory(DESCRIPTOR_BYTES * count)?,
            slots,
            slots_address,
            line: function.interrupt(message)?,
            cause,
            armed: false,
            stamp_ticks: 0,
            interrupts: 0,
        })
    }

    /// Where the card finds it.
    pub(crate) const fn address(&self) -> u64 {
        self.descriptors.address
    }

    pub(crate) const BYTES: u32 = COUNT as u32 * DESCRIPTOR_BYTES as u32;

    fn at(index: u16, offset: usize) -> usize {
        DESCRIPTOR_BYTES * usize::from(index) + offset
    }

    /// A byte of a descriptor. What the card wrote before it is seen after it.
    pub(crate) fn byte(&self, index: u16, offset: usize) -> u8 {
        self.descriptors.space.load_u8(Self::at(index, offset))
    }

    pub(crate) fn word(&self, index: u16, offset: usize) -> u16 {
        self.descriptors.space.load_u16(Self::at(index, offset))
    }

    /// Writes a descriptor: the slot's address, and what follows that.
    pub(crate) fn put(&self, index: u16, rest: [u8; 8]) {
        let address = self.slots_address + SLOT_BYTES as u64 * u64::from(index);
        let mut bytes = [0; DESCRIPTOR_BYTES];
        let fields = address.to_le_bytes().into_iter().chain(rest);
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        self.descriptors.space.write(Self::at(index, 0), &bytes);
    }

    /// The first bytes of a slot that the card does not have.
    pub(crate) fn slot(&mut self, index: u16, len: usize) -> Option<<F::Bytes as Bytes>::Part<'_>> {
        let is_inside = index < COUNT && len <= SLOT_BYTES;
        let start = SLOT_BYTES * usize::from(index);
        is_inside.then(|| self.slots.part(start, len)).flatten()
    }

    /// Has its message sent for what happens from here on: what happened before is seen by looking once more. The card masks it again
    /// when it sends it.
    pub(crate) fn arm(&mut self, registers: &F::Space) {
        if !self.armed {
            self.armed = true;
            self.line.ack();
            // What it is pending for was looked at.
            registers.store_u32(register::ICR, self.cause);
            registers.store_u32(register::IMS, self.cause);
            // Asked before it is looked.
            fence(Ordering::SeqCst);
        }
    }

    /// Waits for its message. Cancel-safe.
    pub(crate) async fn interrupted(&mut self) {
        self.stamp_ticks = self.line.wait().await.stamp_ticks;
        self.armed = false;
        self.interrupts = self.interrupts.wrapping_add(1);
    }
}
