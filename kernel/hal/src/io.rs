//! Port ranges: the right to use some I/O ports, as a value. Drivers get one and can reach nothing else.

use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::port::Port;

/// A window of consecutive I/O ports. Offsets beyond the window read as all ones and ignore writes,
/// as an empty bus does, so that a driver's mistake stays the driver's.
#[derive(Debug)]
pub struct PortRange {
    base: u16,
    len: u16,
    /// Whose they are, if they were [claimed](claim).
    claimed: Option<LegacyDevice>,
}

impl Drop for PortRange {
    fn drop(&mut self) {
        if let Some(flag) = self.claimed.and_then(|device| CLAIMED.get(device as usize)) {
            flag.store(false, Ordering::Release);
        }
    }
}

impl PortRange {
    /// The ports `base .. base + len`.
    ///
    /// # Safety
    /// The caller decides who owns these ports: reading and writing them must not break anything the
    /// kernel relies on (interrupt controllers, DMA engines), and no one else may drive the same device.
    pub const unsafe fn new(base: u16, len: u16) -> Self {
        Self {
            base,
            len,
            claimed: None,
        }
    }

    /// First port of the window.
    pub const fn base(&self) -> u16 {
        self.base
    }

    /// Ports in the window.
    pub const fn len(&self) -> u16 {
        self.len
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn port(&self, offset: u16, size: u16) -> Option<u16> {
        (offset.checked_add(size)? <= self.len).then(|| self.base.wrapping_add(offset))
    }

    /// Reads one byte at `offset`.
    pub fn read_u8(&self, offset: u16) -> u8 {
        match self.port(offset, 1) {
            // SAFETY: the creator of this range vouched for every port in it.
            Some(port) => unsafe { Port::<u8>::new(port).read() },
            None => 0xff,
        }
    }

    /// Writes one byte at `offset`.
    pub fn write_u8(&self, offset: u16, value: u8) {
        if let Some(port) = self.port(offset, 1) {
            // SAFETY: as in `read_u8`.
            unsafe { Port::<u8>::new(port).write(value) }
        }
    }

    /// Reads 16 bits at `offset`.
    pub fn read_u16(&self, offset: u16) -> u16 {
        match self.port(offset, 2) {
            // SAFETY: as in `read_u8`.
            Some(port) => unsafe { Port::<u16>::new(port).read() },
            None => 0xffff,
        }
    }

    /// Writes 16 bits at `offset`.
    pub fn write_u16(&self, offset: u16, value: u16) {
        if let Some(port) = self.port(offset, 2) {
            // SAFETY: as in `read_u8`.
            unsafe { Port::<u16>::new(port).write(value) }
        }
    }

    /// Reads 32 bits at `offset`.
    pub fn read_u32(&self, offset: u16) -> u32 {
        match self.port(offset, 4) {
            // SAFETY: as in `read_u8`.
            Some(port) => unsafe { Port::<u32>::new(port).read() },
            None => 0xffff_ffff,
        }
    }

    /// Writes 32 bits at `offset`.
    pub fn write_u32(&self, offset: u16, value: u32) {
        if let Some(port) = self.port(offset, 4) {
            // SAFETY: as in `read_u8`.
            unsafe { Port::<u32>::new(port).write(value) }
        }
    }
}

/// Devices every PC has at fixed ports, for drivers to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyDevice {
    /// First serial port, ports 0x3f8-0x3ff.
    Com1,
    /// Second serial port, ports 0x2f8-0x2ff.
    Com2,
    /// i8042 keyboard controller, ports 0x60-0x64.
    KeyboardController,
    /// The byte-wide debug console of emulators, port 0xe9.
    DebugConsole,
}

static CLAIMED: [AtomicBool; 4] = [const { AtomicBool::new(false) }; 4];

impl LegacyDevice {
    const ALL: [Self; 4] = [
        Self::Com1,
        Self::Com2,
        Self::KeyboardController,
        Self::DebugConsole,
    ];

    /// First port, and how many there are.
    const fn ports(self) -> (u16, u16) {
        match self {
            Self::Com1 => (0x3f8, 8),
            Self::Com2 => (0x2f8, 8),
            Self::KeyboardController => (0x60, 5),
            Self::DebugConsole => (0xe9, 1),
        }
    }

    /// The device with exactly these ports.
    pub fn at(first: u16, count: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|device| device.ports() == (first, count))
    }
}

/// Hands out a device's ports, to one at a time: until they are dropped. `None` if a driver has them already.
pub fn claim(device: LegacyDevice) -> Option<PortRange> {
    let (base, len) = device.ports();
    let taken = CLAIMED.get(device as usize)?.swap(true, Ordering::AcqRel);
    (!taken).then(|| {
        // SAFETY: these ports belong to that device alone on every PC, the device can neither write memory nor mask
        // interrupts of others, and the flag sees to it that one driver has them.
        let mut ports = unsafe { PortRange::new(base, len) };
        ports.claimed = Some(device);
        ports
    })
}
