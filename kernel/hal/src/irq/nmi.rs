//! Non-maskable interrupts: how a dying kernel stops the other cores, and where the watchdog's heartbeat comes in.
//!
//! An NMI can land anywhere, between any two instructions of anything. So: no locks that the interrupted code may hold, no
//! allocation, no logging, nothing but atomics and what is this module's and the watchdog's own. An NMI has no sender
//! and no vector; what it was for is worked out from what is due, and one that was for nothing (an operator's, an
//! emulator's `inject-nmi`) is counted and forgotten.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::watchdog;
use crate::cpu::percpu;
use crate::cpu::trap::TrapFrame;

const NOBODY: u32 = u32::MAX;

/// The core that asks all others to stop.
static STOPPED_BY: AtomicU32 = AtomicU32::new(NOBODY);
/// How many have.
static STOPPED: AtomicU32 = AtomicU32::new(0);

/// What the NMI handler keeps for each core.
pub(crate) struct NmiCore {
    /// Where the core was when it was stopped, 0 while it was not.
    stopped_at: AtomicU64,
}

impl NmiCore {
    pub(crate) const fn new() -> Self {
        Self {
            stopped_at: AtomicU64::new(0),
        }
    }
}

/// Makes the next NMI of every core but `core` its last.
pub(crate) fn ask_to_stop(core: u32) {
    // A second dying core does not take over: the first one's report is the one to read.
    let _ = STOPPED_BY.compare_exchange(NOBODY, core, Ordering::AcqRel, Ordering::Relaxed);
}

/// How many cores have stopped.
pub(crate) fn stopped_count() -> u32 {
    STOPPED.load(Ordering::Acquire)
}

/// Where core `core` was when it was stopped.
pub fn stopped_at(core: u32) -> Option<u64> {
    let at = percpu::get(core)?
        .platform
        .nmi
        .stopped_at
        .load(Ordering::Relaxed);
    (at != 0).then_some(at)
}

/// The NMI handler. The trap path has counted it already.
pub(crate) fn nmi(frame: &mut TrapFrame) {
    let core = percpu::this();
    let number = percpu::core_number();
    let stopper = STOPPED_BY.load(Ordering::Acquire);
    if stopper != NOBODY {
        if stopper != number {
            core.platform
                .nmi
                .stopped_at
                .store(frame.rip, Ordering::Relaxed);
            STOPPED.fetch_add(1, Ordering::AcqRel);
            // Further NMIs stay blocked until an `iret` that never comes (Intel SDM vol. 3A §7.7.1).
            crate::cpu::halt_forever();
        }
        return;
    }
    watchdog::nmi(&core.platform.watch, number, frame);
}
