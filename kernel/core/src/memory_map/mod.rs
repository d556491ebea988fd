//! The firmware's memory map made usable: sorted, disjoint, page aligned, and never more generous than firmware was.
//!
//! Firmware is not trusted to be tidy: regions come in any order, overlap, wrap, or start in mid-page. [`MemoryMap::normalise`]
//! resolves every page to the most restrictive kind that any region claims for it (the order of [`MemoryKind`]); a page is free RAM only
//! if a single region of free RAM covers it whole. Early boot then takes what it needs ([`MemoryMap::take`]:
//! page tables, the frame allocator's metadata, the trampoline page), and the rest goes to [`crate::frames`].
//!
//! All work is bounded: n log n for n ≤ 512 regions, and one pass over the list for each change.

use crate::boot_info::{MAX_REGIONS, MemoryKind, MemoryRegion, PhysRange};
use crate::fixed_list::FixedList;
use core::fmt;

#[cfg(test)]
mod tests;

/// Bytes of a page and of a frame.
pub const PAGE_BYTES: u64 = 4096;
/// The processor's real-mode start address of another core must lie below this (Intel SDM vol. 3A §9.4.4), so its
/// trampoline page is taken from here.
pub const LOW_MEMORY_END: u64 = 1 << 20;
/// The lowest 64 KiB are never handed out: they hold the real-mode vectors and BIOS data, and BIOSes are known to
/// scribble there in system management mode.
pub const FIRMWARE_LOW_BYTES: u64 = 64 << 10;
/// How many ranges early boot may carve out in one [`MemoryMap::normalise`].
pub const MAX_CARVED: usize = 32;

/// What was wrong with the firmware's map and what was done about it; boot logs it when [`Self::is_clean`] says no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Regions that were empty or ended before they began: ignored.
    pub empty: u32,
    /// Regions reaching past the processor's physical address width: clipped or ignored.
    pub clipped: u32,
    /// Places where regions of different kinds overlapped: the more restrictive kind was taken.
    pub overlaps: u32,
    /// Free RAM with ends inside a page: aligned inward.
    pub unaligned: u32,
    /// Regions of free RAM forgotten because the list was full.
    pub dropped: u32,
    /// Bytes of RAM in those.
    pub dropped_bytes: u64,
    /// Regions of other kinds forgotten because the list was full of them; their addresses are never handed out.
    pub forgotten: u32,
}

impl Report {
    /// Whether there is nothing to tell.
    pub fn is_clean(&self) -> bool {
        let Self {
            empty,
            clipped,
            overlaps,
            unaligned: _,
            dropped,
            dropped_bytes: _,
            forgotten,
        } = *self;
        empty | clipped | overlaps | dropped | forgotten == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut part = |count: u32, what: &str| {
            if count == 0 {
                return Ok(());
            }
            let separator = core::mem::replace(&mut separator, "; ");
            write!(f, "{separator}{count} {what}")
        };
        part(self.empty, "empty or inverted (ignored)")?;
        part(self.clipped, "past the processor's address width (clipped)")?;
        part(
            self.overlaps,
            "overlaps (the more restrictive kind was taken)",
        )?;
        part(self.unaligned, "of free RAM not page aligned (shrunk)")?;
        part(
            self.forgotten,
            "reserved forgotten, as the list was full (not handed out)",
        )?;
        part(self.dropped, "of free RAM dropped, as the list was full")?;
        if self.dropped > 0 {
            write!(f, " ({} KiB lost)", self.dropped_bytes >> 10)?;
        }
        Ok(())
    }
}

/// A sorted, disjoint, page-aligned memory map. About 6 KiB; normalising needs another 9 KiB of stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    regions: FixedList<MemoryRegion, MAX_REGIONS>,
    report: Report,
}

/// No range of the wanted size, alignment and place is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory {
    /// Bytes wanted.
    pub bytes: u64,
    /// Alignment wanted, in bytes.
    pub align: u64,
    /// The end had to lie at or below this address.
    pub below: u64,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no free range of {} KiB aligned to {:#x} below {:#x} in the memory map; start the machine with more memory",
            self.bytes >> 10,
            self.align,
            self.below
        )
    }
}

const fn align_down(address: u64) -> u64 {
    address & !(PAGE_BYTES - 1)
}

// Rounds up; the last page of the address space stays out of reach.
const fn align_up(address: u64) -> u64 {
    match address.checked_add(PAGE_BYTES - 1) {
        Some(sum) => align_down(sum),
        None => align_down(u64::MAX),
    }
}

impl MemoryMap {
    /// A map of nothing.
    pub const EMPTY: Self = Self {
        regions: FixedList::new(MemoryRegion::EMPTY),
        report: Report {
            empty: 0,
            clipped: 0,
            overlaps: 0,
            unaligned: 0,
            dropped: 0,
            dropped_bytes: 0,
            forgotten: 0,
        },
    };

    /// Makes a map of the firmware's `regions` (the first 256 are read).
    ///
    /// `carve` are ranges early boot already uses (kernel image, boot data; at most [`MAX_CARVED`] are read): they win over free RAM like any
    /// more restrictive kind. `address_bits` is the processor's physical address width (CPUID 80000008h EAX\[7:0\]).
    pub fn normalise(regions: &[MemoryRegion], carve: &[MemoryRegion], address_bits: u32) -> Self {
        let mut map = Self::EMPTY;
        let limit = align_down(1u64.checked_shl(address_bits).unwrap_or(u64::MAX));
        let mut edges: FixedList<Edge, MAX_EDGES> = FixedList::new(Edge::UNUSED);
        let low = MemoryRegion::new(0, FIRMWARE_LOW_BYTES, MemoryKind::Reserved);
        let firmware = regions
            .iter()
            .take(MAX_REGIONS)
            .map(|region| (region, true));
        let ours = carve
            .iter()
            .take(MAX_CARVED)
            .chain([&low])
            .map(|region| (region, false));
        for (region, from_firmware) in firmware.chain(ours) {
            let Some(PhysRange { start, end }) = map.clean(region, limit) else {
                continue;
            };
            let edge = Edge {
                address: start,
                kind: region.kind,
                opens: true,
                from_firmware,
            };
            // `MAX_EDGES` has room for two of each input.
            let _ = edges.push(edge);
            let _ = edges.push(Edge {
                address: end,
                opens: false,
                ..edge
            });
        }
        edges.sort_unstable_by_key(|edge| edge.address);
        map.sweep(&edges);
        map
    }

    // The region clipped to `limit` and aligned: inward if it is free RAM, else outward. `None` if nothing is left of it.
    fn clean(&mut self, region: &MemoryRegion, limit: u64) -> Option<PhysRange> {
        if region.is_empty() {
            self.report.empty += 1;
            return None;
        }
        if region.end > limit {
            self.report.clipped += 1;
        }
        let (start, end) = if region.kind.is_free_ram() {
            let aligned = (align_up(region.start), align_down(region.end));
            if aligned != (region.start, region.end) {
                self.report.unaligned += 1;
            }
            aligned
        } else {
            (align_down(region.start), align_up(region.end))
        };
        let range = PhysRange::new(start.min(limit), end.min(limit));
        (!range.is_empty()).then_some(range)
    }

    // Walks the sorted edges, keeping count of how many regions of each kind are open; between two edges the most restrictive open kind holds.
    fn sweep(&mut self, edges: &[Edge]) {
        let mut open = [0u32; MemoryKind::ALL.len()];
        let mut open_firmware = [0u32; MemoryKind::ALL.len()];
        let mut from = 0;
        for edge in edges {
            let kind = MemoryKind::ALL
                .into_iter()
                .rev()
                .find(|&kind| open[kind as usize] > 0);
            if let Some(kind) = kind
                && from < edge.address
            {
                self.append(MemoryRegion::new(from, edge.address, kind));
                let claims = open_firmware.iter().filter(|&&count| count > 0).count();
                self.report.overlaps += u32::from(claims > 1);
            }
            from = edge.address;
            let counts = [
                Some(&mut open),
                edge.from_firmware.then_some(&mut open_firmware),
            ];
            for counts in counts.into_iter().flatten() {
                let count = &mut counts[edge.kind as usize];
                *count = if edge.opens {
                    *count + 1
                } else {
                    count.saturating_sub(1)
                };
            }
        }
    }

    // Adds a region after all others.
    fn append(&mut self, region: MemoryRegion) {
        if let Some(last) = self.regions.last_mut()
            && last.end == region.start
            && last.kind == region.kind
        {
            last.end = region.end;
            return;
        }
        if self.regions.is_full() {
            self.forget_one(None);
        }
        // Room was just made.
        let _ = self.regions.push(region);
    }

    // Makes room in a full list, sparing the region that starts at `spare`. What is forgotten is never handed out, so that forgetting a
    // reservation costs nothing: the smallest of those goes first, the smallest free RAM only after them.
    fn forget_one(&mut self, spare: Option<u64>) {
        let rank = |region: &MemoryRegion| match region.kind {
            MemoryKind::Reserved | MemoryKind::Bad | MemoryKind::Mmio => 0,
            kind if kind.is_free_ram() => 1,
            _ => 2,
        };
        let victim = self
            .regions
            .iter()
            .enumerate()
            .filter(|(_, region)| Some(region.start) != spare)
            .min_by_key(|(_, region)| (rank(region), region.len()))
            .map(|(index, _)| index);
        if let Some(region) = victim.and_then(|index| self.regions.remove(index)) {
            if region.kind.is_free_ram() {
                self.report.dropped += 1;
                self.report.dropped_bytes += region.len();
            } else {
                self.report.forgotten += 1;
            }
        }
    }

    /// The regions: ascending, disjoint, page aligned, neighbours of one kind joined. Addresses in no region are unknown.
    pub fn regions(&self) -> &[MemoryRegion] {
        &self.regions
    }

    /// What was wrong with the firmware's map.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The region `address` lies in.
    pub fn find(&self, address: u64) -> Option<&MemoryRegion> {
        let after = self
            .regions
            .partition_point(|region| region.start <= address);
        self.regions
            .get(after.checked_sub(1)?)
            .filter(|region| region.range().contains(address))
    }

    /// Whether any of `range` is RAM that the kernel uses or may come to use: no device's registers can lie there. (What
    /// firmware keeps for ACPI may hold registers, or what stands for them.)
    pub fn overlaps_own_ram(&self, range: PhysRange) -> bool {
        let after = self
            .regions
            .partition_point(|region| region.end <= range.start);
        self.regions
            .iter()
            .skip(after)
            .take_while(|region| region.start < range.end)
            .any(|region| region.kind.is_ram() && region.kind != MemoryKind::AcpiNvs)
    }

    /// Bytes in regions of `kind`.
    pub fn bytes_of(&self, kind: MemoryKind) -> u64 {
        self.regions
            .iter()
            .filter(|region| region.kind == kind)
            .map(MemoryRegion::len)
            .sum()
    }

    /// Bytes of RAM of any kind.
    pub fn ram_bytes(&self) -> u64 {
        self.regions
            .iter()
            .filter(|region| region.kind.is_ram())
            .map(MemoryRegion::len)
            .sum()
    }

    /// The end of the highest RAM of any kind: what the direct map must reach. 0 if there is none.
    pub fn ram_end(&self) -> u64 {
        self.regions
            .iter()
            .rev()
            .find(|region| region.kind.is_ram())
            .map_or(0, |region| region.end)
    }

    /// Takes `bytes` (rounded up to pages) aligned to `align` (a power of two; at least a page is used) that end at or below `below`, from the
    /// highest usable RAM there, and marks them as `kind`.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no such range.
    pub fn take(
        &mut self,
        bytes: u64,
        align: u64,
        below: u64,
        kind: MemoryKind,
    ) -> Result<PhysRange, NoMemory> {
        self.take_from(MemoryKind::Usable, bytes, align, below, kind)
    }

    fn take_from(
        &mut self,
        source: MemoryKind,
        bytes: u64,
        align: u64,
        below: u64,
        kind: MemoryKind,
    ) -> Result<PhysRange, NoMemory> {
        let error = NoMemory {
            bytes,
            align,
            below,
        };
        let bytes = align_up(bytes.max(1));
        let align = align.max(PAGE_BYTES);
        if !align.is_power_of_two() {
            return Err(error);
        }
        let fit = |region: &MemoryRegion| {
            let start = region.end.min(below).checked_sub(bytes)? & !(align - 1);
            (region.kind == source && start >= region.start).then_some(start)
        };
        let found = self
            .regions
            .iter()
            .rev()
            .find_map(|region| Some((region.start, fit(region)?)));
        let (region_start, start) = found.ok_or(error)?;
        let range = PhysRange::new(start, start + bytes);
        // Splitting one region makes at most two more.
        while self.regions.len() + 2 > self.regions.capacity() {
            self.forget_one(Some(region_start));
        }
        let index = self
            .regions
            .iter()
            .position(|region| region.start == region_start)
            .ok_or(error)?;
        let region = self.regions.remove(index).ok_or(error)?;
        let pieces = [
            MemoryRegion::new(range.end, region.end, region.kind),
            MemoryRegion::new(range.start, range.end, kind),
            MemoryRegion::new(region.start, range.start, region.kind),
        ];
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            // Room for all three was made.
            let _ = self.regions.insert(index, piece);
        }
        self.join();
        Ok(range)
    }

    /// Takes the page from which the other cores are started: below 1 MiB, marked as boot data. Where firmware has used all of low
    /// memory for its boot services, one of their pages: it is written only when they and what they left are no longer needed.
    ///
    /// # Errors
    /// [`NoMemory`] if firmware keeps all of low memory; the other cores cannot be started then.
    pub fn take_trampoline(&mut self) -> Result<PhysRange, NoMemory> {
        let mut take = |source| {
            self.take_from(
                source,
                PAGE_BYTES,
                PAGE_BYTES,
                LOW_MEMORY_END,
                MemoryKind::BootData,
            )
        };
        take(MemoryKind::Usable).or_else(|_| take(MemoryKind::Reclaimable))
    }

    /// Turns all regions of `kind` into usable RAM (reclaimable ones once boot data was copied out, ACPI tables once
    /// parsed) and returns how many bytes that freed. Pass the regions to the frame allocator first.
    pub fn release(&mut self, kind: MemoryKind) -> u64 {
        let freed = self.bytes_of(kind);
        for region in self.regions.iter_mut().filter(|region| region.kind == kind) {
            region.kind = MemoryKind::Usable;
        }
        self.join();
        freed
    }

    /// Keeps only the lowest `bytes` of free RAM (`mem_limit=`), removes the rest from the map, and returns how
    /// many bytes were removed.
    pub fn limit_free_ram(&mut self, bytes: u64) -> u64 {
        let mut left = align_down(bytes);
        let mut removed = 0;
        let mut index = 0;
        while let Some(region) = self.regions.get_mut(index) {
            if !region.kind.is_free_ram() {
                index += 1;
                continue;
            }
            let kept = region.len().min(left);
            removed += region.len() - kept;
            left -= kept;
            region.end = region.start + kept;
            if kept == 0 {
                self.regions.remove(index);
            } else {
                index += 1;
            }
        }
        removed
    }

    // Joins neighbours of one kind.
    fn join(&mut self) {
        let mut index = 1;
        while let (Some(&before), Some(&region)) =
            (self.regions.get(index - 1), self.regions.get(index))
        {
            if before.end == region.start && before.kind == region.kind {
                self.regions[index - 1].end = region.end;
                self.regions.remove(index);
            } else {
                index += 1;
            }
        }
    }
}

// Two for each region of firmware, each carved range and low memory.
const MAX_EDGES: usize = 2 * (MAX_REGIONS + MAX_CARVED + 1);

// Where a region begins or ends.
#[derive(Clone, Copy)]
struct Edge {
    address: u64,
    kind: MemoryKind,
    opens: bool,
    from_firmware: bool,
}

impl Edge {
    const UNUSED: Self = Self {
        address: 0,
        kind: MemoryKind::Reserved,
        opens: false,
        from_firmware: false,
    };
}
