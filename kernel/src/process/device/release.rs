//! Devices that processes drive, and what becomes of those whose driver is gone: stopped at once, reset by a task, and then free.
//! Of those that are taken out themselves their drivers hear ([`taken_out`]); their place is free when those have let go ([`vacated`]).

use alloc::vec::Vec;
use core::time::Duration;

use abi::{Error, Signals};
use executor::CoreId;
use executor::sync::Notify;
use hal::pci::{Device, PciAddress, RESET_MS};
use objects::refs::Ref;
use objects::signals::SignalState;
use spin::Mutex;

use super::pci::Buffers;
use crate::exec;

/// Whether a function is there, for who drives it.
pub struct Presence {
    /// [`Signals::PEER_CLOSED`]: it was taken out. [`Signals::ENDED`]: nobody has it any more.
    pub signals: SignalState,
}

impl Presence {
    /// Whether it was taken out.
    pub fn is_gone(&self) -> bool {
        self.signals.get().contains(Signals::PEER_CLOSED)
    }
}

/// A function that is not free.
struct Claimed {
    address: PciAddress,
    presence: Ref<Presence>,
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

    /// What tells whether the function is there.
    ///
    /// # Errors
    /// [`Error::BadState`]: none while the claim is there.
    pub(super) fn presence(&self) -> Result<Ref<Presence>, Error> {
        find(|entry| entry.address == self.0).ok_or(Error::BadState)
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
    let signals = SignalState::new(Signals::empty());
    claimed.push(Claimed {
        address,
        presence: Ref::try_new(Presence { signals })?,
        released: None,
    });
    Ok(Claim(address))
}

fn find(is_it: impl Fn(&Claimed) -> bool) -> Option<Ref<Presence>> {
    let claimed = CLAIMED.lock();
    let found = claimed.iter().find(|entry| is_it(entry));
    found.map(|entry| entry.presence.clone())
}

fn free(address: PciAddress) {
    let freed = {
        let mut claimed = CLAIMED.lock();
        let index = claimed.iter().position(|entry| entry.address == address);
        index.map(|index| claimed.swap_remove(index))
    };
    if let Some(entry) = freed {
        entry.presence.signals.set(Signals::ENDED);
    }
}

/// Tells those who drive these functions that they were taken out.
pub(super) fn taken_out(gone: impl Fn(PciAddress) -> bool) {
    // One after the other, as nobody is told under the lock.
    while let Some(presence) = find(|entry| gone(entry.address) && !entry.presence.is_gone()) {
        presence.signals.set(Signals::PEER_CLOSED);
    }
}

/// Waits until nobody has one of these functions.
pub(super) async fn vacated(gone: impl Fn(PciAddress) -> bool) {
    while let Some(presence) = find(|entry| gone(entry.address)) {
        // Without a lease it cannot fail.
        let _ = presence.signals.wait(Signals::ENDED, None).await;
    }
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

fn next() -> Option<(Device, Buffers, bool)> {
    CLAIMED.lock().iter_mut().find_map(|entry| {
        let (device, buffers) = entry.released.take()?;
        Some((device, buffers, entry.presence.is_gone()))
    })
}

/// Starts the task that resets what is given back.
pub fn start() {
    exec::spawn_best_effort("devices", CoreId::FIRST, async {
        loop {
            while let Some((device, buffers, is_gone)) = next() {
                let address = device.info().address;
                // What is gone is not reset: something else may be in its place.
                let begun = (!is_gone).then(|| device.begin_reset()).flatten();
                let how = match begun {
                    _ if is_gone => "taken out",
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
