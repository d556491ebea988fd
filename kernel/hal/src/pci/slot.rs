//! Slots of PCI Express ports that something can be plugged into while the system runs (PCI Express base specification 6.0 §6.7).
//!
//! A [`Slot`] is the port's registers: what happened, power, indicators; and the functions behind it. Who owns it decides what is done and
//! when (the kernel binary's `process::device::slot`), one owner for each.

use core::ops::Range;

use bitflags::bitflags;
use kerncore::bridge_window::{Wanted, Windows};
use pci_types::PciAddress;
use pci_types::capability::PciCapability;

use super::bar::{self, Bar};
use super::config::Config;
use super::{COMMAND_BUS_MASTER, COMMAND_MEMORY, Device, DeviceInfo, Header, MsixTable, PciError};
use super::{MAX_BARS, forget, remember, scan};
use crate::irq::Interrupt;

// Of the PCI Express capability (§7.5.3).
const FLAGS: u16 = 0x02;
const LINK_CAPABILITIES: u16 = 0x0c;
const LINK_STATUS: u16 = 0x12;
const SLOT_CAPABILITIES: u16 = 0x14;
const SLOT_CONTROL: u16 = 0x18;
const SLOT_STATUS: u16 = 0x1a;

/// [`FLAGS`]: there is a slot behind the port; which message says that something happened there.
const HAS_SLOT: u16 = 1 << 8;
const MESSAGE_SHIFT: u16 = 9;
const MESSAGE_MASK: u16 = 0x1f;
/// [`LINK_CAPABILITIES`] and [`LINK_STATUS`]: the port says whether its link is up, and it is.
const REPORTS_LINK: u32 = 1 << 20;
const LINK_IS_UP: u16 = 1 << 13;
/// [`SLOT_CAPABILITIES`].
const HAS_POWER: u32 = 1 << 1;
const HAS_POWER_INDICATOR: u32 = 1 << 4;
const CAN_HOT_PLUG: u32 = 1 << 6;
const COMPLETES_AT_ONCE: u32 = 1 << 18;
const NUMBER_SHIFT: u32 = 19;
/// [`SLOT_CONTROL`]: interrupts at all, for each of [`Happened`] by their own bits but the link's; indicator; power off.
const INTERRUPTS: u16 = 1 << 5;
const LINK_INTERRUPT: u16 = 1 << 12;
const INDICATOR: u16 = 0b11 << 8;
const POWER_OFF: u16 = 1 << 10;
/// [`SLOT_STATUS`]: something is in the slot.
const OCCUPIED: u16 = 1 << 6;

// Windows of a bridge (§7.5.1.3).
const MEMORY_WINDOW: u16 = 0x20;
const PREFETCHABLE_WINDOW: u16 = 0x24;
const PREFETCHABLE_BASE_HIGH: u16 = 0x28;
const PREFETCHABLE_LIMIT_HIGH: u16 = 0x2c;
const WINDOW_GRAIN: u64 = 1 << 20;
const WINDOW_IS_64_BIT: u32 = 1;

/// Vendor ids of a function that is not there, and of one that is not ready yet (§2.3.1).
const ABSENT: u16 = 0xffff;
const NOT_READY: u16 = 0x0001;

bitflags! {
    /// What happened at a slot: bits of its status.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Happened: u16 {
        /// Somebody pressed the button.
        const BUTTON = 1 << 0;
        /// Power failed.
        const POWER_FAULT = 1 << 1;
        /// Something was put in, or taken out.
        const PRESENCE = 1 << 3;
        /// The last command was carried out.
        const COMPLETED = 1 << 4;
        /// The link went up or down.
        const LINK = 1 << 8;
    }
}

/// What the power indicator shows (§7.5.3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indicator {
    /// What is in the slot is in use.
    On = 0b01,
    /// It is about to change.
    Blinking = 0b10,
    /// It may be taken out.
    Off = 0b11,
}

/// A slot.
#[derive(Debug)]
pub struct Slot {
    port: Device,
    /// Where the PCI Express capability begins.
    express: u16,
    capabilities: u32,
    /// Buses behind it.
    buses: (u8, u8),
    /// Its messages, once they are routed.
    messages: Option<MsixTable>,
}

impl Slot {
    /// The slot of this function, if it is a port with one that is for hot-plug.
    pub fn of(info: &DeviceInfo) -> Option<Self> {
        let Header::Bridge { secondary_bus } = info.header else {
            return None;
        };
        let port = Device { info: *info };
        let express = port
            .capabilities()
            .find_map(|capability| match capability {
                PciCapability::PciExpress(at) => Some(at.offset),
                _ => None,
            })?;
        let address = info.address;
        let flags = (Config.read32(address, express) >> 16) as u16;
        let capabilities = Config.read32(address, express + SLOT_CAPABILITIES);
        if flags & HAS_SLOT == 0 || capabilities & CAN_HOT_PLUG == 0 {
            return None;
        }
        let last_bus = (Config.read32(address, 0x18) >> 16) as u8;
        Some(Self {
            port,
            express,
            capabilities,
            buses: (secondary_bus, last_bus.max(secondary_bus)),
            messages: None,
        })
    }

    /// The port's address.
    pub fn address(&self) -> PciAddress {
        self.port.info.address
    }

    /// What is written at the slot on the case.
    pub fn number(&self) -> u32 {
        self.capabilities >> NUMBER_SHIFT
    }

    /// Whether this function lies behind it.
    pub fn leads_to(&self, address: PciAddress) -> bool {
        let (first, last) = self.buses;
        address.segment() == self.address().segment()
            && first != 0
            && (first..=last).contains(&address.bus())
    }

    fn read16(&self, register: u16) -> u16 {
        let at = self.express + register;
        (Config.read32(self.address(), at) >> (8 * (at & 2))) as u16
    }

    /// Has the port send `interrupt` when something happens.
    ///
    /// # Errors
    /// [`PciError`]: it cannot send messages.
    pub fn listen(&mut self, interrupt: &Interrupt) -> Result<(), PciError> {
        self.port
            .change_command(0, COMMAND_BUS_MASTER | COMMAND_MEMORY);
        let message = self.read16(FLAGS) >> MESSAGE_SHIFT & MESSAGE_MASK;
        match self.port.enable_msix() {
            Ok(table) => {
                table.route(message, interrupt);
                self.messages = Some(table);
            }
            Err(PciError::NoMessages) => self.port.enable_msi(interrupt)?,
            Err(error) => return Err(error),
        }
        // What was left over from the firmware's time means nothing any more.
        self.happened();
        let told = Happened::BUTTON | Happened::POWER_FAULT | Happened::PRESENCE;
        let told = told | Happened::COMPLETED;
        let control = self.read16(SLOT_CONTROL);
        self.control(control | told.bits() | INTERRUPTS | LINK_INTERRUPT);
        Ok(())
    }

    fn control(&self, value: u16) {
        Config.write16(self.address(), self.express + SLOT_CONTROL, value);
    }

    /// Takes what happened since the last time. The port sends its message only when the first of them happens: to be asked until nothing
    /// did.
    pub fn happened(&self) -> Happened {
        let happened = Happened::from_bits_truncate(self.read16(SLOT_STATUS));
        if !happened.is_empty() {
            // Ones clear.
            let at = self.express + SLOT_STATUS;
            Config.write16(self.address(), at, happened.bits());
        }
        happened
    }

    /// Whether something is in the slot.
    pub fn is_occupied(&self) -> bool {
        self.read16(SLOT_STATUS) & OCCUPIED != 0
    }

    /// Whether its link is up, as far as the port says so.
    pub fn is_link_up(&self) -> bool {
        let reports = Config.read32(self.address(), self.express + LINK_CAPABILITIES);
        reports & REPORTS_LINK == 0 || self.read16(LINK_STATUS) & LINK_IS_UP != 0
    }

    /// Whether its power can be turned off.
    pub fn has_switch(&self) -> bool {
        self.capabilities & HAS_POWER != 0
    }

    /// Turns power on or off, and shows something: one command. Whether [`Happened::COMPLETED`] follows, before which there must not be
    /// another one.
    pub fn command(&self, power: bool, shown: Indicator) -> bool {
        let before = self.read16(SLOT_CONTROL);
        let mut control = before;
        if self.capabilities & HAS_POWER != 0 {
            control = control & !POWER_OFF | if power { 0 } else { POWER_OFF };
        }
        if self.capabilities & HAS_POWER_INDICATOR != 0 {
            control = control & !INDICATOR | (shown as u16) << 8;
        }
        self.control(control);
        self.capabilities & COMPLETES_AT_ONCE == 0
    }

    /// Whether the function in the slot answers by now.
    pub fn answers(&self) -> bool {
        let (bus, _) = self.buses;
        let first = PciAddress::new(self.address().segment(), bus, 0, 0);
        let vendor = Config.read32(first, 0) as u16;
        bus != 0 && vendor != ABSENT && vendor != NOT_READY
    }

    /// Finds what is in the slot, gives it addresses and puts it on the list; how many functions. What has no room is on the list
    /// without addresses.
    pub fn add(&self) -> usize {
        let mut windows = self.windows();
        let mut added = 0;
        scan::walk_bus(self.address().segment(), self.buses.0, |mut info| {
            if info.header != Header::Endpoint {
                let address = info.address;
                log::warn!(target: "pci", "{address} was plugged in and is a bridge: what is behind it is not looked at");
            } else {
                assign(&mut info, &mut windows);
            }
            added += usize::from(remember(info));
        });
        added
    }

    /// Makes what is in the slot stop, as far as it is still there, and takes it off the list.
    pub fn remove(&self) {
        self.for_each(|info| Device { info: *info }.quiesce());
        forget(|address| self.leads_to(address));
    }

    /// Calls `visit` for what is on the list and in the slot.
    pub fn for_each(&self, mut visit: impl FnMut(&DeviceInfo)) {
        super::for_each_device(|info| {
            if self.leads_to(info.address) {
                visit(info);
            }
        });
    }

    /// The windows that the firmware gave the port.
    fn windows(&self) -> Windows {
        let read = |offset| Config.read32(self.address(), offset);
        let window = |register: u32, base_high: u32, limit_high: u32| -> Range<u64> {
            let base = u64::from(base_high) << 32 | u64::from(register & 0xfff0) << 16;
            let limit = u64::from(limit_high) << 32 | u64::from(register & 0xfff0_0000);
            // A limit below the base: there is none.
            base..(limit + WINDOW_GRAIN).max(base)
        };
        let memory = window(read(MEMORY_WINDOW), 0, 0);
        let register = read(PREFETCHABLE_WINDOW);
        let prefetchable = if register & WINDOW_IS_64_BIT != 0 {
            let (base, limit) = (read(PREFETCHABLE_BASE_HIGH), read(PREFETCHABLE_LIMIT_HIGH));
            window(register, base, limit)
        } else {
            window(register, 0, 0)
        };
        Windows {
            memory,
            prefetchable,
        }
    }
}

/// Gives a function's memory windows addresses, the largest first. Ports are left out: there are few, and no driver here needs them.
fn assign(info: &mut DeviceInfo, windows: &mut Windows) {
    let mut order: [usize; MAX_BARS] = core::array::from_fn(|index| index);
    let len_of = |bar: &Option<Bar>| match bar {
        Some(Bar::Memory { len, .. }) => *len,
        _ => 0,
    };
    order.sort_unstable_by_key(|index| core::cmp::Reverse(info.bars.get(*index).map_or(0, len_of)));
    for index in order {
        let Some(Some(Bar::Memory {
            address,
            len,
            prefetchable,
            is_64_bit,
        })) = info.bars.get_mut(index)
        else {
            continue;
        };
        let wanted = Wanted {
            len: *len,
            is_64_bit: *is_64_bit,
            prefetchable: *prefetchable,
        };
        match windows.take(wanted) {
            Some(free) => {
                bar::write(Config, info.address, index, free, *is_64_bit);
                *address = free;
            }
            None => {
                *address = 0;
                log::warn!(target: "pci", "{}: no room behind its port for {len} bytes of registers", info.address);
            }
        }
    }
}
