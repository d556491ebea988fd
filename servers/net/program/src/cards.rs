//! The cards there are: who drives which PCI function.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use abi::Error;
use abi::device::pci_address;
use abi::system::Table;
use nic::Card;
use pci::Ring3;
use proto::net::Setup;
use proto::table::{MAX_ROW_BYTES, Reader};
use proto::{PciAddress, PciRow, Text};
use rt::sys::object::{Device, System};
use rt::{MonotonicClock, sleep};
use virtio::{kind, kind_of};

use crate::saved::Saved;
use crate::shared::Shared;

/// Their interrupts are taken by the first core.
const CORE: u32 = 0;
/// The device of an instance that died is reset before the next one gets it.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
const TRIES: u32 = 500;
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
    fn of(row: &PciRow) -> Option<Self> {
        if kind_of(row.vendor, row.device) == Some(kind::NETWORK) {
            Some(Self::Virtio)
        } else if e1000e::CARDS.contains(&(row.vendor, row.device)) {
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

/// Opens all cards and starts a task for each. How many there are.
pub async fn start(system: &System, shared: &Arc<Shared>, saved: &Saved) -> usize {
    let mut found: heapless::Vec<PciRow, { net::stack::MAX_INTERFACES }> = heapless::Vec::new();
    let mut cursor = 0;
    let mut bytes = [0; 2 * MAX_ROW_BYTES];
    while let Ok(len @ 1..) = system.query(Table::Pci, &mut cursor, &mut bytes) {
        for row in Reader::<PciRow>::new(bytes.get(..len).unwrap_or_default()).flatten() {
            if Driver::of(&row).is_some() && found.push(row.clone()).is_err() {
                log::warn!("{} is left out: there are too many cards", row.address);
            }
        }
    }
    let mut count = 0;
    for row in found {
        let name = Text::<15>::format(format_args!("eth{count}"));
        let Some(driver) = Driver::of(&row) else {
            continue;
        };
        match bring_up(system, &row, driver, &name, shared, saved).await {
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
    row: &PciRow,
    driver: Driver,
    name: &str,
    shared: &Arc<Shared>,
    saved: &Saved,
) -> Result<(), Fault> {
    let device = open(system, row.address).await.map_err(fault)?;
    let function = Ring3::new(device, CORE).map_err(fault)?;
    match driver {
        Driver::Virtio => {
            let pairs = virtio::net::start(function, PAIRS, &MonotonicClock);
            for card in pairs.await.map_err(fault)? {
                begin(name, card, row.address, shared, saved);
            }
        }
        Driver::E1000e => {
            let card = e1000e::start(function, &MonotonicClock);
            begin(name, card.await.map_err(fault)?, row.address, shared, saved);
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
