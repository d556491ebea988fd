//! Devices that units drive: opened for a unit that could start otherwise, and handed to it when it does.
//!
//! A device has one holder. When that is gone the kernel stops it, resets it and only then opens it again, which takes a moment; so
//! a unit whose last instance had some waits for them, and nobody waits with it. What is plugged in while a unit runs that wants it is
//! opened at once and sent to it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::device::pci_address;
use abi::{Error, Rights};
use i8042::{FIRST_PORT, PORTS};
use proto::{PciAddress, PciRow, Text};
use rt::sys::clock;
use rt::sys::message::Handles;
use rt::sys::object::{Device, Interrupt, IoRange, Object, Owned, System};
use rt::tables;

use super::units::{Given, Reason, duplicate_as};
use super::{Manager, during};
use crate::manifest;

/// How long until a device is tried again that is not free; twice as long each further time.
const FIRST_DELAY_NS: u64 = 5_000_000;
const MOST_DELAY_NS: u64 = 1_000_000_000;
/// Most handles to devices that a unit gets.
const MOST_HANDLES: usize = 32;
/// The i8042's interrupt lines.
const KEYBOARD_LINE: u8 = 1;
const MOUSE_LINE: u8 = 12;
/// What the kernel says, without a handle, when functions came or went.
pub(super) const CHANGED: &str = "devices";
/// The handle by which a unit gets devices while it runs.
pub(super) const CHANNEL: &str = "devices";
/// Lines are taken by the first core.
const CORE: u32 = 0;

/// What a unit's next instance will drive.
#[derive(Default)]
pub(super) struct Awaited {
    /// Handles by name.
    open: Vec<(String, Owned)>,
    again_ns: u64,
    delay_ns: u64,
}

/// How a device is opened.
#[derive(Clone, Copy)]
enum Part {
    Function(PciAddress),
    Ports,
    Line(u8),
}

impl Part {
    fn open(self, system: &System) -> Result<Owned, Error> {
        match self {
            Self::Function(at) => {
                let number = pci_address(at.segment, at.bus, at.device, at.function);
                Device::open(system, number).map(Object::into_owned)
            }
            Self::Ports => IoRange::legacy(system, FIRST_PORT, PORTS).map(Object::into_owned),
            Self::Line(line) => Interrupt::line(system, line, CORE).map(Object::into_owned),
        }
    }
}

impl Manager {
    /// Opens devices for units that wait for nothing else. Those that have all of theirs can start: by commands.
    pub(super) fn open_devices(&mut self) {
        let now_ns = clock::now_ns();
        let mut complete = false;
        for unit in 0..self.units.len() {
            if !self.supervisor.wants_devices(unit) {
                if let Some(place) = self.units.get_mut(unit)
                    && !self.supervisor.has_devices(unit)
                    && !place.devices.open.is_empty()
                {
                    // It is not to start any more: others may have them.
                    place.devices = Awaited::default();
                }
                continue;
            }
            let Some(place) = self.units.get_mut(unit) else {
                continue;
            };
            if place.devices.again_ns > now_ns {
                continue;
            }
            let mut awaited = core::mem::take(&mut place.devices);
            match self.open_all(unit, &mut awaited.open) {
                Ok(()) => {
                    awaited = Awaited {
                        open: awaited.open,
                        ..Awaited::default()
                    };
                    self.supervisor.offer_devices(unit);
                    complete = true;
                }
                Err(busy) => {
                    let delay_ns = (2 * awaited.delay_ns).clamp(FIRST_DELAY_NS, MOST_DELAY_NS);
                    if delay_ns == MOST_DELAY_NS && awaited.delay_ns < MOST_DELAY_NS {
                        log::warn!("{}: {busy}", self.name(unit));
                    }
                    awaited.delay_ns = delay_ns;
                    awaited.again_ns = now_ns.saturating_add(delay_ns);
                }
            }
            if let Some(place) = self.units.get_mut(unit) {
                place.devices = awaited;
            }
        }
        if complete {
            self.supervisor.tick(now_ns, &mut self.commands);
        }
    }

    /// When [`open_devices`](Self::open_devices) is to be called at the latest.
    pub(super) fn next_device_ns(&self) -> Option<u64> {
        let waiting = self.units.iter().enumerate();
        waiting
            .filter(|(unit, _)| self.supervisor.wants_devices(*unit))
            .map(|(_, place)| place.devices.again_ns)
            .min()
    }

    /// Opens what is not open yet of a unit's devices; else why not all are.
    fn open_all(&self, unit: usize, open: &mut Vec<(String, Owned)>) -> Result<(), Reason> {
        let system = self.opener()?;
        for (name, part) in self.parts(unit, &system)? {
            if open.iter().any(|(known, _)| *known == name) || open.len() == MOST_HANDLES {
                continue;
            }
            match part.open(&system) {
                Ok(handle) => open.push((name, handle)),
                Err(Error::Occupied) => {
                    return Err(Text::format(format_args!(
                        "{name} has another driver, or is being reset"
                    )));
                }
                // It is not there, or is no device to drive: the unit sees what it got.
                Err(error) => log::warn!("{}: {name} is not opened: {error}", self.name(unit)),
            }
        }
        Ok(())
    }

    /// What devices are opened by.
    fn opener(&self) -> Result<System, Reason> {
        let known = self.resources.iter().find(|known| known.name == "system");
        let handle = known
            .and_then(|known| known.handle.as_ref())
            .ok_or_else(|| Text::from_start("devices are opened by the handle system"))?;
        duplicate_as(handle.handle(), Rights::MANAGE | Rights::READ)
    }

    /// Functions came or went: those that are free and a running unit's are sent to it.
    pub(super) fn plugged(&mut self) {
        for unit in 0..self.units.len() {
            if let Err(reason) = self.send_devices(unit) {
                log::error!("{}: {reason}", self.name(unit));
            }
        }
    }

    fn send_devices(&self, unit: usize) -> Result<(), Reason> {
        let live = self.units.get(unit).and_then(|unit| unit.live.as_ref());
        let Some(channel) = live.and_then(|live| live.plugs.as_ref()) else {
            return Ok(());
        };
        let system = self.opener()?;
        for (name, part) in self.parts(unit, &system)? {
            let Part::Function(_) = part else {
                continue;
            };
            // Those that it has are occupied, and those that went since are not there.
            let Ok(device) = part.open(&system) else {
                continue;
            };
            let mut handles = Handles::new();
            if handles.push(device).is_ok() {
                channel
                    .write(name.as_bytes(), &mut handles)
                    .map_err(during("sending it a device"))?;
            }
        }
        Ok(())
    }

    /// A unit's devices on this machine, with the names of their handles.
    fn parts(&self, unit: usize, system: &System) -> Result<Vec<(String, Part)>, Reason> {
        let mut parts = Vec::new();
        let Some(manifest) = self.supervisor.plan().manifest(unit) else {
            return Ok(parts);
        };
        for entry in &manifest.devices {
            if entry.device == manifest::Device::I8042 {
                let text = &entry.text;
                parts.push((format!("{text}.ports"), Part::Ports));
                parts.push((format!("{text}.keyboard"), Part::Line(KEYBOARD_LINE)));
                parts.push((format!("{text}.mouse"), Part::Line(MOUSE_LINE)));
            }
        }
        tables::for_each(system, |row: PciRow| {
            let Some(text) = self.supervisor.device(unit, &row) else {
                return;
            };
            let named = |name: &String| parts.iter().any(|(known, _)| known == name);
            // The first one as it is written, others with a number.
            let name = core::iter::once(String::from(text))
                .chain((1..MOST_HANDLES).map(|number| format!("{text}.{number}")))
                .find(|name| !named(name));
            if let Some(name) = name {
                parts.push((name, Part::Function(row.address)));
            }
        })
        .map_err(during("looking for its devices"))?;
        Ok(parts)
    }

    /// The handles to the unit's devices, for the instance that starts now; names and handles.
    pub(super) fn take_devices(&mut self, unit: usize) -> Vec<(String, Owned)> {
        let place = self.units.get_mut(unit);
        place.map_or_else(Vec::new, |place| core::mem::take(&mut place.devices.open))
    }
}

/// Adds handles to devices, named so, to what a process is given, with all their rights.
pub(super) fn give<'a>(
    names: &'a [String],
    devices: Vec<Owned>,
    given: &mut Vec<Given<'a>>,
) -> Result<(), Reason> {
    for (name, handle) in names.iter().zip(devices) {
        let info =
            rt::sys::object::info(handle.handle()).map_err(during("looking at its devices"))?;
        given.push((name, handle, Rights::from_bits_truncate(info.rights)));
    }
    Ok(())
}
