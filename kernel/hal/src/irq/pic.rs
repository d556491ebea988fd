//! The two 8259 interrupt controllers: moved out of the exceptions' way, then silenced for good.

use pic8259::ChainedPics;

use super::vectors::LEGACY_FIRST;

/// Moves both controllers to [`LEGACY_FIRST`] and masks all their inputs.
///
/// Moving them matters though they are masked: a masked 8259 may still raise a spurious IRQ 7 or 15.
pub(super) fn silence() {
    // SAFETY: nothing else in the kernel drives the ports of the 8259 pair, this runs once on the boot
    // core with interrupts off, and the vectors given lie outside the CPU's exceptions.
    unsafe {
        let mut pics = ChainedPics::new_contiguous(LEGACY_FIRST);
        pics.disable();
        pics.initialize();
        pics.disable();
    }
}
