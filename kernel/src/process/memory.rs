//! Frames and page tables under `objects::memory`, and user copies that bring pages in.

use alloc::vec::Vec;
use core::future::Future;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::Error;
use abi::memory::PAGE_BYTES;
use hal::mem::counted;
use hal::mem::frames::Usage;
use hal::mem::user_tables::{self, Flush, TreeError, UserAccess, UserCache, UserFlags, UserTables};
use hal::platform::KernelPlatform;
use hal::user::contain;
use objects::job::{Charge, Job};
use objects::lease::Lease;
use objects::memory::machine::{Access, Cache, Changed, Frame, Frames, Machine, Span, Tables};
use objects::memory::{Space, Touch, Vmo};
use objects::refs::{NoMemory, Ref, WeakRef};
use spin::Mutex;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// This machine.
pub struct Hardware;

impl Machine for Hardware {
    type Frames = Memory;
    type Tables = ProcessTables;
    type Owner = super::device::Owner;

    fn checkpoint() -> impl Future<Output = ()> + Send {
        executor::checkpoint::<KernelPlatform>()
    }
}

/// A vmo of this machine.
pub type VmoObject = Vmo<Hardware>;
/// A pager of this machine.
pub type PagerObject = objects::memory::Pager<Hardware>;
/// A process's regions.
pub type AddressSpace = Space<Hardware>;

/// Its memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

fn frame(address: u64) -> Option<Frame> {
    Frame::from_address(address)
}

impl Frames for Memory {
    fn allocate_zeroed(&self) -> Option<Frame> {
        counted::allocate_zeroed(Usage::User).and_then(frame)
    }

    fn allocate_copy(&self, from: Frame) -> Option<Frame> {
        counted::allocate_copy(from.address(), Usage::User)
            .ok()
            .flatten()
            .and_then(frame)
    }

    fn share(&self, frame: Frame) -> Result<(), NoMemory> {
        counted::share(frame.address()).map_err(|_| NoMemory)
    }

    fn release(&self, frame: Frame) {
        counted::release(frame.address(), Usage::User);
    }

    fn count(&self, frame: Frame) -> u32 {
        counted::count(frame.address())
    }

    fn read(&self, frame: Frame, offset: usize, into: &mut [u8]) {
        if let Err(error) = counted::read(frame.address(), offset, into) {
            ::log::error!(target: "memory", "reading a frame: {error}");
        }
    }

    fn write(&self, frame: Frame, offset: usize, from: &[u8]) {
        if let Err(error) = counted::write(frame.address(), offset, from) {
            ::log::error!(target: "memory", "writing a frame: {error}");
        }
    }
}

/// A process's page tables, whose frames its job pays for.
pub struct ProcessTables {
    tables: UserTables,
    charge: Mutex<Charge>,
    /// The process runs in ring 0: its pages are not for ring 3.
    resident: AtomicBool,
    /// And it has had pages here.
    has_maps: AtomicBool,
}

impl ProcessTables {
    /// Empty ones.
    ///
    /// # Errors
    /// [`NoMemory`], if the job may not have any or the machine has none.
    pub fn new(job: &Ref<Job>) -> Result<Self, NoMemory> {
        let mut charge = job.charge_memory(0).map_err(|_| NoMemory)?;
        let tables =
            UserTables::new(&mut || charge.grow(PAGE_BYTES).is_ok()).map_err(|_| NoMemory)?;
        Ok(Self {
            tables,
            charge: Mutex::new(charge),
            resident: AtomicBool::new(false),
            has_maps: AtomicBool::new(false),
        })
    }

    /// The process is a resident server.
    pub fn set_resident(&self) {
        self.resident.store(true, Ordering::Release);
    }

    /// Whether it is.
    #[inline]
    pub fn is_resident(&self) -> bool {
        self.resident.load(Ordering::Relaxed)
    }

    /// Whether it is, and has ever mapped a page.
    #[inline]
    pub fn has_maps(&self) -> bool {
        self.has_maps.load(Ordering::Relaxed)
    }

    /// The flags of a page; `None` for one that a resident server would execute.
    fn flags(&self, access: Access, cache: Cache) -> Option<UserFlags> {
        let flags = flags(access, cache);
        if !self.is_resident() {
            return Some(flags);
        }
        let flags = flags.for_ring_0()?;
        self.has_maps.store(true, Ordering::Relaxed);
        Some(flags)
    }

    /// The tables, to be made active.
    pub fn hardware(&self) -> &UserTables {
        &self.tables
    }

    /// Gives back the charge for tables that are gone.
    fn settle(&self) {
        let held = self.tables.table_frames() * PAGE_BYTES;
        let mut charge = self.charge.lock();
        let charged = charge.amount();
        if charged > held {
            charge.shrink(charged - held);
        }
    }
}

fn flags(access: Access, cache: Cache) -> UserFlags {
    let access = match access {
        Access::Read => UserAccess::Read,
        Access::ReadWrite => UserAccess::ReadWrite,
        Access::ReadExecute => UserAccess::ReadExecute,
    };
    match cache {
        Cache::WriteBack => UserFlags::memory(access),
        Cache::WriteCombining => device(access, UserCache::WriteCombining),
        Cache::Uncached => device(access, UserCache::Uncached),
    }
}

/// Registers of a device, never executable.
fn device(access: UserAccess, cache: UserCache) -> UserFlags {
    let flags = UserFlags::device(cache);
    if access == UserAccess::ReadWrite {
        flags
    } else {
        flags.read_only()
    }
}

fn flush(span: Span) -> Flush {
    Flush::range(span.address, span.address + span.pages * PAGE_BYTES)
}

fn dealt_with(span: Span, next: Option<u64>) -> u64 {
    next.map_or(span.pages, |next| (next - span.address) / PAGE_BYTES)
}

/// Not reached: spans lie in the user half.
fn unchanged(span: Span, error: TreeError) -> Changed {
    ::log::error!(target: "memory", "changing page tables: {error}");
    Changed {
        entries: 0,
        pages: span.pages,
    }
}

impl Tables for ProcessTables {
    fn map(
        &self,
        address: u64,
        frame: Frame,
        access: Access,
        cache: Cache,
    ) -> Result<(), NoMemory> {
        let flags = self.flags(access, cache).ok_or(NoMemory)?;
        let mut charge = self.charge.lock();
        let mapped = self.tables.map(address, frame.address(), flags, &mut || {
            charge.grow(PAGE_BYTES).is_ok()
        });
        drop(charge);
        match mapped {
            Ok(()) => Ok(()),
            Err(TreeError::AlreadyMapped { .. }) => self
                .tables
                .replace(address, frame.address(), flags)
                .map(drop)
                .map_err(|_| NoMemory),
            Err(_) => Err(NoMemory),
        }
    }

    fn unmap(&self, span: Span, limit: u64) -> Changed {
        let end = span.address + span.pages * PAGE_BYTES;
        let outcome = self
            .tables
            .unmap_range(span.address, end, limit, |_, _| true);
        self.settle();
        match outcome {
            Ok(progress) => Changed {
                entries: progress.pages,
                pages: dealt_with(span, progress.next),
            },
            Err(error) => unchanged(span, error),
        }
    }

    fn make_read_only(&self, span: Span, limit: u64) -> Changed {
        let end = span.address + span.pages * PAGE_BYTES;
        let mut entries = 0;
        let outcome = self
            .tables
            .protect_range(span.address, end, limit, |_, mapping| {
                let more = mapping.flags.access() != UserAccess::Read;
                entries += u64::from(more);
                more.then_some(mapping.flags.read_only())
            });
        match outcome {
            Ok(progress) => Changed {
                entries,
                pages: dealt_with(span, progress.next),
            },
            Err(error) => unchanged(span, error),
        }
    }

    fn translate(&self, address: u64) -> Option<(Frame, Access)> {
        let mapping = self.tables.translate(address)?;
        let access = match mapping.flags.access() {
            UserAccess::Read => Access::Read,
            UserAccess::ReadWrite => Access::ReadWrite,
            UserAccess::ReadExecute => Access::ReadExecute,
        };
        Some((frame(mapping.frame)?, access))
    }

    fn mapped_pages(&self) -> u64 {
        self.tables.mapped_pages()
    }

    fn flush_if_alone(&self, span: Span) -> bool {
        self.tables.flush_if_alone(flush(span))
    }

    fn shootdown(&self, span: Span) -> impl Future<Output = ()> + Send + '_ {
        self.tables.shootdown(flush(span))
    }

    fn shootdown_now(&self, span: Span) {
        self.tables.shootdown_now(flush(span));
    }
}

/// An empty address space that a job pays for.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn new_space(job: &Ref<Job>) -> Result<AddressSpace, Error> {
    let tables = Ref::try_new(ProcessTables::new(job)?)?;
    Space::new(tables, job)
}

/// Copies a process's memory in, bringing pages as needed.
///
/// # Errors
/// [`Error::BadAddress`] and what a fault can end in.
pub async fn copy_in(space: &AddressSpace, to: &mut [u8], from: u64) -> Result<(), Error> {
    // A resident server calls this itself, within its poll: for memory of its image, arena and stack, or for what it maps.
    if space.tables().is_resident() && contain::copy_in(to, from).is_ok() {
        return Ok(());
    }
    loop {
        user_tables::activate(space.tables().hardware());
        match hal::user::copy_in(to, from) {
            Ok(()) => return Ok(()),
            Err(fault) => space.fault_in(fault.address, Touch::Read).await?,
        }
    }
}

/// Copies to a process's memory, bringing pages as needed.
///
/// # Errors
/// [`Error::BadAddress`] and what a fault can end in.
pub async fn copy_out(space: &AddressSpace, to: u64, from: &[u8]) -> Result<(), Error> {
    if space.tables().is_resident() && contain::copy_out(to, from).is_ok() {
        return Ok(());
    }
    loop {
        user_tables::activate(space.tables().hardware());
        match hal::user::copy_out(to, from) {
            Ok(()) => return Ok(()),
            Err(fault) => space.fault_in(fault.address, Touch::Write).await?,
        }
    }
}

/// Reads a value from a process's memory.
///
/// # Errors
/// As [`copy_in`].
pub async fn read<T: FromBytes + IntoBytes>(space: &AddressSpace, from: u64) -> Result<T, Error> {
    let mut value = T::new_zeroed();
    copy_in(space, value.as_mut_bytes(), from).await?;
    Ok(value)
}

/// Writes a value to a process's memory.
///
/// # Errors
/// As [`copy_out`].
pub async fn write<T: IntoBytes + Immutable>(
    space: &AddressSpace,
    to: u64,
    value: &T,
) -> Result<(), Error> {
    copy_out(space, to, value.as_bytes()).await
}

/// Vmos that are mapped through leased handles, so that revoking finds them.
static LEASED: Mutex<Vec<(WeakRef<Lease>, WeakRef<VmoObject>)>> = Mutex::new(Vec::new());

/// Notes that `vmo` is about to be mapped through a handle under `lease`.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn note_leased(lease: &Ref<Lease>, vmo: &Ref<VmoObject>) -> Result<(), Error> {
    let mut list = LEASED.lock();
    if list
        .iter()
        .any(|(known, mapped)| known.is_of(lease) && mapped.is_of(vmo))
    {
        return Ok(());
    }
    if list.len() == list.capacity() {
        list.retain(|(lease, vmo)| lease.upgrade().is_some() && vmo.upgrade().is_some());
        let more = list.len().max(4);
        list.try_reserve(more).map_err(|_| Error::NoMemory)?;
    }
    list.push((lease.downgrade(), vmo.downgrade()));
    Ok(())
}

/// Unmaps everywhere what was mapped through handles that hang on `lease`, which was revoked.
pub async fn unmap_leased(lease: &Ref<Lease>) {
    let mut place = 0;
    loop {
        let found = {
            let list = LEASED.lock();
            (place..list.len()).find_map(|index| {
                let (under, vmo) = list.get(index)?;
                let covered = under.upgrade().is_some_and(|under| lease.covers(&under));
                Some((index, covered.then(|| vmo.upgrade()).flatten()?))
            })
        };
        let Some((index, vmo)) = found else { return };
        place = index + 1;
        vmo.unmap_revoked().await;
    }
}
