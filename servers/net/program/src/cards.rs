//! The cards there are, whatever drives them, as one type.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use abi::Error;
use abi::device::pci_address;
use abi::system::Table;
use nic::{About, Card, Checked, Counters, Frame, Receive, SendError, Transmit};
use pci::Ring3;
use proto::table::{MAX_ROW_BYTES, Reader};
use proto::{PciAddress, PciRow};
use rt::sys::object::{Device, System};
use rt::{MonotonicClock, sleep};
use virtio::{kind, kind_of};

/// Their interrupts are taken by the first core.
const CORE: u32 = 0;
/// The device of an instance that died is reset before the next one gets it.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
const TRIES: u32 = 500;
/// One pair of queues: all sockets are one thread's.
const PAIRS: u16 = 1;

/// A card that is driven.
pub enum AnyCard {
    /// virtio-net.
    Virtio(virtio::net::Net<Ring3>),
}

/// Its receiving half.
pub enum AnyReceiver {
    /// virtio-net's.
    Virtio(virtio::net::Receiver<Ring3>),
}
