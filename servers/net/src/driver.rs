//! Cards of any kind as one: what an interface does with its card, whichever type it has.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll};

use nic::{About, Card, Counters, Frame, Receive};
use smoltcp::iface::{Interface as Stack, PollResult, SocketSet};
use smoltcp::phy::DeviceCapabilities;
use smoltcp::time::Instant;

use crate::interface::FRAMES_AT_ONCE;
use crate::routers;
use crate::sequence::Offsets;
use crate::wire::{Inlet, Outlet, Received, Sending, Wire};

/// A look at a frame; false: the stack shall not see it.
pub type Look<'a> = dyn FnMut(&mut SocketSet<'static>, &[u8]) -> bool + 'a;

/// What a turn of an interface works with.
pub struct Intake<'a> {
    pub(crate) stack: &'a mut Stack,
    pub(crate) sockets: &'a mut SocketSet<'static>,
    pub(crate) capabilities: &'a DeviceCapabilities,
    pub(crate) now: Instant,
    pub(crate) offsets: &'a Offsets,
    pub(crate) look: &'a mut Look<'a>,
    pub(crate) dropped: &'a mut u64,
}

impl core::fmt::Debug for Intake<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake<'_> {
    /// Gives the stack a frame, if it shall see it.
    pub fn frame<F: Inlet, O: Outlet>(&mut self, frame: F, outlet: &mut O) {
        if !(self.look)(self.sockets, frame.bytes()) {
            *self.dropped += 1;
            return;
        }
        let mut wire = Wire {
            frame: Some(frame),
            outlet,
            capabilities: self.capabilities,
        };
        self.stack
            .poll_ingress_single(self.now, &mut wire, self.sockets);
    }

    /// Sends what sockets have to send, as far as there is room.
    pub fn send_all<O: Outlet>(&mut self, outlet: &mut O) {
        let mut wire = Wire::<Vec<u8>, _> {
            frame: None,
            outlet,
            capabilities: self.capabilities,
        };
        while self.stack.poll_egress(self.now, &mut wire, self.sockets)
            == PollResult::SocketStateChanged
        {}
    }
}

/// A card of any kind.
pub trait Driver: Send {
    /// See [`Card::about`].
    fn about(&self) -> &About;
    /// See [`Card::link_is_up`].
    fn link_is_up(&self) -> bool;
    /// See [`Card::counters`].
    fn counters(&self) -> Counters;
    /// See [`Card::ready`].
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>>;
    /// Gives the stack what came, at most [`FRAMES_AT_ONCE`], and sends what is to be sent: whether there is more, and whether the card
    /// has no more room. `check`: checksums that the card did not find right are checked.
    fn take_in(&mut self, intake: &mut Intake<'_>, check: bool) -> (bool, bool);
    /// Sends what is to be sent.
    fn send(&mut self, intake: &mut Intake<'_>);
    /// Asks for routers.
    fn ask_for_routers(&mut self, offsets: &Offsets);
}

impl<C: Card> Driver for C {
    fn about(&self) -> &About {
        Card::about(self)
    }

    fn link_is_up(&self) -> bool {
        Card::link_is_up(self)
    }

    fn counters(&self) -> Counters {
        Card::counters(self)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        // It is cancel-safe: each poll asks anew, and its waker stays.
        pin!(self.ready())
            .poll(context)
            .map_err(|fault| fault.to_string())
    }

    fn take_in(&mut self, intake: &mut Intake<'_>, check: bool) -> (bool, bool) {
        let mut more = true;
        let offsets = intake.offsets;
        // Also without room to send: an answer is lost then, as it may be anywhere on its way.
        for _ in 0..FRAMES_AT_ONCE {
            let (receiver, transmitter) = self.halves();
            let outlet = &mut Sending {
                transmitter,
                offsets,
            };
            let Some(mut frame) = receiver.next() else {
                more = false;
                break;
            };
            if check && !frame.checked().payload && !nic::checksum::is_right(frame.bytes()) {
                *intake.dropped += 1;
                continue;
            }
            offsets.received(frame.bytes_mut());
            intake.frame(Received(frame), outlet);
        }
        let (_, transmitter) = self.halves();
        let outlet = &mut Sending {
            transmitter,
            offsets,
        };
        intake.send_all(outlet);
        let is_full = !outlet.has_room();
        self.flush();
        (more, is_full)
    }

    fn send(&mut self, intake: &mut Intake<'_>) {
        let (_, transmitter) = self.halves();
        let offsets = intake.offsets;
        intake.send_all(&mut Sending {
            transmitter,
            offsets,
        });
        self.flush();
    }

    fn ask_for_routers(&mut self, offsets: &Offsets) {
        let mac = Card::about(self).mac;
        let (_, transmitter) = self.halves();
        let outlet = &mut Sending {
            transmitter,
            offsets,
        };
        routers::ask(mac, outlet);
        self.flush();
    }
}
