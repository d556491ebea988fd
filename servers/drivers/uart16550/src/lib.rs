//! Driver of the 16550 serial port and its kin, interrupt-driven in both directions.
//!
//! [`Uart::probe`] looks whether a chip answers and sets it up; [`Uart::run`] is the driver's task,
//! which moves bytes between the chip and two streams. The host calls both, see
//! [`rt`] for what it must provide; one task runs `run`, anybody may read [`Uart::counters`].
//!
//! What must hold:
//! * **No lost edge.** The chip's interrupt output is the OR of its causes, and on the ISA bus only
//!   its *rise* is seen. So [`Uart::run`] serves causes until IIR reports none (the output is low),
//!   acknowledges, and looks at IIR once more before it waits: whatever comes after that look
//!   raises the output while the line is armed.
//! * **Nothing received is dropped by us.** When the reader's stream is full, the receive interrupt
//!   is switched off and bytes stay in the chip until there is room. The sender's flow control, or
//!   the virtual machine, then holds back; otherwise the chip counts an overrun and so do we.
//! * **Short polls.** A poll serves at most [`PASSES_PER_POLL`] rounds of the chip's FIFO.
#![no_std]
#![forbid(unsafe_code)]

mod counters;
pub mod registers;
mod run;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use rt::{Interrupt, IoPorts};

pub use counters::Counters;
use counters::Live;
use registers::{DATA, IER, IIR_FCR, LCR, LSR, MCR, MSR, SCR, fcr, iir, lcr, mcr};
pub use run::{PASSES_PER_POLL, RunEnd};

/// Ports the chip occupies, from its base.
pub const PORTS: u16 = 8;
/// Bytes the chip's FIFOs hold, each.
pub const FIFO_BYTES: usize = 16;
/// The rate a divisor of 1 gives: the PC's 1.8432 MHz crystal over 16.
pub const MAX_BAUD: u32 = 115_200;

/// How to set up a port: eight data bits, no parity, one stop bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The base port, for messages only: `0x3f8` for COM1.
    pub base_port: u16,
    /// Bits per second; [`MAX_BAUD`] divided by a whole number.
    pub baud: u32,
}

/// Why a port cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartError {
    /// No chip answers.
    Absent {
        /// The base port that was tried.
        base_port: u16,
    },
    /// The rate cannot be made from the crystal.
    Baud {
        /// The rate that was asked for.
        baud: u32,
    },
}

impl fmt::Display for UartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { base_port } => write!(
                f,
                "no serial port answers at port {base_port:#x}: its scratch register does not keep \
                 a byte; enable the port in the firmware or use another"
            ),
            Self::Baud { baud } => write!(
                f,
                "a serial port cannot run at {baud} bits/s: use {MAX_BAUD} divided by 1 to 65535"
            ),
        }
    }
}

impl core::error::Error for UartError {}

/// A serial port.
pub struct Uart<P, I> {
    ports: P,
    irq: I,
    fifo_bytes: usize,
    running: AtomicBool,
    counters: Live,
}

impl<P: IoPorts, I: Interrupt> Uart<P, I> {
    /// Looks for a chip behind `ports` (offsets 0 to 7) and sets it up, with its interrupts still
    /// off. Bytes it is sending or has received are kept. Never waits.
    ///
    /// # Errors
    /// [`UartError::Absent`] if no chip answers, [`UartError::Baud`] if the rate cannot be made.
    pub fn probe(ports: P, irq: I, config: Config) -> Result<Self, UartError> {
        let divisor = divisor(config.baud)?;
        // Two complementary values, so that neither a floating nor a stuck bus passes.
        for value in [0x5a, 0xa5] {
            ports.write_u8(SCR, value);
            if ports.read_u8(SCR) != value {
                return Err(UartError::Absent {
                    base_port: config.base_port,
                });
            }
        }
        ports.write_u8(IER, 0);
        ports.write_u8(LCR, lcr::EIGHT_N_1 | lcr::DLAB);
        let [low, high] = divisor.to_le_bytes();
        // Written only when it changes: a write restarts the bit clock and would garble a byte that
        // early boot output left in the transmitter.
        if [ports.read_u8(DATA), ports.read_u8(IER)] != [low, high] {
            ports.write_u8(DATA, low);
            ports.write_u8(IER, high);
        }
        ports.write_u8(LCR, lcr::EIGHT_N_1);
        // Trigger level one byte: it gives the least latency and leaves 15 bytes of slack, and a
        // burst still costs few interrupts, since each delivery empties the FIFO.
        ports.write_u8(IIR_FCR, fcr::ENABLE);
        let has_fifo = ports.read_u8(IIR_FCR) & iir::FIFOS_ENABLED == iir::FIFOS_ENABLED;
        ports.write_u8(MCR, mcr::DTR | mcr::RTS | mcr::OUT2);
        // Reading clears what was latched before us.
        ports.read_u8(LSR);
        ports.read_u8(MSR);
        Ok(Self {
            ports,
            irq,
            fifo_bytes: if has_fifo { FIFO_BYTES } else { 1 },
            running: AtomicBool::new(false),
            counters: Live::default(),
        })
    }

    /// Bytes the chip buffers in each direction: 16, or 1 for a chip without working FIFOs.
    pub fn fifo_bytes(&self) -> usize {
        self.fifo_bytes
    }

    /// What the driver saw so far.
    pub fn counters(&self) -> Counters {
        self.counters.copy()
    }

    fn claim(&self) -> bool {
        !self.running.swap(true, Ordering::Relaxed)
    }

    fn release(&self) {
        self.ports.write_u8(IER, 0);
        self.running.store(false, Ordering::Relaxed);
    }
}

fn divisor(baud: u32) -> Result<u16, UartError> {
    let error = UartError::Baud { baud };
    if baud == 0 || !MAX_BAUD.is_multiple_of(baud) {
        return Err(error);
    }
    u16::try_from(MAX_BAUD / baud).map_err(|_| error)
}
