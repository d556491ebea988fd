//! The PVH and multiboot2 entries: 64-bit code on the identity map that `entry.s` made of the first 4 GiB.

use core::slice;

use kerncore::boot_info::{
    BootInfo, BootPath, Channel, Framebuffer, MemoryKind, MemoryRegion, PixelFormat,
};
use multiboot2::{BootInformation, BootInformationHeader, FramebufferType, UnknownFramebufferType};

use super::handoff;

/// End of the identity map: nothing a loader hands over may lie beyond.
const IDENTITY_END: u64 = 1 << 32;

/// `hvm_start_info` (Xen public/arch-x86/hvm/start_info.h, version 1).
#[repr(C)]
#[derive(Clone, Copy)]
struct PvhStartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

const PVH_MAGIC: u32 = 0x336e_c578;

/// `hvm_memmap_table_entry` of the same header.
#[repr(C)]
#[derive(Clone, Copy)]
struct PvhMemoryEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// Entered from `entry.s` with the path (1: PVH, 2: multiboot2) and what the loader passed.
#[unsafe(no_mangle)]
extern "C" fn boot_legacy(path: u64, info: u64) -> ! {
    let entry_ticks = super::early_ticks();
    let mut boot = BootInfo::new(if path == 1 {
        BootPath::Pvh
    } else {
        BootPath::Multiboot2
    });
    boot.entry_ticks = entry_ticks;
    // SAFETY: `info` is what the loader of that protocol passed, identity-mapped.
    unsafe {
        match boot.path {
            BootPath::Pvh => read_pvh(&mut boot, info),
            _ => read_multiboot2(&mut boot, info),
        }
        handoff::enter_kernel(boot)
    }
}

/// The `count` values of `T` at physical `address`, if they lie in the identity map.
///
/// # Safety
/// The memory holds such values (plain data) and nobody changes them.
unsafe fn values<T: Copy>(address: u64, count: usize) -> &'static [T] {
    let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
    let fits = address
        .checked_add(bytes)
        .is_some_and(|end| end <= IDENTITY_END);
    if address == 0 || !fits || !address.is_multiple_of(align_of::<T>() as u64) {
        return &[];
    }
    // SAFETY: mapped, aligned and not null as just checked; contents by the caller's word.
    unsafe { slice::from_raw_parts(address as *const T, count) }
}

/// # Safety
/// `info` is the address the PVH loader passed.
unsafe fn read_pvh(boot: &mut BootInfo, info: u64) {
    // SAFETY: start info, command line and memory map are the loader's, left alone by us so far.
    unsafe {
        let Some(start) = values::<PvhStartInfo>(info, 1).first() else {
            return;
        };
        if start.magic != PVH_MAGIC {
            return;
        }
        boot.rsdp = (start.rsdp != 0).then_some(start.rsdp);
        let line = values::<u8>(
            start.command_line,
            kerncore::boot_info::MAX_COMMAND_LINE_BYTES + 1,
        );
        boot.command_line.push(line);
        if start.version >= 1 {
            for entry in
                values::<PvhMemoryEntry>(start.memory_map, start.memory_map_entries as usize)
            {
                let end = entry.address.saturating_add(entry.size);
                boot.memory.push(MemoryRegion::new(
                    entry.address,
                    end,
                    MemoryKind::from_e820(entry.kind),
                ));
            }
        }
    }
}

/// # Safety
/// `info` is the address the multiboot2 loader passed.
unsafe fn read_multiboot2(boot: &mut BootInfo, info: u64) {
    // SAFETY: as the protocol promises; the crate checks alignment, size and the end tag.
    let Ok(information) = (unsafe { BootInformation::load(info as *const BootInformationHeader) })
    else {
        return;
    };
    if let Some(Ok(line)) = information.command_line_tag().map(|tag| tag.cmdline()) {
        boot.command_line.push(line.as_bytes());
    }
    if let Some(map) = information.memory_map_tag() {
        for area in map.memory_areas() {
            let kind = MemoryKind::from_e820(u32::from(area.typ()));
            boot.memory.push(MemoryRegion::new(
                area.start_address(),
                area.end_address(),
                kind,
            ));
        }
    }
    // The loader's information itself is in memory it calls usable: keep it out of the way until it is copied.
    boot.memory.push(MemoryRegion::new(
        info,
        info + u64::from(information.total_size() as u32),
        MemoryKind::Reclaimable,
    ));
    // The RSDP tags hold copies, which are as good as the original: this memory is kept until ACPI has been read.
    boot.rsdp = information
        .rsdp_v2_tag()
        .map(|tag| core::ptr::from_ref(tag) as *const u8 as u64 + RSDP_OFFSET_IN_TAG)
        .or_else(|| {
            information
                .rsdp_v1_tag()
                .map(|tag| core::ptr::from_ref(tag) as *const u8 as u64 + RSDP_OFFSET_IN_TAG)
        });
    if let Some(Ok(tag)) = information.framebuffer_tag() {
        boot.framebuffer = framebuffer(tag);
    }
}

/// The RSDP's copy follows the tag's type and size (Multiboot2 specification 2.0 §3.6.15).
const RSDP_OFFSET_IN_TAG: u64 = 8;

fn framebuffer(tag: &multiboot2::FramebufferTag) -> Option<Framebuffer> {
    let format = match tag.buffer_type() {
        Ok(FramebufferType::RGB { red, green, blue }) => {
            let channel = |field: multiboot2::FramebufferField| Channel {
                shift: field.position,
                width: field.size,
            };
            PixelFormat {
                red: channel(red),
                green: channel(green),
                blue: channel(blue),
            }
        }
        // Text mode and palettes cannot be drawn on.
        Ok(_) | Err(UnknownFramebufferType { .. }) => return None,
    };
    Some(Framebuffer {
        address: tag.address(),
        width: tag.width(),
        height: tag.height(),
        stride_bytes: tag.pitch(),
        bits_per_pixel: tag.bpp(),
        format,
    })
}
