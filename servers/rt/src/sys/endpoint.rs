//! Endpoints: calls and replies.

use abi::message::{Kind, Lengths, WORDS, Words};
use abi::{Call, Error, Rights};

use super::gate::{self, Frame};
use super::message::{Handles, ReadError, address_of, exchanging, received, receiving, sending};
use super::object::{Endpoint, Object, Owned, Port};

/// Words of the answer to a call that its server dropped without one. The first word of a contract's answer is never that.
pub const DROPPED: Words = [u64::MAX; WORDS];

/// The duty to answer a call. Dropped, it answers [`DROPPED`], so that no caller waits for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the caller waits for an answer"]
pub struct Token(u64);

/// A call that arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Which binding it came through, when it came through a port.
    pub key: u32,
    /// The badge of the handle it was made with.
    pub badge: u32,
    /// What answers it.
    pub token: Token,
    /// What it says.
    pub body: Body,
}

/// What a call says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A short message.
    Words(Words),
    /// A long one, to be fetched by [`Token::read`].
    Long(Lengths),
}

/// Reads the registers after a receiving call that was no error.
#[inline(always)]
pub(super) fn incoming(kind: Kind, frame: &Frame) -> Incoming {
    let [first, ..] = frame.words;
    Incoming {
        key: (frame.rdi >> 32) as u32,
        badge: frame.rdi as u32,
        token: Token(frame.rsi),
        body: match kind {
            Kind::LongCall => Body::Long(Lengths::from_raw(first)),
            _ => Body::Words(frame.words),
        },
    }
}

/// What a receive on an endpoint brought.
#[inline(always)]
fn received_call(frame: &Frame) -> Result<Incoming, Error> {
    match Kind::from_raw(Error::check(frame.rax)?) {
        Some(kind @ (Kind::Call | Kind::LongCall)) => Ok(incoming(kind, frame)),
        // An endpoint brings nothing else.
        _ => Err(Error::Unknown),
    }
}

impl Endpoint {
    /// A new one.
    ///
    /// # Errors
    /// The job's limits.
    pub fn create() -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::EndpointCreate, []) };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// A handle whose calls arrive with this badge.
    ///
    /// # Errors
    /// [`Error::NoRight`] without [`Rights::RECEIVE`], or for more rights than this has.
    pub fn mint(&self, badge: u32, rights: Rights) -> Result<Self, Error> {
        // SAFETY: makes a handle.
        let (rax, _) = unsafe {
            gate::call(
                Call::EndpointMint,
                [self.handle().0, u64::from(badge), u64::from(rights.bits())],
            )
        };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// Calls and waits, with the whole thread, for the answer.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::PeerClosed`], [`Error::NoRight`], [`Error::Revoked`], [`Error::QueueFull`].
    #[inline(always)]
    pub fn call_blocking(&self, deadline_ns: u64, words: &Words) -> Result<Words, Error> {
        let frame = Frame {
            rax: 0,
            rdi: self.handle().0,
            rsi: deadline_ns,
            words: *words,
        };
        // SAFETY: the message travels in registers.
        let frame = unsafe { gate::message(Call::Call, frame) };
        Error::check(frame.rax)?;
        Ok(frame.words)
    }

    /// The same with up to 16 KiB and 16 handles each way. The handles leave `send` if the call was accepted.
    ///
    /// # Errors
    /// As [`call_blocking`](Endpoint::call_blocking); [`Error::BufferTooSmall`] for the answer, which is then lost.
    pub fn call_long_blocking(
        &self,
        deadline_ns: u64,
        bytes: &[u8],
        send: &mut Handles,
        answer: &mut [u8],
        receive: &mut Handles,
    ) -> Result<Lengths, ReadError> {
        let arguments = exchanging(&sending(bytes, send), &receiving(answer, receive));
        // SAFETY: the kernel reads and writes what the arguments name, within the lengths there.
        let result = received(unsafe {
            gate::call(
                Call::CallLong,
                [self.handle().0, deadline_ns, address_of(&arguments)],
            )
        });
        // Handles that were not accepted are still there; those of an accepted call are gone, and closing their numbers is no harm.
        if result.is_ok() {
            send.forget();
        }
        let lengths = result?;
        receive.set_len(lengths.handles);
        Ok(lengths)
    }

    /// Waits, with the whole thread, for the next call.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::NoRight`], [`Error::Revoked`].
    #[inline]
    pub fn receive_blocking(&self, deadline_ns: u64) -> Result<Incoming, Error> {
        let frame = Frame {
            rdi: self.handle().0,
            rsi: deadline_ns,
            ..Frame::default()
        };
        // SAFETY: the message travels in registers.
        let frame = unsafe { gate::message(Call::Receive, frame) };
        received_call(&frame)
    }
}

impl Token {
    /// Its number, not to be answered by this any more.
    #[must_use]
    pub const fn into_raw(self) -> u64 {
        let token = self.0;
        core::mem::forget(self);
        token
    }

    /// Answers.
    ///
    /// # Errors
    /// [`Error::PeerClosed`] if the caller is gone.
    #[inline]
    pub fn reply(self, words: &Words) -> Result<(), Error> {
        reply(self.into_raw(), words)
    }

    /// Answers at length. The handles leave `handles` if the answer is accepted. If it is not, for another reason than the
    /// caller's end, the token comes back.
    ///
    /// # Errors
    /// [`Error::PeerClosed`]; [`Error::BufferTooSmall`] if the caller has no room; [`Error::NoRight`] for a handle that cannot be
    /// transferred.
    pub fn reply_long(
        self,
        bytes: &[u8],
        handles: &mut Handles,
    ) -> Result<(), (Error, Option<Self>)> {
        let arguments = exchanging(&sending(bytes, handles), &Default::default());
        // SAFETY: the kernel reads what the arguments name.
        let (rax, _) = unsafe { gate::call(Call::ReplyLong, [self.0, address_of(&arguments)]) };
        match Error::check(rax) {
            Ok(_) => {
                core::mem::forget(self);
                handles.forget();
                Ok(())
            }
            Err(error @ (Error::PeerClosed | Error::BadHandle)) => {
                core::mem::forget(self);
                Err((error, None))
            }
            Err(error) => Err((error, Some(self))),
        }
    }

    /// Answers this call and waits, with the whole thread, for the next one: what a server without an executor does.
    ///
    /// # Errors
    /// As [`Endpoint::receive_blocking`].
    #[inline(always)]
    pub fn reply_receive_blocking(
        self,
        words: &Words,
        endpoint: &Endpoint,
    ) -> Result<Incoming, Error> {
        let frame = Frame {
            rax: 0,
            rdi: self.into_raw(),
            rsi: endpoint.handle().0,
            words: *words,
        };
        // SAFETY: the messages travel in registers.
        let frame = unsafe { gate::message(Call::ReplyReceive, frame) };
        received_call(&frame)
    }

    /// The same on a port.
    ///
    /// # Errors
    /// As [`Port::wait_packet_blocking`].
    #[inline]
    pub fn reply_wait_blocking(
        self,
        words: &Words,
        port: &Port,
    ) -> Result<super::port::Packet, Error> {
        let frame = Frame {
            rax: 0,
            rdi: self.into_raw(),
            rsi: port.handle().0,
            words: *words,
        };
        // SAFETY: the messages travel in registers.
        let frame = unsafe { gate::message(Call::PortReplyWait, frame) };
        super::port::packet(&frame)
    }

    /// Fetches a long call's bytes and handles. What was in `handles` is closed first.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`]; [`Error::PeerClosed`] if the caller is gone.
    pub fn read(&self, bytes: &mut [u8], handles: &mut Handles) -> Result<Lengths, ReadError> {
        let arguments = receiving(bytes, handles);
        // SAFETY: the kernel writes at most what the arguments say fits.
        let lengths =
            received(unsafe { gate::call(Call::MessageRead, [self.0, address_of(&arguments)]) })?;
        handles.set_len(lengths.handles);
        Ok(lengths)
    }
}

fn reply(token: u64, words: &Words) -> Result<(), Error> {
    let frame = Frame {
        rax: 0,
        rdi: token,
        rsi: 0,
        words: *words,
    };
    // SAFETY: the message travels in registers.
    let frame = unsafe { gate::message(Call::Reply, frame) };
    Error::check(frame.rax).map(drop)
}

impl Drop for Token {
    fn drop(&mut self) {
        // The caller may be gone, which is as good.
        let _ = reply(self.0, &DROPPED);
    }
}
