//! What every way of booting is turned into: plain `Copy` data in one static, written once by early boot code.
//!
//! PVH, multiboot2 and UEFI differ only up to here; everything after reads [`BootInfo`]. Its contents come from
//! firmware and loaders and are not trusted: regions may overlap ([`crate::memory_map`] sorts them out), the command
//! line may be any bytes ([`crate::cmdline`]), and the framebuffer is used only after [`Framebuffer::check`].

mod framebuffer;

pub use framebuffer::{Channel, Framebuffer, FramebufferError, PixelFormat};

use crate::fixed_list::FixedList;
use crate::kaslr::Placement;
use core::fmt;

/// How many regions of the firmware's memory map are kept.
pub const MAX_REGIONS: usize = 256;
/// How many bytes of the command line are kept.
pub const MAX_COMMAND_LINE_BYTES: usize = 2048;
/// How many words of entropy the firmware may hand over.
pub const MAX_FIRMWARE_ENTROPY_WORDS: usize = 8;

/// Which entry the kernel was started through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootPath {
    /// The PVH entry (QEMU `-kernel`, other direct-boot hypervisors).
    Pvh,
    /// A multiboot2 loader such as GRUB.
    Multiboot2,
    /// Our own UEFI application.
    Uefi,
}

impl fmt::Display for BootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pvh => "PVH",
            Self::Multiboot2 => "multiboot2",
            Self::Uefi => "UEFI",
        })
    }
}

/// What a range of physical addresses is. The order is the order of restriction: where regions overlap, the greater kind wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MemoryKind {
    /// Free RAM.
    Usable,
    /// RAM holding what the loader or the boot services left: free once boot data has been copied out.
    Reclaimable,
    /// RAM holding ACPI tables: free once they have been parsed.
    AcpiReclaim,
    /// RAM holding data early boot code made (page tables, allocator metadata, stacks, the trampoline).
    BootData,
    /// RAM holding the kernel image.
    KernelImage,
    /// RAM that firmware needs kept (ACPI 6.5 §15, type 4).
    AcpiNvs,
    /// Not to be touched.
    Reserved,
    /// Device registers or a window to them.
    Mmio,
    /// RAM that firmware found faulty.
    Bad,
}

impl MemoryKind {
    /// Every kind, in order of restriction.
    pub const ALL: [Self; 9] = [
        Self::Usable,
        Self::Reclaimable,
        Self::AcpiReclaim,
        Self::BootData,
        Self::KernelImage,
        Self::AcpiNvs,
        Self::Reserved,
        Self::Mmio,
        Self::Bad,
    ];

    /// Whether the range may be handed out as memory, now or after boot data is released.
    pub const fn is_free_ram(self) -> bool {
        matches!(self, Self::Usable | Self::Reclaimable)
    }

    /// Whether the range is RAM at all, so that the direct map covers it.
    pub const fn is_ram(self) -> bool {
        matches!(
            self,
            Self::Usable
                | Self::Reclaimable
                | Self::AcpiReclaim
                | Self::BootData
                | Self::KernelImage
                | Self::AcpiNvs
        )
    }

    /// The kind of an E820 / PVH / multiboot2 entry of type `code` (ACPI 6.5 §15, table 15.4). Unknown types are reserved.
    pub const fn from_e820(code: u32) -> Self {
        match code {
            1 => Self::Usable,
            3 => Self::AcpiReclaim,
            4 => Self::AcpiNvs,
            5 => Self::Bad,
            _ => Self::Reserved,
        }
    }

    /// The kind of a UEFI memory descriptor of type `code` once boot services have been left (UEFI 2.10 §7.2, table 7.10).
    /// Unknown types are reserved; persistent memory is not used as RAM.
    pub const fn from_uefi(code: u32) -> Self {
        match code {
            7 => Self::Usable,
            1..=4 => Self::Reclaimable,
            8 => Self::Bad,
            9 => Self::AcpiReclaim,
            10 => Self::AcpiNvs,
            11 | 12 => Self::Mmio,
            _ => Self::Reserved,
        }
    }
}

impl fmt::Display for MemoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Usable => "usable",
            Self::Reclaimable => "reclaimable",
            Self::AcpiReclaim => "ACPI tables",
            Self::BootData => "boot data",
            Self::KernelImage => "kernel image",
            Self::AcpiNvs => "ACPI NVS",
            Self::Reserved => "reserved",
            Self::Mmio => "MMIO",
            Self::Bad => "bad",
        })
    }
}

/// A half-open range of physical addresses, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysRange {
    /// First address.
    pub start: u64,
    /// First address past the end.
    pub end: u64,
}

impl PhysRange {
    /// The range from `start` to before `end`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// Length in bytes; 0 for an inverted range.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds no address.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `address` lies inside.
    pub const fn contains(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }
}

/// One region of a memory map: `[start, end)` in bytes, of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// First address.
    pub start: u64,
    /// First address past the end.
    pub end: u64,
    /// What is there.
    pub kind: MemoryKind,
}

impl MemoryRegion {
    /// A region of no bytes, to fill unused places with.
    pub const EMPTY: Self = Self {
        start: 0,
        end: 0,
        kind: MemoryKind::Reserved,
    };

    /// The region from `start` to before `end`.
    pub const fn new(start: u64, end: u64, kind: MemoryKind) -> Self {
        Self { start, end, kind }
    }

    /// Length in bytes; 0 for an inverted region.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds no address.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its addresses.
    pub const fn range(&self) -> PhysRange {
        PhysRange {
            start: self.start,
            end: self.end,
        }
    }
}

/// The memory map as firmware gave it: any order, overlaps possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareMap {
    regions: FixedList<MemoryRegion, MAX_REGIONS>,
    /// Regions that did not fit. Only free RAM is ever dropped while any is listed, so what is kept stays safe to use.
    pub dropped_regions: u32,
    /// Bytes of free RAM in the dropped regions.
    pub dropped_bytes: u64,
}

impl FirmwareMap {
    /// No region yet.
    pub const EMPTY: Self = Self {
        regions: FixedList::new(MemoryRegion::EMPTY),
        dropped_regions: 0,
        dropped_bytes: 0,
    };

    /// Adds a region. A region that continues the last one with the same kind extends it. When the list is full, the smallest region of
    /// free RAM makes room (or `region` itself is dropped, if it is that): forgetting RAM is safe, forgetting a
    /// reservation is not.
    pub fn push(&mut self, region: MemoryRegion) {
        if region.is_empty() {
            return;
        }
        if let Some(last) = self.regions.last_mut()
            && last.end == region.start
            && last.kind == region.kind
        {
            last.end = region.end;
            return;
        }
        if !self.regions.is_full() {
            // Room was just checked.
            let _ = self.regions.push(region);
            return;
        }
        let smallest = self
            .regions
            .iter_mut()
            .filter(|candidate| candidate.kind.is_free_ram())
            .min_by_key(|candidate| candidate.len());
        let dropped = match smallest {
            Some(place) if !region.kind.is_free_ram() || region.len() > place.len() => {
                core::mem::replace(place, region)
            }
            _ => region,
        };
        self.dropped_regions = self.dropped_regions.saturating_add(1);
        if dropped.kind.is_free_ram() {
            self.dropped_bytes = self.dropped_bytes.saturating_add(dropped.len());
        }
    }

    /// The regions, in the order given.
    pub fn regions(&self) -> &[MemoryRegion] {
        &self.regions
    }
}

/// The command line as the loader gave it: any bytes. [`crate::cmdline::CommandLine::parse`] reads it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CommandLineBytes {
    bytes: [u8; MAX_COMMAND_LINE_BYTES],
    len: usize,
    truncated: bool,
}

impl CommandLineBytes {
    /// No command line.
    pub const EMPTY: Self = Self {
        bytes: [0; MAX_COMMAND_LINE_BYTES],
        len: 0,
        truncated: false,
    };

    /// Appends bytes (up to a NUL, if there is one); what does not fit is dropped and flagged.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes.iter().take_while(|&&byte| byte != 0) {
            match self.bytes.get_mut(self.len) {
                Some(place) => {
                    *place = byte;
                    self.len += 1;
                }
                None => {
                    self.truncated = true;
                    return;
                }
            }
        }
    }

    /// The bytes kept.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Whether the loader gave more than [`MAX_COMMAND_LINE_BYTES`].
    pub const fn is_truncated(&self) -> bool {
        self.truncated
    }
}

impl fmt::Debug for CommandLineBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\"{}",
            self.as_bytes().escape_ascii(),
            if self.truncated { " (truncated)" } else { "" }
        )
    }
}

/// Random words handed over by firmware (EFI_RNG_PROTOCOL or a loader's seed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareEntropy {
    /// The words; empty if firmware offers none.
    pub words: FixedList<u64, MAX_FIRMWARE_ENTROPY_WORDS>,
    /// Who gave them.
    pub source: FirmwareEntropySource,
}

/// Where firmware entropy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareEntropySource {
    /// There was none.
    None,
    /// EFI_RNG_PROTOCOL (UEFI 2.10 §37.5).
    UefiRng,
    /// A seed file or tag passed by the loader.
    Loader,
}

impl FirmwareEntropy {
    /// No entropy.
    pub const NONE: Self = Self {
        words: FixedList::new(0),
        source: FirmwareEntropySource::None,
    };
}

/// What the UEFI variables `SecureBoot` and `SetupMode` said (UEFI 2.10 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBoot {
    /// Images are verified before they run.
    Enabled,
    /// Images are not verified.
    Disabled,
    /// No platform key is enrolled: anyone may enrol one.
    SetupMode,
}

/// Everything the kernel knows from whoever started it. About 9 KiB; keep it in a static and pass references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootInfo {
    /// Which entry was used.
    pub path: BootPath,
    /// The memory map, as given.
    pub memory: FirmwareMap,
    /// The command line, as given.
    pub command_line: CommandLineBytes,
    /// A linear framebuffer, if there is one; unchecked.
    pub framebuffer: Option<Framebuffer>,
    /// Physical address of the ACPI root pointer, if the loader or firmware gave it.
    pub rsdp: Option<u64>,
    /// Random words from firmware.
    pub firmware_entropy: FirmwareEntropy,
    /// Secure-boot state; `None` when not started by UEFI or unknown.
    pub secure_boot: Option<SecureBoot>,
    /// Where things were put in the virtual address space.
    pub placement: Placement,
    /// Physical addresses of the loaded kernel image, including `.bss`.
    pub kernel_image: PhysRange,
    /// Time-stamp counter at the kernel's first instructions: the zero of boot times.
    pub entry_ticks: u64,
}

impl BootInfo {
    /// What is known before anything was read; early boot code fills in the rest.
    pub const fn new(path: BootPath) -> Self {
        Self {
            path,
            memory: FirmwareMap::EMPTY,
            command_line: CommandLineBytes::EMPTY,
            framebuffer: None,
            rsdp: None,
            firmware_entropy: FirmwareEntropy::NONE,
            secure_boot: None,
            placement: Placement::UNSET,
            kernel_image: PhysRange::new(0, 0),
            entry_ticks: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static BUILT_IN_A_CONST: BootInfo = BootInfo::new(BootPath::Pvh);

    #[test]
    fn is_small_enough_for_a_static() {
        assert_eq!(BUILT_IN_A_CONST.memory.regions(), []);
        assert!(
            size_of::<BootInfo>() < 12 * 1024,
            "{}",
            size_of::<BootInfo>()
        );
    }

    #[test]
    fn a_full_map_forgets_ram_rather_than_reservations() {
        let mut map = FirmwareMap::EMPTY;
        let page = |i: u64, pages, kind| {
            MemoryRegion::new(i * 0x10000, i * 0x10000 + pages * 0x1000u64, kind)
        };
        for i in 0..MAX_REGIONS as u64 {
            map.push(page(i, if i == 7 { 1 } else { 2 }, MemoryKind::Usable));
        }
        map.push(page(1000, 1, MemoryKind::Reserved));
        assert!(map.regions().contains(&page(1000, 1, MemoryKind::Reserved)));
        assert!(!map.regions().contains(&page(7, 1, MemoryKind::Usable)));
        assert_eq!((map.dropped_regions, map.dropped_bytes), (1, 0x1000));
        map.push(page(1001, 1, MemoryKind::Usable));
        assert_eq!((map.dropped_regions, map.dropped_bytes), (2, 0x2000));
        map.push(page(1001, 3, MemoryKind::Usable));
        assert!(map.regions().contains(&page(1001, 3, MemoryKind::Usable)));
    }

    #[test]
    fn neighbours_of_one_kind_join() {
        let mut map = FirmwareMap::EMPTY;
        map.push(MemoryRegion::new(0, 0x1000, MemoryKind::Reclaimable));
        map.push(MemoryRegion::new(0x1000, 0x3000, MemoryKind::Reclaimable));
        map.push(MemoryRegion::new(0x3000, 0x3000, MemoryKind::Bad));
        assert_eq!(
            map.regions(),
            [MemoryRegion::new(0, 0x3000, MemoryKind::Reclaimable)]
        );
    }

    #[test]
    fn the_command_line_ends_at_nul_and_flags_truncation() {
        let mut line = CommandLineBytes::EMPTY;
        line.push(b"a=1\0junk");
        assert_eq!((line.as_bytes(), line.is_truncated()), (&b"a=1"[..], false));
        line.push(&[b'x'; MAX_COMMAND_LINE_BYTES]);
        assert_eq!(
            (line.as_bytes().len(), line.is_truncated()),
            (MAX_COMMAND_LINE_BYTES, true)
        );
    }
}
