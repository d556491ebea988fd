//! Two cards joined by a cable, in memory alone: for tests of what moves frames. A cable loses, doubles, swaps and damages frames as
//! often as it is told, always the same ones for the same seed. It knows no time: a frame arrives at once, and one that is held back
//! to be swapped follows the next, or comes by [`Cable::settle`].

use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use crate::{
    About, Card, Checked, Checksums, Counters, Frame, HEADER_BYTES, Mac, Receive,
    STANDARD_MTU_BYTES, SendError, Transmit,
};

/// How often a cable does what to a frame: once in so many frames on average; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// It is lost.
    pub lose: u32,
    /// It comes twice.
    pub double: u32,
    /// It comes after the next one.
    pub swap: u32,
    /// One of its bits is turned over.
    pub damage: u32,
}

/// How a cable and its two cards are made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides which frames are hit.
    pub seed: u64,
    /// What it does to frames.
    pub faults: Faults,
    /// Frames that fit into each card's two rings.
    pub ring_frames: usize,
    /// Both cards' MTU.
    pub mtu_bytes: u16,
    /// What both cards compute. Those that they fill in they do fill in; those that they check are checked.
    pub checksums: Checksums,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            faults: Faults::default(),
            ring_frames: 64,
            mtu_bytes: STANDARD_MTU_BYTES,
            checksums: Checksums::default(),
        }
    }
}

#[derive(Default)]
struct Side {
    /// Frames that have arrived.
    arrived: VecDeque<Vec<u8>>,
    /// One that is to follow the next.
    held: Option<Vec<u8>>,
    /// Who waits for frames, room or the link.
    waiting: Option<Waker>,
    link_is_news: bool,
    wants_room: bool,
    lost_no_buffer: u64,
    interrupts: u64,
}

impl Side {
    fn interrupt(&mut self) {
        if let Some(waker) = self.waiting.take() {
            self.interrupts += 1;
            waker.wake();
        }
    }
}

struct State {
    random: u64,
    faults: Faults,
    ring_frames: usize,
    link_is_up: bool,
    sides: [Side; 2],
    /// Frames that the cable has lost, doubled, swapped, damaged.
    done: [u64; 4],
}

impl State {
    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn hits(&mut self, once_in: u32, which: usize) -> bool {
        let hit = once_in > 0 && self.random().is_multiple_of(once_in.into());
        if hit && let Some(done) = self.done.get_mut(which) {
            *done += 1;
        }
        hit
    }

    fn side(&mut self, number: usize) -> &mut Side {
        &mut self.sides[number & 1]
    }

    fn carry(&mut self, mut frame: Vec<u8>, to: usize) {
        if !self.link_is_up {
            return;
        }
        let faults = self.faults;
        if self.hits(faults.lose, 0) {
            return;
        }
        let copies = 1 + usize::from(self.hits(faults.double, 1));
        if self.hits(faults.damage, 3) {
            let bit = self.random() as usize % (8 * frame.len());
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        if self.side(to).held.is_none() && self.hits(faults.swap, 2) {
            self.side(to).held = Some(frame);
            return;
        }
        for _ in 0..copies {
            self.arrive(frame.clone(), to);
        }
        if let Some(held) = self.side(to).held.take() {
            self.arrive(held, to);
        }
    }

    fn arrive(&mut self, frame: Vec<u8>, to: usize) {
        let most = self.ring_frames;
        let side = self.side(to);
        if side.arrived.len() < most {
            side.arrived.push_back(frame);
            side.interrupt();
        } else {
            side.lost_no_buffer += 1;
        }
    }
}

/// The cable: what is done to it while its cards are in use. Clones are the same cable.
#[derive(Clone)]
pub struct Cable(Arc<Mutex<State>>);

impl Cable {
    /// A cable and the cards at its ends, with the addresses 02:00:00:00:00:01 and …:02.
    #[must_use]
    pub fn new(options: &Options) -> (Self, End, End) {
        let cable = Self(Arc::new(Mutex::new(State {
            random: options.seed,
            faults: options.faults,
            ring_frames: options.ring_frames,
            link_is_up: true,
            sides: [Side::default(), Side::default()],
            done: [0; 4],
        })));
        let end = |side: usize| End {
            about: About {
                mac: Mac([2, 0, 0, 0, 0, side as u8 + 1]),
                mtu_bytes: options.mtu_bytes,
                driver: "cable",
                checksums: options.checksums,
            },
            receiver: Receiver {
                cable: cable.clone(),
                side,
                checks: options.checksums.receive,
                counters: Counters::default(),
            },
            transmitter: Transmitter {
                cable: cable.clone(),
                side,
                max_frame_bytes: HEADER_BYTES + usize::from(options.mtu_bytes),
                ring_frames: options.ring_frames,
                fills: options.checksums.transmit,
                queued: VecDeque::new(),
                counters: Counters::default(),
            },
        };
        let (one, other) = (end(0), end(1));
        (cable, one, other)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what it does to frames from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Pulls it out or plugs it in: while it is out, frames are lost.
    pub fn set_link(&self, is_up: bool) {
        let mut state = self.state();
        if state.link_is_up != is_up {
            state.link_is_up = is_up;
            for side in &mut state.sides {
                side.link_is_news = true;
                side.interrupt();
            }
        }
    }

    /// Lets frames arrive that are held back for a next one.
    pub fn settle(&self) {
        let mut state = self.state();
        for to in 0..2 {
            if let Some(held) = state.side(to).held.take() {
                state.arrive(held, to);
            }
        }
    }

    /// How many frames it has lost, doubled, swapped and damaged.
    #[must_use]
    pub fn done(&self) -> [u64; 4] {
        self.state().done
    }
}

/// A card at an end of a cable.
pub struct End {
    about: About,
    receiver: Receiver,
    transmitter: Transmitter,
}

/// Its receiving half.
pub struct Receiver {
    cable: Cable,
    side: usize,
    checks: crate::Sums,
    counters: Counters,
}

/// Its sending half.
pub struct Transmitter {
    cable: Cable,
    side: usize,
    max_frame_bytes: usize,
    ring_frames: usize,
    fills: crate::Sums,
    queued: VecDeque<Vec<u8>>,
    counters: Counters,
}

/// A frame that came over a cable.
#[derive(Debug)]
pub struct Arrived {
    bytes: Vec<u8>,
    checked: Checked,
}

impl Frame for Arrived {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
    fn checked(&self) -> Checked {
        self.checked
    }
    fn stamp_ticks(&self) -> u64 {
        0
    }
}

impl Receive for Receiver {
    type Frame<'a> = Arrived;

    fn next(&mut self) -> Option<Arrived> {
        let bytes = self.cable.state().side(self.side).arrived.pop_front()?;
        self.counters.received_frames += 1;
        self.counters.received_bytes += bytes.len() as u64;
        let right = crate::checksum::is_right(&bytes);
        let checked = Checked {
            ipv4: right && self.checks.ipv4,
            payload: right && (self.checks.tcp || self.checks.udp),
        };
        Some(Arrived { bytes, checked })
    }
}

impl Transmit for Transmitter {
    fn has_room(&mut self) -> bool {
        let has_room = self.queued.len() < self.ring_frames;
        self.cable.state().side(self.side).wants_room = !has_room;
        has_room
    }

    fn send<R>(
        &mut self,
        len_bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, SendError> {
        if !(HEADER_BYTES..=self.max_frame_bytes).contains(&len_bytes) {
            return Err(SendError::Length);
        }
        if !self.has_room() {
            self.counters.refused_full += 1;
            return Err(SendError::Full);
        }
        let mut frame = vec![0xa5; len_bytes];
        let result = fill(&mut frame);
        if self.fills != crate::Sums::default() {
            crate::checksum::fill(&mut frame);
        }
        self.counters.sent_frames += 1;
        self.counters.sent_bytes += len_bytes as u64;
        self.queued.push_back(frame);
        Ok(result)
    }
}

impl Card for End {
    type Receiver = Receiver;
    type Transmitter = Transmitter;
    type Fault = Infallible;

    fn about(&self) -> &About {
        &self.about
    }

    fn link_is_up(&self) -> bool {
        self.receiver.cable.state().link_is_up
    }

    fn halves(&mut self) -> (&mut Receiver, &mut Transmitter) {
        (&mut self.receiver, &mut self.transmitter)
    }

    fn flush(&mut self) {
        let Transmitter {
            cable,
            side,
            queued,
            ..
        } = &mut self.transmitter;
        let mut state = cable.state();
        for frame in queued.drain(..) {
            state.carry(frame, 1 - *side);
        }
    }

    async fn ready(&mut self) -> Result<(), Infallible> {
        let Transmitter {
            cable,
            side,
            queued,
            ring_frames,
            ..
        } = &mut self.transmitter;
        poll_fn(|cx| {
            let mut state = cable.state();
            let side = state.side(*side);
            let has_room = side.wants_room && queued.len() < *ring_frames;
            let has_frame = !side.wants_room && !side.arrived.is_empty();
            if has_frame || has_room || side.link_is_news {
                side.link_is_news = false;
                side.wants_room &= !has_room;
                return Poll::Ready(Ok(()));
            }
            side.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn counters(&self) -> Counters {
        let mut state = self.receiver.cable.state();
        let side = state.side(self.receiver.side);
        Counters {
            received_frames: self.receiver.counters.received_frames,
            received_bytes: self.receiver.counters.received_bytes,
            dropped_no_buffer: side.lost_no_buffer,
            interrupts: side.interrupts,
            ..self.transmitter.counters
        }
    }
}
