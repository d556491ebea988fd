//! The last step of booting: random bases, final page tables, the jump.
//!
//! Runs identity-mapped on one core with interrupts off. Physical memory that page tables take is cut out of
//! the memory map as boot data.

use core::fmt::Write;

use conquer_once::TryInitError;
use kerncore::boot_info::{BootInfo, MemoryKind, MemoryRegion, PhysRange};
use kerncore::cmdline::CommandLine;
use kerncore::entropy::Sources;
use kerncore::frames::{FrameAllocator, ShareCounts};
use kerncore::kaslr::{self, Sizes};
use kerncore::memory_map::{MemoryMap, NoMemory};
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::structures::paging::{
    self, FrameAllocator as _, PageSize, PhysFrame, Size1GiB, Size2MiB, Size4KiB,
};

use super::image;
use crate::cpu::report::{EmergencyOutput, set_up_serial};
use crate::cpu::{features, halt_forever};
use crate::mem::paging::{Access, MapError, PageFlags, Tables};

/// The memory map after sorting, and what boot took from it.
#[derive(Clone, Copy, Debug)]
pub struct BootMemory {
    /// Sorted, disjoint and page-aligned; boot's own takings are [`MemoryKind::BootData`].
    pub map: MemoryMap,
    /// Where the randomness of the base addresses came from.
    pub seed_sources: Sources,
    /// Where the frame allocator keeps its books.
    pub frame_metadata: PhysRange,
    /// Where the counts of frames' holders are kept.
    pub frame_counts: PhysRange,
    /// A page below 1 MiB for starting other cores, if there is one.
    pub trampoline_page: Option<u64>,
}

/// Why the kernel cannot be entered.
#[derive(Debug)]
enum Cannot {
    FindMemory(NoMemory),
    Place(kaslr::TooLarge),
    Map(MapError),
    FiveLevels,
}

impl core::fmt::Display for Cannot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::FindMemory(error) => error.fmt(f),
            Self::Place(error) => error.fmt(f),
            Self::Map(error) => write!(f, "building page tables: {error}"),
            Self::FiveLevels => f.write_str(
                "the firmware runs with five-level page tables, which cannot be left from here; switch them off in its set-up",
            ),
        }
    }
}

/// Address space for heap, stacks and device windows, bytes.
const RUN_TIME_MAPPINGS_BYTES: u64 = 1 << 40;
/// Boot page tables live below 4 GiB: the PVH and multiboot2 entries map no more.
const EARLY_LIMIT: u64 = 1 << 32;
const PAGE: u64 = Size4KiB::SIZE;

unsafe extern "C" {
    static enter_high_end: u8;
    static boot_stack_top: u8;
    /// In `entry.s`: relocates the image to `slide`, loads `tables`, jumps to `entry` on `stack_top`.
    fn enter_high(slide: u64, tables: u64, entry: u64, stack_top: u64) -> !;
}

/// Frames for page tables, from one range set aside for them.
struct EarlyFrames(PhysRange);

// SAFETY: each frame of the range, which nobody else uses, is given out once.
unsafe impl paging::FrameAllocator<Size4KiB> for EarlyFrames {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let frame = PhysFrame::from_start_address(PhysAddr::new(self.0.start)).ok()?;
        if self.0.len() < PAGE {
            return None;
        }
        self.0.start += PAGE;
        Some(frame)
    }
}

/// Enters the kernel proper with what a boot path has gathered.
///
/// # Safety
/// Once, on the boot core, identity-mapped, interrupts off, boot services (if any) left.
pub(super) unsafe fn enter_kernel(mut boot: BootInfo) -> ! {
    set_up_serial();
    let base = image::base();
    boot.kernel_image = PhysRange::new(base, base + image::len());
    // SAFETY: passed on to the caller.
    let Err(why) = unsafe { try_enter(boot) };
    // A report that cannot be written has nowhere to say so.
    let _ = writeln!(EmergencyOutput, "\nRaede cannot start: {why}");
    halt_forever()
}

/// # Safety
/// As for [`enter_kernel`].
unsafe fn try_enter(mut boot: BootInfo) -> Result<core::convert::Infallible, Cannot> {
    // Our tables have four, and the number can change only with paging off (Intel SDM vol. 3A §2.5, CR4.LA57).
    if Cr4::read().contains(Cr4Flags::L5_PAGING) {
        return Err(Cannot::FiveLevels);
    }
    let image_range = MemoryRegion::new(
        boot.kernel_image.start,
        boot.kernel_image.end,
        MemoryKind::KernelImage,
    );
    let mut map = MemoryMap::normalise(
        boot.memory.regions(),
        &[image_range],
        u32::from(features().physical_address_bits),
    );
    let words = CommandLine::parse(&boot.command_line);
    let trampoline_page = map.take_trampoline().ok().map(|range| range.start);
    if let Ok(Some(limit)) = words.number("mem_limit") {
        map.limit_free_ram(limit);
    }
    let ram_end = map.ram_end();
    let tables = map
        .take(table_bytes(&map), PAGE, EARLY_LIMIT, MemoryKind::BootData)
        .map_err(Cannot::FindMemory)?;
    let metadata_bytes = (FrameAllocator::metadata_words(ram_end) * size_of::<u64>()) as u64;
    let frame_metadata = map
        .take(metadata_bytes, PAGE, u64::MAX, MemoryKind::BootData)
        .map_err(Cannot::FindMemory)?;
    let counts_bytes = (ShareCounts::needed(ram_end) * size_of::<u32>()) as u64;
    let frame_counts = map
        .take(counts_bytes, PAGE, u64::MAX, MemoryKind::BootData)
        .map_err(Cannot::FindMemory)?;

    // What cannot be read is reported once the log is up; until then the safe choice holds.
    let randomise = words.flag("kaslr").unwrap_or(None).unwrap_or(true);
    let seed = super::entropy::gather(&boot);
    let sizes = Sizes {
        image: image::len(),
        direct_map: ram_end,
        heap: RUN_TIME_MAPPINGS_BYTES,
    };
    boot.placement = kaslr::place(randomise.then_some(&seed), sizes).map_err(Cannot::Place)?;

    let mut frames = EarlyFrames(tables);
    // SAFETY: fresh frames in identity-mapped memory.
    let root = unsafe { build_tables(&boot, &map, &mut frames) }.map_err(Cannot::Map)?;

    let move_by = boot.placement.image.address.wrapping_sub(image::base());
    let slide = boot
        .placement
        .image
        .address
        .wrapping_sub(image::LINKED_BASE);
    let entry = (super::high_entry as *const () as u64).wrapping_add(move_by);
    let stack_top = (&raw const boot_stack_top as u64).wrapping_add(move_by);
    match super::BOOT.try_init_once(|| {
        (
            boot,
            BootMemory {
                seed_sources: seed.sources(),
                map,
                frame_metadata,
                frame_counts,
                trampoline_page,
            },
        )
    }) {
        Ok(()) | Err(TryInitError::AlreadyInit | TryInitError::WouldBlock) => {}
    }
    // SAFETY: the tables map the image at its new base, its stack, and this code where it runs.
    unsafe { enter_high(slide, root, entry, stack_top) }
}

/// Tables beyond those for RAM and image: the tops of each tree and the jump's page.
const SPARE_TABLES: u64 = 16;
/// A region of RAM needs at most a page directory more than its gibibytes, and a table at each ragged end.
const TABLES_FOR_A_REGION: u64 = 4;

/// Room for the page tables, in bytes; generous by a table for each region.
fn table_bytes(map: &MemoryMap) -> u64 {
    let ram: u64 = map
        .regions()
        .iter()
        .filter(|region| region.kind.is_ram())
        .map(|region| region.len() / Size1GiB::SIZE + TABLES_FOR_A_REGION)
        .sum();
    (ram + image::len() / Size2MiB::SIZE + SPARE_TABLES) * PAGE
}

/// # Safety
/// Memory below [`EARLY_LIMIT`] (all memory under UEFI) is identity-mapped, and `frames` are free.
unsafe fn build_tables(
    boot: &BootInfo,
    map: &MemoryMap,
    frames: &mut EarlyFrames,
) -> Result<u64, MapError> {
    let root = frames
        .allocate_frame()
        .ok_or(MapError::OutOfFrames)?
        .start_address()
        .as_u64();
    // SAFETY: a fresh frame, identity-mapped; an all-zero table maps nothing.
    let mut tables = unsafe {
        (root as *mut u8).write_bytes(0, PAGE as usize);
        Tables::new(root, 0)
    };
    map_image(boot, &mut tables, frames)?;
    for region in map.regions().iter().filter(|region| region.kind.is_ram()) {
        if region.kind != MemoryKind::KernelImage {
            map_ram(
                boot.placement.direct_map.address,
                region,
                &mut tables,
                frames,
            )?;
        }
    }
    // Where the jump happens from: the code that switches tables must be mapped before and after.
    let first = (enter_high as *const () as u64) & !(PAGE - 1);
    let mut page = first;
    while page < &raw const enter_high_end as u64 {
        tables.map::<Size4KiB>(page, page, PageFlags::transient(Access::Execute), frames)?;
        page += PAGE;
    }
    Ok(root)
}

fn map_image(
    boot: &BootInfo,
    tables: &mut Tables,
    frames: &mut EarlyFrames,
) -> Result<(), MapError> {
    for (start, end, access) in image::parts() {
        let mut offset = start;
        while offset < end {
            let address = boot.placement.image.address + offset;
            tables.map::<Size4KiB>(
                address,
                boot.kernel_image.start + offset,
                PageFlags::kernel(access),
                frames,
            )?;
            offset += PAGE;
        }
    }
    Ok(())
}

/// Maps a region of RAM into the direct map with the largest pages that fit.
fn map_ram(
    direct_map: u64,
    region: &MemoryRegion,
    tables: &mut Tables,
    frames: &mut EarlyFrames,
) -> Result<(), MapError> {
    let flags = PageFlags::kernel(Access::ReadWrite);
    let mut at = region.start;
    while at < region.end {
        let fits = |size: u64| at.is_multiple_of(size) && region.end - at >= size;
        let address = direct_map + at;
        at += if features().gib_pages && fits(Size1GiB::SIZE) {
            tables.map::<Size1GiB>(address, at, flags, frames)?;
            Size1GiB::SIZE
        } else if fits(Size2MiB::SIZE) {
            tables.map::<Size2MiB>(address, at, flags, frames)?;
            Size2MiB::SIZE
        } else {
            tables.map::<Size4KiB>(address, at, flags, frames)?;
            PAGE
        };
    }
    Ok(())
}
