//! Chooses where the kernel image, the direct map and the heap go in the virtual address space (KASLR).
//!
//! The plan of the upper half with four-level paging (Intel SDM vol. 3A §4.5), by top-level (PML4) slot of 512 GiB:
//!
//! | slots | addresses | what | alignment |
//! |---|---|---|---|
//! | 256 to 447 | `0xffff_8000_0000_0000` up to `0xffff_e000_0000_0000` | direct map of physical memory | 1 GiB |
//! | 448 to 510 | `0xffff_e000_0000_0000` up to `0xffff_ff80_0000_0000` | heap, stacks, MMIO windows | 2 MiB |
//! | 511, less its last GiB | `0xffff_ff80_0000_0000` up to `0xffff_ffff_c000_0000` | kernel image | 2 MiB |
//!
//! Each lives in a room of its own, so they cannot overlap whatever is chosen. The last GiB stays free so that no
//! pointer into the image is near the wrap-around. Early boot code calls [`place`] once, before the image is relocated.

use crate::entropy::SeedPool;
use core::fmt;

/// 2 MiB: the size of a large page, and the alignment of image and heap.
pub const LARGE_PAGE_BYTES: u64 = 2 << 20;
/// 1 GiB: the size of a huge page, and the alignment of the direct map.
pub const HUGE_PAGE_BYTES: u64 = 1 << 30;

/// A room in the address plan: `[start, end)`, with the alignment of what is put in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// First address.
    pub start: u64,
    /// First address past the end.
    pub end: u64,
    /// Alignment in bytes, a power of two.
    pub align: u64,
    /// Where its tenant goes when nothing is randomised.
    pub fixed: u64,
}

/// Where the direct map may go.
pub const DIRECT_MAP_ROOM: Room = Room {
    start: 0xffff_8000_0000_0000,
    end: 0xffff_e000_0000_0000,
    align: HUGE_PAGE_BYTES,
    fixed: 0xffff_8000_0000_0000,
};
/// Where the heap may go.
pub const HEAP_ROOM: Room = Room {
    start: 0xffff_e000_0000_0000,
    end: 0xffff_ff80_0000_0000,
    align: LARGE_PAGE_BYTES,
    fixed: 0xffff_e000_0000_0000,
};
/// Where the image may go. The fixed base is the address the image is linked at.
pub const IMAGE_ROOM: Room = Room {
    start: 0xffff_ff80_0000_0000,
    end: 0xffff_ffff_c000_0000,
    align: LARGE_PAGE_BYTES,
    fixed: 0xffff_ffff_8020_0000,
};

/// A chosen base address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The virtual address.
    pub address: u64,
    /// Bytes reserved from there on, a multiple of the room's alignment.
    pub len: u64,
    /// How many places it was chosen from; 1 when fixed.
    pub slots: u64,
    /// Entropy of the choice in bits: log2 of `slots` rounded down, or what the seed held if that is less.
    pub bits: u32,
}

/// The chosen bases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The kernel image.
    pub image: Base,
    /// The direct map: physical address 0 appears here.
    pub direct_map: Base,
    /// Heap, stacks and MMIO windows.
    pub heap: Base,
    /// Whether the bases were randomised.
    pub randomised: bool,
}

impl Placement {
    /// Nothing chosen yet.
    pub const UNSET: Self = {
        let none = Base {
            address: 0,
            len: 0,
            slots: 1,
            bits: 0,
        };
        Self {
            image: none,
            direct_map: none,
            heap: none,
            randomised: false,
        }
    };
}

impl fmt::Display for Placement {
    /// The entropy of each base, as boot logs it. The addresses are left out: the log is not a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.randomised {
            write!(
                f,
                "image {} bits, direct map {} bits, heap {} bits",
                self.image.bits, self.direct_map.bits, self.heap.bits
            )
        } else {
            f.write_str("off: fixed base addresses")
        }
    }
}

/// How much room is needed, in bytes. Each is rounded up to its room's alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The kernel image, with `.bss`.
    pub image: u64,
    /// The direct map: the end of the highest physical address it must cover.
    pub direct_map: u64,
    /// Heap, stacks and MMIO windows.
    pub heap: u64,
}

/// Something does not fit its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Which part.
    pub part: &'static str,
    /// Bytes asked for.
    pub bytes: u64,
    /// Bytes there are.
    pub room_bytes: u64,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {} needs {:#x} bytes of address space and its room has {:#x}; use less memory (mem_limit=)",
            self.part, self.bytes, self.room_bytes
        )
    }
}

/// Chooses the bases: at random from `seed`, or the fixed ones if `seed` is `None` (`kaslr=off`).
///
/// A seed with no credited entropy still gives different-looking addresses, with `bits` of 0: boot reports it.
///
/// # Errors
/// [`TooLarge`] if a part does not fit its room.
pub fn place(seed: Option<&SeedPool>, sizes: Sizes) -> Result<Placement, TooLarge> {
    let mut generator = seed.map(SeedPool::generator);
    let seed_bits = seed.map_or(0, SeedPool::bits);
    let mut choose = |part, room: Room, bytes: u64| {
        let room_bytes = room.end - room.start;
        let too_large = TooLarge {
            part,
            bytes,
            room_bytes,
        };
        let len = bytes
            .max(1)
            .checked_next_multiple_of(room.align)
            .ok_or(too_large)?;
        let spare = room_bytes.checked_sub(len).ok_or(too_large)?;
        let Some(generator) = &mut generator else {
            // The fixed base may lie inside its room; what would reach past the end starts lower.
            let address = room.fixed.min(room.start + spare);
            return Ok(Base {
                address,
                len,
                slots: 1,
                bits: 0,
            });
        };
        let slots = spare / room.align + 1;
        let address = room.start + generator.below(slots) * room.align;
        Ok(Base {
            address,
            len,
            slots,
            bits: slots.ilog2().min(seed_bits),
        })
    };
    Ok(Placement {
        image: choose("kernel image", IMAGE_ROOM, sizes.image)?,
        direct_map: choose("direct map", DIRECT_MAP_ROOM, sizes.direct_map)?,
        heap: choose("heap", HEAP_ROOM, sizes.heap)?,
        randomised: seed.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Source;
    use proptest::prelude::*;
    use std::string::ToString;

    const SIZES: Sizes = Sizes {
        image: 3 << 20,
        direct_map: 4 << 30,
        heap: 1 << 40,
    };

    fn seed(word: u64, bits: u8) -> SeedPool {
        let mut pool = SeedPool::new();
        pool.absorb(word, Source::Rdrand, bits);
        pool
    }

    #[test]
    fn the_rooms_are_the_slots_of_the_plan_and_do_not_overlap() {
        let slot = |address: u64| (address >> 39) & 511;
        assert_eq!(
            (slot(DIRECT_MAP_ROOM.start), slot(DIRECT_MAP_ROOM.end - 1)),
            (256, 447)
        );
        assert_eq!((slot(HEAP_ROOM.start), slot(HEAP_ROOM.end - 1)), (448, 510));
        assert_eq!(
            (slot(IMAGE_ROOM.start), slot(IMAGE_ROOM.end - 1)),
            (511, 511)
        );
        const { assert!(DIRECT_MAP_ROOM.end <= HEAP_ROOM.start && HEAP_ROOM.end <= IMAGE_ROOM.start) };
    }

    #[test]
    fn off_gives_the_fixed_bases() {
        let placement = place(None, SIZES).unwrap();
        assert_eq!(placement.image.address, IMAGE_ROOM.fixed);
        assert_eq!(placement.direct_map.address, DIRECT_MAP_ROOM.fixed);
        assert_eq!(placement.heap.address, HEAP_ROOM.fixed);
        assert_eq!(placement.to_string(), "off: fixed base addresses");
    }

    #[test]
    fn entropy_is_what_slots_and_seed_allow() {
        let placement = place(Some(&seed(1, 64)), SIZES).unwrap();
        assert_eq!(
            (
                placement.image.bits,
                placement.direct_map.bits,
                placement.heap.bits
            ),
            (17, 16, 23)
        );
        let placement = place(Some(&seed(1, 5)), SIZES).unwrap();
        assert_eq!(
            (
                placement.image.bits,
                placement.direct_map.bits,
                placement.heap.bits
            ),
            (5, 5, 5)
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let error = place(
            None,
            Sizes {
                direct_map: 97 << 40,
                ..SIZES
            },
        )
        .unwrap_err();
        assert_eq!(error.part, "direct map");
        assert!(
            place(
                Some(&seed(1, 64)),
                Sizes {
                    heap: u64::MAX,
                    ..SIZES
                }
            )
            .is_err()
        );
        assert!(
            place(
                Some(&seed(1, 64)),
                Sizes {
                    direct_map: 96 << 40,
                    ..SIZES
                }
            )
            .is_ok()
        );
    }

    #[test]
    fn both_ends_of_a_room_are_reached() {
        let sizes = Sizes {
            direct_map: (96 << 40) - (3 << 30),
            ..SIZES
        };
        let mut seen = [false; 4];
        for word in 0..200 {
            let base = place(Some(&seed(word, 64)), sizes).unwrap().direct_map;
            seen[((base.address - DIRECT_MAP_ROOM.start) >> 30) as usize] = true;
        }
        assert_eq!(seen, [true; 4]);
    }

    proptest! {
        #[test]
        fn every_choice_lies_in_its_room_and_is_aligned(
            word: u64, randomise: bool,
            image in 0..600u64 << 30, direct_map in 0..100u64 << 40, heap in 0..33u64 << 40,
        ) {
            let pool = seed(word, 64);
            let sizes = Sizes { image, direct_map, heap };
            if let Ok(placement) = place(randomise.then_some(&pool), sizes) {
                for (base, room, bytes) in [
                    (placement.image, IMAGE_ROOM, image),
                    (placement.direct_map, DIRECT_MAP_ROOM, direct_map),
                    (placement.heap, HEAP_ROOM, heap),
                ] {
                    prop_assert!(base.len >= bytes && base.address >= room.start);
                    prop_assert!(base.address + base.len <= room.end);
                    prop_assert_eq!(base.address % room.align, 0);
                }
            }
        }
    }
}
