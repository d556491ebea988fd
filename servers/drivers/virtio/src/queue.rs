//! The split virtqueue (§2.7): buffers to the device, and back when it has used them.
//!
//! In memory that the device reads lie the descriptors (16 bytes each: address, length, flags, next), and the ring of chains that are
//! available; in memory that it writes, the ring of chains that it has used. Which descriptors are free, which chains are with the
//! device and how much room they have is known here alone: what the device writes is compared with that before it is believed.

use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

use rt::Interrupt;

use crate::Broken;
use crate::hardware::{Function, Space};
use crate::transport::Registers;

const DESCRIPTOR_BYTES: usize = 16;
const NEXT: u16 = 1;
const DEVICE_WRITES: u16 = 2;
/// Before the entries of either ring: flags and index.
const RING_HEAD: usize = 4;
const INDEX: usize = 2;
const USED_BYTES: usize = 8;
/// In the flags of the used ring: the device looks without being notified.
const NO_NOTIFY: u16 = 1;
/// In the flags of the available ring: the driver looks without being interrupted.
const NO_INTERRUPT: u16 = 1;

/// A piece of memory that the device reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The device's address of it.
    pub address: u64,
    /// Its length in bytes.
    pub bytes: u32,
    /// Whether the device writes it; else it reads it.
    pub device_writes: bool,
}

/// A chain that the device has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// What was said when it was added.
    pub cookie: u32,
    /// How many bytes of it the device wrote: never more than there was room for.
    pub written: u32,
    /// Tick of the interrupt that brought it, or of the last one before.
    pub stamp_ticks: u64,
}

/// There are fewer free descriptors than the chain is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

#[derive(Clone, Copy)]
struct Chain {
    cookie: u32,
    /// Its last descriptor, and how many it has.
    last: u16,
    descriptors: u16,
    /// How much the device may write.
    room: u32,
}

/// The rings and what is known of them.
pub struct Rings<S> {
    space: S,
    size: u16,
    /// By descriptor: the next one of its chain, or of the free ones.
    next: Vec<u16>,
    /// By first descriptor, of the chains that are with the device.
    chains: Vec<Option<Chain>>,
    first_free: u16,
    free: u16,
    available: u16,
    used: u16,
    /// [`EVENT_INDEX`](crate::feature::EVENT_INDEX) was agreed on.
    by_index: bool,
    /// Of what was made available the device was told until here.
    told: u16,
}

impl Rings<()> {
    /// What a queue of so many descriptors needs.
    pub(crate) const fn bytes(size: u16) -> usize {
        Self::device_start(size) + RING_HEAD + USED_BYTES * size as usize + 2
    }

    const fn driver_start(size: u16) -> usize {
        DESCRIPTOR_BYTES * size as usize
    }

    const fn device_start(size: u16) -> usize {
        (Self::driver_start(size) + RING_HEAD + 2 * size as usize + 2).next_multiple_of(4)
    }
}

impl<S: Space> Rings<S> {
    /// Over zeroed memory of [`bytes`](Rings::bytes); `size` is a power of 2. `None` without memory.
    pub(crate) fn new(space: S, size: u16, by_index: bool) -> Option<Self> {
        let (mut next, mut chains) = (Vec::new(), Vec::new());
        next.try_reserve_exact(size.into()).ok()?;
        chains.try_reserve_exact(size.into()).ok()?;
        next.extend((0..size).map(|index| index.wrapping_add(1)));
        chains.resize(size.into(), None);
        Some(Self {
            space,
            size,
            next,
            chains,
            first_free: 0,
            free: size,
            available: 0,
            used: 0,
            by_index,
            told: 0,
        })
    }

    pub(crate) const fn driver_offset(&self) -> u64 {
        Rings::driver_start(self.size) as u64
    }

    pub(crate) const fn device_offset(&self) -> u64 {
        Rings::device_start(self.size) as u64
    }

    fn add(&mut self, chain: &[Buffer], cookie: u32) -> Result<(), Full> {
        let (Some(last), true) = (chain.len().checked_sub(1), chain.len() <= self.free.into())
        else {
            return Err(Full);
        };
        let head = self.first_free;
        let mut tail = head;
        let mut room = 0_u32;
        for (place, buffer) in chain.iter().enumerate() {
            let index = self.first_free;
            let next = self.next.get(usize::from(index)).copied().ok_or(Full)?;
            let mut flags = if place < last { NEXT } else { 0 };
            if buffer.device_writes {
                flags |= DEVICE_WRITES;
                room = room.saturating_add(buffer.bytes);
            }
            let mut bytes = [0; DESCRIPTOR_BYTES];
            let fields = buffer
                .address
                .to_le_bytes()
                .into_iter()
                .chain(buffer.bytes.to_le_bytes())
                .chain(flags.to_le_bytes())
                .chain(if place < last { next } else { 0 }.to_le_bytes());
            for (to, from) in bytes.iter_mut().zip(fields) {
                *to = from;
            }
            self.space
                .write(DESCRIPTOR_BYTES * usize::from(index), &bytes);
            tail = index;
            self.first_free = next;
            self.free -= 1;
        }
        if let Some(place) = self.chains.get_mut(usize::from(head)) {
            *place = Some(Chain {
                cookie,
                last: tail,
                descriptors: last as u16 + 1,
                room,
            });
        }
        let ring = Rings::driver_start(self.size);
        let slot = usize::from(self.available % self.size);
        self.space.store_u16(ring + RING_HEAD + 2 * slot, head);
        self.available = self.available.wrapping_add(1);
        // Released: who sees the index sees the chain.
        self.space.store_u16(ring + INDEX, self.available);
        Ok(())
    }

    fn waiting(&self) -> u16 {
        let ring = Rings::device_start(self.size);
        self.space.load_u16(ring + INDEX).wrapping_sub(self.used)
    }

    fn take(&mut self) -> Result<Option<(u32, u32)>, Broken> {
        let ring = Rings::device_start(self.size);
        let waiting = self.waiting();
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.size - self.free {
            return Err(Broken::Index);
        }
        let entry = ring + RING_HEAD + USED_BYTES * usize::from(self.used % self.size);
        let head = self.space.load_u32(entry);
        let written = self.space.load_u32(entry + 4);
        let chain = usize::try_from(head)
            .ok()
            .and_then(|head| self.chains.get_mut(head))
            .and_then(Option::take)
            .ok_or(Broken::Head(head))?;
        if written > chain.room {
            return Err(Broken::Length(written));
        }
        self.used = self.used.wrapping_add(1);
        // The whole chain is free again, linked as it was.
        if let Some(next) = self.next.get_mut(usize::from(chain.last)) {
            *next = self.first_free;
        }
        self.first_free = head as u16;
        self.free += chain.descriptors;
        Ok(Some((chain.cookie, written)))
    }

    fn wants_bell(&mut self) -> bool {
        // The index was stored before the flags are read (§2.7.13.4).
        fence(Ordering::SeqCst);
        let ring = Rings::device_start(self.size);
        let added = self.available.wrapping_sub(self.told);
        self.told = self.available;
        if self.by_index {
            // Whether the index it waits for is among those that were added (§2.7.10).
            let entries = USED_BYTES * usize::from(self.size);
            let awaited = self.space.load_u16(ring + RING_HEAD + entries);
            self.available.wrapping_sub(awaited).wrapping_sub(1) < added
        } else {
            added > 0 && self.space.load_u16(ring) & NO_NOTIFY == 0
        }
    }

    /// Asks to be interrupted when the next chain is used, or not to be.
    fn want_interrupt(&mut self, wanted: bool) {
        let ring = Rings::driver_start(self.size);
        if !self.by_index {
            let flags = if wanted { 0 } else { NO_INTERRUPT };
            self.space.store_u16(ring, flags);
        } else if wanted {
            // Where nothing is wanted, the index stays behind.
            let at = ring + RING_HEAD + 2 * usize::from(self.size);
            self.space.store_u16(at, self.used);
        }
        // It was asked before it is looked whether something came before.
        fence(Ordering::SeqCst);
    }
}

/// Where a queue's device is told that there is something.
pub(crate) struct Bell<S> {
    pub(crate) registers: Registers<S>,
    pub(crate) offset: usize,
    pub(crate) index: u16,
}

/// A queue.
///
/// It interrupts whenever a chain is used, or only while that is [awaited](Queue::arm) once it was [silenced](Queue::silence).
pub struct Queue<F: Function> {
    rings: Rings<F::Space>,
    line: F::Line,
    bell: Bell<F::Space>,
    stamp_ticks: u64,
    /// Its line is silent until it is acknowledged.
    delivered: bool,
    is_silent: bool,
    interrupts: u64,
}

impl<F: Function> Queue<F> {
    pub(crate) fn new(rings: Rings<F::Space>, line: F::Line, bell: Bell<F::Space>) -> Self {
        Self {
            rings,
            line,
            bell,
            stamp_ticks: 0,
            delivered: false,
            is_silent: false,
            interrupts: 0,
        }
    }

    /// How many descriptors it has.
    pub const fn size(&self) -> u16 {
        self.rings.size
    }

    /// How many of them are free.
    pub const fn free(&self) -> u16 {
        self.rings.free
    }

    /// How often it has interrupted.
    pub const fn interrupts(&self) -> u64 {
        self.interrupts
    }

    /// Tick of its last interrupt.
    pub const fn stamp_ticks(&self) -> u64 {
        self.stamp_ticks
    }

    /// Gives a chain of buffers to the device, those that it writes last; [`notify`](Self::notify) says so to it. `cookie` comes back
    /// with it. The memory is the device's until then.
    ///
    /// # Errors
    /// [`Full`], also for an empty chain.
    pub fn add(&mut self, chain: &[Buffer], cookie: u32) -> Result<(), Full> {
        self.rings.add(chain, cookie)
    }

    /// Tells the device of chains that were added since the last time, if it wants to be told.
    pub fn notify(&mut self) {
        if self.rings.wants_bell() {
            self.bell
                .registers
                .store_u16(self.bell.offset, self.bell.index);
        }
    }

    /// Whether there is a chain that the device has used.
    pub fn has_next(&self) -> bool {
        self.rings.waiting() != 0
    }

    /// A chain that the device has used, if there is one now.
    ///
    /// # Errors
    /// [`Broken`]: the queue is not to be used any more.
    pub fn try_next(&mut self) -> Result<Option<Used>, Broken> {
        let taken = self.rings.take()?;
        Ok(taken.map(|(cookie, written)| Used {
            cookie,
            written,
            stamp_ticks: self.stamp_ticks,
        }))
    }

    /// Does without interrupts until it is [armed](Self::arm): for a driver that looks by itself while it has work. A hint.
    pub fn silence(&mut self) {
        if !self.is_silent {
            self.is_silent = true;
            self.rings.want_interrupt(false);
        }
    }

    /// Has the next chain that is used interrupt. What was used before does not: look [once more](Self::has_next) before
    /// waiting for [`interrupted`](Self::interrupted).
    pub fn arm(&mut self) {
        if core::mem::take(&mut self.delivered) {
            self.line.ack();
        }
        self.is_silent = false;
        self.rings.want_interrupt(true);
    }

    /// Waits for the interrupt that it was armed for. Cancel-safe.
    pub async fn interrupted(&mut self) {
        self.stamp_ticks = self.line.wait().await.stamp_ticks;
        self.delivered = true;
        self.interrupts = self.interrupts.wrapping_add(1);
    }

    /// Waits for the next chain that the device has used. Cancel-safe.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub async fn next(&mut self) -> Result<Used, Broken> {
        loop {
            if let Some(used) = self.try_next()? {
                return Ok(used);
            }
            self.arm();
            if let Some(used) = self.try_next()? {
                return Ok(used);
            }
            self.interrupted().await;
        }
    }
}
