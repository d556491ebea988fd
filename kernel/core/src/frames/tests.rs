use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn metadata(end: u64) -> Vec<u64> {
    // Dirty, since the allocator clears it.
    vec![u64::MAX; FrameAllocator::metadata_words(end)]
}

fn page(usage: Usage) -> Request {
    Request::one(usage)
}

#[test]
fn metadata_is_as_small_as_stated() {
    let bytes = |end| FrameAllocator::metadata_words(end) * 8;
    assert!(bytes(64 * MIB) < 5 << 10, "{}", bytes(64 * MIB));
    assert!(bytes(GIB) < 67 << 10, "{}", bytes(GIB));
    assert!(bytes(1 << 40) <= 66 << 20, "{}", bytes(1 << 40));
    assert_eq!(bytes(16 << 40), bytes(u64::MAX));
}

#[test]
fn a_terabyte_is_set_up_and_served() {
    let end = 1 << 40;
    let mut words = metadata(end);
    let mut frames = FrameAllocator::new(end, &mut words).unwrap();
    frames
        .add_region(PhysRange::new(MIB, 3 * GIB - 123))
        .unwrap();
    frames.add_region(PhysRange::new(4 * GIB, end)).unwrap();
    assert_eq!(frames.largest_free_order(), Some(MAX_ORDER));
    let top = frames.allocate(page(Usage::User)).unwrap();
    assert_eq!(top.range().end, end);
    let dma = frames.allocate(Request::dma32(4)).unwrap();
    assert!(dma.range().end <= 3 * GIB - FRAME_BYTES);
    let huge = frames
        .allocate(Request {
            count: 1 << 18,
            ..page(Usage::User)
        })
        .unwrap();
    assert_eq!(huge.start.address() % GIB, 0);
    for (piece, usage) in [(top, Usage::User), (dma, Usage::Dma), (huge, Usage::User)] {
        frames.free(piece, usage).unwrap();
    }
    assert_eq!(frames.statistics().free, frames.statistics().managed);
    assert_eq!(
        Usage::ALL.map(|usage| frames.statistics().used(usage)),
        [0; Usage::COUNT]
    );
}

#[test]
fn a_normalised_map_is_taken_over() {
    use crate::boot_info::MemoryRegion;
    let regions = [
        MemoryRegion::new(0, 0x9_fc00, MemoryKind::Usable),
        MemoryRegion::new(MIB, 64 * MIB, MemoryKind::Usable),
        MemoryRegion::new(8 * MIB, 9 * MIB, MemoryKind::Reclaimable),
    ];
    let map = MemoryMap::normalise(&regions, &[], 36);
    let mut words = metadata(map.ram_end());
    let mut frames = FrameAllocator::new(map.ram_end(), &mut words).unwrap();
    let (added, error) = frames.add_from(&map, MemoryKind::Usable);
    assert_eq!(
        (added * FRAME_BYTES, error),
        (map.bytes_of(MemoryKind::Usable), None)
    );
    let (added, error) = frames.add_from(&map, MemoryKind::Reclaimable);
    assert_eq!((added, error), (256, None));
    // The reclaimed MiB closed the gap, so that the regions are one.
    assert!(frames.manages(Frames {
        start: Frame(0x7ff),
        count: 0x102
    }));
    let (_, error) = frames.add_from(&map, MemoryKind::Usable);
    assert!(matches!(error, Some(SetupError::BadRegion(_))));
}

#[test]
fn what_is_not_allocated_cannot_be_freed() {
    let mut words = metadata(16 * MIB);
    let mut frames = FrameAllocator::new(16 * MIB, &mut words).unwrap();
    frames.add_region(PhysRange::new(MIB, 8 * MIB)).unwrap();
    let block = frames
        .allocate(Request {
            count: 8,
            ..page(Usage::Dma)
        })
        .unwrap();
    let part = |at, count| Frames {
        start: Frame(block.start.0 + at),
        count,
    };
    frames.free(part(2, 3), Usage::Dma).unwrap();
    for twice in [part(2, 1), part(0, 8), part(4, 4), part(1, 2)] {
        assert_eq!(
            frames.free(twice, Usage::Dma),
            Err(FreeError::AlreadyFree(twice))
        );
    }
    assert_eq!(frames.statistics().used(Usage::Dma), 5);
    let foreign = Frames {
        start: Frame(0),
        count: 1,
    };
    assert_eq!(
        frames.free(foreign, Usage::Dma),
        Err(FreeError::Foreign(foreign))
    );
    for foreign in [(2047, 2), (4096, 1), (u64::MAX, 1), (u64::MAX - 1, 1 << 18)] {
        let foreign = Frames {
            start: Frame(foreign.0),
            count: foreign.1,
        };
        assert!(matches!(
            frames.free(foreign, Usage::Dma),
            Err(FreeError::Foreign(_))
        ));
    }
    assert!(matches!(
        frames.free(part(0, 0), Usage::Dma),
        Err(FreeError::BadCount(_))
    ));
    frames.free(part(0, 2), Usage::Dma).unwrap();
    frames.free(part(5, 3), Usage::Dma).unwrap();
    assert_eq!(frames.statistics().free, 7 * 256);
}

#[test]
fn impossible_requests_are_refused_with_figures() {
    let mut words = metadata(4 * MIB);
    let mut frames = FrameAllocator::new(4 * MIB, &mut words).unwrap();
    frames.add_region(PhysRange::new(MIB, 2 * MIB)).unwrap();
    for (count, align) in [(0, 1), (1, 0), (1, 3), ((1 << 18) + 1, 1), (1, 1 << 19)] {
        let request = Request {
            count,
            align,
            ..page(Usage::Other)
        };
        assert_eq!(
            frames.allocate(request),
            Err(AllocError::BadRequest(request))
        );
    }
    let error = frames
        .allocate(Request {
            below: MIB + 3 * FRAME_BYTES,
            ..Request::dma32(4)
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "out of memory: no 16 KiB in one piece for device buffers below 0x103000 (1024 KiB free in all)"
    );
    let mut short = [0; 3];
    assert!(matches!(
        FrameAllocator::new(4 * MIB, &mut short),
        Err(SetupError::MetadataTooSmall { given: 3, .. })
    ));
}

#[test]
fn a_limit_below_the_rounded_block_still_finds_the_frames() {
    let mut words = metadata(4 * MIB);
    let mut frames = FrameAllocator::new(4 * MIB, &mut words).unwrap();
    frames.add_region(PhysRange::new(0, 4 * MIB)).unwrap();
    // Three frames below a limit that lies within the block of four they come from.
    let three = frames
        .allocate(Request {
            count: 3,
            below: 3 * FRAME_BYTES,
            ..page(Usage::Dma)
        })
        .unwrap();
    assert_eq!(
        three,
        Frames {
            start: Frame(0),
            count: 3
        }
    );
    assert!(frames.is_free(Frame(3)));
}

#[test]
fn a_cache_moves_half_its_size_and_keeps_count() {
    let mut words = metadata(4 * MIB);
    let mut frames = FrameAllocator::new(4 * MIB, &mut words).unwrap();
    frames.add_region(PhysRange::new(0, 4 * MIB)).unwrap();
    let mut cache: FrameCache<8> = FrameCache::new();
    assert_eq!(cache.allocate(Usage::User), None);
    assert_eq!(cache.refill(&mut frames), Ok(4));
    let taken: Vec<Frame> = core::iter::from_fn(|| cache.allocate(Usage::User)).collect();
    assert!(
        taken.len() == 4 && taken.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0),
        "{taken:?}"
    );
    cache.settle(&mut frames);
    assert_eq!(
        (
            frames.statistics().used(Usage::User),
            frames.statistics().used(Usage::CoreCache)
        ),
        (4, 0)
    );
    for &frame in &taken {
        cache.free(frame, Usage::User).unwrap();
    }
    assert_eq!(
        cache.free(taken[2], Usage::User),
        Err(CacheError::AlreadyFree(taken[2]))
    );
    assert_eq!(cache.refill(&mut frames), Ok(4));
    assert_eq!(cache.free(Frame(0), Usage::User), Err(CacheError::Full));
    cache.drain(&mut frames).unwrap();
    assert_eq!(cache.len(), 4);
    assert!(
        taken.iter().all(|&frame| frames.is_free(frame)),
        "those longest unused go first"
    );
    cache.drain_all(&mut frames).unwrap();
    assert_eq!(frames.statistics().free, 1024);
    assert_eq!(
        Usage::ALL.map(|usage| frames.statistics().used(usage)),
        [0; Usage::COUNT]
    );
    // A frame freed both here and to the allocator is found when it is drained.
    let one = frames.allocate(page(Usage::User)).unwrap();
    frames.free(one, Usage::User).unwrap();
    cache.free(one.start, Usage::User).unwrap();
    assert_eq!(
        cache.drain_all(&mut frames),
        Err(FreeError::AlreadyFree(one))
    );
    assert!(cache.is_empty());
}

#[test]
fn a_cache_takes_single_frames_when_memory_is_in_pieces() {
    let mut words = metadata(MIB);
    let mut frames = FrameAllocator::new(MIB, &mut words).unwrap();
    for frame in [3, 5, 9] {
        frames
            .add_region(PhysRange::new(
                frame * FRAME_BYTES,
                (frame + 1) * FRAME_BYTES,
            ))
            .unwrap();
    }
    let mut cache: FrameCache<16> = FrameCache::new();
    assert_eq!(cache.refill(&mut frames), Ok(3));
    assert!(matches!(
        cache.refill(&mut frames),
        Err(AllocError::OutOfMemory { free: 0, .. })
    ));
}

// A set of free frame numbers, searched frame by frame.
struct Model {
    managed: BTreeSet<u64>,
    free: BTreeSet<u64>,
}

impl Model {
    fn run_at(&self, start: u64, count: u64) -> bool {
        (start..start + count).all(|frame| self.free.contains(&frame))
    }

    // Whether a free aligned block as large as the rounded request lies such that the frames end below the limit.
    fn has_block(&self, request: Request) -> bool {
        let size = request.count.max(request.align).next_power_of_two();
        self.free.iter().any(|&start| {
            start % size == 0
                && (start + request.count) * FRAME_BYTES <= request.below
                && self.run_at(start, size)
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        count: u64,
        align: u32,
        below: u64,
    },
    Free {
        which: prop::sample::Index,
        skip: u64,
        count: u64,
    },
    FreeAny {
        start: u64,
        count: u64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40u64, 0..6u32, prop_oneof![Just(u64::MAX), (0..600u64).prop_map(|frame| frame * FRAME_BYTES + 5)])
            .prop_map(|(count, align, below)| Step::Allocate { count, align, below }),
        4 => (any::<prop::sample::Index>(), 0..20u64, 1..40u64).prop_map(|(which, skip, count)| Step::Free { which, skip, count }),
        1 => (0..620u64, 0..40u64).prop_map(|(start, count)| Step::FreeAny { start, count }),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_set_of_frames(
        regions in prop::collection::vec((0..600u64, 1..200u64), 1..6), steps in prop::collection::vec(any_step(), 1..80)
    ) {
        const END: u64 = 600;
        let mut words = metadata(END * FRAME_BYTES);
        let mut frames = FrameAllocator::new(END * FRAME_BYTES, &mut words).unwrap();
        let mut model = Model { managed: BTreeSet::new(), free: BTreeSet::new() };
        for (start, count) in regions {
            let range = start..start + count;
            let fits = range.end <= END && range.clone().all(|frame| !model.managed.contains(&frame));
            let added = frames.add_region(PhysRange::new(range.start * FRAME_BYTES, range.end * FRAME_BYTES));
            prop_assert_eq!(added.is_ok(), fits);
            if fits {
                model.managed.extend(range.clone());
                model.free.extend(range);
            }
        }
        let mut allocated: Vec<Frames> = Vec::new();
        for step in steps {
            match step {
                Step::Allocate { count, align, below } => {
                    let request = Request { count, align: 1 << align, below, usage: Usage::User };
                    match frames.allocate(request) {
                        Ok(taken) => {
                            prop_assert_eq!((taken.count, taken.start.0 % request.align), (count, 0));
                            prop_assert!(taken.range().end <= below);
                            prop_assert!(model.run_at(taken.start.0, count), "not free: {:?}", taken);
                            (taken.start.0..taken.end()).for_each(|frame| { model.free.remove(&frame); });
                            allocated.push(taken);
                        }
                        Err(_) => prop_assert!(!model.has_block(request), "{:?} could be had", request),
                    }
                }
                Step::Free { which, skip, count } => {
                    if allocated.is_empty() {
                        continue;
                    }
                    let whole = allocated.swap_remove(which.index(allocated.len()));
                    let skip = skip.min(whole.count - 1);
                    let part = Frames { start: Frame(whole.start.0 + skip), count: count.min(whole.count - skip) };
                    // The pieces before and after stay allocated.
                    if skip > 0 {
                        allocated.push(Frames { start: whole.start, count: skip });
                    }
                    if part.end() < whole.end() {
                        allocated.push(Frames { start: Frame(part.end()), count: whole.end() - part.end() });
                    }
                    prop_assert_eq!(frames.free(part, Usage::User), Ok(()));
                    model.free.extend(part.start.0..part.end());
                }
                Step::FreeAny { start, count } => {
                    let part = Frames { start: Frame(start), count };
                    let managed = (start..start + count).all(|frame| model.managed.contains(&frame));
                    let any_free = (start..start + count).any(|frame| model.free.contains(&frame));
                    if count > 0 && managed && !any_free {
                        // It would succeed, and take frames from what the model's pieces hold.
                        continue;
                    }
                    prop_assert!(frames.free(part, Usage::User).is_err());
                }
            }
            prop_assert_eq!(frames.statistics().free, model.free.len() as u64);
            let used: u64 = allocated.iter().map(|piece| piece.count).sum();
            prop_assert_eq!(frames.statistics().used(Usage::User), used);
        }
        for frame in 0..END {
            prop_assert_eq!(frames.is_free(Frame(frame)), model.free.contains(&frame));
        }
        // Everything freed joins again into the fewest blocks.
        for piece in allocated {
            frames.free(piece, Usage::User).unwrap();
        }
        let largest = (0..=MAX_ORDER).rev().find(|&order| {
            (0..END >> order).any(|block| ((block << order)..((block + 1) << order)).all(|frame| model.managed.contains(&frame)))
        });
        prop_assert_eq!(frames.largest_free_order(), largest);
    }
}
