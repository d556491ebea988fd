//! Registers of the 16550 (PC16550D data sheet, §8 "Registers").
//!
//! Offsets are from the base port; offsets 0 and 1 are the divisor while [`lcr::DLAB`] is set.

/// Receive buffer (read), transmit holding register (write), divisor low byte (with DLAB).
pub const DATA: u16 = 0;
/// Interrupt enable, divisor high byte (with DLAB).
pub const IER: u16 = 1;
/// Interrupt identification (read), FIFO control (write).
pub const IIR_FCR: u16 = 2;
/// Line control.
pub const LCR: u16 = 3;
/// Modem control.
pub const MCR: u16 = 4;
/// Line status.
pub const LSR: u16 = 5;
/// Modem status.
pub const MSR: u16 = 6;
/// Scratch: holds a byte and does nothing.
pub const SCR: u16 = 7;

/// Interrupt enable bits.
pub mod ier {
    /// Received data available (and, with FIFOs, the character time-out).
    pub const RECEIVED: u8 = 1 << 0;
    /// Transmit holding register empty.
    pub const TRANSMIT_EMPTY: u8 = 1 << 1;
    /// Line status: overrun, parity, framing, break.
    pub const LINE_STATUS: u8 = 1 << 2;
}

/// Interrupt identification bits.
pub mod iir {
    /// Set when *no* interrupt is pending.
    pub const NONE_PENDING: u8 = 1 << 0;
    /// Both set when the FIFOs are enabled and work.
    pub const FIFOS_ENABLED: u8 = 0b11 << 6;
}

/// FIFO control bits.
pub mod fcr {
    /// Enables both FIFOs. The receive trigger level in bits 6 and 7 stays 0: one byte.
    pub const ENABLE: u8 = 1 << 0;
}

/// Line control bits.
pub mod lcr {
    /// Eight data bits, no parity, one stop bit.
    pub const EIGHT_N_1: u8 = 0b11;
    /// Divisor latch access.
    pub const DLAB: u8 = 1 << 7;
}

/// Modem control bits.
pub mod mcr {
    /// Data terminal ready.
    pub const DTR: u8 = 1 << 0;
    /// Request to send.
    pub const RTS: u8 = 1 << 1;
    /// On a PC this output connects the interrupt line.
    pub const OUT2: u8 = 1 << 3;
}

/// Line status bits.
pub mod lsr {
    /// A received byte waits.
    pub const DATA_READY: u8 = 1 << 0;
    /// A byte came while the receiver was full, and is lost.
    pub const OVERRUN: u8 = 1 << 1;
    /// The next byte has wrong parity.
    pub const PARITY: u8 = 1 << 2;
    /// The next byte has no stop bit.
    pub const FRAMING: u8 = 1 << 3;
    /// The line was held low; the next byte is a zero that nobody sent.
    pub const BREAK: u8 = 1 << 4;
    /// The transmit FIFO (or holding register) is empty.
    pub const TRANSMIT_EMPTY: u8 = 1 << 5;
}
