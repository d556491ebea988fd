//! What the next instance goes on from: ports that are listened to and by whom, and how interfaces are set up.
//!
//! It is small and changes seldom, so it is written as a whole each time: two copies in turn, the one with the higher number and a sum
//! that is right counts, so that a death in the middle of a write loses that write alone.

use alloc::vec::Vec;

use proto::contract::{decode, encode};
use proto::net::{InterfaceName, Setup};
use rt::sys::object::Vmo;
use serde::{Deserialize, Serialize};
use spin::Mutex;

/// Most ports and interfaces that are kept.
const MOST_PORTS: usize = 128;
const MOST_SETUPS: usize = 8;
/// Bytes of one copy.
const COPY_BYTES: usize = 8 << 10;
/// Number, length and sum in front of a copy.
const HEAD_BYTES: usize = 16;
/// First byte of a copy: its form.
const FORM: u8 = 1;

/// A port that is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its owner's badge.
    pub owner: u32,
    /// Its number.
    pub port: u16,
    /// How many connections may wait.
    pub backlog: u16,
    /// Size of their rings.
    pub ring_bytes: u32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Content {
    ports: heapless::Vec<Port, MOST_PORTS>,
    setups: heapless::Vec<(InterfaceName, Setup), MOST_SETUPS>,
}

/// The vmo and what is in it.
pub struct Saved {
    vmo: Vmo,
    state: Mutex<(u64, Content)>,
}

/// FNV-1a (RFC 9923).
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn read(bytes: &[u8]) -> Option<(u64, Content)> {
    let number = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let (len, right) = (word(8)? as usize, word(12)?);
    let body = bytes.get(HEAD_BYTES..HEAD_BYTES.checked_add(len)?)?;
    let (&form, content) = body.split_first()?;
    (form == FORM && sum(body) == right).then_some((number, decode(content)?))
}

impl Saved {
    /// What the last instance left in `vmo`; nothing, if it left nothing.
    #[must_use]
    pub fn open(vmo: Vmo) -> Self {
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(2 * COPY_BYTES).is_ok() {
            bytes.resize(2 * COPY_BYTES, 0);
            if vmo.read(0, &mut bytes).is_err() {
                bytes.clear();
            }
        }
        let copies = bytes.chunks(COPY_BYTES).filter_map(read);
        let last = copies.max_by_key(|(number, _)| *number);
        Self {
            vmo,
            state: Mutex::new(last.unwrap_or_default()),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        let mut state = self.state.lock();
        let (number, content) = &mut *state;
        change(content);
        *number += 1;
        let mut bytes = [0; COPY_BYTES];
        let Some((head, body)) = bytes.split_at_mut_checked(HEAD_BYTES) else {
            return;
        };
        let Some(body) = encode(FORM, content, body) else {
            return log::error!("the ports do not fit into what is kept");
        };
        let len = body.len();
        let words = number
            .to_le_bytes()
            .into_iter()
            .chain((len as u32).to_le_bytes())
            .chain(sum(body).to_le_bytes());
        for (to, from) in head.iter_mut().zip(words) {
            *to = from;
        }
        let place = (*number % 2) * COPY_BYTES as u64;
        let bytes = bytes.get(..HEAD_BYTES + len).unwrap_or_default();
        if let Err(error) = self.vmo.write(place, bytes) {
            log::error!("what the next instance needs cannot be kept: {error}");
        }
    }

    /// Ports that were listened to.
    pub fn ports(&self) -> heapless::Vec<Port, MOST_PORTS> {
        self.state.lock().1.ports.clone()
    }

    /// A port is listened to.
    pub fn add(&self, port: Port) {
        self.change(|content| {
            content.ports.retain(|known| known.port != port.port);
            if content.ports.push(port).is_err() {
                log::warn!("port {} is not kept for another instance", port.port);
            }
        });
    }

    /// No more.
    pub fn remove(&self, port: u16) {
        self.change(|content| content.ports.retain(|known| known.port != port));
    }

    /// How an interface was set up by hand.
    #[must_use]
    pub fn setup(&self, name: &str) -> Option<Setup> {
        let state = self.state.lock();
        let found = state.1.setups.iter().find(|(other, _)| **other == *name);
        found.map(|(_, setup)| *setup)
    }

    /// An interface is set up.
    pub fn set_up(&self, name: &InterfaceName, setup: Setup) {
        self.change(|content| {
            content.setups.retain(|(other, _)| other != name);
            // There are no more interfaces than that.
            let _ = content.setups.push((name.clone(), setup));
        });
    }
}
