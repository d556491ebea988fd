//! Kernel objects as pure logic: what a handle may do, who pays, what queues hold, who waits, and which pages lie where.
//!
//! Host-tested. The kernel fills in the machine through small traits and dispatches system calls onto this.
//!
//! What must hold: every byte is charged to a job before it is allocated; every allocation may fail and says so; no lock is
//! held over an await and none is taken by a top half; nothing a process does panics.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod atomics;
pub mod capability;
pub mod channel;
mod charged;
pub mod endpoint;
pub mod graveyard;
pub mod handle;
pub mod job;
pub mod lease;
pub mod memory;
pub mod notification;
pub mod object;
pub mod observers;
pub mod port;
pub mod refs;
pub mod signals;
mod slots;
pub mod timer;

pub use object::KernelObject;
