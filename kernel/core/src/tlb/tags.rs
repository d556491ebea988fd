//! Which address spaces a core's TLB holds, by PCID (Intel SDM vol. 3A §5.10.1).

/// What a core remembers: `N` spaces, those used last. Its PCIDs are 1 to `N`; 0 is the kernel's own.
///
/// The core's own: changed with interrupts off.
#[derive(Clone, Debug)]
pub struct Tags<const N: usize> {
    slots: [Slot; N],
    loads: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The space's id; 0 is nobody's.
    space: u64,
    /// The generation up to which the TLB has been told of all changes.
    seen: u64,
    /// When it was loaded last, in loads.
    used: u64,
}

/// How to load a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Under this PCID.
    pub tag: u16,
    /// Whether what the TLB has under it must go.
    pub flush: bool,
}

impl<const N: usize> Tags<N> {
    /// Knows no space.
    pub const fn new() -> Self {
        const { assert!(N > 0 && N < 4096) };
        Self {
            slots: [Slot {
                space: 0,
                seen: 0,
                used: 0,
            }; N],
            loads: 0,
        }
    }

    /// The space `space` (not 0) at `generation` is about to be loaded: under which tag, and does it need a flush?
    pub fn load(&mut self, space: u64, generation: u64) -> Load {
        self.loads += 1;
        let mut oldest = 0;
        let mut oldest_used = u64::MAX;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.space == space {
                let flush = slot.seen != generation;
                slot.seen = generation;
                slot.used = self.loads;
                return Load {
                    tag: index as u16 + 1,
                    flush,
                };
            }
            if slot.used < oldest_used {
                (oldest, oldest_used) = (index, slot.used);
            }
        }
        if let Some(slot) = self.slots.get_mut(oldest) {
            *slot = Slot {
                space,
                seen: generation,
                used: self.loads,
            };
        }
        Load {
            tag: oldest as u16 + 1,
            flush: true,
        }
    }

    /// The TLB has been told of the one change that raised `space` from generation `from` to the next. Counts only if
    /// it knew of all before.
    pub fn told_of_one(&mut self, space: u64, from: u64) {
        for slot in &mut self.slots {
            if slot.space == space && slot.seen == from {
                slot.seen = from.wrapping_add(1);
            }
        }
    }

    /// All that the TLB had of `space` is gone; its generation was `generation` before that.
    pub fn told_of_all(&mut self, space: u64, generation: u64) {
        for slot in &mut self.slots {
            if slot.space == space {
                slot.seen = generation;
            }
        }
    }
}

impl<const N: usize> Default for Tags<N> {
    fn default() -> Self {
        Self::new()
    }
}
