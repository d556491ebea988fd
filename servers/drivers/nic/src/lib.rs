//! What a driver of network cards gives to whoever moves frames through one: the net server, or a program that has a card for itself.
//!
//! A [`Card`] has two halves that are used at the same time, as an answer is sent while what it answers is still being read:
//! [`Receive`] leases frames where the card wrote them, [`Transmit`] has frames written where the card reads them. So neither way
//! copies. Work is done in rounds:
//!
//! 1. `ready().await`: sleeps until there is something to do.
//! 2. `next()` until `None`, and `send()` as long as there is room.
//! 3. `flush()`: tells the card once of all that was queued and gives it the read buffers back. Until then neither need happen.
//!
//! What must hold of every card:
//! * `ready` is completed by an interrupt, and by what came before it was called: no wake is lost and nothing is polled.
//! * A frame is a whole Ethernet frame from the destination address on, without preamble and check sequence; at least
//!   [`HEADER_BYTES`] long, at most [`About::max_frame_bytes`]. Its content is hostile.
//! * A card that lies is found out by its driver: `ready` then ends in a fault, and the card is of no use any more. Dropping it stops
//!   the hardware before its memory is freed.
//! * The card takes frames to its own address, to all, and to every group.
//!
//! [`checksum`] computes what cards may leave to software; [`cable`] joins two cards that exist in memory alone (feature `testing`).
#![cfg_attr(not(feature = "testing"), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "testing")]
pub mod cable;
pub mod checksum;

use core::fmt;
use core::future::Future;

/// Two addresses and a type (IEEE 802.3 §3.1.1).
pub const HEADER_BYTES: usize = 14;
/// What is behind the header at most, where nobody says otherwise (IEEE 802.3 §3.2.7).
pub const STANDARD_MTU_BYTES: u16 = 1500;

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// To all.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it is that of a group: bit 0 of the first byte (IEEE 802 §8.2).
    #[must_use]
    pub const fn is_group(self) -> bool {
        let Self([first, ..]) = self;
        first & 1 != 0
    }

    /// Whether a card can have it: neither a group's nor zero.
    #[must_use]
    pub fn is_station(self) -> bool {
        !self.is_group() && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, e, g]) = self;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What a card is, for as long as it is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its address.
    pub mac: Mac,
    /// Most bytes behind the header of a frame.
    pub mtu_bytes: u16,
    /// The driver's name.
    pub driver: &'static str,
    /// What it computes by itself.
    pub checksums: Checksums,
}

impl About {
    /// Length of the longest frame.
    #[must_use]
    pub const fn max_frame_bytes(&self) -> usize {
        HEADER_BYTES + self.mtu_bytes as usize
    }
}

/// Internet checksums (RFC 1071) that a card computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// It fills these in: the sender leaves those fields zero.
    pub transmit: Sums,
    /// It may check these: each frame says whether it [did](Checked).
    pub receive: Sums,
}

/// Some of the checksums of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// That of an IPv4 header.
    pub ipv4: bool,
    /// That of TCP, over either version.
    pub tcp: bool,
    /// That of UDP, over either version.
    pub udp: bool,
}

/// What the card found right in a frame. What is not set was not checked, or is wrong: [`checksum::is_right`] says which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The checksum of the IPv4 header.
    pub ipv4: bool,
    /// That of TCP or UDP.
    pub payload: bool,
}

/// A network card that is being driven.
pub trait Card: Send {
    /// Its receiving half.
    type Receiver: Receive;
    /// Its sending half.
    type Transmitter: Transmit;
    /// Why it cannot be driven any more.
    type Fault: core::error::Error + Send + 'static;

    /// What it is.
    fn about(&self) -> &About;

    /// Whether something is at the other end of the wire, as far as the last interrupt told.
    fn link_is_up(&self) -> bool;

    /// Both halves, to be used at the same time.
    fn halves(&mut self) -> (&mut Self::Receiver, &mut Self::Transmitter);

    /// Tells the card of the frames that were queued, and gives it the buffers back whose frames were read.
    fn flush(&mut self);

    /// Completes when there is a frame, or the link came or went; at once if that was so before. Once it was said that there is
    /// no room, it is room that is waited for instead of a frame: who cannot answer reads no more either.
    /// [`flush`](Self::flush) comes first. Cancel-safe.
    ///
    /// # Errors
    /// The card does what no card does, or is gone: it is to be dropped.
    fn ready(&mut self) -> impl Future<Output = Result<(), Self::Fault>> + Send;

    /// What went through it until now.
    fn counters(&self) -> Counters;
}

/// The receiving half of a card.
pub trait Receive: Send {
    /// A frame where the card wrote it. Dropped, its buffer is the card's again from the next flush on.
    type Frame<'a>: Frame
    where
        Self: 'a;

    /// The next frame that has come, in order of arrival.
    fn next(&mut self) -> Option<Self::Frame<'_>>;
}

/// A received frame.
pub trait Frame {
    /// From the destination address on.
    fn bytes(&self) -> &[u8];

    /// The same, to be changed in place, as an echo does.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// What the card found right in it.
    fn checked(&self) -> Checked;

    /// Tick of the interrupt that told of it, or of the last one before if none was needed.
    fn stamp_ticks(&self) -> u64;
}

/// The sending half of a card.
pub trait Transmit: Send {
    /// Whether a frame can be sent now. After false, [`Card::ready`] waits for room, once.
    fn has_room(&mut self) -> bool;

    /// Has a frame of `len_bytes` written by `fill`, which finds old bytes in it, and queues it; [`Card::flush`] tells the card.
    /// Frames are sent in order, and shorter ones than the wire carries are padded.
    ///
    /// # Errors
    /// [`SendError`]; `fill` was not called.
    fn send<R>(
        &mut self,
        len_bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, SendError>;
}

/// Why a frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// All buffers are with the card: `ready` waits for one.
    Full,
    /// It is shorter than a header or longer than [`About::max_frame_bytes`].
    Length,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "all buffers are with the card",
            Self::Length => "no frame is so long or so short",
        })
    }
}

impl core::error::Error for SendError {}

/// What went through a card since it is driven. They wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that were received and handed on.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames that were queued for sending.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames that the card lost as no buffer was free, where it tells.
    pub dropped_no_buffer: u64,
    /// Received frames that were too short, too long or damaged.
    pub dropped_bad: u64,
    /// Sends that were refused as all buffers were with the card.
    pub refused_full: u64,
    /// Interrupts.
    pub interrupts: u64,
}
