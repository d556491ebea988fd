//! Which address space a core has loaded.
//!
//! Lazy: a core keeps what it has until another space is activated, a shootdown finds it halted, or the space goes. With
//! PCIDs (Intel SDM vol. 3A §5.10.1) each core keeps the translations of the spaces it ran last, as `kerncore::tlb::Tags`
//! remembers them; generations tell which of those are out of date, so there is no need for INVPCID. Without PCIDs each
//! load of CR3 drops all but the kernel's, which are global.

use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use kerncore::tlb::{Flush, Member, Tags};
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::registers::control::{Cr4, Cr4Flags};

use super::{Shared, UserTables};
use crate::cpu::{features, percpu};
use crate::mem::paging;
use crate::user::InterruptsOff;

/// Address spaces whose translations a core keeps. More cost time on each switch and gain little: a chain of calls
/// rarely goes through more processes.
const TAGS: usize = 8;

/// In a CR3 value: keep what the TLB has under that PCID (§4.10.4.1 of older editions, "MOV to CR3").
const KEEP: u64 = 1 << 63;
const PAGE: u64 = 4096;

/// What a core keeps of it.
pub(crate) struct ActiveCore {
    /// The active space, null for none. Written by the core itself, interrupts off. What it points to lives as long as it is
    /// here: the space's core set says so, and `UserTables::drop` waits for that.
    space: AtomicPtr<Shared>,
    /// The core's own, interrupts off.
    tags: UnsafeCell<Tags<TAGS>>,
    /// The core itself, as it lies in spaces' sets. Written once, by the core.
    member: Cell<Member>,
}

impl ActiveCore {
    pub(crate) const fn new() -> Self {
        Self {
            space: AtomicPtr::new(core::ptr::null_mut()),
            tags: UnsafeCell::new(Tags::new()),
            member: Cell::new(Member::NONE),
        }
    }
}

/// Turns PCIDs on where the CPU has them. On each core as it starts, with CR3's low bits zero as they are then.
///
/// # Safety
/// Once on each core, before it loads any process's tables.
pub(crate) unsafe fn init_this_core() {
    this_core().member.set(Member::of(percpu::core_number()));
    let features = features();
    // The kernel's half must be global, or each PCID would have a copy of it to be kept in step.
    if features.pcid && features.pge {
        // SAFETY: long mode is on and CR3[11:0] is 0, as the bit demands (§2.5): tables are page aligned, and nothing sets
        // flags in CR3. From here on CR3's low bits are a PCID, 0 being the kernel's.
        unsafe { Cr4::update(|cr4| cr4.insert(Cr4Flags::PCID)) };
        PCIDS.store(true, Ordering::Relaxed);
    }
}

/// Whether PCIDs are on; all cores are alike.
static PCIDS: AtomicBool = AtomicBool::new(false);

#[inline]
fn use_pcids() -> bool {
    PCIDS.load(Ordering::Relaxed)
}

#[inline]
fn this_core() -> &'static ActiveCore {
    &percpu::this().platform.active
}

/// # Safety
/// `value` names tables that hold the kernel's half and live until the next load.
#[inline]
unsafe fn load_cr3(value: u64) {
    // SAFETY: by the caller's word. Not `nomem`: accesses to user memory must stay on their side of it.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
}

fn cr3() -> u64 {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Whether this core has `tables` active.
#[inline]
pub fn is_active(tables: &UserTables) -> bool {
    has_active(this_core(), tables.shared())
}

#[inline(always)]
fn has_active(core: &ActiveCore, shared: &Shared) -> bool {
    core::ptr::eq(core.space.load(Ordering::Relaxed), shared)
}

/// Makes `tables` the address space of this core. Costs three instructions if they are already. Task context; holds until the
/// task awaits, since other tasks activate other tables.
#[inline]
pub fn activate(tables: &UserTables) {
    if !is_active(tables) {
        without_interrupts(|| switch_to(this_core(), tables.shared()));
    }
}

/// As [`activate`], for who has turned interrupts off.
#[inline]
pub fn activate_now(tables: &UserTables, _off: &InterruptsOff) {
    let (core, shared) = (this_core(), tables.shared());
    if !has_active(core, shared) {
        switch_to(core, shared);
    }
}

/// Interrupts are off.
#[inline]
fn switch_to(core: &ActiveCore, shared: &Shared) {
    // In this order: see `kerncore::tlb`. No request is served in between, interrupts are off.
    let this = core.member.get();
    shared.cores.insert(this);
    let value = if use_pcids() {
        tagged(core, shared)
    } else {
        shared.root()
    };
    let before = core.space.load(Ordering::Relaxed);
    core.space
        .store(core::ptr::from_ref(shared).cast_mut(), Ordering::Relaxed);
    // SAFETY: user tables hold the kernel's half from birth, and this core is in their core set, so they stay.
    unsafe { load_cr3(value) };
    leave(before, this);
}

/// What to load into CR3 for `shared`, under the PCID that it has on this core.
fn tagged(core: &ActiveCore, shared: &Shared) -> u64 {
    let generation = shared.generation.load(Ordering::SeqCst);
    // SAFETY: this core's own, interrupts off.
    let load = unsafe { &mut *core.tags.get() }.load(shared.id(), generation);
    let keep = if load.flush { 0 } else { KEEP };
    shared.root() | u64::from(load.tag) | keep
}

/// Leaves the active space, if any: this core is on the kernel's own tables then.
pub fn activate_kernel() {
    without_interrupts(|| {
        let before = this_core()
            .space
            .swap(core::ptr::null_mut(), Ordering::Relaxed);
        if !before.is_null() {
            // Nothing but the kernel's global pages is ever used under PCID 0.
            let keep = if use_pcids() { KEEP } else { 0 };
            // SAFETY: the kernel's own tables.
            unsafe { load_cr3(paging::kernel_root() | keep) };
            leave(before, this_core().member.get());
        }
    });
}

/// `this` core no longer has `space` loaded: the last it does with it.
#[inline]
fn leave(space: *mut Shared, this: Member) {
    // SAFETY: null, or the space that was active until now, which lives at least until it is told so here.
    if let Some(space) = unsafe { space.as_ref() } {
        space.cores.remove(this);
    }
}

/// What a top half does about the active space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// The ranges asked for were flushed.
    Ranges,
    /// All translations were flushed.
    All,
    /// The core left the space.
    Left,
    /// No space is active.
    Nothing,
}

/// Flushes what `ranges` calls its argument with, or everything if it says that it cannot tell; leaves the space altogether
/// if that is what it asks for, or if `halted`. On the core itself, interrupts off.
pub(crate) fn serve(halted: bool, ranges: impl FnOnce(&mut dyn FnMut(u64, u64)) -> bool) -> Served {
    let core = this_core();
    // SAFETY: the active space lives: see `ActiveCore::space`.
    let Some(space) = (unsafe { core.space.load(Ordering::Relaxed).as_ref() }) else {
        return Served::Nothing;
    };
    if halted || space.leave.load(Ordering::SeqCst) {
        activate_kernel();
        return Served::Left;
    }
    let generation = space.generation.load(Ordering::SeqCst);
    if ranges(&mut |start, count| flush_pages(start, count)) {
        // Requests of the same generation may be on their way still, so the tag stays as old as it was.
        return Served::Ranges;
    }
    flush_active();
    if use_pcids() {
        // SAFETY: this core's own, interrupts off.
        unsafe { &mut *core.tags.get() }.told_of_all(space.id(), generation);
    }
    Served::All
}

/// This core has changed `tables` from generation `from` to the next, and has to forget `flush` itself if it has them active.
pub(crate) fn flush_here(tables: &UserTables, from: u64, flush: Flush) {
    without_interrupts(|| {
        if !is_active(tables) {
            return;
        }
        match flush {
            Flush::Pages { start, count } => flush_pages(start, count),
            Flush::All => flush_active(),
        }
        if use_pcids() {
            // SAFETY: this core's own, interrupts off.
            unsafe { &mut *this_core().tags.get() }.told_of_one(tables.id(), from);
        }
    });
}

/// Drops the active space's translations and what the CPU keeps of its upper tables; the kernel's are global and stay.
fn flush_active() {
    // SAFETY: the same tables again; without `KEEP` what the TLB has under their PCID goes (§5.10.4.1).
    unsafe { load_cr3(cr3()) };
}

/// Drops the active space's translations of some pages, and all that the CPU keeps of its upper tables (§5.10.4.1, INVLPG).
fn flush_pages(start: u64, count: u64) {
    for page in 0..count {
        flush_page(start.wrapping_add(page * PAGE));
    }
}

/// Drops what this core's TLB has for the page at `address`, global or not.
pub(crate) fn flush_page(address: u64) {
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::new_truncate(address));
}
