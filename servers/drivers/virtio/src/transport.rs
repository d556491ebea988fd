//! A device: its reset, what it and its driver agree on, its queues and its configuration (§3.1, §4.1.4.3).

use alloc::sync::Arc;
use core::array;

use rt::Clock;

use crate::hardware::{Function, Shared, Space};
use crate::layout::{Layout, MAX_WINDOWS, Region};
use crate::queue::{Queue, Rings};
use crate::{Fault, feature};

/// Offsets of the common registers.
mod common {
    pub const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub const DEVICE_FEATURE: usize = 0x04;
    pub const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub const DRIVER_FEATURE: usize = 0x0c;
    pub const CONFIG_VECTOR: usize = 0x10;
    pub const QUEUE_COUNT: usize = 0x12;
    pub const STATUS: usize = 0x14;
    pub const CONFIG_GENERATION: usize = 0x15;
    pub const QUEUE_SELECT: usize = 0x16;
    pub const QUEUE_SIZE: usize = 0x18;
    pub const QUEUE_VECTOR: usize = 0x1a;
    pub const QUEUE_ENABLE: usize = 0x1c;
    pub const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
    pub const QUEUE_DESCRIPTORS: usize = 0x20;
    pub const QUEUE_DRIVER: usize = 0x28;
    pub const QUEUE_DEVICE: usize = 0x30;
    pub const BYTES: u32 = 0x38;
}

/// The device's status (§2.1).
mod status {
    pub const ACKNOWLEDGE: u8 = 1;
    pub const DRIVER: u8 = 2;
    pub const DRIVER_OK: u8 = 4;
    pub const FEATURES_OK: u8 = 8;
    pub const NEEDS_RESET: u8 = 64;
}

/// Says that there is no message for something.
const NO_VECTOR: u16 = 0xffff;
/// Between two looks whether it has reset itself, and how many.
const LOOK_EVERY_NS: u64 = 100_000;
const LOOKS: u32 = 10_000;
/// How often configuration is read anew that changed under the reader.
const CONFIG_TRIES: u32 = 16;
/// Longest queue that is made.
pub const MOST_DESCRIPTORS: u16 = 256;

/// The windows that are mapped, by base address register.
type Windows<S> = [Option<Arc<S>>; MAX_WINDOWS];

/// Registers in their window.
pub(crate) struct Registers<S> {
    window: Arc<S>,
    start: usize,
    bytes: usize,
}

impl<S> Clone for Registers<S> {
    fn clone(&self) -> Self {
        Self {
            window: Arc::clone(&self.window),
            ..*self
        }
    }
}

impl<S: Space> Registers<S> {
    /// Those of `region`, if they are in the window; mapped once for all regions in it.
    fn map<F: Function<Space = S>>(
        function: &F,
        windows: &mut Windows<S>,
        region: Region,
    ) -> Result<Self, Fault> {
        const OUTSIDE: Fault = Fault::NoRegisters("they lie outside of their window");
        let place = windows.get_mut(usize::from(region.window)).ok_or(OUTSIDE)?;
        let window = match place {
            Some(window) => Arc::clone(window),
            None => Arc::clone(place.insert(Arc::new(function.registers(region.window)?))),
        };
        let (start, bytes) = (region.offset as usize, region.bytes as usize);
        let end = start.checked_add(bytes).ok_or(OUTSIDE)?;
        if end > window.len() {
            return Err(OUTSIDE);
        }
        Ok(Self {
            window,
            start,
            bytes,
        })
    }

    /// Where in the window, if so many bytes there are these registers'.
    fn at(&self, offset: usize, len: usize) -> Option<usize> {
        (offset.checked_add(len)? <= self.bytes).then_some(self.start + offset)
    }

    fn load_u8(&self, offset: usize) -> u8 {
        self.at(offset, 1)
            .map_or(u8::MAX, |at| self.window.load_u8(at))
    }

    fn load_u16(&self, offset: usize) -> u16 {
        self.at(offset, 2)
            .map_or(u16::MAX, |at| self.window.load_u16(at))
    }

    fn load_u32(&self, offset: usize) -> u32 {
        self.at(offset, 4)
            .map_or(u32::MAX, |at| self.window.load_u32(at))
    }

    fn store_u8(&self, offset: usize, value: u8) {
        if let Some(at) = self.at(offset, 1) {
            self.window.store_u8(at, value);
        }
    }

    pub(crate) fn store_u16(&self, offset: usize, value: u16) {
        if let Some(at) = self.at(offset, 2) {
            self.window.store_u16(at, value);
        }
    }

    fn store_u32(&self, offset: usize, value: u32) {
        if let Some(at) = self.at(offset, 4) {
            self.window.store_u32(at, value);
        }
    }

    /// Two halves, the lower one first (§4.1.3.1).
    fn store_u64(&self, offset: usize, value: u64) {
        self.store_u32(offset, value as u32);
        self.store_u32(offset + 4, (value >> 32) as u32);
    }
}

/// A device that is being driven.
pub struct Device<F: Function> {
    function: F,
    common: Registers<F::Space>,
    notify: Registers<F::Space>,
    notify_multiplier: u32,
    own: Config<F::Space>,
    features: u64,
}

impl<F: Function> Device<F> {
    /// Resets the device and agrees on those of the `wanted` features that it offers.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn start<C: Clock>(function: F, wanted: u64, clock: &C) -> Result<Self, Fault> {
        let layout = Layout::find(&function)?;
        if layout.common.bytes < common::BYTES {
            return Err(Fault::NoRegisters("the common ones are too short"));
        }
        let mut windows: Windows<F::Space> = array::from_fn(|_| None);
        let common = Registers::map(&function, &mut windows, layout.common)?;
        let notify = Registers::map(&function, &mut windows, layout.notify)?;
        let registers = match layout.device {
            Some(region) => Some(Registers::map(&function, &mut windows, region)?),
            None => None,
        };
        let own = Config {
            common: common.clone(),
            registers,
        };
        let mut device = Self {
            function,
            common,
            notify,
            notify_multiplier: layout.notify_multiplier,
            own,
            features: 0,
        };
        device.reset(clock).await?;
        device.add_status(status::ACKNOWLEDGE);
        device.add_status(status::DRIVER);
        device.agree(wanted)?;
        Ok(device)
    }

    async fn reset<C: Clock>(&self, clock: &C) -> Result<(), Fault> {
        self.common.store_u8(common::STATUS, 0);
        for _ in 0..LOOKS {
            if self.common.load_u8(common::STATUS) == 0 {
                return Ok(());
            }
            clock.sleep(LOOK_EVERY_NS).await;
        }
        Err(Fault::NoReset)
    }

    fn add_status(&self, bits: u8) {
        let before = self.common.load_u8(common::STATUS);
        self.common.store_u8(common::STATUS, before | bits);
    }

    fn agree(&mut self, wanted: u64) -> Result<(), Fault> {
        let half = |select: u32| {
            self.common.store_u32(common::DEVICE_FEATURE_SELECT, select);
            u64::from(self.common.load_u32(common::DEVICE_FEATURE))
        };
        let offered = half(0) | half(1) << 32;
        if offered & feature::VERSION_1 == 0 {
            return Err(Fault::Legacy);
        }
        let agreed = offered & (wanted | feature::VERSION_1 | feature::ACCESS_PLATFORM);
        for (select, half) in [(0, agreed as u32), (1, (agreed >> 32) as u32)] {
            self.common.store_u32(common::DRIVER_FEATURE_SELECT, select);
            self.common.store_u32(common::DRIVER_FEATURE, half);
        }
        self.add_status(status::FEATURES_OK);
        if self.common.load_u8(common::STATUS) & status::FEATURES_OK == 0 {
            return Err(Fault::Features);
        }
        self.features = agreed;
        Ok(())
    }

    /// The features that both sides have agreed on.
    pub const fn features(&self) -> u64 {
        self.features
    }

    /// The function that it is.
    pub const fn function(&self) -> &F {
        &self.function
    }

    /// Whether it has given up and wants a reset.
    pub fn needs_reset(&self) -> bool {
        self.common.load_u8(common::STATUS) & status::NEEDS_RESET != 0
    }

    /// How many queues it has.
    pub fn queue_count(&self) -> u16 {
        self.common.load_u16(common::QUEUE_COUNT)
    }

    /// The interrupt that says that its configuration has changed, as message `message`.
    ///
    /// # Errors
    /// [`Fault::NoInterrupt`], or the kernel's refusal.
    pub fn config_interrupt(&self, message: u16) -> Result<F::Line, Fault> {
        let line = self.line(message)?;
        self.common.store_u16(common::CONFIG_VECTOR, message);
        if self.common.load_u16(common::CONFIG_VECTOR) != message {
            return Err(Fault::NoInterrupt);
        }
        Ok(line)
    }

    fn line(&self, message: u16) -> Result<F::Line, Fault> {
        if u32::from(message) >= self.function.messages() {
            return Err(Fault::NoInterrupt);
        }
        Ok(self.function.interrupt(message)?)
    }

    /// Makes queue `index`, with at most `most` descriptors (a power of 2, else the one below), which interrupts by `message`. Before
    /// the device [goes](Self::go).
    ///
    /// # Errors
    /// [`Fault::NoQueue`], [`Fault::NoInterrupt`], or the kernel's refusal.
    pub fn queue(&self, index: u16, most: u16, message: u16) -> Result<Queue<F>, Fault> {
        if index >= self.queue_count() {
            return Err(Fault::NoQueue(index));
        }
        self.common.store_u16(common::QUEUE_SELECT, index);
        let offered = self.common.load_u16(common::QUEUE_SIZE);
        if offered == 0 {
            return Err(Fault::NoQueue(index));
        }
        if !offered.is_power_of_two() {
            return Err(Fault::Nonsense("a queue's size is no power of 2"));
        }
        let size = 1 << most.clamp(1, MOST_DESCRIPTORS).min(offered).ilog2();
        let Shared { space, address } = self.function.memory(Rings::bytes(size))?;
        let by_index = self.features & feature::EVENT_INDEX != 0;
        let rings = Rings::new(space, size, by_index).ok_or(Fault::NoMemory)?;
        let line = self.line(message)?;
        let common = &self.common;
        common.store_u16(common::QUEUE_SIZE, size);
        common.store_u64(common::QUEUE_DESCRIPTORS, address);
        common.store_u64(common::QUEUE_DRIVER, address + rings.driver_offset());
        common.store_u64(common::QUEUE_DEVICE, address + rings.device_offset());
        common.store_u16(common::QUEUE_VECTOR, message);
        if common.load_u16(common::QUEUE_VECTOR) == NO_VECTOR {
            return Err(Fault::NoInterrupt);
        }
        let place = u64::from(common.load_u16(common::QUEUE_NOTIFY_OFFSET))
            * u64::from(self.notify_multiplier);
        let place = usize::try_from(place)
            .ok()
            .filter(|place| self.notify.at(*place, 2).is_some() && place.is_multiple_of(2))
            .ok_or(Fault::NoRegisters(
                "a queue is notified outside of their window",
            ))?;
        common.store_u16(common::QUEUE_ENABLE, 1);
        Ok(Queue::new(
            rings,
            line,
            crate::queue::Bell {
                registers: self.notify.clone(),
                offset: place,
                index,
            },
        ))
    }

    /// The driver is ready: the device may go.
    pub fn go(&self) {
        self.add_status(status::DRIVER_OK);
    }

    /// Its own configuration.
    pub const fn own(&self) -> &Config<F::Space> {
        &self.own
    }
}

/// What this kind of device has in its configuration. Can be cloned, for those who wait for it to change.
pub struct Config<S> {
    common: Registers<S>,
    registers: Option<Registers<S>>,
}

impl<S> Clone for Config<S> {
    fn clone(&self) -> Self {
        Self {
            common: self.common.clone(),
            registers: self.registers.clone(),
        }
    }
}

impl<S: Space> Config<S> {
    /// Reads it, as it is at one moment (§2.5).
    ///
    /// # Errors
    /// [`Fault::NoRegisters`] beyond it, [`Fault::Unsteady`].
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), Fault> {
        const BEYOND: Fault = Fault::NoRegisters("its own ones are too short");
        let own = self.registers.as_ref().ok_or(BEYOND)?;
        own.at(offset, to.len()).ok_or(BEYOND)?;
        for _ in 0..CONFIG_TRIES {
            let before = self.common.load_u8(common::CONFIG_GENERATION);
            for (place, byte) in (offset..).zip(to.iter_mut()) {
                *byte = own.load_u8(place);
            }
            if self.common.load_u8(common::CONFIG_GENERATION) == before {
                return Ok(());
            }
        }
        Err(Fault::Unsteady)
    }

    /// Writes four bytes of it, at a multiple of 4; nothing happens beyond it.
    pub fn write_u32(&self, offset: usize, value: u32) {
        if let Some(own) = &self.registers {
            own.store_u32(offset, value);
        }
    }

    /// Writes a byte of it; nothing happens beyond it.
    pub fn write_u8(&self, offset: usize, value: u8) {
        if let Some(own) = &self.registers {
            own.store_u8(offset, value);
        }
    }
}
