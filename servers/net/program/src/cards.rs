//! The cards that the manager hands to this process: who drives which.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::device::DeviceInfo;
use nic::Card;
use pci::Ring3;
use proto::net::Setup;
use proto::{PciAddress, Text};
use rt::sys::object::Device;
use rt::{Env, MonotonicClock};
use virtio::{kind, kind_of};

use crate::saved::Saved;
use crate::shared::Shared;

/// Their interrupts are taken by the first core.
const CORE: u32 = 0;
/// Pairs of queues: all sockets are one thread's.
const PAIRS: u16 = 1;

/// Who drives a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Virtio,
    E1000e,
}

impl Driver {
    /// That of a PCI function, if it is a card that is known.
    fn of(info: &DeviceInfo) -> Option<Self> {
        if kind_of(info.vendor, info.device) == Some(kind::NETWORK) {
            Some(Self::Virtio)
        } else if e1000e::CARDS.contains(&(info.vendor, info.device)) {
            Some(Self::E1000e)
        } else {
            None
        }
    }
}

/// Why a card is not driven, whoever says so.
type Fault = Box<dyn core::error::Error + Send>;

fn fault(fault: impl core::error::Error + Send + 'static) -> Fault {
    Box::new(fault)
}

/// Where the function with this [number](abi::device::pci_address) sits.
const fn address(number: u64) -> PciAddress {
    PciAddress {
        segment: (number >> 16) as u16,
        bus: (number >> 8) as u8,
        device: (number >> 3) as u8 & 31,
        function: number as u8 & 7,
    }
}

/// Starts a task for each card that the manager has handed to this process. How many there are.
pub async fn start(env: &mut Env, shared: &Arc<Shared>, saved: &Saved) -> usize {
    let mut found: Vec<(DeviceInfo, Driver, Device)> = Vec::new();
    // The handles have the names that the manifest has for devices: a kind, or numbers.
    let is_device = |name: &&str| name.starts_with("virtio-") || name.contains(':');
    for name in env.names().filter(is_device) {
        let Ok(device) = env.take::<Device>(name) else {
            continue;
        };
        let Ok(info) = device.describe() else {
            continue;
        };
        match Driver::of(&info) {
            Some(driver) if found.len() < net::stack::MAX_INTERFACES => {
                found.push((info, driver, device));
            }
            Some(_) => log::warn!("{name} is left out: there are too many cards"),
            None => log::warn!("{name} is no card that is known"),
        }
    }
    // Numbered by where they sit.
    found.sort_by_key(|(info, ..)| info.address);
    let mut count = 0;
    for (info, driver, device) in found {
        let name = Text::<15>::format(format_args!("eth{count}"));
        let address = address(info.address);
        match bring_up(device, address, driver, &name, shared, saved).await {
            Ok(()) => count += 1,
            Err(fault) => log::error!("{address}: the network card is not driven: {fault}"),
        }
    }
    count
}

async fn bring_up(
    device: Device,
    address: PciAddress,
    driver: Driver,
    name: &str,
    shared: &Arc<Shared>,
    saved: &Saved,
) -> Result<(), Fault> {
    let function = Ring3::new(device, CORE).map_err(fault)?;
    match driver {
        Driver::Virtio => {
            let pairs = virtio::net::start(function, PAIRS, &MonotonicClock);
            for card in pairs.await.map_err(fault)? {
                begin(name, card, address, shared, saved);
            }
        }
        Driver::E1000e => {
            let card = e1000e::start(function, &MonotonicClock);
            begin(name, card.await.map_err(fault)?, address, shared, saved);
        }
    }
    Ok(())
}

/// Makes a card an interface, and starts its task.
fn begin<C: Card + 'static>(
    name: &str,
    card: C,
    address: PciAddress,
    shared: &Arc<Shared>,
    saved: &Saved,
) {
    let about = *card.about();
    let setup = saved.setup(name).unwrap_or(Setup::Dhcp);
    let Some(number) = shared.add(name, card, setup) else {
        return log::error!("{address}: no room for another interface");
    };
    log::info!(
        "{name}: {} at {address}, {}, MTU {}",
        about.driver,
        about.mac,
        about.mtu_bytes
    );
    let of_task = Arc::clone(shared);
    let task = async move {
        let why = of_task.drive(number).await;
        // Its memory and all connections over it are gone: another instance begins with a card that was reset.
        of_task.fail(why);
    };
    if rt::spawn("card", task).is_err() {
        log::error!("{address}: no room for another task");
    }
}
