//! Records from one process to another through memory that both have mapped: for bulk data, where a message each would cost too
//! much.
//!
//! # Tour
//! * [`layout`]: what lies where in the memory.
//! * [`Sender`] and [`Receiver`]: the two ends. They copy records in and out and say when the other one must be woken; how that is
//!   done, and how to wait, is up to their users (in a program: `rt::ring`).
//! * [`Memory`]: how the memory is reached. Nothing here is unsafe: words are atomics, and records are copied.
//!
//! # What must hold
//! * One sender, one receiver. Each alone writes its position, and keeps a copy of it: what the other side writes into the memory
//!   can be wrong in any way, and is checked before it is used. The worst is [`Corrupt`](SendError::Corrupt).
//! * No wake is lost. Who is about to sleep says so and looks again; who has changed something looks whether the other one
//!   sleeps. Both are sequentially consistent, so at least one of them sees the other (Dekker's argument); `tests/loom.rs` is the model.
//! * A shorter vmo would be a fault at the next touch: the side that must survive the other one makes the vmo, and gives it away
//!   without the right to resize it.
#![no_std]
#![forbid(unsafe_code)]

mod atomics;
pub mod layout;
mod receiver;
mod sender;

pub use atomics::{AtomicU32, AtomicU64};
pub use layout::{Counters, OpenError, format};
pub use receiver::{ReceiveError, Receiver, Taken};
pub use sender::{SendError, Sender};

/// Memory that two sides have mapped.
pub trait Memory {
    /// Its length in bytes.
    fn bytes_len(&self) -> usize;

    /// The word at an offset, a multiple of 4; `None` outside.
    fn word(&self, offset: usize) -> Option<&AtomicU32>;

    /// The long word at an offset, a multiple of 8; `None` outside.
    fn long_word(&self, offset: usize) -> Option<&AtomicU64>;

    /// Copies bytes in; `false`, and nothing happens, if they do not fit.
    fn copy_in(&self, offset: usize, from: &[u8]) -> bool;

    /// Copies bytes out; `false`, and nothing happens, if they are not there.
    fn copy_out(&self, offset: usize, to: &mut [u8]) -> bool;
}
