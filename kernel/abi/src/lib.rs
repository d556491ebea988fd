//! The contract between the kernel and a process: numbers, errors, rights, and every byte layout both sides read.
//!
//! # Tour
//! * [`call`]: the system calls, one table ([`call::TABLE`]) from which numbers, names and the printed documentation come.
//! * [`device`]: what a driver learns of its device.
//! * [`error`]: what a system call can answer instead of a result.
//! * [`handle`]: handles, object types, rights and signals.
//! * [`memory`]: where a process's addresses lie, and how vmos are mapped.
//! * [`message`]: calls, replies, channel messages and port packets.
//! * [`process`]: limits of jobs, starting processes and threads, exception reports, registers of driven threads.
//! * [`time`]: the read-only time page.
//! * [`start`]: what a new process finds: its arguments and named handles.
//! * [`system`]: what the system object answers.
//!
//! # The gate
//! `syscall` with the number in `rax` and arguments in `rdi rsi rdx r10 r8 r9`. `rax` comes back as a result (never negative as
//! an `i64`) or a negative [`Error`]; `rdx` is the second result where there is one. `rcx`, `r11` and the other argument registers
//! are overwritten; so are all vector registers (with zeroes), and where the call waits, also the x87 state and `mxcsr` (with their
//! initial values). `rbx rbp rsp r12-r15` are kept, but for the calls that carry a message: see [`message::Words`].
//!
//! What must hold: a number, flag, right or option the kernel does not know is refused ([`Error::Unknown`],
//! [`Error::BadArgument`]), never ignored, so that each can be given a meaning later; layouts only grow at their end and say
//! their size or version; `tests` pins every layout down.
#![no_std]
#![forbid(unsafe_code)]

pub mod call;
pub mod device;
pub mod error;
pub mod handle;
pub mod memory;
pub mod message;
pub mod process;
pub mod start;
pub mod system;
#[cfg(test)]
mod tests;
pub mod time;

pub use call::Call;
pub use error::Error;
pub use handle::{Handle, ObjectType, Rights, Signals};

/// A deadline or time-out that never comes, in nanoseconds of the monotonic clock.
pub const FOREVER: u64 = u64::MAX;
/// A deadline that has passed: "do not wait".
pub const AT_ONCE: u64 = 0;
