//! Calls, replies, channel messages and port packets.
//!
//! A **call** carries eight words in registers; so does its reply. The kernel keeps neither: it moves them from one thread's
//! registers into the other's. Longer ones ([`LongArgs`]) and those with handles go through the kernel's memory.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words of a short message. In registers, in this order: `rdx r8 r9 r10 r12 r13 r14 r15`.
pub const WORDS: usize = 8;
/// A short message.
pub type Words = [u64; WORDS];

/// Longest long message or channel message in bytes.
pub const MAX_BYTES: usize = 16384;
/// Most handles in a message.
pub const MAX_HANDLES: usize = 16;
/// Most messages that wait in one direction of a channel.
pub const MAX_CHANNEL_MESSAGES: usize = 256;
/// Most packets that wait in a port beside those of bindings, which have their own place.
pub const MAX_PORT_PACKETS: usize = 256;
/// Most calls that a process has started and not ended, about.
pub const MAX_STARTED_CALLS: usize = 1024;
/// Most calls that wait at an endpoint to be received.
pub const MAX_WAITING_CALLS: usize = 1024;

/// Arguments of [`call_long`](crate::Call::CallLong), and of [`reply_long`](crate::Call::ReplyLong) with only the first four: 64 bytes.
/// All handles must be transferable; they leave the sender when the message is accepted, and stay where they are if it is not.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct LongArgs {
    /// Address of the bytes to send.
    pub bytes: u64,
    /// How many, at most [`MAX_BYTES`].
    pub bytes_len: u64,
    /// Address of the handles (8 bytes each) to send.
    pub handles: u64,
    /// How many, at most [`MAX_HANDLES`].
    pub handles_len: u64,
    /// Where the answer's bytes go.
    pub answer_bytes: u64,
    /// How many fit there.
    pub answer_bytes_capacity: u64,
    /// Where the answer's handles go.
    pub answer_handles: u64,
    /// How many fit there.
    pub answer_handles_capacity: u64,
}

/// Arguments of [`call_start`](crate::Call::CallStart): 128 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct StartArgs {
    /// By when the answer is wanted, in nanoseconds of the monotonic clock: calls that wait are received in this order. Nothing
    /// ends the call when it has passed.
    pub deadline_ns: u64,
    /// Handle of the port that the answer comes to. Right: signal.
    pub port: u64,
    /// Key of the answer's packet.
    pub key: u64,
    /// 0: the message is `words`. 1: it is long, as what follows the words says.
    pub long: u64,
    /// A short message.
    pub words: Words,
    /// A long one: its bytes and handles.
    pub message: BufferArgs,
}

/// Arguments of [`channel_write`](crate::Call::ChannelWrite), [`channel_read`](crate::Call::ChannelRead) and
/// [`message_read`](crate::Call::MessageRead): 32 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct BufferArgs {
    /// Address of the bytes.
    pub bytes: u64,
    /// How many, or how many fit.
    pub bytes_len: u64,
    /// Address of the handles (8 bytes each).
    pub handles: u64,
    /// How many, or how many fit.
    pub handles_len: u64,
}

/// Lengths as the reading calls give them back in one register: bytes in bits 31:0, handles in bits 63:32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Bytes.
    pub bytes: u32,
    /// Handles.
    pub handles: u32,
}

impl Lengths {
    /// In one register.
    #[must_use]
    pub const fn to_raw(self) -> u64 {
        self.bytes as u64 | (self.handles as u64) << 32
    }

    /// From one register.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self {
            bytes: raw as u32,
            handles: (raw >> 32) as u32,
        }
    }
}

/// What [`receive`](crate::Call::Receive) and [`port_wait`](crate::Call::PortWait) brought: in `rax`, when it is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// A call with a short message: `rdi` is key (bits 63:32) and badge (31:0), `rsi` the reply token, and the words.
    Call = 1,
    /// A call with a long message: the same, but word 0 holds its [`Lengths`]; [`message_read`](crate::Call::MessageRead) fetches it.
    LongCall = 2,
    /// Signals of a bound object: `rdi` is the binding's key, `rsi` the [`Signals`](crate::Signals) seen.
    Signals = 3,
    /// A packet posted by somebody: `rdi` its key, and the words.
    Posted = 4,
    /// A call that was [started](crate::Call::CallStart) is over: `rdi` is its key, `rsi` 0 or the error, and the words. Its id means nothing
    /// any more.
    Answer = 5,
    /// The same, with a long answer: word 0 holds its [`Lengths`]; [`answer_read`](crate::Call::AnswerRead) fetches it.
    LongAnswer = 6,
}

impl Kind {
    /// What `rax` says.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            1 => Some(Self::Call),
            2 => Some(Self::LongCall),
            3 => Some(Self::Signals),
            4 => Some(Self::Posted),
            5 => Some(Self::Answer),
            6 => Some(Self::LongAnswer),
            _ => None,
        }
    }
}
