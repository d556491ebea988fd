//! Page tables. Everything that maps goes through [`PageFlags`], which has no way to say
//! "writable and executable".

use core::sync::atomic::{AtomicU64, Ordering};
use kerncore::frames::Usage;

use spin::Mutex;
use x86_64::registers::control::Cr3;
use x86_64::structures::paging::mapper::{MapToError, UnmapError};
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags, PhysFrame,
    Size4KiB,
};
use x86_64::{PhysAddr, VirtAddr};

use crate::cpu::features;

/// What a page may be used for. There is deliberately no writable and executable kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    Execute,
}

/// How a page is cached. The page attribute table is set up to match (`cpu::protection`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Ordinary memory.
    WriteBack,
    /// Framebuffers: writes are gathered, reads are slow.
    WriteCombining,
    /// Device registers.
    Uncached,
}

/// Flags of a mapping in the kernel's half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFlags {
    access: Access,
    cache: Cache,
    global: bool,
}

impl PageFlags {
    /// Ordinary kernel memory.
    pub const fn kernel(access: Access) -> Self {
        Self {
            access,
            cache: Cache::WriteBack,
            global: true,
        }
    }

    /// Device memory: never executable.
    pub const fn device(cache: Cache) -> Self {
        Self {
            access: Access::ReadWrite,
            cache,
            global: true,
        }
    }

    /// A mapping in the lower half that exists only while a core starts.
    pub(crate) const fn transient(access: Access) -> Self {
        Self {
            access,
            cache: Cache::WriteBack,
            global: false,
        }
    }

    fn bits(self) -> PageTableFlags {
        let f = features();
        let mut bits = PageTableFlags::PRESENT;
        bits.set(PageTableFlags::WRITABLE, self.access == Access::ReadWrite);
        bits.set(
            PageTableFlags::NO_EXECUTE,
            self.access != Access::Execute && f.nx,
        );
        bits.set(PageTableFlags::GLOBAL, self.global && f.pge);
        match self.cache {
            Cache::WriteBack => {}
            // PAT entry 1; without a PAT that entry is write-through, which is correct and slower.
            Cache::WriteCombining => bits |= PageTableFlags::WRITE_THROUGH,
            Cache::Uncached => bits |= PageTableFlags::WRITE_THROUGH | PageTableFlags::NO_CACHE,
        }
        bits
    }
}

/// Why a mapping could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame is left for a page table or for the memory itself.
    OutOfFrames,
    /// The kernel's range for such mappings is used up.
    OutOfAddresses,
    /// Something is mapped there already.
    AlreadyMapped,
    /// The address or length is not one that can be mapped.
    BadRange,
    /// A device's registers are said to be where RAM is.
    Ram,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::OutOfFrames => "out of physical memory",
            Self::OutOfAddresses => "out of kernel addresses",
            Self::AlreadyMapped => "the address is already mapped",
            Self::BadRange => "not a mappable address range",
            Self::Ram => "that is memory, not a device",
        })
    }
}

impl<S: PageSize> From<MapToError<S>> for MapError {
    fn from(error: MapToError<S>) -> Self {
        match error {
            MapToError::FrameAllocationFailed => Self::OutOfFrames,
            MapToError::ParentEntryHugePage | MapToError::PageAlreadyMapped(_) => {
                Self::AlreadyMapped
            }
        }
    }
}

/// One tree of page tables, reached through the direct map (or the identity map while booting).
pub(crate) struct Tables {
    mapper: OffsetPageTable<'static>,
}

impl Tables {
    /// # Safety
    /// `root` is the physical address of a level-4 table that is not changed through another value, and
    /// all tables below it are readable and writable at `offset + physical address`.
    pub(crate) unsafe fn new(root: u64, offset: u64) -> Self {
        let table = (offset + root) as *mut PageTable;
        // SAFETY: passed on to the caller.
        let mapper = unsafe { OffsetPageTable::new(&mut *table, VirtAddr::new(offset)) };
        Self { mapper }
    }

    /// Maps one page of size `S`. The parent tables are writable and executable; the leaf decides.
    pub(crate) fn map<S: PageSize>(
        &mut self,
        address: u64,
        physical: u64,
        flags: PageFlags,
        frames: &mut impl FrameAllocator<Size4KiB>,
    ) -> Result<(), MapError>
    where
        OffsetPageTable<'static>: Mapper<S>,
    {
        let address = VirtAddr::try_new(address).map_err(|_| MapError::BadRange)?;
        let physical = PhysAddr::try_new(physical).map_err(|_| MapError::BadRange)?;
        let page = Page::<S>::from_start_address(address).map_err(|_| MapError::BadRange)?;
        let frame = PhysFrame::<S>::from_start_address(physical).map_err(|_| MapError::BadRange)?;
        let mut bits = flags.bits();
        if S::SIZE != Size4KiB::SIZE {
            bits |= PageTableFlags::HUGE_PAGE;
        }
        let parents = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        // SAFETY: the frame is the caller's to map (RAM it owns, the image, or a device window), and a
        // page that is already mapped is refused, so no live reference changes its meaning.
        let flush = unsafe {
            self.mapper
                .map_to_with_table_flags(page, frame, bits, parents, frames)
        }?;
        // Nothing was mapped there, and the CPU keeps no record of absence (Intel SDM vol. 3A §5.10.4.3).
        flush.ignore();
        Ok(())
    }

    fn unmap(&mut self, address: u64) -> Result<u64, MapError> {
        let page = Page::<Size4KiB>::from_start_address(VirtAddr::new_truncate(address))
            .map_err(|_| MapError::BadRange)?;
        match self.mapper.unmap(page) {
            Ok((frame, flush)) => {
                flush.flush();
                Ok(frame.start_address().as_u64())
            }
            Err(
                UnmapError::PageNotMapped
                | UnmapError::ParentEntryHugePage
                | UnmapError::InvalidFrameAddress(_),
            ) => Err(MapError::BadRange),
        }
    }
}

/// Serialises changes to the kernel's half. Never held over an await; never taken by a top half.
static KERNEL_TABLES: Mutex<()> = Mutex::new(());

/// Physical address of the kernel's own level-4 table, once [`complete_kernel_half`] has run.
static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);

fn current_root() -> u64 {
    Cr3::read().0.start_address().as_u64()
}

/// Physical address of the kernel's own level-4 table: its lower half is empty.
pub fn kernel_root() -> u64 {
    match KERNEL_ROOT.load(Ordering::Relaxed) {
        0 => current_root(),
        root => root,
    }
}

/// Gives every 512 GiB of `[start, start + len)`, the room for mappings made at run time, its entry in the level-4 table. Image and
/// direct map have theirs from boot. So the upper half of that table never changes again, and address spaces can copy it.
pub(super) fn complete_kernel_half(start: u64, len: u64) -> Result<(), MapError> {
    KERNEL_ROOT.store(current_root(), Ordering::Relaxed);
    let _guard = KERNEL_TABLES.lock();
    let last = start
        .checked_add(len.max(1) - 1)
        .ok_or(MapError::BadRange)?;
    for index in top_index(start)..=top_index(last) {
        let entry = top_entry(kernel_root(), index);
        if entry.load(Ordering::Relaxed) == 0 {
            let table = super::frames::allocate(Usage::PageTable).ok_or(MapError::OutOfFrames)?;
            let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
            // SAFETY: a fresh frame nobody else knows.
            unsafe { super::counted::fill_with_zeroes(super::direct::to_virtual(table)) };
            entry.store(table | flags.bits(), Ordering::Release);
        }
    }
    Ok(())
}

/// Fills the upper half of `root`, a fresh level-4 table, with the kernel's.
pub(super) fn share_kernel_half(root: u64) {
    for index in 256..512 {
        let entry = top_entry(kernel_root(), index).load(Ordering::Acquire);
        top_entry(root, index).store(entry, Ordering::Release);
    }
}

fn top_index(address: u64) -> usize {
    (address >> 39) as usize & 511
}

/// An entry of a level-4 table in the direct map.
fn top_entry<'a>(root: u64, index: usize) -> &'a AtomicU64 {
    let entries = super::direct::to_virtual(root) as *const AtomicU64;
    // SAFETY: callers pass the kernel's root or a fresh one, both in the direct map; the index is masked.
    unsafe { &*entries.add(index & 511) }
}

fn with_kernel_tables<R>(change: impl FnOnce(&mut Tables) -> R) -> R {
    let _guard = KERNEL_TABLES.lock();
    // SAFETY: the lock makes this the only value over the live tables, which the direct map covers.
    let mut tables = unsafe { Tables::new(kernel_root(), super::direct::base()) };
    change(&mut tables)
}

/// Maps one 4 KiB page of the kernel's half.
pub(super) fn map_page(address: u64, physical: u64, flags: PageFlags) -> Result<(), MapError> {
    with_kernel_tables(|tables| {
        tables.map::<Size4KiB>(address, physical, flags, &mut super::frames::ForTables)
    })
}

/// Maps fresh memory for `usage`, readable and writable, to `pages` pages from `address` on. Returns how many are mapped, and why not
/// all: what was mapped before an error stays mapped.
pub(super) fn map_memory(address: u64, pages: u64, usage: Usage) -> (u64, Result<(), MapError>) {
    for page in 0..pages {
        let Some(frame) = super::frames::allocate(usage) else {
            return (page, Err(MapError::OutOfFrames));
        };
        let flags = PageFlags::kernel(Access::ReadWrite);
        if let Err(error) = map_page(address + page * super::vspace::PAGE, frame, flags) {
            // It came from there.
            let _ = super::frames::free(frame, usage);
            return (page, Err(error));
        }
    }
    (pages, Ok(()))
}

/// Removes a 4 KiB page that only this core has used and returns its frame's physical address.
///
/// Other cores are not told. One that uses the same address later drops what its TLB may have of it first
/// (see `phys`): cheaper than interrupting all of them for each page of a firmware table.
pub(super) fn unmap_page(address: u64) -> Result<u64, MapError> {
    with_kernel_tables(|tables| tables.unmap(address))
}

/// Whether `len` bytes at `address` can be read. Takes no lock: reports use it when all else has failed.
pub fn is_mapped(address: u64, len: u64) -> bool {
    let Some(last) = address.checked_add(len.saturating_sub(1)) else {
        return false;
    };
    let mut page = address & !0xfff;
    loop {
        if translate(page).is_none() {
            return false;
        }
        match page.checked_add(0x1000) {
            Some(next) if next <= last => page = next,
            _ => return true,
        }
    }
}

/// The physical address behind a mapped virtual one. Takes no lock and makes no references: the tables may change meanwhile.
pub fn translate(address: u64) -> Option<u64> {
    /// Bits 51:12 of an entry (Intel SDM vol. 3A §5.5.4).
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    const PRESENT: u64 = 1;
    const LARGE: u64 = 1 << 7;
    VirtAddr::try_new(address).ok()?;
    let mut table = current_root();
    for shift in [39, 30, 21, 12] {
        let entries = super::direct::to_virtual(table) as *const u64;
        let index = (address >> shift) as usize & 511;
        // SAFETY: a live table in the direct map (the identity map while booting), read entry by entry.
        let entry = unsafe { entries.add(index).read_volatile() };
        if entry & PRESENT == 0 {
            return None;
        }
        if shift == 12 || (shift < 39 && entry & LARGE != 0) {
            let within = (1u64 << shift) - 1;
            return Some(entry & ADDRESS & !within | address & within);
        }
        table = entry & ADDRESS;
    }
    None
}

/// Empties the lower half, which held the identity map that start-up ran on.
///
/// # Safety
/// Nothing may run in, or point to, the lower half any more.
pub unsafe fn drop_lower_half() {
    let _guard = KERNEL_TABLES.lock();
    let root = super::direct::to_virtual(current_root()) as *mut [u64; 512];
    // SAFETY: the live level-4 table through the direct map, under the lock.
    unsafe { (&mut *root)[..256].fill(0) };
    x86_64::instructions::tlb::flush_all();
}

/// Page tables for cores that are starting: the kernel's half plus the trampoline's page at its physical
/// address, read and execute. Returns the level-4 table's physical address, which is below 4 GiB because a
/// core in 32-bit mode loads it.
pub fn new_trampoline_space(page: u64) -> Result<u64, MapError> {
    let root = super::frames::allocate_below_4_gib().ok_or(MapError::OutOfFrames)?;
    let _guard = KERNEL_TABLES.lock();
    let table = super::direct::to_virtual(root) as *mut [u64; 512];
    let live = super::direct::to_virtual(kernel_root()) as *const [u64; 512];
    // SAFETY: a fresh frame and the live table, both in the direct map; the lock keeps the latter still.
    let mut tables = unsafe {
        (&mut *table)[..256].fill(0);
        (&mut *table)[256..].copy_from_slice(&(&*live)[256..]);
        Tables::new(root, super::direct::base())
    };
    tables.map::<Size4KiB>(
        page,
        page,
        PageFlags::transient(Access::Execute),
        &mut super::frames::ForTables,
    )?;
    Ok(root)
}
