//! Ports, notifications and timers: waiting for many things at once.

use abi::message::{Kind, Lengths, WORDS, Words};
use abi::{Call, Error, Handle, Signals};

use super::endpoint::{Body, Incoming, incoming};
use super::gate::{self, Frame};
use super::object::{Notification, Object, Owned, Port, Timer};

/// What a port brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// A call of a bound endpoint.
    Call(Incoming),
    /// Signals of a bound object.
    Signals {
        /// The binding's key.
        key: u64,
        /// Which were seen.
        signals: Signals,
    },
    /// Somebody posted it.
    Posted {
        /// Its key.
        key: u64,
        /// What it says.
        words: Words,
    },
    /// A call that was [started](super::started) is over.
    Answer {
        /// Its key.
        key: u64,
        /// What came of it.
        outcome: Result<Body, Error>,
    },
}

/// Reads the registers after a wait.
pub(super) fn packet(frame: &Frame) -> Result<Packet, Error> {
    match Kind::from_raw(Error::check(frame.rax)?) {
        Some(kind @ (Kind::Call | Kind::LongCall)) => Ok(Packet::Call(incoming(kind, frame))),
        Some(Kind::Signals) => Ok(Packet::Signals {
            key: frame.rdi,
            signals: Signals::from_bits_truncate(frame.rsi as u32),
        }),
        Some(Kind::Posted) => Ok(Packet::Posted {
            key: frame.rdi,
            words: frame.words,
        }),
        Some(kind @ (Kind::Answer | Kind::LongAnswer)) => {
            let [first, ..] = frame.words;
            let body = match kind {
                Kind::LongAnswer => Body::Long(Lengths::from_raw(first)),
                _ => Body::Words(frame.words),
            };
            Ok(Packet::Answer {
                key: frame.rdi,
                outcome: Error::check(frame.rsi).map(|_| body),
            })
        }
        None => Err(Error::Unknown),
    }
}

impl Port {
    /// A new one.
    ///
    /// # Errors
    /// The job's limits.
    pub fn create() -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::PortCreate, []) };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// From now on a packet with `key` comes whenever one of `signals` becomes set, and at once if one is; an endpoint's calls
    /// come themselves.
    ///
    /// # Errors
    /// [`Error::NoRight`] without [`WAIT`](abi::Rights::WAIT) on the handle (for calls: [`RECEIVE`](abi::Rights::RECEIVE)), the
    /// job's limits, [`Error::Occupied`] if it is bound already.
    pub fn bind(&self, handle: Handle, signals: Signals, key: u32) -> Result<(), Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe {
            gate::call(
                Call::PortBind,
                [
                    self.handle().0,
                    handle.0,
                    u64::from(signals.bits()),
                    u64::from(key),
                ],
            )
        };
        Error::check(rax).map(drop)
    }

    /// No more packets about it.
    ///
    /// # Errors
    /// [`Error::BadState`] if it is not bound.
    pub fn unbind(&self, handle: Handle) -> Result<(), Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe { gate::call(Call::PortUnbind, [self.handle().0, handle.0]) };
        Error::check(rax).map(drop)
    }

    /// Puts a packet into it.
    ///
    /// # Errors
    /// [`Error::QueueFull`], [`Error::NoRight`].
    pub fn post(&self, key: u64, words: &Words) -> Result<(), Error> {
        post(self.handle(), key, words)
    }

    /// Waits, with the whole thread, for the next packet.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::NoRight`], [`Error::Revoked`].
    pub fn wait_packet_blocking(&self, deadline_ns: u64) -> Result<Packet, Error> {
        wait(self.handle(), deadline_ns)
    }
}

/// [`Port::post`] by number.
pub(super) fn post(port: Handle, key: u64, words: &Words) -> Result<(), Error> {
    let frame = Frame {
        rax: 0,
        rdi: port.0,
        rsi: key,
        words: *words,
    };
    // SAFETY: the message travels in registers.
    let frame = unsafe { gate::message(Call::PortPost, frame) };
    Error::check(frame.rax).map(drop)
}

/// [`Port::wait_packet_blocking`] by number.
pub(super) fn wait(port: Handle, deadline_ns: u64) -> Result<Packet, Error> {
    let frame = Frame {
        rax: 0,
        rdi: port.0,
        rsi: deadline_ns,
        words: [0; WORDS],
    };
    // SAFETY: the message travels in registers.
    let frame = unsafe { gate::message(Call::PortWait, frame) };
    packet(&frame)
}

impl Notification {
    /// A new one, without bits.
    ///
    /// # Errors
    /// The job's limits.
    pub fn create() -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::NotificationCreate, []) };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// Sets bits and wakes who waits for them.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    #[inline]
    pub fn signal(&self, bits: u64) -> Result<(), Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe { gate::call(Call::NotificationSignal, [self.handle().0, bits]) };
        Error::check(rax).map(drop)
    }

    /// Waits, with the whole thread, until there are bits, and takes them all.
    ///
    /// # Errors
    /// [`Error::TimedOut`], or [`Error::WouldWait`] for [`AT_ONCE`](abi::AT_ONCE); [`Error::NoRight`].
    pub fn take_blocking(&self, deadline_ns: u64) -> Result<u64, Error> {
        // SAFETY: touches no memory.
        let (rax, rdx) =
            unsafe { gate::call(Call::NotificationTake, [self.handle().0, deadline_ns]) };
        Error::check(rax).map(|_| rdx)
    }
}

impl Timer {
    /// A new one, not set.
    ///
    /// # Errors
    /// The job's limits.
    pub fn create() -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::TimerCreate, []) };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// Fires at `deadline_ns` of the monotonic clock; [`FOREVER`](abi::FOREVER): never.
    ///
    /// # Errors
    /// [`Error::NoRight`].
    pub fn set(&self, deadline_ns: u64) -> Result<(), Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe { gate::call(Call::TimerSet, [self.handle().0, deadline_ns]) };
        Error::check(rax).map(drop)
    }
}
