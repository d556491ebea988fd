//! The ring-3 side: system calls as typed methods of owned handles, and what a program's first instruction needs.
//!
//! # Tour
//! * [`gate`]: the one place where a system call is made, by `syscall` or, in a resident server, by a plain call.
//! * [`object`]: [`Owned`](object::Owned) handles, closed when dropped, and a type for each kind of object.
//! * [`memory`], [`process`], [`thread`]: what vmos, processes, threads and jobs can do.
//! * [`driven`]: threads of other processes that this one runs.
//! * [`channel`], [`endpoint`], [`port`] (with notifications and timers): messages and waiting. [`message`]: what they carry.
//! * [`device`]: I/O ports, interrupts, the system's tables.
//! * [`clock`]: the time page. [`log`](mod@log): records in the kernel's log, and panics. [`heap`]: the allocator.
//! * [`env`](mod@env): what the process was given. [`entry!`](crate::entry) ties it all together in a program.
//! * [`resident`]: how the kernel starts a server of its image.
//! * [`started`]: calls whose answer comes to a port.
//! * [`exec`]: the executor inside a process. [`reactor`]: the port that its tasks wait on.
//! * [`provoke`]: what no program should do, for tests of the kernel.
//!
//! Methods that end in `_blocking` wait with the whole thread: tasks of an executor use the reactor instead.
//!
//! What must hold: this is the only home of `unsafe` in `rt`; a safe function here harms no memory of its own process, whatever
//! its arguments. Nothing here defines a symbol, so that the kernel can link `rt` too: the first instruction, the memory functions,
//! the allocator and the panic handler of a program come with [`entry!`](crate::entry).
#![allow(unsafe_code)]

pub mod channel;
pub mod clock;
pub mod device;
pub mod dma;
pub mod driven;
pub mod endpoint;
pub mod entry;
pub mod env;
pub mod exec;
pub mod gate;
pub mod heap;
pub mod log;
pub mod memory;
pub mod message;
pub mod object;
pub mod port;
pub mod process;
pub mod provoke;
pub mod reactor;
pub mod resident;
pub mod started;
pub mod thread;

pub use env::Env;
pub use object::{Borrowed, Object, Owned};
