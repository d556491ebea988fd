//! The receiving half: all slots are with the card, but for one, by which a full ring differs from an empty one; and the frame that
//! is being read.

use nic::{Checked, Counters, HEADER_BYTES, STANDARD_MTU_BYTES};
use pci::{Bytes, Function, Space};

use crate::Fault;
use crate::registers::{received, register};
use crate::ring::{COUNT, Ring, SLOT_BYTES, after};

/// So many slots are given back at once: telling the card costs more than the rest of a frame.
const GIVE_BACK: u16 = 16;

/// The receiving half.
pub struct Receiver<F: Function> {
    pub(crate) ring: Ring<F>,
    /// The next descriptor that the card fills.
    next: u16,
    /// The card was told that descriptors before this one are its.
    tail: u16,
    /// How many were read since.
    read: u16,
    /// The frame began in an earlier slot: it is longer than any is.
    is_rest: bool,
    pub(crate) fault: Option<Fault>,
    pub(crate) counters: Counters,
}

impl<F: Function> Receiver<F> {
    pub(crate) fn new(ring: Ring<F>) -> Self {
        for index in 0..COUNT {
            ring.put(index, [0; 8]);
        }
        Self {
            ring,
            next: 0,
            tail: 0,
            read: 0,
            is_rest: false,
            fault: None,
            counters: Counters::default(),
        }
    }

    /// Gives the card all slots but one, once receiving is on.
    pub(crate) fn begin(&mut self, registers: &F::Space) {
        self.tail = COUNT - 1;
        registers.store_u32(register::RDT, self.tail.into());
    }

    pub(crate) fn flush(&mut self, registers: &F::Space) {
        if self.read >= GIVE_BACK {
            // One short of the next one.
            self.tail = (self.tail + self.read) % COUNT;
            self.read = 0;
            registers.store_u32(register::RDT, self.tail.into());
        }
    }

    /// Whether the card has filled the next slot.
    pub(crate) fn has_next(&self) -> bool {
        self.ring.byte(self.next, received::STATUS) & received::DONE != 0
    }

    /// The next slot with a whole frame, and its length.
    fn filled(&mut self) -> Option<(u16, u16)> {
        while self.fault.is_none() && self.read < COUNT - 1 {
            let status = self.ring.byte(self.next, received::STATUS);
            if status & received::DONE == 0 {
                break;
            }
            let len = self.ring.word(self.next, received::LENGTH);
            if usize::from(len) > SLOT_BYTES {
                self.fault = Some(Fault::Length(len));
                break;
            }
            let is_damaged = self.ring.byte(self.next, received::ERRORS) & received::DAMAGED != 0;
            let ends = status & received::END != 0;
            let was_rest = core::mem::replace(&mut self.is_rest, !ends);
            let lengths = HEADER_BYTES..=HEADER_BYTES + usize::from(STANDARD_MTU_BYTES);
            if ends && !was_rest && !is_damaged && lengths.contains(&len.into()) {
                return Some((self.next, len));
            }
            self.counters.dropped_bad += u64::from(ends);
            self.ring.put(self.next, [0; 8]);
            self.next = after(self.next);
            self.read += 1;
        }
        None
    }

    /// What the card found right in the frame of this descriptor.
    fn checked(&self, index: u16) -> Checked {
        let status = self.ring.byte(index, received::STATUS);
        let errors = self.ring.byte(index, received::ERRORS);
        let looked = |bits| status & received::NO_CHECKSUMS == 0 && status & bits != 0;
        Checked {
            ipv4: looked(received::IPV4) && errors & received::BAD_IPV4 == 0,
            payload: looked(received::UDP | received::PAYLOAD)
                && errors & received::BAD_PAYLOAD == 0,
        }
    }
}

/// A frame where the card wrote it.
pub struct Frame<'a, F: Function + 'a> {
    part: <F::Bytes as Bytes>::Part<'a>,
    checked: Checked,
    stamp_ticks: u64,
}

impl<F: Function> nic::Frame for Frame<'_, F> {
    fn bytes(&self) -> &[u8] {
        &self.part
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.part
    }

    fn checked(&self) -> Checked {
        self.checked
    }

    fn stamp_ticks(&self) -> u64 {
        self.stamp_ticks
    }
}

impl<F: Function> nic::Receive for Receiver<F> {
    type Frame<'a>
        = Frame<'a, F>
    where
        Self: 'a;

    fn next(&mut self) -> Option<Frame<'_, F>> {
        let (index, len) = self.filled()?;
        let checked = self.checked(index);
        // The card learns of it at a flush, when nobody borrows the frame any more.
        self.ring.put(index, [0; 8]);
        self.next = after(index);
        self.read += 1;
        self.counters.received_frames += 1;
        self.counters.received_bytes += u64::from(len);
        let stamp_ticks = self.ring.stamp_ticks;
        Some(Frame {
            part: self.ring.slot(index, len.into())?,
            checked,
            stamp_ticks,
        })
    }
}
