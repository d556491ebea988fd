//! Handles, the types of objects, rights and signals.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A process's name for an object and what it may do with it: bits 31:0 the slot plus one, bits 63:32 the slot's generation.
/// Zero is never one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Handle(pub u64);

impl Handle {
    /// No handle.
    pub const NONE: Self = Self(0);

    /// The handle of this slot and generation.
    #[must_use]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | (slot as u64).wrapping_add(1) & 0xffff_ffff)
    }

    /// Slot and generation; `None` for a number that can be no handle.
    #[must_use]
    pub const fn parts(self) -> Option<(u32, u32)> {
        match (self.0 as u32).checked_sub(1) {
            Some(slot) => Some((slot, (self.0 >> 32) as u32)),
            None => None,
        }
    }
}

macro_rules! object_types {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// What kind of object a handle is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum ObjectType {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl ObjectType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The type of this number.
            #[must_use]
            pub const fn from_raw(raw: u32) -> Option<Self> {
                match raw {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Its name in listings.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

object_types! {
    /// An address space, a handle table, and threads.
    Process = 1, "process";
    /// Something that runs.
    Thread = 2, "thread";
    /// Memory, in pages.
    Vmo = 3, "vmo";
    /// Who brings a vmo's pages.
    Pager = 4, "pager";
    /// One end of a queue of messages, both ways.
    Channel = 5, "channel";
    /// Where calls arrive.
    Endpoint = 6, "endpoint";
    /// Bits that are set and taken.
    Notification = 7, "notification";
    /// A queue of packets about other objects.
    Port = 8, "port";
    /// Fires at a time.
    Timer = 9, "timer";
    /// A device's interrupt.
    Interrupt = 10, "interrupt";
    /// A device on a bus.
    Device = 11, "device";
    /// The right to give a device physical addresses.
    Dma = 12, "dma";
    /// A range of I/O ports.
    IoRange = 13, "io-range";
    /// Processor time.
    Reservation = 14, "reservation";
    /// Limits, and the processes under them.
    Job = 15, "job";
    /// What revokes a handle.
    Lease = 16, "lease";
    /// The kernel's log.
    Log = 17, "log";
    /// Tables of the whole system, and its power switch.
    System = 18, "system";
}

bitflags! {
    /// What a handle allows. Duplicating and sending can only take rights away.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Rights: u32 {
        /// Make another handle to the same object.
        const DUPLICATE = 1 << 0;
        /// Send the handle to another process.
        const TRANSFER = 1 << 1;
        /// Wait for signals, bind to a port.
        const WAIT = 1 << 2;
        /// Ask what it is and how it is.
        const INSPECT = 1 << 3;
        /// Read: memory, messages, ports, tables.
        const READ = 1 << 4;
        /// Write: memory, messages, ports.
        const WRITE = 1 << 5;
        /// Map as executable.
        const EXECUTE = 1 << 6;
        /// Map into an address space.
        const MAP = 1 << 7;
        /// Set bits, post packets, arm.
        const SIGNAL = 1 << 8;
        /// Call an endpoint.
        const CALL = 1 << 9;
        /// Receive an endpoint's calls and mint handles to it.
        const RECEIVE = 1 << 10;
        /// Change it: threads and memory of a process, limits of a job, bind a reservation.
        const MANAGE = 1 << 11;
        /// End it: process, thread, job.
        const KILL = 1 << 12;
        /// Make new processes and jobs under a job, or reservations.
        const CREATE = 1 << 13;
        /// Run a thread from outside and see and set its registers.
        const DRIVE = 1 << 14;
    }
}

impl Rights {
    /// The rights of the first handle to a new object of this type.
    #[must_use]
    pub const fn of_new(object: ObjectType) -> Self {
        let common = Self::DUPLICATE
            .union(Self::TRANSFER)
            .union(Self::WAIT)
            .union(Self::INSPECT);
        let own = match object {
            ObjectType::Process => Self::MANAGE
                .union(Self::KILL)
                .union(Self::READ)
                .union(Self::WRITE),
            ObjectType::Thread => Self::MANAGE.union(Self::KILL).union(Self::DRIVE),
            ObjectType::Vmo => Self::READ
                .union(Self::WRITE)
                .union(Self::EXECUTE)
                .union(Self::MAP)
                .union(Self::MANAGE),
            ObjectType::Pager => Self::MANAGE,
            // One end, one holder: an end cannot be duplicated.
            ObjectType::Channel => {
                return Self::TRANSFER
                    .union(Self::WAIT)
                    .union(Self::INSPECT)
                    .union(Self::READ)
                    .union(Self::WRITE);
            }
            ObjectType::Endpoint => Self::CALL.union(Self::RECEIVE),
            ObjectType::Notification | ObjectType::Timer => Self::SIGNAL.union(Self::READ),
            ObjectType::Port => Self::READ.union(Self::WRITE).union(Self::SIGNAL),
            ObjectType::Interrupt => Self::SIGNAL.union(Self::READ),
            ObjectType::Device => Self::READ
                .union(Self::WRITE)
                .union(Self::MAP)
                .union(Self::MANAGE),
            ObjectType::Dma => Self::READ.union(Self::WRITE).union(Self::MAP),
            ObjectType::IoRange => Self::READ.union(Self::WRITE),
            ObjectType::Reservation => Self::MANAGE,
            ObjectType::Job => Self::MANAGE.union(Self::KILL).union(Self::CREATE),
            ObjectType::Lease => Self::MANAGE,
            ObjectType::Log => Self::WRITE,
            ObjectType::System => Self::READ.union(Self::MANAGE),
        };
        common.union(own)
    }

    /// The names of the rights in it, for listings, in order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.iter_names().map(|(name, _)| name)
    }
}

bitflags! {
    /// What can be waited for. Levels, not edges: set while it is so.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Signals: u32 {
        /// A message, packet, call or set bit is there.
        const READABLE = 1 << 0;
        /// There is room for a message.
        const WRITABLE = 1 << 1;
        /// The other side is gone.
        const PEER_CLOSED = 1 << 2;
        /// A process, thread or job has ended.
        const ENDED = 1 << 3;
        /// A timer has fired since it was set.
        const FIRED = 1 << 4;
        /// An interrupt has come since the last acknowledgement.
        const INTERRUPT = 1 << 5;
        /// A driven thread has stopped and waits for its driver.
        const STOPPED = 1 << 6;
        /// A vmo has pages that its pager is asked for.
        const PAGE_WANTED = 1 << 7;
        /// The lease was revoked.
        const REVOKED = 1 << 8;
    }
}

/// What [`handle_info`](crate::Call::HandleInfo) writes: 32 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct HandleInfo {
    /// The object's number: never used again for another one.
    pub object_id: u64,
    /// Of the object on the other side (channel), else 0.
    pub peer_id: u64,
    /// An [`ObjectType`].
    pub object_type: u32,
    /// [`Rights`] of the handle.
    pub rights: u32,
    /// [`Signals`] set now.
    pub signals: u32,
    /// 1 if the handle can be revoked by somebody.
    pub leased: u32,
}
