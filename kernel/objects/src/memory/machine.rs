//! What memory objects need of the machine: frames of memory, and page tables with their shootdown.

use core::future::Future;

use abi::memory::MapFlags;
use abi::{Error, Rights};

use crate::refs::NoMemory;

/// The physical address of a frame: 4 KiB, aligned to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(u64);

impl Frame {
    /// The frame at physical address `address`; `None` if no frame begins there, or above 2^52 (Intel SDM vol. 3A §4.1.4).
    #[must_use]
    pub const fn from_address(address: u64) -> Option<Self> {
        if address.is_multiple_of(abi::memory::PAGE_BYTES) && address < 1 << 52 {
            Some(Self(address))
        } else {
            None
        }
    }

    /// Its physical address.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0
    }
}

/// What a mapped page allows. Writable and executable at once cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads.
    Read,
    /// Reads and writes.
    ReadWrite,
    /// Reads and execution.
    ReadExecute,
}

impl Access {
    /// What `flags` ask for.
    ///
    /// # Errors
    /// [`Error::WriteExecute`] if they ask for both.
    pub const fn from_flags(flags: MapFlags) -> Result<Self, Error> {
        match (
            flags.contains(MapFlags::WRITE),
            flags.contains(MapFlags::EXECUTE),
        ) {
            (true, true) => Err(Error::WriteExecute),
            (true, false) => Ok(Self::ReadWrite),
            (false, true) => Ok(Self::ReadExecute),
            (false, false) => Ok(Self::Read),
        }
    }

    /// The rights on the vmo that mapping it so needs, [`Rights::MAP`] aside.
    #[must_use]
    pub const fn rights(self) -> Rights {
        match self {
            Self::Read => Rights::READ,
            Self::ReadWrite => Rights::READ.union(Rights::WRITE),
            Self::ReadExecute => Rights::READ.union(Rights::EXECUTE),
        }
    }

    /// Whether `touch` is allowed.
    #[must_use]
    pub const fn allows(self, touch: Touch) -> bool {
        match touch {
            Touch::Read => true,
            Touch::Write => matches!(self, Self::ReadWrite),
            Touch::Execute => matches!(self, Self::ReadExecute),
        }
    }
}

/// What somebody does to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Touch {
    /// Reads it.
    Read,
    /// Writes it.
    Write,
    /// Fetches instructions from it.
    Execute,
}

/// How the processor caches a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cache {
    /// As memory.
    WriteBack,
    /// Writes are gathered: framebuffers.
    WriteCombining,
    /// Not at all: registers of devices.
    Uncached,
}

/// Consecutive pages of an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first page's address.
    pub address: u64,
    /// How many.
    pub pages: u64,
}

impl Span {
    /// The address after it.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.address
            .saturating_add(self.pages.saturating_mul(abi::memory::PAGE_BYTES))
    }
}

/// How far a change of page tables came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Entries that allow less than before: if there are any, a shootdown is owed.
    pub entries: u64,
    /// Pages from the span's beginning on that are dealt with: all of them, unless the limit came first; never 0 for a span that is not
    /// empty.
    pub pages: u64,
}

/// The kernel's side: one type that names the others.
pub trait Machine: Sized + Send + Sync + 'static {
    /// Frames of memory.
    type Frames: Frames;
    /// Page tables of a process.
    type Tables: Tables;
    /// What must not end before a [physical vmo](super::Vmo::create_physical) does.
    type Owner: Send + Sync + 'static;

    /// Lets others run, after a bounded piece of a long operation.
    fn checkpoint() -> impl Future<Output = ()> + Send;
}

/// Frames with counts of their holders. None of it sleeps; all of it may be called under a vmo's lock, from any core, in
/// task context. In the kernel a type without a size; in tests a handle to a modelled memory.
pub trait Frames: Clone + Send + Sync + 'static {
    /// Takes a frame of zeroes with one holder.
    fn allocate_zeroed(&self) -> Option<Frame>;

    /// Takes a frame with one holder and the contents of `from`, which the caller holds.
    fn allocate_copy(&self, from: Frame) -> Option<Frame>;

    /// One holder more.
    ///
    /// # Errors
    /// [`NoMemory`] if it cannot have more holders.
    fn share(&self, frame: Frame) -> Result<(), NoMemory>;

    /// One holder less; the last one's frees it.
    fn release(&self, frame: Frame);

    /// How many hold it. A holder that reads 1 has it alone until it shares it.
    fn count(&self, frame: Frame) -> u32;

    /// Copies bytes out of a frame that the caller holds; `offset + into.len()` is at most a page.
    fn read(&self, frame: Frame, offset: usize, into: &mut [u8]);

    /// Copies bytes into a frame that the caller holds; `offset + from.len()` is at most a page.
    fn write(&self, frame: Frame, offset: usize, from: &[u8]);
}

/// Page tables of one process. All but [`shootdown`](Self::shootdown) is called under a vmo's lock and does not sleep; its lock is the
/// last one taken. Addresses are multiples of the page size within the user half.
pub trait Tables: Send + Sync + 'static {
    /// Maps `frame` at `address`, in place of what is mapped there: callers only ever put the same frame there again, with more
    /// access, so that no shootdown is owed.
    ///
    /// # Errors
    /// [`NoMemory`] if a table is missing and there can be no more; nothing was changed then.
    fn map(&self, address: u64, frame: Frame, access: Access, cache: Cache)
    -> Result<(), NoMemory>;

    /// Unmaps what is mapped in `span`, skipping what is empty, and stops after `limit` (at least 1) mapped pages. Cores may use them
    /// until a shootdown.
    fn unmap(&self, span: Span, limit: u64) -> Changed;

    /// Takes writing and execution from what is mapped in `span`, in the same manner.
    fn make_read_only(&self, span: Span, limit: u64) -> Changed;

    /// What is mapped at `address`.
    fn translate(&self, address: u64) -> Option<(Frame, Access)>;

    /// Pages mapped now.
    fn mapped_pages(&self) -> u64;

    /// If no core but this one can have cached anything of these tables, makes it forget `span` and returns true; else does nothing.
    /// Spares the single-threaded process a wait.
    fn flush_if_alone(&self, span: Span) -> bool;

    /// Makes all cores forget `span` as it was before the call; await it.
    fn shootdown(&self, span: Span) -> impl Future<Output = ()> + Send + '_;

    /// The same, waiting on the spot: only where a future was dropped in the middle of an operation.
    fn shootdown_now(&self, span: Span);
}
