//! Stacks with an unmapped page below and above, so that an overflow is a fault with a name.

use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kerncore::frames::Usage;

use super::paging::{MapError, map_memory};
use super::vspace::{self, PAGE};

/// What a stack is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StackUse {
    /// The core's one stack, on which its executor polls.
    Executor,
    /// Top halves.
    Interrupt,
    /// Exceptions.
    Exception,
    /// Non-maskable interrupts.
    Nmi,
    /// Double faults.
    DoubleFault,
    /// Machine checks.
    MachineCheck,
}

impl StackUse {
    const ALL: [(Self, &str); 6] = [
        (Self::Executor, "executor"),
        (Self::Interrupt, "interrupt"),
        (Self::Exception, "exception"),
        (Self::Nmi, "NMI"),
        (Self::DoubleFault, "double-fault"),
        (Self::MachineCheck, "machine-check"),
    ];
}

/// A mapped stack. It is never unmapped: its core may be on it.
#[derive(Clone, Copy, Debug)]
pub struct GuardedStack {
    top: u64,
}

/// Which stack a guard page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    core: u32,
    name: &'static str,
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "core {}'s {} stack", self.core, self.name)
    }
}

const MOST_STACKS: usize = crate::cpu::percpu::MAX_CORES * StackUse::ALL.len();
/// Lower guard pages: address, with core in bits 11:3 and use in bits 2:0, which are free in a page address.
static GUARDS: [AtomicU64; MOST_STACKS] = [const { AtomicU64::new(0) }; MOST_STACKS];
static GUARD_COUNT: AtomicUsize = AtomicUsize::new(0);

impl GuardedStack {
    /// Maps a stack of `pages` pages for core `core`.
    pub fn new(pages: u64, core: u32, what: StackUse) -> Result<Self, MapError> {
        let bottom = vspace::reserve(pages)?;
        map_memory(bottom, pages, Usage::Stack).1?;
        let slot = GUARD_COUNT.fetch_add(1, Ordering::Relaxed);
        if let Some(guard) = GUARDS.get(slot) {
            guard.store(
                (bottom - PAGE) | u64::from(core) << 3 | what as u64,
                Ordering::Release,
            );
        }
        Ok(Self {
            top: bottom + pages * PAGE,
        })
    }

    /// The address just above the stack, 16-byte aligned.
    pub fn top(&self) -> u64 {
        self.top
    }
}

/// The lowest address of the guarded stack that `address` lies in; 0 if it lies above none.
pub fn bottom_below(address: u64) -> u64 {
    GUARDS
        .iter()
        .map(|guard| guard.load(Ordering::Acquire) & !0xfff)
        .filter(|&guard| guard != 0 && guard < address)
        .max()
        .map_or(0, |guard| guard + PAGE)
}

/// The stack whose lower guard page holds `address`.
pub fn guard_at(address: u64) -> Option<Guard> {
    GUARDS
        .iter()
        .map(|guard| guard.load(Ordering::Acquire))
        .find(|&guard| guard != 0 && guard & !0xfff == address & !0xfff)
        .map(|guard| Guard {
            core: (guard as u32 >> 3) & 0x1ff,
            name: StackUse::ALL
                .get(guard as usize & 7)
                .map_or("unknown", |(_, name)| name),
        })
}
