//! The cards there are: who drives which PCI function.

use alloc::sync::Arc;
use core::time::Duration;

use abi::Error;
use abi::device::pci_address;
use abi::system::Table;
use pci::Ring3;
use proto::net::Setup;
use proto::table::{MAX_ROW_BYTES, Reader};
use proto::{PciAddress, PciRow, Text};
use rt::sys::object::{Device, System};
use rt::{MonotonicClock, sleep};
use virtio::{Fault, kind, kind_of};

use crate::saved::Saved;
use crate::shared::Shared;

/// Their interrupts are taken by the first core.
const CORE: u32 = 0;
/// The device of an instance that died is reset before the next one gets it.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
const TRIES: u32 = 500;
/// Pairs of queues: all sockets are one thread's.
const PAIRS: u16 = 1;

/// Opens all cards and starts a task for each. How many there are.
pub async fn start(system: &System, shared: &Arc<Shared>, saved: &Saved) -> usize {
    let mut found: heapless::Vec<PciRow, { net::stack::MAX_INTERFACES }> = heapless::Vec::new();
    let mut cursor = 0;
    let mut bytes = [0; 2 * MAX_ROW_BYTES];
    while let Ok(len @ 1..) = system.query(Table::Pci, &mut cursor, &mut bytes) {
        for row in Reader::<PciRow>::new(bytes.get(..len).unwrap_or_default()).flatten() {
            let is_virtio = kind_of(row.vendor, row.device) == Some(kind::NETWORK);
            if is_virtio && found.push(row.clone()).is_err() {
                log::warn!("{} is left out: there are too many cards", row.address);
            }
        }
    }
    let mut count = 0;
    for row in found {
        let name = Text::<15>::format(format_args!("eth{count}"));
        match bring_up(system, row.address, &name, shared, saved).await {
            Ok(()) => count += 1,
            Err(fault) => log::error!("{}: the network card is not driven: {fault}", row.address),
        }
    }
    count
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
    name: &str,
    shared: &Arc<Shared>,
    saved: &Saved,
) -> Result<(), Fault> {
    let device = open(system, address)
        .await
        .map_err(|error| Fault::Refused("opening it", error))?;
    let function = Ring3::new(device, CORE)?;
    let pairs = virtio::net::start(function, PAIRS, &MonotonicClock).await?;
    let setup = saved.setup(name).unwrap_or(Setup::Dhcp);
    for card in pairs {
        let about = *nic::Card::about(&card);
        let Some(number) = shared.add(name, card, setup) else {
            log::error!("{address}: no room for another interface");
            continue;
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
    Ok(())
}
