//! Contracts between servers and their clients: plain data types and the traits that carry them.
//!
//! * [`System`]: what the shell (and later other tools) may ask of the running system.
//! * [`rows`]: one row type for each table `System` serves: tasks, cores, interrupts, PCI, log.
//! * [`info`]: the single answers: memory, time, identity. [`process`]: rows about processes.
//! * [`table`]: all of these as bytes, for [`abi::system::Table`].
//! * [`Services`]: what the shell may ask of the manager of units; [`services`]: its rows.
//! * [`manager`]: the same as bytes, and what a unit says to the manager.
//! * [`framebuffer`]: what the pixels of a framebuffer vmo are. [`terminal`]: what is at the end of a terminal's channel.
//! * [`input`]: what happens at keyboards and pointers; [`key`]: a key press. [`window`]: programs and the compositor; [`frames`]: how these went.
//! * [`net`]: programs and the net server.
//! * [`contract`]: services written down once; [`echo`](mod@echo): one for tests.
//! * [`text`]: [`Text`], a short string stored in place.
//!
//! Everything here is owned, of fixed size and free of pointers into the other side, so each
//! answer can cross a protection boundary as it is. Tables are read in pages: the client brings
//! the rows to fill and a [`Cursor`] that says where the last page ended. A request for a page is
//! idempotent (the cursor is the client's copy), so it may be sent again after a server restart.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod contract;
pub mod echo;
pub mod framebuffer;
pub mod frames;
pub mod info;
pub mod input;
pub mod key;
pub mod manager;
pub mod messages;
pub mod net;
pub mod process;
pub mod rows;
pub mod services;
pub mod system;
pub mod table;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod text;
pub mod trial;
pub mod window;

pub use framebuffer::FramebufferInfo;
pub use info::{
    Calibration, DateTime, HeapInfo, KindFrames, MAX_FRAME_KINDS, MemoryInfo, ScreenInfo,
    SystemInfo, TimeInfo,
};
pub use process::{HandleRow, ProcessRow, ProcessState, Reserved};
pub use rows::{
    Bar, CoreRow, CoreState, IrqRow, Level, LogRow, MAX_CORES, MISS_CAUSES, PciAddress, PciRow,
    TaskId, TaskRow, TaskState, TraceRow, Traced,
};
pub use services::{
    Action, NoProgram, Placement, RunEvent, Running, Services, UnitLogRow, UnitName, UnitRow,
    UnitState, exit_status,
};
pub use system::{Cursor, Refused, System};
pub use terminal::TerminalInfo;
pub use text::Text;
