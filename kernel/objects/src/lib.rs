//! Kernel objects as pure logic: what a handle may do, who pays, what queues hold, who waits, and which pages lie where.
//!
//! Host-tested. The kernel fills in the machine through small traits and dispatches system calls onto this: it defines an enum of all
//! objects ([`KernelObject`]), and who calls and receives.
//!
//! # Tour
//! * [`refs`]: shared ownership that may fail to allocate; the only unsafe code. [`job`]: limits, and charges against them.
//! * [`object`]: what all objects have; an object is closed with its last *handle*, its memory goes with its last reference.
//! * [`capability`]: object and rights; every way in which one is made from another. [`handle`]: a process's table of them.
//!   [`lease`]: taking them back.
//! * [`signals`]: levels to wait for. [`observers`]: who stays informed.
//! * [`channel`], [`port`], [`endpoint`], [`notification`], [`timer`]: the objects themselves. [`memory`]: vmos and address spaces.
//! * [`graveyard`]: contents that are too much to drop at once.
//!
//! Who builds a system call: look the handle up ([`handle::HandleTable::get_typed`]), allocate what may fail, do the one thing that takes
//! effect, hand out what was promised room before. Waiting is awaiting, with the handle's lease.
//!
//! Lock order: endpoint, port, binding; a channel's inbox; a table's places. Those of signals, observers and reply tables are taken under
//! any of these and hold nothing else. Wakers, receivers and capabilities are called and dropped under none.
//!
//! What must hold: every byte is charged to a job before it is allocated; every allocation may fail and says so; no lock is
//! held over an await and none is taken by a top half; nothing a process does panics.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod atomics;
pub mod refs;

// Under loom there are only the references: what waits is the executor's, which has models of its own.
#[cfg(not(loom))]
pub mod capability;
#[cfg(not(loom))]
pub mod channel;
#[cfg(not(loom))]
mod charged;
#[cfg(not(loom))]
pub mod endpoint;
#[cfg(not(loom))]
pub mod graveyard;
#[cfg(not(loom))]
pub mod handle;
#[cfg(not(loom))]
pub mod job;
#[cfg(not(loom))]
pub mod lease;
#[cfg(not(loom))]
pub mod memory;
#[cfg(not(loom))]
pub mod notification;
#[cfg(not(loom))]
pub mod object;
#[cfg(not(loom))]
pub mod observers;
#[cfg(not(loom))]
pub mod port;
#[cfg(not(loom))]
pub mod signals;
#[cfg(not(loom))]
mod slots;
#[cfg(not(loom))]
pub mod timer;

#[cfg(not(loom))]
pub use object::KernelObject;
