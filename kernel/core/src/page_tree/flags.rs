//! What a user page may be used for, and how that is written into a page-table entry.

/// Bits of an entry (Intel SDM vol. 3A §5.5.4, tables 5-14 to 5-19; AMD APM vol. 2 §5.3.3).
pub(super) mod bit {
    pub const PRESENT: u64 = 1 << 0;
    pub const WRITABLE: u64 = 1 << 1;
    pub const USER: u64 = 1 << 2;
    pub const WRITE_THROUGH: u64 = 1 << 3;
    pub const NO_CACHE: u64 = 1 << 4;
    pub const ACCESSED: u64 = 1 << 5;
    pub const DIRTY: u64 = 1 << 6;
    /// Ignored by the CPU: the page is meant to be executed. Without it a CPU that has no NX bit could not tell.
    pub const MEANT_TO_EXECUTE: u64 = 1 << 9;
    pub const NO_EXECUTE: u64 = 1 << 63;
    pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    /// In an entry that names a table, bits 61:52 are ignored by the CPU: how many entries of that table are present.
    pub const COUNT_SHIFT: u32 = 52;
    pub const COUNT: u64 = 0x3ff << COUNT_SHIFT;
}

/// What a program may do with a page. There is deliberately no writable and executable kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserAccess {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
}

/// How a page is cached. The kernel sets the page attribute table up to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserCache {
    /// Ordinary memory.
    WriteBack,
    /// Framebuffers: writes are gathered, reads are slow.
    WriteCombining,
    /// Device registers.
    Uncached,
}

/// Whose code reaches a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    /// A program's, in ring 3. With SMAP and SMEP on, ring 0 does not but by user copies.
    Three,
    /// A resident server's, in ring 0.
    Zero,
}

/// Flags of a user mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserFlags {
    access: UserAccess,
    cache: UserCache,
    ring: Ring,
}

impl UserFlags {
    /// Memory that may be read.
    pub const READ: Self = Self::memory(UserAccess::Read);
    /// Memory that may be read and written.
    pub const READ_WRITE: Self = Self::memory(UserAccess::ReadWrite);
    /// Memory that may be read and executed.
    pub const READ_EXECUTE: Self = Self::memory(UserAccess::ReadExecute);

    /// Ordinary memory.
    pub const fn memory(access: UserAccess) -> Self {
        Self {
            access,
            cache: UserCache::WriteBack,
            ring: Ring::Three,
        }
    }

    /// A device's registers or frame buffer, readable and writable: never executable.
    pub const fn device(cache: UserCache) -> Self {
        Self {
            access: UserAccess::ReadWrite,
            cache,
            ring: Ring::Three,
        }
    }

    /// The same, without the right to write (and without the right to execute).
    pub const fn read_only(self) -> Self {
        Self {
            access: UserAccess::Read,
            ..self
        }
    }

    /// The same for code in ring 0 alone, and without the right to execute: `None` for what is to be executed.
    pub const fn for_ring_0(self) -> Option<Self> {
        match self.access {
            UserAccess::Read | UserAccess::ReadWrite => Some(Self {
                ring: Ring::Zero,
                ..self
            }),
            UserAccess::ReadExecute => None,
        }
    }

    /// What may be done.
    pub const fn access(self) -> UserAccess {
        self.access
    }

    /// How it is cached.
    pub const fn cache(self) -> UserCache {
        self.cache
    }

    /// The flags of a leaf entry, on a CPU that has the NX bit or not.
    pub(super) const fn encode(self, has_nx: bool) -> u64 {
        let mut bits = bit::PRESENT;
        if matches!(self.ring, Ring::Three) {
            bits |= bit::USER;
        }
        match self.access {
            UserAccess::Read => {}
            UserAccess::ReadWrite => bits |= bit::WRITABLE,
            UserAccess::ReadExecute => bits |= bit::MEANT_TO_EXECUTE,
        }
        if has_nx && !matches!(self.access, UserAccess::ReadExecute) {
            bits |= bit::NO_EXECUTE;
        }
        match self.cache {
            UserCache::WriteBack => {}
            // Entry 1 of the page attribute table; without one that is write-through, which is correct and slower.
            UserCache::WriteCombining => bits |= bit::WRITE_THROUGH,
            UserCache::Uncached => bits |= bit::WRITE_THROUGH | bit::NO_CACHE,
        }
        bits
    }

    /// What [`Self::encode`] wrote.
    pub(super) const fn decode(entry: u64) -> Self {
        let access = if entry & bit::WRITABLE != 0 {
            UserAccess::ReadWrite
        } else if entry & bit::MEANT_TO_EXECUTE != 0 {
            UserAccess::ReadExecute
        } else {
            UserAccess::Read
        };
        let cache = if entry & bit::NO_CACHE != 0 {
            UserCache::Uncached
        } else if entry & bit::WRITE_THROUGH != 0 {
            UserCache::WriteCombining
        } else {
            UserCache::WriteBack
        };
        let ring = if entry & bit::USER != 0 {
            Ring::Three
        } else {
            Ring::Zero
        };
        Self {
            access,
            cache,
            ring,
        }
    }
}
