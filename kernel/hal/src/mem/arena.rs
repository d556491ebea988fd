//! A heap of its own for code of the kernel's image that may be abandoned: a resident server.
//!
//! While [`contain_in`](crate::user::contain::contain_in) runs such code, the global allocator takes its blocks from the arena. A block goes
//! back to where it came from: to the kernel's heap if it lies there, else to the arena. When the server is over the arena is
//! [reclaimed](Arena::reclaim) as a whole, whatever was never freed included.
//!
//! The memory is runs of frames, seen through the direct map: nothing is mapped for it, and nothing has to be unmapped on other cores.
//!
//! What must hold: one core at a time uses an arena (its server's tasks live on one core), so its lock is never waited for. The kernel
//! keeps no pointer into it.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use kerncore::fixed_list::FixedList;
use kerncore::frames::{FRAME_BYTES, Frames, Request, Usage};
use rlsf::Tlsf;
use spin::Mutex;

use super::{direct, frames};
use crate::user::KernelSection;

/// Lists of 16 sub-classes for 22 powers of two: blocks up to 128 MiB, in 2.9 KiB.
type Lists = Tlsf<'static, u32, u16, 22, CLASSES>;
const CLASSES: usize = 16;

/// An arena grows by at least this much, and by half of what it has: so it never has more than [`MOST_RUNS`].
const GROWTH_BYTES: u64 = 64 << 10;
/// Most runs of frames of one arena.
const MOST_RUNS: usize = 32;
/// What TLSF needs around the largest block of a run.
const OVERHEAD_BYTES: u64 = 64;

/// The heap of a server that may be abandoned.
pub struct Arena {
    inner: Mutex<Inner>,
    /// Of all runs, for other cores to read.
    bytes: AtomicU64,
    owner: u64,
    pay: fn(u64, u64) -> bool,
    bring: fn(u64, u64, bool) -> bool,
}

struct Inner {
    lists: Lists,
    runs: FixedList<Frames, MOST_RUNS>,
    /// It gets no more memory.
    closed: bool,
}

impl Arena {
    /// An empty one of this owner's. `pay` is asked before it grows, with the owner and by how many bytes, on the core that runs
    /// the server: may it? What was paid for is [`bytes`](Self::bytes) until it is reclaimed. `bring` is asked when the server touches an
    /// address of the user half that this core has no page for, with the owner, the address, and whether it is a write: `true` once it has.
    #[must_use]
    pub const fn new(
        owner: u64,
        pay: fn(u64, u64) -> bool,
        bring: fn(u64, u64, bool) -> bool,
    ) -> Self {
        let none = Frames {
            start: kerncore::frames::Frame::from_number(0),
            count: 0,
        };
        Self {
            inner: Mutex::new(Inner {
                lists: Tlsf::new(),
                runs: FixedList::new(none),
                closed: false,
            }),
            bytes: AtomicU64::new(0),
            owner,
            pay,
            bring,
        }
    }

    /// Has the page at `address` brought, which its server touches.
    pub(crate) fn bring(&self, address: u64, write: bool) -> bool {
        (self.bring)(self.owner, address, write)
    }

    /// Whose it is: a number of whoever made it.
    pub fn owner(&self) -> u64 {
        self.owner
    }

    /// Memory it has, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A block, or null.
    pub(crate) fn allocate(&self, layout: Layout) -> *mut u8 {
        let mut inner = self.inner.lock();
        let block = match inner.lists.allocate(layout) {
            Some(block) => Some(block),
            None => self
                .grow(&mut inner, layout)
                .and_then(|()| inner.lists.allocate(layout)),
        };
        block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// It is of this arena and was allocated with this alignment.
    pub(crate) unsafe fn free(&self, block: NonNull<u8>, align: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.lock().lists.deallocate(block, align) }
    }

    /// Whether `len` bytes at `address` lie in it.
    pub(crate) fn contains(&self, address: u64, len: u64) -> bool {
        let inner = self.inner.lock();
        inner.runs.as_slice().iter().any(|run| {
            let start = direct::to_virtual(run.start.address());
            address >= start
                && address
                    .checked_add(len)
                    .is_some_and(|end| end <= start + run.count * FRAME_BYTES)
        })
    }

    /// The code that used it was abandoned, maybe inside of an allocation. Nothing is allocated in it any more.
    pub(crate) fn abandoned(&self) {
        // SAFETY: whoever held the lock was abandoned on this core, and no other core uses the arena.
        unsafe { self.inner.force_unlock() };
        self.inner.lock().closed = true;
    }

    /// Gives all of its memory back to the machine. The server is over: nothing points into the arena that is used again. Returns how
    /// many bytes that were.
    pub fn reclaim(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.lists = Tlsf::new();
        for &run in inner.runs.as_slice() {
            if let Err(error) = frames::free_frames(run, Usage::User) {
                log::error!("memory: an arena's frames: {error}");
            }
        }
        inner.runs.clear();
        self.bytes.swap(0, Ordering::Relaxed)
    }

    /// Adds a run in which a block of `layout` fits.
    fn grow(&self, inner: &mut Inner, layout: Layout) -> Option<()> {
        if inner.closed || inner.runs.is_full() {
            return None;
        }
        // TLSF looks only in lists whose blocks all fit: it rounds the size up to the next of 16 classes in a power of two.
        let size = layout.size() as u64;
        let wanted = size
            .checked_add(size / (CLASSES as u64 / 2))?
            .checked_add(layout.align() as u64)?
            .checked_add(OVERHEAD_BYTES)?
            .checked_next_multiple_of(FRAME_BYTES)?;
        let handsome = wanted
            .max(GROWTH_BYTES)
            .max(self.bytes() / 2 / FRAME_BYTES * FRAME_BYTES);
        // From here on it is the kernel's own doing.
        let _section = KernelSection::new();
        let (run, bytes) = [handsome, wanted]
            .into_iter()
            .find_map(|bytes| Some((self.take(bytes)?, bytes)))?;
        let start = direct::to_virtual(run.start.address()) as *mut u8;
        let memory = NonNull::new(core::ptr::slice_from_raw_parts_mut(start, bytes as usize))?;
        // There is room: it was looked for above.
        inner.runs.push(run).ok()?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // SAFETY: fresh frames in the direct map, which stays; nobody else has them until the arena is reclaimed, lists and all.
        unsafe { inner.lists.insert_free_block_ptr(memory) };
        Some(())
    }

    /// A run of frames that was paid for.
    fn take(&self, bytes: u64) -> Option<Frames> {
        let request = Request {
            count: bytes / FRAME_BYTES,
            ..Request::one(Usage::User)
        };
        let run = frames::allocate_frames(request).ok()?;
        if (self.pay)(self.owner, bytes) {
            return Some(run);
        }
        if let Err(error) = frames::free_frames(run, Usage::User) {
            log::error!("memory: an arena's frames: {error}");
        }
        None
    }
}
