//! Registers and descriptors (Intel 82574 GbE Controller Family datasheet, revision 3.4; "§" is a section of it).

/// Offsets in the first window (§10.1.1).
pub mod register {
    /// Control.
    pub const CTRL: usize = 0x0000;
    /// Status.
    pub const STATUS: usize = 0x0008;
    /// More control.
    pub const CTRL_EXT: usize = 0x0018;
    /// Causes of interrupts that are pending; ones clear.
    pub const ICR: usize = 0x00c0;
    /// Causes that are let through: ones add.
    pub const IMS: usize = 0x00d0;
    /// The same: ones remove.
    pub const IMC: usize = 0x00d8;
    /// Causes that are cleared and masked when their message is sent.
    pub const EIAC: usize = 0x00dc;
    /// Which message each group of causes has.
    pub const IVAR: usize = 0x00e4;
    /// Least time between two messages, for each of the five.
    pub const EITR: usize = 0x00e8;
    /// Receiving.
    pub const RCTL: usize = 0x0100;
    /// Sending.
    pub const TCTL: usize = 0x0400;
    /// Gaps between frames.
    pub const TIPG: usize = 0x0410;
    /// The ring of received frames: address, its upper half, length, head, tail.
    pub const RDBAL: usize = 0x2800;
    /// Upper half.
    pub const RDBAH: usize = 0x2804;
    /// Length in bytes.
    pub const RDLEN: usize = 0x2808;
    /// Head: the card's.
    pub const RDH: usize = 0x2810;
    /// Tail: the driver's.
    pub const RDT: usize = 0x2818;
    /// Delay of interrupts for received frames.
    pub const RDTR: usize = 0x2820;
    /// The ring of frames to send.
    pub const TDBAL: usize = 0x3800;
    /// Upper half.
    pub const TDBAH: usize = 0x3804;
    /// Length in bytes.
    pub const TDLEN: usize = 0x3808;
    /// Head: the card's.
    pub const TDH: usize = 0x3810;
    /// Tail: the driver's.
    pub const TDT: usize = 0x3818;
    /// Delay of interrupts for sent frames.
    pub const TIDV: usize = 0x3820;
    /// Frames with a wrong check sequence; cleared by reading, as all counters.
    pub const CRCERRS: usize = 0x4000;
    /// Frames for which there was no room.
    pub const MPC: usize = 0x4010;
    /// Frames that were too short.
    pub const RUC: usize = 0x40a4;
    /// Frames that were too long.
    pub const ROC: usize = 0x40ac;
    /// Which checksums are checked.
    pub const RXCSUM: usize = 0x5000;
    /// Filter of groups: 128 words.
    pub const MTA: usize = 0x5200;
    /// The first address.
    pub const RAL: usize = 0x5400;
    /// Its last two bytes.
    pub const RAH: usize = 0x5404;
    /// Words of the filter of groups.
    pub const MTA_WORDS: usize = 128;
    /// What the window has at least.
    pub const BYTES: usize = 0x8000;
}

/// Control (§10.2.2.1).
pub mod ctrl {
    /// No new accesses to memory.
    pub const MASTER_DISABLE: u32 = 1 << 2;
    /// The speed is that of the PHY.
    pub const AUTO_SPEED: u32 = 1 << 5;
    /// The link is to come up.
    pub const SET_LINK_UP: u32 = 1 << 6;
    /// Speed and duplex by software.
    pub const FORCED: u32 = 1 << 11 | 1 << 12;
    /// Resets it, but for the PHY.
    pub const RESET: u32 = 1 << 26;
}

/// More control (§10.2.2.5).
pub mod ctrl_ext {
    /// A driver is there: manageability firmware keeps away.
    pub const DRIVER_LOADED: u32 = 1 << 28;
    /// With MSI-X, pending bits are cleared when a message is sent.
    pub const PBA_CLEAR: u32 = 1 << 31;
}

/// Status (§10.2.2.2).
pub mod status {
    /// The link is up.
    pub const LINK_UP: u32 = 1 << 1;
    /// Accesses to memory may be under way.
    pub const MASTER_ENABLED: u32 = 1 << 19;
    /// What nobody answers with.
    pub const GONE: u32 = u32::MAX;
}

/// Causes of interrupts (§10.2.4.1).
pub mod cause {
    /// The link came or went.
    pub const LINK: u32 = 1 << 2;
    /// Frames were received.
    pub const RECEIVED: u32 = 1 << 20;
    /// Frames were sent.
    pub const SENT: u32 = 1 << 22;
    /// Something else, the link among it.
    pub const OTHER: u32 = 1 << 24;
}

/// Messages (§10.2.4.9): three bits for the number and one that says it is there; the last bit has each descriptor that is written back
/// interrupt.
pub const IVAR: u32 = 0x8
    | super::RECEIVED as u32
    | (0x8 | super::SENT as u32) << 8
    | (0x8 | super::NEWS as u32) << 16
    | 1 << 31;

/// Receiving (§10.2.5.1). A size of 0 is 2048 bytes for each buffer.
pub mod rctl {
    /// On.
    pub const ENABLE: u32 = 1 << 1;
    /// Frames to all groups.
    pub const ALL_GROUPS: u32 = 1 << 4;
    /// Frames to all.
    pub const BROADCAST: u32 = 1 << 15;
    /// Without the check sequence.
    pub const STRIP_CRC: u32 = 1 << 26;
}

/// Sending (§10.2.6.1).
pub mod tctl {
    /// On.
    pub const ENABLE: u32 = 1 << 1;
    /// Short frames are padded.
    pub const PAD: u32 = 1 << 3;
    /// Tries after collisions, and how late those may be: what the datasheet recommends for full duplex.
    pub const COLLISIONS: u32 = 0xf << 4 | 0x3f << 12;
    /// Several reads at a time.
    pub const SEVERAL_READS: u32 = 1 << 28;
}

/// Gaps between frames: what the datasheet recommends (§10.2.6.2).
pub const TIPG: u32 = 8 | 8 << 10 | 6 << 20;

/// Which checksums are checked (§10.2.5.15).
pub mod rxcsum {
    /// That of IPv4.
    pub const IPV4: u32 = 1 << 8;
    /// Those of TCP and UDP.
    pub const PAYLOAD: u32 = 1 << 9;
}

/// The address is in use (§10.2.5.19).
pub const ADDRESS_VALID: u32 = 1 << 31;

/// Descriptors of either ring: 16 bytes, the address of the buffer first (§7.1.4, §7.2.10).
pub const DESCRIPTOR_BYTES: usize = 16;

/// Descriptors of received frames.
pub mod received {
    /// Offset of the length: two bytes.
    pub const LENGTH: usize = 8;
    /// Offset of the status: a byte.
    pub const STATUS: usize = 12;
    /// Offset of errors: a byte.
    pub const ERRORS: usize = 13;
    /// In the status: the card is done with it.
    pub const DONE: u8 = 1 << 0;
    /// The frame ends here.
    pub const END: u8 = 1 << 1;
    /// Checksums were not looked at.
    pub const NO_CHECKSUMS: u8 = 1 << 2;
    /// UDP's was.
    pub const UDP: u8 = 1 << 4;
    /// TCP's or UDP's was.
    pub const PAYLOAD: u8 = 1 << 5;
    /// IPv4's was.
    pub const IPV4: u8 = 1 << 6;
    /// In the errors: the frame was damaged on the wire.
    pub const DAMAGED: u8 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 7;
    /// The checksum of TCP or UDP is wrong.
    pub const BAD_PAYLOAD: u8 = 1 << 5;
    /// That of IPv4 is wrong.
    pub const BAD_IPV4: u8 = 1 << 6;
}

/// Descriptors of frames to send.
pub mod sent {
    /// Offset of the status: a byte.
    pub const STATUS: usize = 12;
    /// In the status: the card is done with it.
    pub const DONE: u8 = 1 << 0;
    /// Of the command, the fourth byte behind the address: the frame ends here; it gets a check sequence; its status is reported.
    pub const COMMAND: u8 = 1 << 0 | 1 << 1 | 1 << 3;
}
