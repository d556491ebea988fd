//! What the cores did, as a file for [Perfetto](https://ui.perfetto.dev).
//!
//! * [`perfetto`]: the messages of its file format that are used here.
//! * [`timeline`]: the kernel's records ([`proto::TraceRow`]) made into them.
//!
//! The picture: a track for each core, with the polls of its tasks, and inside of them the processes that served a call in the same poll;
//! a track for each task, with when it was ready and waited for its turn, and when it ran; arrows from where a task was woken to the
//! poll that follows; interrupts, misses with their cause, and reservations that are used up as marks.
//!
//! Who uses it: `httpd`, for `/trace.pftrace`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod perfetto;
pub mod timeline;

pub use timeline::{Names, encode};
