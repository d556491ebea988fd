//! QEMU from Rust: describe a machine, start it, talk to it.
//!
//! [`Machine`] is the description; its defaults are the machine all figures are measured in
//! (q35, `-cpu max`, 512 MiB, 2 CPUs under TCG). [`Machine::spawn`] starts it headless and gives a
//! [`Vm`]: COM1 as a [`Serial`], QMP as a [`Qmp`], COM2 on request. Dropping the `Vm` kills QEMU
//! and removes its files. What a person watches goes by [`Machine::command`] instead.
//!
//! Nothing here sleeps: reads block in threads of their own, and every wait has a limit and says
//! on failure what was awaited and what came instead.

pub mod firmware;
mod machine;
mod network;
mod qmp;
pub mod script;
mod serial;
mod vm;

pub use machine::{Boot, Console, Display, Machine, Media, OnReset};
pub use network::{Forward, Network, Nic, Protocol};
pub use qmp::{Qmp, keys_of};
pub use serial::{PANIC_END_MARKS, PANIC_MARK, Serial, WaitError};
pub use vm::{Ports, Vm};
