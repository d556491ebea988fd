//! Devices that processes drive, and what becomes of those whose driver is gone: stopped at once, reset by a task, and then free.

use alloc::vec::Vec;
use core::time::Duration;

use abi::Error;
use executor::CoreId;
use executor::sync::Notify;
use hal::pci::{Device, PciAddress, RESET_MS};
use spin::Mutex;

use super::pci::Buffers;
use crate::exec;

/// A function that is not free.
struct Claimed {
    address: PciAddress,
    /// Its driver is gone.
    released: Option<(Device, Buffers)>,
}

static CLAIMED: Mutex<Vec<Claimed>> = Mutex::new(Vec::new());
static RELEASED: Notify = Notify::new();

/// A claim that is given back unless it is kept.
pub(super) struct Claim(PciAddress);

impl Claim {
    /// [`released`] gives it back.
    pub(super) fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        free(self.0);
    }
}

/// Claims a function.
///
/// # Errors
/// [`Error::Occupied`], [`Error::NoMemory`].
pub(super) fn claim(address: PciAddress) -> Result<Claim, Error> {
    let mut claimed = CLAIMED.lock();
    if claimed.iter().any(|entry| entry.address == address) {
        return Err(Error::Occupied);
    }
    claimed.try_reserve(1).map_err(|_| Error::NoMemory)?;
    claimed.push(Claimed {
        address,
        released: None,
    });
    Ok(Claim(address))
}

fn free(address: PciAddress) {
    CLAIMED.lock().retain(|entry| entry.address != address);
}

/// Takes a device back that was made to stop. Its buffers are free once it was reset.
pub(super) fn released(device: Device, buffers: Buffers) {
    let address = device.info().address;
    if let Some(entry) = CLAIMED
        .lock()
        .iter_mut()
        .find(|entry| entry.address == address)
    {
        entry.released = Some((device, buffers));
    }
    RELEASED.notify_one();
}

fn next() -> Option<(Device, Buffers)> {
    CLAIMED
        .lock()
        .iter_mut()
        .find_map(|entry| entry.released.take())
}

/// Starts the task that resets what is given back.
pub fn start() {
    exec::spawn_best_effort("devices", CoreId::FIRST, async {
        loop {
            while let Some((device, buffers)) = next() {
                let address = device.info().address;
                let how = match device.begin_reset() {
                    Some(resetting) => {
                        exec::sleep(Duration::from_millis(RESET_MS)).await;
                        device.finish_reset(resetting);
                        "reset"
                    }
                    None => "stopped; it cannot be reset by itself",
                };
                ::log::debug!(target: "device", "{address} has no driver any more: {how}");
                drop(buffers);
                free(address);
            }
            RELEASED.notified().await;
        }
    });
}
