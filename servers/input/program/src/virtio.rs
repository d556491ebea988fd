//! Drives the keyboards, mice and tablets that are virtio devices: all that were there when the system started. The kernel does not
//! look for PCI functions later, so one that is plugged in then is not seen.

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use abi::Error;
use abi::device::pci_address;
use abi::system::Table;
use input::evdev::{self, ABSOLUTE_AXES, Range, RawEvent};
use input::{MAX_DEVICES, ps2};
use proto::table::{MAX_ROW_BYTES, Reader};
use proto::{PciAddress, PciRow};
use rt::sys::clock;
use rt::sys::object::{Device, System};
use rt::{MonotonicClock, sleep};
use virtio::hardware::Ring3;
use virtio::input::Input;
use virtio::{Fault, kind, kind_of};

use crate::hub::Hub;

/// Their interrupts are taken by the first core.
const CORE: u32 = 0;
/// The device of an instance that died is reset before the next one gets it.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
const TRIES: u32 = 500;

/// Finds them and starts a task for each.
pub fn start(system: &Arc<System>, hub: &Arc<Hub>) {
    let (mut cursor, mut number) = (0, ps2::FIRST_FREE);
    let mut bytes = [0; 2 * MAX_ROW_BYTES];
    while let Ok(len @ 1..) = system.query(Table::Pci, &mut cursor, &mut bytes) {
        for row in Reader::<PciRow>::new(bytes.get(..len).unwrap_or_default()).flatten() {
            if kind_of(row.vendor, row.device) != Some(kind::INPUT) {
                continue;
            }
            if usize::from(number) >= MAX_DEVICES {
                return log::warn!("{} and later ones are left out: no room", row.address);
            }
            let (system, hub) = (Arc::clone(system), Arc::clone(hub));
            let task = async move { drive(&system, &hub, row.address, number).await };
            if rt::spawn("virtio", task).is_err() {
                return log::error!("no room for the tasks of virtio devices");
            }
            number += 1;
        }
    }
}

/// Drives one for as long as it behaves.
async fn drive(system: &System, hub: &Hub, address: PciAddress, number: u8) {
    let end = match bring_up(system, address, number).await {
        Ok((mut input, mut device)) => loop {
            match input.next().await {
                Ok(event) => {
                    let raw = RawEvent {
                        kind: event.kind,
                        code: event.code,
                        value: event.value,
                    };
                    while !hub.feed(|seat| device.event(seat, raw, event.stamp_ticks)) {
                        hub.room().await;
                    }
                }
                Err(fault) => break fault,
            }
        },
        Err(fault) => fault,
    };
    log::error!("{address}: the virtio input device is not driven: {end}");
    loop {
        let mut is_done = false;
        hub.feed(|seat| is_done = seat.release(number, clock::now_ticks()));
        if is_done {
            return;
        }
        hub.room().await;
    }
}

async fn open(system: &System, address: PciAddress) -> Result<Device, Error> {
    let number = pci_address(
        address.segment,
        address.bus,
        address.device,
        address.function,
    );
    for _ in 0..TRIES {
        match Device::open(system, number) {
            Err(Error::Occupied) => sleep(AGAIN_AFTER).await,
            opened => return opened,
        }
    }
    Err(Error::Occupied)
}

async fn bring_up(
    system: &System,
    address: PciAddress,
    number: u8,
) -> Result<(Input<Ring3>, evdev::Device), Fault> {
    let device = open(system, address)
        .await
        .map_err(|error| Fault::Refused("opening it", error))?;
    let input = Input::start(Ring3::new(device, CORE)?, &MonotonicClock).await?;
    let mut axes = [Range::default(); 2];
    for (range, axis) in axes.iter_mut().zip(ABSOLUTE_AXES) {
        if let Some(axis) = input.axis(axis)? {
            *range = Range {
                min: axis.min,
                max: axis.max,
            };
        }
    }
    let name = input.name()?;
    let name = String::from_utf8_lossy(&name);
    log::info!("{address}: device {number}: {}", name.escape_debug());
    Ok((input, evdev::Device::new(number, axes)))
}
