//! Registers and commands of the controller, and the one keyboard command used.

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
    /// Controller self test; answers `0x55`.
    pub const SELF_TEST: u8 = 0xaa;
    /// Test of the first port's lines; answers 0.
    pub const FIRST_TEST: u8 = 0xab;
    /// Hold the first port.
    pub const FIRST_OFF: u8 = 0xad;
    /// Release the first port.
    pub const FIRST_ON: u8 = 0xae;
}

/// Keyboard command: start scanning.
pub const KEYBOARD_SCAN: u8 = 0xf4;
/// The keyboard's acknowledgement.
pub const KEYBOARD_ACK: u8 = 0xfa;
/// What [`command::SELF_TEST`] answers when all is well.
pub const SELF_TEST_PASSED: u8 = 0x55;
