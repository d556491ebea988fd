//! Which core this is, and whether an interrupt is being served: one word, so that one compare
//! decides whether the unlocked path may be taken.

use crate::ident::CoreId;

/// Where the caller runs: on a core in task context, on a core in an interrupt handler, or on a
/// thread that is no core at all.
///
/// Layout: bits 0..8 the core, bit 8 set in an interrupt handler; all ones for [`Here::foreign`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Here(u32);

impl Here {
    /// The bit a top half sets in its core's word on entry and clears on exit.
    pub const INTERRUPT: u32 = 1 << 8;

    /// A thread that is no core of the fleet.
    pub const fn foreign() -> Here {
        Here(u32::MAX)
    }

    /// A place on `core`.
    ///
    /// # Safety
    /// The executor skips locked instructions when `Platform::here` says it is at home. So the value
    /// must be true while it is used: the calling context is the one that runs `core`, and
    /// `in_interrupt` is set whenever that core's task context is suspended beneath the caller
    /// (interrupt, NMI or exception handler).
    pub const unsafe fn on(core: CoreId, in_interrupt: bool) -> Here {
        Here(core.index() as u32 | if in_interrupt { Self::INTERRUPT } else { 0 })
    }

    /// The inverse of [`Here::bits`], for platforms that keep the word in per-core memory.
    ///
    /// # Safety
    /// As for [`Here::on`].
    pub const unsafe fn from_bits(bits: u32) -> Here {
        Here(bits)
    }

    /// The word itself.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The core, unless foreign.
    pub const fn core(self) -> Option<CoreId> {
        if self.0 == u32::MAX {
            None
        } else {
            Some(CoreId::from_low_bits(self.0))
        }
    }

    /// The core whose task context this is: `None` in interrupts and on foreign threads.
    #[inline(always)]
    pub const fn task_core(self) -> Option<CoreId> {
        if self.0 < CoreId::MAX as u32 {
            Some(CoreId::from_low_bits(self.0))
        } else {
            None
        }
    }

    /// Whether this is an interrupt handler of a core.
    pub const fn in_interrupt(self) -> bool {
        self.0 != u32::MAX && self.0 & Self::INTERRUPT != 0
    }

    /// Whether this is the task context of `core`: its unlocked state may be touched.
    #[inline(always)]
    pub(crate) const fn is_home_of(self, core: CoreId) -> bool {
        self.0 == core.index() as u32
    }
}
