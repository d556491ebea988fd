//! Registers and commands of the controller, and the commands to keyboard and mouse.

/// Offset of the data port.
pub const DATA: u16 = 0;
/// Offset of the status (read) and command (write) port.
pub const STATUS_COMMAND: u16 = 4;

/// Status bits.
pub mod status {
    /// A byte waits to be read.
    pub const OUTPUT_FULL: u8 = 1 << 0;
    /// The controller has not yet taken the last byte written.
    pub const INPUT_FULL: u8 = 1 << 1;
    /// The waiting byte is from the second port.
    pub const SECOND_PORT: u8 = 1 << 5;
    /// A device did not finish a byte in time.
    pub const TIMEOUT: u8 = 1 << 6;
    /// A byte had wrong parity.
    pub const PARITY: u8 = 1 << 7;
}

/// Configuration byte bits.
pub mod config {
    /// Interrupt for the first port.
    pub const FIRST_IRQ: u8 = 1 << 0;
    /// Interrupt for the second port.
    pub const SECOND_IRQ: u8 = 1 << 1;
    /// Clock of the first port held.
    pub const FIRST_OFF: u8 = 1 << 4;
    /// Clock of the second port held.
    pub const SECOND_OFF: u8 = 1 << 5;
    /// Scan code set 2 from the keyboard becomes set 1.
    pub const TRANSLATE: u8 = 1 << 6;
}

/// Controller commands.
pub mod command {
    /// Read the configuration byte.
    pub const READ_CONFIG: u8 = 0x20;
    /// Write the configuration byte (the next data byte).
    pub const WRITE_CONFIG: u8 = 0x60;
    /// Hold the second port.
    pub const SECOND_OFF: u8 = 0xa7;
    /// Release the second port.
    pub const SECOND_ON: u8 = 0xa8;
    /// Test of the second port's lines; answers 0.
    pub const SECOND_TEST: u8 = 0xa9;
    /// Controller self test; answers `0x55`.
    pub const SELF_TEST: u8 = 0xaa;
    /// Test of the first port's lines; answers 0.
    pub const FIRST_TEST: u8 = 0xab;
    /// Hold the first port.
    pub const FIRST_OFF: u8 = 0xad;
    /// Release the first port.
    pub const FIRST_ON: u8 = 0xae;
    /// The next data byte goes to the second port's device.
    pub const TO_SECOND: u8 = 0xd4;
}

/// Mouse commands (IBM PS/2 Hardware Interface Technical Reference, "Mouse"), each acknowledged by [`ACK`].
pub mod mouse {
    /// One count for one unit of way.
    pub const SCALE_1_TO_1: u8 = 0xe6;
    /// Resolution; the next byte is 0 to 3 for 1, 2, 4, 8 counts in a millimetre.
    pub const SET_RESOLUTION: u8 = 0xe8;
    /// Asks what it is: see [`Mouse`](crate::Mouse).
    pub const READ_ID: u8 = 0xf2;
    /// Sample rate; the next byte is it, in Hz.
    pub const SET_RATE: u8 = 0xf3;
    /// Start reporting.
    pub const REPORT: u8 = 0xf4;
    /// Reset: the acknowledgement, [`PASSED`], and the number 0.
    pub const RESET: u8 = 0xff;
    /// Its self test was passed.
    pub const PASSED: u8 = 0xaa;
}

/// Keyboard command: start scanning.
pub const KEYBOARD_SCAN: u8 = 0xf4;
/// A device's acknowledgement.
pub const ACK: u8 = 0xfa;
/// What [`command::SELF_TEST`] answers when all is well.
pub const SELF_TEST_PASSED: u8 = 0x55;
