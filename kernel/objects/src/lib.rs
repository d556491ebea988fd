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
pub mod job;
pub mod memory;
pub mod refs;
