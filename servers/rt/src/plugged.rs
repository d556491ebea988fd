//! Devices that are plugged in while a unit runs.

use abi::{Error, Rights, Signals};

use crate::sys::message::Handles;
use crate::sys::object::{Channel, Device, Object};
use crate::watched::Watched;

/// Longest name of a device.
const MAX_NAME_BYTES: usize = 64;

/// What a device is called, for the log.
pub type DeviceName = proto::Text<MAX_NAME_BYTES>;

/// Where a unit whose manifest says `hot-plug = true` gets its devices: its handle `devices`.
#[derive(Debug)]
pub struct Plugged(Watched<Channel>);

impl Plugged {
    /// The name of the handle.
    pub const HANDLE: &str = "devices";

    /// By that handle.
    ///
    /// # Errors
    /// As [`Watched::new`].
    pub fn new(channel: Channel) -> Result<Self, Error> {
        Watched::channel(channel).map(Self)
    }

    /// Waits for the next device. Cancel-safe.
    ///
    /// # Errors
    /// There will be none any more.
    pub async fn next(&self) -> Result<(DeviceName, Device), Error> {
        loop {
            let mut bytes = [0; MAX_NAME_BYTES];
            let mut handles = Handles::new();
            let received = self.0.receive(&mut bytes, &mut handles).await;
            let lengths = received.map_err(|bad| bad.error)?;
            let device = handles.pop_front().and_then(|handle| handle.cast().ok());
            let name = bytes.get(..lengths.bytes as usize).unwrap_or_default();
            let name = core::str::from_utf8(name).unwrap_or_default();
            // What is no device is none of the manager's messages.
            if let Some(device) = device {
                return Ok((DeviceName::from_start(name), device));
            }
        }
    }
}

/// Tells when a device is taken out. It counts as a handle to it: dropped with it.
#[derive(Debug)]
pub struct TakenOut(Watched<Device>);

impl TakenOut {
    /// Of this device.
    ///
    /// # Errors
    /// As [`Watched::new`]; the job's limits.
    pub fn of(device: &Device) -> Result<Self, Error> {
        let device = device.duplicate(Rights::WAIT | Rights::INSPECT)?;
        Watched::new(device, Signals::PEER_CLOSED).map(Self)
    }

    /// Waits until it is. Cancel-safe.
    pub async fn wait(&self) {
        // An error: the handle is no good any more, which is as bad.
        let _ = self.0.signalled(Signals::PEER_CLOSED).await;
    }
}
