//! The receiving half: all slots are with the device, but for the frame that is being read.

use nic::{Checked, Counters, HEADER_BYTES};

use super::slots::{self, Slots};
use super::wire::header;
use crate::hardware::{Bytes, Function};
use crate::{Broken, Device, Fault, Queue};

/// The receiving half.
pub struct Receiver<F: Function> {
    pub(super) queue: Queue<F>,
    slots: Slots<F>,
    /// What the device did that no device does.
    pub(super) broken: Option<Broken>,
    pub(super) counters: Counters,
}

impl<F: Function> Receiver<F> {
    pub(super) fn new(
        device: &Device<F>,
        index: u16,
        message: u16,
        mtu_bytes: u16,
    ) -> Result<Self, Fault> {
        let queue = device.queue(index, slots::most(mtu_bytes), message)?;
        let slots = Slots::new(device.function(), queue.size(), mtu_bytes)?;
        let mut receiver = Self {
            queue,
            slots,
            broken: None,
            counters: Counters::default(),
        };
        for slot in 0..receiver.slots.count() {
            receiver.give(slot.into());
        }
        Ok(receiver)
    }

    /// Gives a slot to the device. There is a descriptor for each.
    fn give(&mut self, slot: u32) {
        let buffer = self.slots.buffer(slot, self.slots.slot_bytes(), true);
        let added = self.queue.add(&[buffer], slot);
        debug_assert!(added.is_ok());
    }

    /// The next slot with a frame, and how long that is with its header.
    fn filled(&mut self) -> Option<(u32, usize)> {
        while self.broken.is_none() {
            match self.queue.try_next() {
                Ok(Some(used)) => {
                    let written = used.written as usize;
                    if written >= header::BYTES + HEADER_BYTES {
                        return Some((used.cookie, written));
                    }
                    self.counters.dropped_bad += 1;
                    self.give(used.cookie);
                }
                Ok(None) => break,
                Err(broken) => self.broken = Some(broken),
            }
        }
        None
    }
}

/// Gives a slot back when its frame was read.
struct GiveBack<'a, F: Function> {
    queue: &'a mut Queue<F>,
    buffer: crate::Buffer,
    slot: u32,
}

impl<F: Function> Drop for GiveBack<'_, F> {
    fn drop(&mut self) {
        let added = self.queue.add(&[self.buffer], self.slot);
        debug_assert!(added.is_ok());
    }
}

/// A frame where the device wrote it.
pub struct Frame<'a, F: Function + 'a> {
    // Dropped in this order: nobody reads it any more, then it is the device's.
    part: <F::Bytes as Bytes>::Part<'a>,
    give_back: GiveBack<'a, F>,
}

impl<F: Function> nic::Frame for Frame<'_, F> {
    fn bytes(&self) -> &[u8] {
        self.part.get(header::BYTES..).unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.part.get_mut(header::BYTES..).unwrap_or_default()
    }

    fn checked(&self) -> Checked {
        let flags = self.part.get(header::FLAGS).copied().unwrap_or(0);
        Checked {
            ipv4: false,
            // One that was only begun never was on a wire (§5.1.6.4).
            payload: flags & (header::DATA_VALID | header::NEEDS_CSUM) != 0,
        }
    }

    fn stamp_ticks(&self) -> u64 {
        self.give_back.queue.stamp_ticks()
    }
}

impl<F: Function> nic::Receive for Receiver<F> {
    type Frame<'a>
        = Frame<'a, F>
    where
        Self: 'a;

    fn next(&mut self) -> Option<Frame<'_, F>> {
        let (slot, len) = self.filled()?;
        let buffer = self.slots.buffer(slot, self.slots.slot_bytes(), true);
        let part = self.slots.part(slot, len)?;
        self.counters.received_frames += 1;
        self.counters.received_bytes += (len - header::BYTES) as u64;
        Some(Frame {
            part,
            give_back: GiveBack {
                queue: &mut self.queue,
                buffer,
                slot,
            },
        })
    }
}
