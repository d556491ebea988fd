//! Where a device's registers are: its capabilities in PCI configuration space (§4.1.4).

use crate::Fault;
use crate::hardware::Function;

/// Offset of the first capability's offset, and of the status whose bit 4 says that there is one (PCI 3.0 §6.7).
const CAPABILITIES: u16 = 0x34;
const STATUS: u16 = 0x04;
const HAS_CAPABILITIES: u32 = 1 << 20;
/// Capabilities of a vendor's own.
const VENDOR_SPECIFIC: u8 = 9;
/// More than fit into the 192 bytes where they are.
const MOST_CAPABILITIES: u32 = 48;
/// Length of a virtio capability; of one for notifications 4 more.
const CAPABILITY_BYTES: u8 = 16;
/// Windows of a function.
pub const MAX_WINDOWS: usize = 6;

/// What a capability shows (§4.1.4, cfg_type).
mod shows {
    pub const COMMON: u8 = 1;
    pub const NOTIFY: u8 = 2;
    pub const DEVICE: u8 = 4;
}

/// Registers within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// The base address register.
    pub window: u8,
    /// Where they begin in the window.
    pub offset: u32,
    /// Their length.
    pub bytes: u32,
}

/// The registers of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What all devices have (§4.1.4.3).
    pub common: Region,
    /// Where queues are notified (§4.1.4.4).
    pub notify: Region,
    /// How far apart queues are there; 0: all in one place.
    pub notify_multiplier: u32,
    /// What this kind of device has.
    pub device: Option<Region>,
}

impl Layout {
    /// Reads it. Of several capabilities for one thing the first one counts that can be used (§4.1.4.1).
    ///
    /// # Errors
    /// [`Fault::NoRegisters`].
    pub fn find<F: Function>(function: &F) -> Result<Self, Fault> {
        if function.config(STATUS) & HAS_CAPABILITIES == 0 {
            return Err(Fault::NoRegisters("it has no PCI capabilities"));
        }
        let (mut common, mut notify, mut device) = (None, None, None);
        let mut at = function.config(CAPABILITIES) as u8;
        for _ in 0..MOST_CAPABILITIES {
            // The last two bits are reserved.
            at &= !3;
            if at == 0 {
                break;
            }
            let [id, next, length, sort] = function.config(at.into()).to_le_bytes();
            if id == VENDOR_SPECIFIC && length >= CAPABILITY_BYTES {
                let word = |index: u16| function.config(u16::from(at) + 4 * index);
                let region = Region {
                    window: word(1) as u8,
                    offset: word(2),
                    bytes: word(3),
                };
                if usize::from(region.window) < MAX_WINDOWS {
                    match sort {
                        shows::COMMON => common = common.or(Some(region)),
                        shows::NOTIFY if length >= CAPABILITY_BYTES + 4 => {
                            notify = notify.or(Some((region, word(4))));
                        }
                        shows::DEVICE => device = device.or(Some(region)),
                        _ => {}
                    }
                }
            }
            at = next;
        }
        let common = common.ok_or(Fault::NoRegisters("the common ones are missing"))?;
        let (notify, notify_multiplier) =
            notify.ok_or(Fault::NoRegisters("those for notifications are missing"))?;
        Ok(Self {
            common,
            notify,
            notify_multiplier,
            device,
        })
    }
}
