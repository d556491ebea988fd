//! What a server gets from its host.
//!
//! A server is a `no_std` library with an async entry. It never touches a port, an interrupt
//! controller or a clock by itself: it is handed implementations of the traits below, so that the
//! same crate runs resident (ring 0, the kernel implements the traits on its own objects) or
//! isolated (ring 3, they are system calls), and under a register-level model in host tests.
//!
//! * [`io`]: [`IoPorts`], a range of I/O ports, and [`Interrupt`], a line that delivers once and is
//!   re-armed by its driver.
//! * [`clock`]: [`Clock`], the time and sleeping.
//! * [`stream`]: [`ByteSource`] and [`ByteSink`], bytes with back-pressure.
//! * [`pipe`]: [`Pipe`], a bounded byte pipe with one writer and one reader, and its counters.
//! * [`race`]: [`first`], [`first_of_3`] and [`yield_now`], the few combinators servers need.
//! * [`watched`]: objects that tasks wait for. [`tasks`]: tasks and time, wherever a server is placed. [`crowd`]: many futures in one task.
//! * [`ring`](mod@ring): records through shared memory, for bulk data.
//! * [`duplex`]: two rings, one each way, with one bell: what sockets are made of.
//! * [`service`]: contracts over endpoints. [`calls`]: how a task calls and only itself waits.
//! * [`framebuffer`]: the screen's pixels, for who is given them. [`input`]: keyboard and pointer, for who listens.
//! * [`tables`]: the system's figures. [`plugged`]: devices that come and go while a unit runs.
//! * [`unit`]: what a unit says to the manager and asks of it.
//! * [`launch`]: starting a program. [`start`]: the start block it finds. [`sys`]: the ring-3 side: system calls, and what makes a crate a program ([`entry!`]).
//!
//! What must hold, for every implementation:
//! * every future is cancel-safe: dropping it before it is ready loses no event and no byte;
//! * every future is `Send`: a best-effort server may be moved to another core between polls;
//! * no method allocates, and the ones that are not async never wait.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod calls;
pub mod clock;
pub mod crowd;
pub mod duplex;
pub mod framebuffer;
pub mod input;
pub mod io;
pub mod launch;
pub mod pipe;
pub mod plugged;
pub mod race;
pub mod ring;
pub mod service;
pub mod start;
pub mod stream;
pub mod sys;
pub mod tables;
pub mod tasks;
pub mod unit;
pub mod watched;

pub use clock::Clock;
pub use crowd::Crowd;
pub use io::{Interrupt, IoPorts, IrqEvent};
pub use pipe::{Pipe, PipeCounters, PipeReader, PipeWriter};
pub use race::{Either, Either3, first, first_of_3, yield_now};
pub use stream::{ByteSink, ByteSource, Closed};
pub use sys::Env;
pub use tasks::{MonotonicClock, sleep, spawn, spawn_due};
pub use watched::{ByteChannel, Watched};
