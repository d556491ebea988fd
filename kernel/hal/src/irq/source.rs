//! Interrupt sources: one slot per line or message in use, and [`Interrupt`], the right to wait on one.
//!
//! A slot has a hot half, which the top half touches, all atomics, and a cold half under a lock that only tasks
//! take. Slots and vectors are handed out round robin: one just given back is the last to be used again, so that an
//! interrupt still on its way when its owner left cannot be taken for the next owner's.

use core::future::poll_fn;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use core::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use spin::Mutex;

use super::ioapic::{self, Delivery, Line, Polarity, Trigger};
use super::vectors::{DEVICE_COUNT, DEVICE_FIRST};
use super::{IrqError, lapic};
use crate::cpu::percpu;
use crate::time;

/// Most interrupt sources at a time, over all cores.
pub const MAX_SOURCES: usize = 512;
/// In [`Hot::line`]: nothing to mask.
const NO_LINE: u32 = u32::MAX;

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A line of an IOAPIC.
    Line {
        /// Its global system interrupt number.
        gsi: u32,
        /// The ISA number it was claimed by, if so.
        isa: Option<u8>,
        /// How it triggers.
        trigger: Trigger,
        /// What level asserts it.
        polarity: Polarity,
    },
    /// A message from a device (MSI or MSI-X).
    Message,
}

/// What the top half touches.
struct Hot {
    /// Ticks at the oldest interrupt nobody has waited for yet, 0 if none (or not known).
    oldest_ticks: AtomicU64,
    /// Ticks at the latest interrupt.
    latest_ticks: AtomicU64,
    /// Interrupts nobody has waited for yet.
    pending: AtomicU32,
    /// The line to mask (level-triggered), or [`NO_LINE`].
    line: AtomicU32,
    /// All interrupts since the claim.
    total: AtomicU64,
    waker: AtomicWaker,
}

#[derive(Clone, Copy)]
struct Claim {
    name: &'static str,
    kind: SourceKind,
    line: Option<Line>,
    core: u32,
    apic_id: u32,
    vector: u8,
}

struct Source {
    hot: Hot,
    claim: Mutex<Option<Claim>>,
}

static SOURCES: [Source; MAX_SOURCES] = [const {
    Source {
        hot: Hot {
            oldest_ticks: AtomicU64::new(0),
            latest_ticks: AtomicU64::new(0),
            pending: AtomicU32::new(0),
            line: AtomicU32::new(NO_LINE),
            total: AtomicU64::new(0),
            waker: AtomicWaker::new(),
        },
        claim: Mutex::new(None),
    }
}; MAX_SOURCES];

/// Held while a source is claimed or given up, so that two tasks cannot claim one line. Tasks only. Inside: the
/// number of the slot at which the search for a free one begins.
static CLAIMING: Mutex<usize> = Mutex::new(0);

/// A core's device vectors: which source each one belongs to.
pub(crate) struct VectorTable {
    /// Source number plus one, 0 for a free vector.
    source: [AtomicU16; DEVICE_COUNT],
    next: AtomicU32,
    /// Device interrupts that belonged to nobody.
    pub(super) unclaimed: AtomicU64,
}

impl VectorTable {
    pub(crate) const fn new() -> Self {
        Self {
            source: [const { AtomicU16::new(0) }; DEVICE_COUNT],
            next: AtomicU32::new(0),
            unclaimed: AtomicU64::new(0),
        }
    }

    fn allocate(&self, source: usize) -> Option<u8> {
        let start = self.next.load(Ordering::Relaxed) as usize;
        let owner = source as u16 + 1;
        for step in 0..DEVICE_COUNT {
            let index = (start + step) % DEVICE_COUNT;
            let free =
                self.source[index].compare_exchange(0, owner, Ordering::AcqRel, Ordering::Relaxed);
            if free.is_ok() {
                self.next.store((index + 1) as u32, Ordering::Relaxed);
                return Some(DEVICE_FIRST + index as u8);
            }
        }
        None
    }

    fn release(&self, vector: u8) {
        if let Some(slot) = self
            .source
            .get(usize::from(vector.wrapping_sub(DEVICE_FIRST)))
        {
            slot.store(0, Ordering::Release);
        }
    }
}

/// The top half of a device interrupt: stamp, count, mask a level-triggered line, wake one task.
/// The caller sends EOI.
#[inline]
pub(super) fn top_half(table: &VectorTable, vector: u8) {
    let owner = table
        .source
        .get(usize::from(vector.wrapping_sub(DEVICE_FIRST)))
        .map_or(0, |slot| slot.load(Ordering::Acquire));
    let Some(source) = SOURCES.get(usize::from(owner).wrapping_sub(1)) else {
        // Only this core writes its own counter.
        let count = table.unclaimed.load(Ordering::Relaxed);
        table.unclaimed.store(count + 1, Ordering::Relaxed);
        return;
    };
    let hot = &source.hot;
    let now = time::now_ticks();
    hot.latest_ticks.store(now, Ordering::Relaxed);
    if hot.oldest_ticks.load(Ordering::Relaxed) == 0 {
        hot.oldest_ticks.store(now, Ordering::Relaxed);
    }
    let total = hot.total.load(Ordering::Relaxed);
    hot.total.store(total + 1, Ordering::Relaxed);
    if let Some(line) = Line::from_word(hot.line.load(Ordering::Relaxed)) {
        ioapic::mask(line);
    }
    // Release: whoever takes the count also sees the stamps.
    hot.pending.fetch_add(1, Ordering::Release);
    hot.waker.wake();
}

/// What [`Interrupt::wait`] brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqEvent {
    /// TSC ticks (see [`time::now_ticks`]) at the first of these interrupts.
    pub stamp_ticks: u64,
    /// How many interrupts there were since the last wait: 1 or more.
    pub count: u32,
}

/// The address and data that a device writes to raise its interrupt (Intel SDM vol. 3A §12.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiMessage {
    /// Where the device writes.
    pub address: u64,
    /// What it writes.
    pub data: u32,
}

/// Raises an interrupt from software: the local APIC delivers the same vector that a device's message would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    apic_id: u32,
    vector: u8,
}

impl Doorbell {
    /// Raises the interrupt on its core. Should the interrupt have been dropped meanwhile, the core counts an unclaimed one.
    pub fn ring(&self) {
        // The command register takes two writes in xAPIC mode: a top half that sends one of its own must not come between.
        x86_64::instructions::interrupts::without_interrupts(|| {
            lapic::send_fixed(self.apic_id, self.vector)
        });
    }
}

/// The right to wait on one interrupt source. Dropping it masks the line and frees the vector.
#[derive(Debug)]
pub struct Interrupt {
    source: usize,
    vector: u8,
    core: u32,
    apic_id: u32,
}

impl Interrupt {
    pub(super) fn claim(name: &'static str, kind: SourceKind, core: u32) -> Result<Self, IrqError> {
        let mut next_slot = CLAIMING.lock();
        let block = percpu::get(core).ok_or(IrqError::NoSuchCore { core })?;
        let apic_id = block.apic_id.load(Ordering::Relaxed);
        let line = match kind {
            SourceKind::Line { gsi, .. } => {
                let line = ioapic::find(gsi).ok_or(IrqError::NoSuchLine { gsi })?;
                if super::watchdog::line() == Some(gsi) {
                    return Err(IrqError::Busy {
                        gsi,
                        owner: "watchdog",
                    });
                }
                if let Some(owner) = owner_of(line) {
                    return Err(IrqError::Busy { gsi, owner });
                }
                Some(line)
            }
            SourceKind::Message => None,
        };
        if lapic::mode() == Some(lapic::Mode::X2Apic) && apic_id > 0xff {
            // Lines and messages name their core in eight bits (no interrupt remapping).
            return Err(IrqError::BadTarget { apic_id });
        }
        let index = free_slot(*next_slot).ok_or(IrqError::TooManySources { most: MAX_SOURCES })?;
        let slot = &SOURCES[index];
        let hot = &slot.hot;
        drop(hot.waker.take());
        hot.pending.store(0, Ordering::Relaxed);
        hot.oldest_ticks.store(0, Ordering::Relaxed);
        hot.latest_ticks.store(0, Ordering::Relaxed);
        hot.total.store(0, Ordering::Relaxed);
        let masked_by_top_half = match (line, kind) {
            (
                Some(line),
                SourceKind::Line {
                    trigger: Trigger::Level,
                    ..
                },
            ) => line.word(),
            _ => NO_LINE,
        };
        hot.line.store(masked_by_top_half, Ordering::Relaxed);
        let table = &block.platform.vectors;
        let vector = table.allocate(index).ok_or(IrqError::NoVector { core })?;
        if let (
            Some(line),
            SourceKind::Line {
                trigger, polarity, ..
            },
        ) = (line, kind)
        {
            let routed = ioapic::route(line, Delivery::Vector(vector), apic_id, polarity, trigger);
            if let Err(error) = routed {
                table.release(vector);
                return Err(error);
            }
        }
        *slot.claim.lock() = Some(Claim {
            name,
            kind,
            line,
            core,
            apic_id,
            vector,
        });
        *next_slot = (index + 1) % MAX_SOURCES;
        Ok(Self {
            source: index,
            vector,
            core,
            apic_id,
        })
    }

    fn slot(&self) -> &'static Source {
        // `claim` took the number from this very table.
        &SOURCES[self.source % MAX_SOURCES]
    }

    /// Waits for interrupts of this source; those since the last wait count at once. One task at a time.
    ///
    /// A level-triggered line stays masked afterwards until [`ack`](Self::ack).
    pub async fn wait(&self) -> IrqEvent {
        poll_fn(|context| self.poll_wait(context)).await
    }

    /// As [`wait`](Self::wait), for hand-written futures.
    pub fn poll_wait(&self, context: &mut Context<'_>) -> Poll<IrqEvent> {
        if let Some(event) = self.try_take() {
            return Poll::Ready(event);
        }
        self.slot().hot.waker.register(context.waker());
        // An interrupt between the look and the registration woke nobody: look again.
        self.try_take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Wakes who waits, though nothing came: something else that the task waits for has happened.
    pub fn wake(&self) {
        self.slot().hot.waker.wake();
    }

    /// Takes what is pending, without waiting.
    pub fn try_take(&self) -> Option<IrqEvent> {
        let hot = &self.slot().hot;
        if hot.pending.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let count = hot.pending.swap(0, Ordering::Acquire);
        let oldest = hot.oldest_ticks.swap(0, Ordering::Relaxed);
        // An interrupt between the two swaps gave its stamp to this event; its own then has the latest.
        let stamp_ticks = if oldest != 0 {
            oldest
        } else {
            hot.latest_ticks.load(Ordering::Relaxed)
        };
        (count > 0).then_some(IrqEvent { stamp_ticks, count })
    }

    /// Says that the device has been served: a level-triggered line is unmasked, for others nothing is due.
    pub fn ack(&self) {
        if let Some(line) = Line::from_word(self.slot().hot.line.load(Ordering::Relaxed)) {
            ioapic::unmask(line);
        }
    }

    /// Number of the core that takes this interrupt.
    pub fn core(&self) -> u32 {
        self.core
    }

    /// Its vector on that core.
    pub fn vector(&self) -> u8 {
        self.vector
    }

    /// A way to raise this interrupt from software, as a device's message would: for self-tests and probes.
    pub fn doorbell(&self) -> Doorbell {
        Doorbell {
            apic_id: self.apic_id,
            vector: self.vector,
        }
    }

    /// What a device writes to raise this interrupt: fixed delivery, edge, to one core
    /// (Intel SDM vol. 3A §12.11.1 and §12.11.2).
    pub fn message(&self) -> MsiMessage {
        MsiMessage {
            address: 0xfee0_0000 | u64::from(self.apic_id & 0xff) << 12,
            data: u32::from(self.vector),
        }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        let _claiming = CLAIMING.lock();
        let slot = self.slot();
        let claim = slot.claim.lock().take();
        if let Some(line) = claim.and_then(|claim| claim.line) {
            ioapic::mask(line);
        }
        if let Some(block) = percpu::get(self.core) {
            block.platform.vectors.release(self.vector);
        }
        drop(slot.hot.waker.take());
    }
}

fn free_slot(start: usize) -> Option<usize> {
    (0..MAX_SOURCES)
        .map(|step| (start + step) % MAX_SOURCES)
        .find(|&index| {
            SOURCES
                .get(index)
                .is_some_and(|slot| slot.claim.lock().is_none())
        })
}

fn owner_of(line: Line) -> Option<&'static str> {
    SOURCES.iter().find_map(|slot| {
        let claim = (*slot.claim.lock())?;
        (claim.line == Some(line)).then_some(claim.name)
    })
}

/// Whether somebody claimed GSI `gsi`.
pub(super) fn is_claimed(gsi: u32) -> bool {
    ioapic::find(gsi).and_then(owner_of).is_some()
}

/// One interrupt source, as shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Who claimed it.
    pub name: &'static str,
    /// What it is.
    pub kind: SourceKind,
    /// Number of the core that takes it.
    pub core: u32,
    /// APIC id of that core.
    pub apic_id: u32,
    /// Its vector on that core.
    pub vector: u8,
    /// Interrupts since it was claimed (all on that core).
    pub count: u64,
    /// Interrupts its task has not taken yet.
    pub pending: u32,
}

/// Calls `visit` for each source in use.
pub fn for_each_source(mut visit: impl FnMut(&SourceInfo)) {
    for slot in &SOURCES {
        let claim = *slot.claim.lock();
        if let Some(Claim {
            name,
            kind,
            core,
            apic_id,
            vector,
            ..
        }) = claim
        {
            let count = slot.hot.total.load(Ordering::Relaxed);
            let pending = slot.hot.pending.load(Ordering::Relaxed);
            visit(&SourceInfo {
                name,
                kind,
                core,
                apic_id,
                vector,
                count,
                pending,
            });
        }
    }
}
