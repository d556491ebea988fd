//! A card as the stack sees it: one received frame at a time, and room to send.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use nic::{Card, Frame, Transmit};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::sequence::Offsets;

/// Most packets that are under way to ourselves.
const LOOPBACK_PACKETS: usize = 256;
/// Longest packet to ourselves.
pub const LOOPBACK_MTU_BYTES: usize = 16 << 10;

/// A received frame.
pub trait Inlet {
    /// Its bytes.
    fn bytes(&self) -> &[u8];
}

/// A frame that a card received.
#[derive(Debug)]
pub struct Received<F>(pub F);

impl<F: Frame> Inlet for Received<F> {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Inlet for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Where frames are sent.
pub trait Outlet {
    /// Whether one can be sent now.
    fn has_room(&mut self) -> bool;
    /// Has a frame written and sends it, or loses it.
    fn send<R>(&mut self, len_bytes: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R;
}

/// A card's sending half.
#[derive(Debug)]
pub struct Sending<'a, T> {
    /// The half.
    pub transmitter: &'a mut T,
    /// What is added to connections' sequence numbers.
    pub offsets: &'a Offsets,
}

impl<T: Transmit> Outlet for Sending<'_, T> {
    fn has_room(&mut self) -> bool {
        self.transmitter.has_room()
    }

    fn send<R>(&mut self, len_bytes: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut fill = Some(fill);
        let offsets = self.offsets;
        let sent = self.transmitter.send(len_bytes, |frame| {
            let result = fill.take().map(|fill| fill(frame));
            offsets.sent(frame);
            result
        });
        match (sent, fill) {
            (Ok(Some(result)), _) => result,
            // The card did not take it: what was to be written still must be, and is lost as frames may be.
            (_, Some(fill)) => fill(&mut alloc::vec![0; len_bytes]),
            // Not reached: `fill` was either called or not.
            (_, None) => unreachable!("the card called the writer and did not give its result"),
        }
    }
}

/// Packets to ourselves.
#[derive(Debug, Default)]
pub struct Loopback(pub VecDeque<Vec<u8>>);

impl Outlet for Loopback {
    fn has_room(&mut self) -> bool {
        self.0.len() < LOOPBACK_PACKETS && self.0.try_reserve(1).is_ok()
    }

    fn send<R>(&mut self, len_bytes: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut packet = alloc::vec![0; len_bytes];
        let result = fill(&mut packet);
        self.0.push_back(packet);
        result
    }
}

/// What the stack is given for one step: perhaps a frame, and where answers go.
#[derive(Debug)]
pub struct Wire<'c, F, O> {
    /// The frame that was received.
    pub frame: Option<F>,
    /// Where frames are sent.
    pub outlet: &'c mut O,
    /// What it can.
    pub capabilities: &'c DeviceCapabilities,
}

/// A received frame, once.
#[derive(Debug)]
pub struct Rx<F>(F);

impl<F: Inlet> RxToken for Rx<F> {
    fn consume<R, G: FnOnce(&[u8]) -> R>(self, read: G) -> R {
        read(self.0.bytes())
    }
}

/// Room for a frame, once.
#[derive(Debug)]
pub struct Tx<'a, O>(&'a mut O);

impl<O: Outlet> TxToken for Tx<'_, O> {
    fn consume<R, G: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: G) -> R {
        self.0.send(len, fill)
    }
}

impl<F: Inlet, O: Outlet> Device for Wire<'_, F, O> {
    type RxToken<'a>
        = Rx<F>
    where
        Self: 'a;
    type TxToken<'a>
        = Tx<'a, O>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Rx<F>, Tx<'_, O>)> {
        let frame = self.frame.take()?;
        Some((Rx(frame), Tx(self.outlet)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_, O>> {
        self.outlet.has_room().then_some(Tx(self.outlet))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

/// What a card can, and whether its frames' checksums are its business: then those it did not find right are checked before the stack
/// sees the frame, which checks them itself otherwise.
pub fn capabilities<C: Card>(card: &C) -> (DeviceCapabilities, bool) {
    let about = card.about();
    let mut all = DeviceCapabilities::default();
    all.medium = Medium::Ethernet;
    all.max_transmission_unit = about.max_frame_bytes();
    let (fills, checks) = (about.checksums.transmit, about.checksums.receive);
    let card_checks = checks.tcp && checks.udp;
    let sum = |filled, checked| match (filled, checked) {
        (true, true) => Checksum::None,
        (true, false) => Checksum::Rx,
        (false, true) => Checksum::Tx,
        (false, false) => Checksum::Both,
    };
    // That of a header costs nothing.
    all.checksum.ipv4 = sum(fills.ipv4, false);
    all.checksum.tcp = sum(fills.tcp, card_checks);
    all.checksum.udp = sum(fills.udp, card_checks);
    (all, card_checks)
}

/// What the way to ourselves can: nothing is damaged on it.
pub fn loopback_capabilities() -> DeviceCapabilities {
    let mut all = DeviceCapabilities::default();
    all.medium = Medium::Ip;
    all.max_transmission_unit = LOOPBACK_MTU_BYTES;
    all
}
