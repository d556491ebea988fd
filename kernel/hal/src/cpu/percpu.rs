//! What each core keeps for itself, reached through GS.
//!
//! The first 16 bytes are fixed: stubs and the executor's "where am I" read them with one instruction. What the gate to ring 3
//! uses comes next, on the same cache line.
//! Only the owner core writes its own block; others may read the atomics.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::tables::CoreTables;
use crate::mem::frames::CoreCache;
use crate::user::entry::UserCore;

/// Most cores the kernel can run on.
pub const MAX_CORES: usize = 256;

/// Set in [`PerCpu::here`], whose layout is the executor's, while a top half, exception handler or NMI handler runs.
pub const IN_INTERRUPT: u32 = executor::Here::INTERRUPT;

/// One core's private block.
#[repr(C, align(64))]
pub struct PerCpu {
    /// gs:0, the address of this very block.
    this: AtomicPtr<PerCpu>,
    /// gs:8, the core's number, and [`IN_INTERRUPT`].
    pub here: AtomicU32,
    /// gs:12, the local APIC's id.
    pub apic_id: AtomicU32,
    /// What the core keeps for ring 3.
    pub(crate) user: UserCore,
    /// Interrupts and exceptions taken, by vector.
    pub vector_counts: [AtomicU64; 256],
    pub(crate) tables: UnsafeCell<CoreTables>,
    pub(crate) frame_cache: UnsafeCell<CoreCache>,
    /// Frames in `frame_cache`, for other cores to read.
    pub(crate) cached_frames: AtomicU32,
    pub(crate) platform: crate::platform::PlatformCore,
}

// SAFETY: the cells are touched by the owner core only (tables while it starts, the cache and what is for ring 3 by its
// cooperative tasks); all the rest are atomics.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    /// A block for a core that has not started.
    pub const fn new() -> Self {
        Self {
            this: AtomicPtr::new(core::ptr::null_mut()),
            here: AtomicU32::new(0),
            apic_id: AtomicU32::new(0),
            user: UserCore::new(),
            vector_counts: [const { AtomicU64::new(0) }; 256],
            tables: UnsafeCell::new(CoreTables::new()),
            frame_cache: UnsafeCell::new(CoreCache::new()),
            cached_frames: AtomicU32::new(0),
            platform: crate::platform::PlatformCore::new(),
        }
    }
}

impl Default for PerCpu {
    fn default() -> Self {
        Self::new()
    }
}

static BOOT_CORE: PerCpu = PerCpu::new();
static CORES: [AtomicPtr<PerCpu>; MAX_CORES] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CORES];
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The block of the core that starts the machine; it exists before there is a heap.
pub(crate) fn boot_core_block() -> &'static PerCpu {
    &BOOT_CORE
}

/// Makes `block` this core's own: fills its fixed head and loads GS. Others find it once it is [`list`]ed.
pub(crate) fn install(block: &'static PerCpu, core: u32, apic_id: u32) {
    let address = core::ptr::from_ref(block).cast_mut();
    block.this.store(address, Ordering::Relaxed);
    block.here.store(core, Ordering::Relaxed);
    block.apic_id.store(apic_id, Ordering::Relaxed);
    x86_64::registers::model_specific::GsBase::write(x86_64::VirtAddr::from_ptr(address));
}

/// Lets other cores find `block` under its number: the core can take interrupts of any kind, NMIs among them.
pub(crate) fn list(block: &'static PerCpu, core: u32) {
    let address = core::ptr::from_ref(block).cast_mut();
    if let Some(slot) = CORES.get(core as usize) {
        slot.store(address, Ordering::Release);
        COUNT.fetch_max(core + 1, Ordering::AcqRel);
    }
}

/// This core's block.
#[inline(always)]
pub fn this() -> &'static PerCpu {
    let address: *const PerCpu;
    // SAFETY: every core installs its block before it can reach this, and blocks live for ever;
    // gs:0 holds the block's own address.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) address, options(nostack, preserves_flags, pure, readonly));
        &*address
    }
}

/// The head word of this core: its number, with [`IN_INTERRUPT`] in handlers.
#[inline(always)]
pub fn here_word() -> u32 {
    let word: u32;
    // SAFETY: as in `this`; gs:8 is the `here` word.
    unsafe {
        asm!("mov {:e}, gs:[8]", out(reg) word, options(nostack, preserves_flags, readonly));
    }
    word
}

/// This core's number.
#[inline(always)]
pub fn core_number() -> u32 {
    here_word() & !IN_INTERRUPT
}

/// The block of core `core`, once it has started.
pub fn get(core: u32) -> Option<&'static PerCpu> {
    let address = CORES.get(core as usize)?.load(Ordering::Acquire);
    // SAFETY: null or a block put there by `list`, which lives for ever.
    unsafe { address.as_ref() }
}

/// How many cores have started.
pub fn count() -> u32 {
    COUNT.load(Ordering::Acquire)
}
