//! Keyboards, mice and tablets (§5.8): what they are, and what happens at them.

use alloc::vec::Vec;

use rt::Clock;

use crate::hardware::{Function, Shared, Space};
use crate::{Buffer, Device, Fault, Queue};

/// Offsets in its configuration: what is asked for, of what, how long the answer is, and the answer.
const SELECT: usize = 0;
const OF: usize = 1;
const SIZE: usize = 2;
const ANSWER: usize = 8;
const MOST_ANSWER_BYTES: usize = 128;

/// What can be asked for.
mod ask {
    pub const NAME: u8 = 0x01;
    pub const EVENTS: u8 = 0x11;
    pub const AXIS: u8 = 0x12;
}

/// The queue of events, and the message that it interrupts by; 0 would be for changes of configuration, which there are none of.
const EVENT_QUEUE: u16 = 0;
const EVENT_MESSAGE: u16 = 1;
/// Events that wait in the device's memory until they are taken.
const MOST_WAITING: u16 = 64;
const EVENT_BYTES: usize = 8;

/// Values that an absolute axis can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// Least.
    pub min: u32,
    /// Most.
    pub max: u32,
}

/// One event: numbers of Linux's input-event-codes.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Type.
    pub kind: u16,
    /// What of that type.
    pub code: u16,
    /// How much, or where.
    pub value: u32,
    /// Tick of the interrupt that brought it.
    pub stamp_ticks: u64,
}

/// A keyboard, mouse or tablet.
pub struct Input<F: Function> {
    device: Device<F>,
    events: Queue<F>,
    memory: Shared<F::Space>,
}

impl<F: Function> Input<F> {
    /// Starts it.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn start<C: Clock>(function: F, clock: &C) -> Result<Self, Fault> {
        let device = Device::start(function, 0, clock).await?;
        let mut events = device.queue(EVENT_QUEUE, MOST_WAITING, EVENT_MESSAGE)?;
        let bytes = EVENT_BYTES * usize::from(events.size());
        let memory = device.function().memory(bytes)?;
        for slot in 0..events.size() {
            give(&mut events, &memory, slot.into());
        }
        device.go();
        events.notify();
        Ok(Self {
            device,
            events,
            memory,
        })
    }

    /// Asks for something; the answer, cut off at the length of `to`; how long it is.
    fn ask(&self, what: u8, of: u8, to: &mut [u8]) -> Result<usize, Fault> {
        self.device.own().write_u8(SELECT, what);
        self.device.own().write_u8(OF, of);
        let mut size = [0];
        self.device.own().read(SIZE, &mut size)?;
        let [size] = size;
        let len = usize::from(size).min(MOST_ANSWER_BYTES).min(to.len());
        self.device
            .own()
            .read(ANSWER, to.get_mut(..len).unwrap_or_default())?;
        Ok(len)
    }

    /// What its maker calls it: bytes to be shown with care.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn name(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = [0; MOST_ANSWER_BYTES];
        let len = self.ask(ask::NAME, 0, &mut bytes)?;
        let mut name = Vec::new();
        name.try_reserve_exact(len).map_err(|_| Fault::NoMemory)?;
        name.extend(bytes.iter().take(len));
        Ok(name)
    }

    /// Whether it has events of this type.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn has_events(&self, kind: u8) -> Result<bool, Fault> {
        Ok(self.ask(ask::EVENTS, kind, &mut [0; MOST_ANSWER_BYTES])? > 0)
    }

    /// The values that absolute axis `axis` can have; `None` if it has no such axis.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn axis(&self, axis: u8) -> Result<Option<Axis>, Fault> {
        let mut bytes = [0; 8];
        if self.ask(ask::AXIS, axis, &mut bytes)? < bytes.len() {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h] = bytes;
        Ok(Some(Axis {
            min: u32::from_le_bytes([a, b, c, d]),
            max: u32::from_le_bytes([e, f, g, h]),
        }))
    }

    /// Waits for the next event. Cancel-safe.
    ///
    /// # Errors
    /// [`Fault::Broken`], [`Fault::Nonsense`]: the device is not to be used any more.
    pub async fn next(&mut self) -> Result<Event, Fault> {
        let used = self.events.next().await?;
        let mut bytes = [0; EVENT_BYTES];
        let at = EVENT_BYTES * used.cookie as usize;
        if used.written as usize != EVENT_BYTES || !self.memory.space.read(at, &mut bytes) {
            return Err(Fault::Nonsense("an event is not 8 bytes long"));
        }
        give(&mut self.events, &self.memory, used.cookie);
        self.events.notify();
        let [a, b, c, d, e, f, g, h] = bytes;
        Ok(Event {
            kind: u16::from_le_bytes([a, b]),
            code: u16::from_le_bytes([c, d]),
            value: u32::from_le_bytes([e, f, g, h]),
            stamp_ticks: used.stamp_ticks,
        })
    }
}

/// Gives the place for one event to the device.
fn give<F: Function>(events: &mut Queue<F>, memory: &Shared<F::Space>, slot: u32) {
    let place = Buffer {
        address: memory.address + u64::from(slot) * EVENT_BYTES as u64,
        bytes: EVENT_BYTES as u32,
        device_writes: true,
    };
    // There is a descriptor for each place.
    let added = events.add(&[place], slot);
    debug_assert!(added.is_ok());
}
