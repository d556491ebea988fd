//! The sending half: slots that are free, and those that the device has. It interrupts only when somebody waits for one.

use alloc::vec::Vec;

use nic::checksum::Payload;
use nic::{Counters, HEADER_BYTES, SendError};

use super::slots::{self, Slots};
use super::wire::header;
use crate::hardware::Function;
use crate::{Broken, Device, Fault, Queue};

/// The sending half.
pub struct Transmitter<F: Function> {
    pub(super) queue: Queue<F>,
    slots: Slots<F>,
    free: Vec<u32>,
    max_frame_bytes: usize,
    /// The device adds the checksums of TCP and UDP.
    adds_checksums: bool,
    /// Who asked last was told that there is no room.
    pub(super) is_awaited: bool,
    pub(super) broken: Option<Broken>,
    pub(super) counters: Counters,
}

impl<F: Function> Transmitter<F> {
    pub(super) fn new(
        device: &Device<F>,
        index: u16,
        message: u16,
        mtu_bytes: u16,
        adds_checksums: bool,
    ) -> Result<Self, Fault> {
        let mut queue = device.queue(index, slots::most(mtu_bytes), message)?;
        queue.silence();
        let slots = Slots::new(device.function(), queue.size(), mtu_bytes)?;
        let mut free = Vec::new();
        free.try_reserve_exact(slots.count().into())
            .map_err(|_| Fault::NoMemory)?;
        free.extend((0..slots.count()).rev().map(u32::from));
        Ok(Self {
            queue,
            slots,
            free,
            max_frame_bytes: HEADER_BYTES + usize::from(mtu_bytes),
            adds_checksums,
            is_awaited: false,
            broken: None,
            counters: Counters::default(),
        })
    }

    /// Takes back what the device has read. Each slot comes once, so there is room for it.
    fn reclaim(&mut self) {
        while self.broken.is_none() {
            match self.queue.try_next() {
                Ok(Some(used)) => self.free.push(used.cookie),
                Ok(None) => break,
                Err(broken) => self.broken = Some(broken),
            }
        }
    }

    /// Whether a slot is free or will be at once.
    pub(super) fn may_have_room(&self) -> bool {
        !self.free.is_empty() || self.queue.has_next()
    }
}

impl<F: Function> nic::Transmit for Transmitter<F> {
    fn has_room(&mut self) -> bool {
        // Also while others are free: slots that were used last are still in the cache.
        self.reclaim();
        let has_room = !self.free.is_empty();
        self.is_awaited = !has_room;
        has_room
    }

    fn send<R>(
        &mut self,
        len_bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, SendError> {
        if !(HEADER_BYTES..=self.max_frame_bytes).contains(&len_bytes) {
            return Err(SendError::Length);
        }
        if !self.has_room() {
            self.counters.refused_full += 1;
            return Err(SendError::Full);
        }
        let slot = self.free.pop().ok_or(SendError::Full)?;
        let len = header::BYTES + len_bytes;
        let mut part = self.slots.part(slot, len).ok_or(SendError::Full)?;
        let (head, frame) = part
            .split_first_chunk_mut::<{ header::BYTES }>()
            .ok_or(SendError::Length)?;
        let result = fill(frame);
        let begun = self.adds_checksums.then(|| Payload::find(frame)).flatten();
        *head = match begun {
            Some(payload) => {
                payload.prepare(frame);
                header::with_checksum(payload.start, payload.field)
            }
            None => [0; header::BYTES],
        };
        drop(part);
        let added = self.queue.add(&[self.slots.buffer(slot, len, false)], slot);
        debug_assert!(added.is_ok(), "there is a descriptor for each slot");
        self.counters.sent_frames += 1;
        self.counters.sent_bytes += len_bytes as u64;
        Ok(result)
    }
}
