//! Who was heard of on an interface's network: for people to look at. The stack has its own table of those it talks to.

use core::net::IpAddr;

use smoltcp::time::Instant;

/// Most neighbours that are remembered.
pub const MOST: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    address: IpAddr,
    mac: [u8; 6],
    heard: Instant,
}

/// The neighbours of an interface.
#[derive(Debug, Default)]
pub struct Neighbours(heapless::Vec<Neighbour, MOST>);

impl Neighbours {
    /// Somebody said where it is.
    pub fn heard(&mut self, address: IpAddr, mac: [u8; 6], now: Instant) {
        let new = Neighbour {
            address,
            mac,
            heard: now,
        };
        if let Some(old) = self.0.iter_mut().find(|old| old.address == address) {
            *old = new;
        } else if let Err(new) = self.0.push(new)
            && let Some(oldest) = self.0.iter_mut().min_by_key(|old| old.heard)
        {
            *oldest = new;
        }
    }

    /// One of them: address, hardware address, and how long ago it was heard of.
    #[must_use]
    pub fn get(&self, index: usize, now: Instant) -> Option<(IpAddr, [u8; 6], u64)> {
        let found = self.0.get(index)?;
        let age = now
            .total_millis()
            .saturating_sub(found.heard.total_millis());
        Some((
            found.address,
            found.mac,
            u64::try_from(age).unwrap_or_default(),
        ))
    }
}
