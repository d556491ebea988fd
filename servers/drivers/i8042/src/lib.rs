//! Driver of the i8042 controller: the keyboard at its first port and, if wanted, a mouse at its second.
//!
//! [`Controller::start`] brings the controller up and turns the interrupts on; [`Controller::run`] is the driver's task: it gives each
//! byte to a [`Receiver`], with its port and the tick of its interrupt. The keyboard's are in scan code set 1: that is what the
//! controller makes of the keyboard's own set 2 ("translation"), and the only form that emulations of a keyboard in firmware reliably
//! offer. [`Packets`] makes motion and buttons of the mouse's.
//!
//! The kernel drives the keyboard with it where there is no desktop; the input server drives both ports.
//!
//! What must hold:
//! * **Every wait ends.** The controller is asked whether it is ready a bounded number of times with
//!   sleeps in between. A machine without one gets an error that says so, never a hang.
//! * **The second port is held off**, its device untouched, unless its interrupt was handed over and a mouse is found: a byte from
//!   it would sit before the keyboard's until its own interrupt is served. One that was on its way
//!   is taken off the controller and counted.
//! * **A mouse is never a condition**: whatever the second port does, the keyboard works.
//! * **No lost edge**: bytes are read until there are none, the interrupt is acknowledged, and the
//!   status is looked at once more before waiting.
//! * **Nothing is dropped by us**: while the receiver has no room, bytes stay in the controller.
//!
//! A mouse that is plugged in later is not noticed: the connector was never made for that.
//!
//! Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
//! Controller"; command and bit names are those of the data sheet of the 8242.
#![no_std]
#![forbid(unsafe_code)]

mod mouse;
mod packets;
pub mod registers;
mod run;
mod start;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

pub use packets::{Buttons, Mouse, Packet, Packets};
pub use run::{KeyboardStream, Receiver, RunEnd};

/// Ports to hand over: `0x60` to `0x64`; offset 0 is data, offset 4 status and command.
pub const FIRST_PORT: u16 = 0x60;
/// How many ports that is.
pub const PORTS: u16 = 5;

/// What went wrong while the controller was brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The status port reads as all ones: nothing drives the bus.
    NothingThere,
    /// It did not take a byte in time.
    NotAccepting {
        /// The command that could not be sent.
        command: u8,
    },
    /// It did not answer a command in time.
    NoAnswer {
        /// The command.
        command: u8,
    },
    /// It never runs out of bytes to read.
    NeverEmpty,
    /// Its self test answered something else than `0x55`.
    SelfTest {
        /// What it answered.
        answer: u8,
    },
    /// The test of the keyboard port answered something else than 0.
    PortTest {
        /// What it answered: 1 and 2 clock, 3 and 4 data line stuck low or high.
        answer: u8,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingThere => f.write_str("the port reads 0xff"),
            Self::NotAccepting { command } => {
                write!(f, "it did not take command {command:#04x} in time")
            }
            Self::NoAnswer { command } => {
                write!(f, "command {command:#04x} got no answer in time")
            }
            Self::NeverEmpty => f.write_str("it never runs out of bytes to read"),
            Self::SelfTest { answer } => {
                write!(f, "its self test answered {answer:#04x} instead of 0x55")
            }
            Self::PortTest { answer } => {
                write!(
                    f,
                    "the test of the keyboard port answered {answer:#04x} instead of 0"
                )
            }
        }
    }
}

/// There is no usable keyboard controller. The message is complete: what, where, what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartError {
    /// What went wrong.
    pub fault: Fault,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::SelfTest { .. } | Fault::PortTest { .. } => {
                "the keyboard controller at port 0x64 is faulty"
            }
            _ => "no keyboard controller answers at port 0x64",
        };
        write!(f, "{what}: {}; use the serial console", self.fault)
    }
}

impl core::error::Error for StartError {}

/// Whether a keyboard answered when its scanning was switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyboard {
    /// It did.
    Answered,
    /// None did; one that is plugged in later still works.
    Silent,
}

/// A copy of the driver's counters, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Interrupts delivered.
    pub interrupts: u64,
    /// Deliveries that found no byte.
    pub spurious: u64,
    /// Keyboard bytes passed on.
    pub bytes: u64,
    /// Bytes with a parity or time-out error, discarded.
    pub errors: u64,
    /// Mouse bytes passed on.
    pub mouse_bytes: u64,
    /// Bytes of the second port that nobody drives, discarded.
    pub second_port_bytes: u64,
    /// Times the controller was held back, as the receiver had no room.
    pub stalls: u64,
}

#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Only the driver's task adds, so that a load and a store do.
    fn add(&self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Live {
    interrupts: Count,
    spurious: Count,
    bytes: Count,
    errors: Count,
    mouse_bytes: Count,
    second_port_bytes: Count,
    stalls: Count,
}

/// Where a byte comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The keyboard's.
    First,
    /// The mouse's.
    Second,
}

/// The controller's interrupts.
#[derive(Debug)]
pub struct Lines<I> {
    /// Line 1.
    pub keyboard: I,
    /// Line 12; without it the second port is held off.
    pub mouse: Option<I>,
}

/// A keyboard controller that is up.
pub struct Controller<P, I> {
    pub(crate) ports: P,
    pub(crate) lines: Lines<I>,
    pub(crate) counters: Live,
    keyboard: Keyboard,
    mouse: Option<Mouse>,
}

impl<P, I> Controller<P, I> {
    pub(crate) fn new(ports: P, lines: Lines<I>, keyboard: Keyboard, mouse: Option<Mouse>) -> Self {
        Self {
            ports,
            lines,
            counters: Live::default(),
            keyboard,
            mouse,
        }
    }

    /// One that another instance of the driver brought up, with this mouse, and left as it is: no byte that waits in it is lost.
    pub fn resume(ports: P, lines: Lines<I>, mouse: Option<Mouse>) -> Self {
        Self::new(ports, lines, Keyboard::Answered, mouse)
    }

    /// Whether a keyboard answered at the start.
    pub const fn keyboard(&self) -> Keyboard {
        self.keyboard
    }

    /// The mouse that was found at the start, if one is driven.
    pub const fn mouse(&self) -> Option<Mouse> {
        self.mouse
    }

    /// What the driver saw so far.
    pub fn counters(&self) -> Counters {
        Counters {
            interrupts: self.counters.interrupts.get(),
            spurious: self.counters.spurious.get(),
            bytes: self.counters.bytes.get(),
            errors: self.counters.errors.get(),
            mouse_bytes: self.counters.mouse_bytes.get(),
            second_port_bytes: self.counters.second_port_bytes.get(),
            stalls: self.counters.stalls.get(),
        }
    }
}
