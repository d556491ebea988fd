//! Numbers of network cards (§5.1): features, configuration, what stands before each frame, and commands.

/// Features (§5.1.3).
pub mod feature {
    /// The device adds the checksums that the driver has begun.
    pub const CSUM: u64 = 1 << 0;
    /// The driver takes frames with checksums that were only begun, and is told which are right.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// It says its MTU.
    pub const MTU: u64 = 1 << 3;
    /// It says its address.
    pub const MAC: u64 = 1 << 5;
    /// It says whether the link is up.
    pub const STATUS: u64 = 1 << 16;
    /// It has a queue for commands.
    pub const CTRL_VQ: u64 = 1 << 17;
    /// It takes commands about which frames it receives.
    pub const CTRL_RX: u64 = 1 << 18;
    /// It has several pairs of queues.
    pub const MQ: u64 = 1 << 22;
}

/// Offsets in its configuration (§5.1.4).
pub mod config {
    /// Its address: 6 bytes.
    pub const MAC: usize = 0;
    /// Two bytes.
    pub const STATUS: usize = 6;
    /// How many pairs of queues it has: two bytes.
    pub const MAX_PAIRS: usize = 8;
    /// Two bytes.
    pub const MTU: usize = 10;
    /// In the status.
    pub const LINK_UP: u16 = 1;
}

/// What stands before each frame (§5.1.6).
pub mod header {
    /// Its length: the number of buffers is always there since version 1.0.
    pub const BYTES: usize = 12;
    /// Offset of the flags.
    pub const FLAGS: usize = 0;
    /// In the flags: the checksum was only begun.
    pub const NEEDS_CSUM: u8 = 1;
    /// In the flags: the checksum of TCP or UDP is right.
    pub const DATA_VALID: u8 = 2;

    /// That of a frame whose checksum the device is to add from `start` on, at `field` from there.
    #[must_use]
    pub const fn with_checksum(start: u16, field: u16) -> [u8; BYTES] {
        let [s0, s1] = start.to_le_bytes();
        let [f0, f1] = field.to_le_bytes();
        [NEEDS_CSUM, 0, 0, 0, 0, 0, s0, s1, f0, f1, 0, 0]
    }
}

/// Commands (§5.1.6.5): class and number.
pub mod command {
    /// Frames to other stations: a byte says whether.
    pub const PROMISCUOUS: [u8; 2] = [0, 0];
    /// Frames to any group: a byte says whether.
    pub const ALL_GROUPS: [u8; 2] = [0, 1];
    /// How many pairs of queues are used: two bytes.
    pub const PAIRS: [u8; 2] = [4, 0];
    /// The answer: done.
    pub const OK: u8 = 0;
}
