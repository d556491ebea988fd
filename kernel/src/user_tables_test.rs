//! The self-test `user_tables`: page tables of processes, activation, counted frames, and shootdown between cores.
//!
//! `user_tables:ROUNDS` changes a page that many times on each core. No thread runs in ring 3 for it: tasks activate an address space and read
//! through it with user copies, which is what the TLB is about.

use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use executor::{Task, yield_now};
use hal::mem::counted::{self, FrameError};
use hal::mem::frames::{self, Usage};
use hal::mem::user_tables::{
    Flush, TreeError, USER_BASE, USER_END, UserFlags, UserTables, activate, activate_kernel,
};
use hal::mem::{audit, heap};
use hal::platform::KernelPlatform;
use hal::smp::tlb;
use hal::user::copy::{read_u64, write_u64};

use crate::exec::{self, CoreId};

type Outcome = Result<(), &'static str>;

const PAGE: u64 = 4096;
/// What a frame holds that is no longer mapped.
const POISON: u64 = u64::MAX;
/// Cores that take part at most.
const MOST_CORES: usize = 8;
/// More than a core has tags.
const SPACES: usize = 20;

/// Runs the test.
pub async fn run(rounds: u64) -> Outcome {
    let free = free_frames();
    counts()?;
    one_core().await?;
    many_spaces().await?;
    teardown().await?;
    if free_frames() != free {
        return Err("frames are lost");
    }
    let kernel = audit::kernel_half();
    ::log::info!(target: "selftest", "kernel half: {} pages, {} writable, {} executable, {} of both, {} for programs",
        kernel.pages, kernel.writable, kernel.executable, kernel.writable_and_executable, kernel.user);
    if kernel.writable_and_executable != 0 || kernel.user != 0 {
        return Err("the kernel has pages that are writable and executable, or a program's");
    }
    ::log::info!(target: "selftest", "heap: {} KiB, {} KiB of it may be promised", heap::stats().most_bytes >> 10, heap::promisable_bytes() >> 10);
    storm(rounds).await?;
    // The storm's tables stay: their root.
    if free_frames() + 1 != free {
        return Err("frames are lost in the storm");
    }
    Ok(())
}

fn free_frames() -> u64 {
    // The heap keeps what it grew by.
    frames::stats().free + (heap::stats().size_bytes / 4096) as u64
}

fn new_tables() -> Result<UserTables, &'static str> {
    UserTables::new(&mut || true).map_err(|_| "no memory for page tables")
}

fn frame_with(value: u64) -> Result<u64, &'static str> {
    let frame = counted::allocate_zeroed(Usage::User).ok_or("no frame is free")?;
    counted::write(frame, 0, &value.to_ne_bytes()).map_err(|_| "a fresh frame is not counted")?;
    Ok(frame)
}

fn value_in(frame: u64) -> Result<u64, FrameError> {
    let mut bytes = [0; 8];
    counted::read(frame, 0, &mut bytes).map(|()| u64::from_ne_bytes(bytes))
}

fn ensure(holds: bool, what: &'static str) -> Outcome {
    if holds { Ok(()) } else { Err(what) }
}

/// Frames with several holders, and their bytes.
fn counts() -> Outcome {
    let frame = frame_with(7)?;
    ensure(
        counted::count(frame) == 1,
        "a fresh frame should have one holder",
    )?;
    let twin = counted::allocate_copy(frame, Usage::User)
        .ok()
        .flatten()
        .ok_or("no copy of a frame")?;
    counted::share(frame).map_err(|_| "a frame cannot be shared")?;
    ensure(
        !counted::release(frame, Usage::User),
        "freed while one held it",
    )?;
    ensure(value_in(twin) == Ok(7), "a copy differs")?;
    ensure(
        counted::read(frame, 4089, &mut [0; 8]).is_err()
            && counted::write(frame, usize::MAX, &[1]).is_err(),
        "bytes beyond a frame were read or written",
    )?;
    ensure(
        counted::release(frame, Usage::User) && counted::release(twin, Usage::User),
        "the last holder did not free",
    )?;
    ensure(
        value_in(frame) == Err(FrameError::NotCounted { frame }) && counted::share(frame).is_err(),
        "a free frame can be read or shared",
    )?;
    // The kernel's own memory is no counted frame.
    ensure(
        counted::write(hal::mem::paging::kernel_root(), 0, &[0; 8]).is_err(),
        "a page table can be written as if it were a process's memory",
    )
}

/// Maps, protects, unmaps on this core alone.
async fn one_core() -> Outcome {
    ensure(
        UserTables::new(&mut || false).err() == Some(TreeError::OverQuota),
        "tables were made without leave",
    )?;
    let tables = new_tables()?;
    let last = USER_END - PAGE;
    let mut granted = 0;
    for page in [USER_BASE, last] {
        let frame = frame_with(page)?;
        let refused = tables.map(page, frame, UserFlags::READ_WRITE, &mut || false);
        ensure(
            refused == Err(TreeError::OverQuota),
            "a table was taken without leave",
        )?;
        tables
            .map(page, frame, UserFlags::READ_WRITE, &mut || {
                granted += 1;
                true
            })
            .map_err(|_| "a page cannot be mapped")?;
    }
    ensure(
        granted == 6 && tables.table_frames() == 7 && tables.mapped_pages() == 2,
        "two distant pages should take six tables",
    )?;
    ensure(
        tables.map(last, 0, UserFlags::READ, &mut || true).is_err(),
        "a page was mapped twice",
    )?;
    activate(&tables);
    ensure(
        read_u64(USER_BASE) == Ok(USER_BASE) && read_u64(last) == Ok(last),
        "the wrong frame is mapped",
    )?;
    ensure(
        read_u64(0).is_err() && read_u64(USER_BASE + PAGE).is_err(),
        "an unmapped page can be read",
    )?;
    ensure(write_u64(last + 8, 5).is_ok(), "a page cannot be written")?;
    let written = tables.translate(last + 8).ok_or("no such page")?;
    ensure(
        written.dirty && written.accessed && written.flags == UserFlags::READ_WRITE,
        "the CPU noted no write",
    )?;
    tables
        .protect(last, UserFlags::READ)
        .map_err(|_| "a page cannot be protected")?;
    ensure(
        tables.flush_if_alone(Flush::page(last)),
        "another core has these tables",
    )?;
    ensure(
        write_u64(last + 8, 6).is_err() && read_u64(last + 8) == Ok(5),
        "a protected page was written",
    )?;
    let audit = tables.audit();
    ensure(
        (audit.pages, audit.user, audit.writable, audit.executable, audit.writable_and_executable) == (2, 2, 1, 0, 0)
            // Without the NX bit all pages are executable.
            || audit.executable == audit.pages,
        "the pages do not allow what they should",
    )?;
    let mut batch = tables.retired();
    let progress = batch.unmap_range(USER_BASE, USER_END, 10);
    ensure(
        progress.is_ok_and(|progress| progress.pages == 2 && progress.next.is_none())
            && batch.len() == 2,
        "not all was unmapped",
    )?;
    batch.retire().await;
    activate(&tables);
    ensure(
        read_u64(USER_BASE).is_err() && read_u64(last).is_err(),
        "an unmapped page can be read",
    )?;
    ensure(
        tables.table_frames() == 1 && tables.mapped_pages() == 0,
        "empty tables are kept",
    )?;
    activate_kernel();
    ensure(
        read_u64(USER_BASE).is_err(),
        "the kernel's tables map user pages",
    )
}

/// Switches between more spaces than a core has tags: each must see its own memory.
async fn many_spaces() -> Outcome {
    const SWITCHES: u64 = 20_000;
    let mut spaces: heapless::Vec<(UserTables, u64), SPACES> = heapless::Vec::new();
    for number in 0..SPACES as u64 {
        let tables = new_tables()?;
        let frame = frame_with(number)?;
        tables
            .map(USER_BASE, frame, UserFlags::READ_WRITE, &mut || true)
            .map_err(|_| "a page cannot be mapped")?;
        // The array has room for all.
        let _ = spaces.push((tables, frame));
    }
    let mut state = 1u64;
    let start = hal::time::now_ticks();
    for round in 0..SWITCHES {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Runs of few spaces, so that tags are used again, and now and then any.
        let pick = (state >> 33) as usize;
        let number = if round % 16 == 0 {
            pick % SPACES
        } else {
            pick % 5
        };
        let Some((tables, frame)) = spaces.get_mut(number) else {
            continue;
        };
        // Changed while not active: the tag must be found out of date.
        if round % 64 == 0 {
            let fresh = frame_with(number as u64)?;
            tables
                .replace(USER_BASE, fresh, UserFlags::READ_WRITE)
                .map_err(|_| "a page cannot be replaced")?;
            tables.shootdown(Flush::page(USER_BASE)).await;
            let _ = counted::write(*frame, 0, &POISON.to_ne_bytes());
            counted::release(*frame, Usage::User);
            *frame = fresh;
        }
        activate(tables);
        if read_u64(USER_BASE) != Ok(number as u64) {
            return Err("a space sees another's memory, or old memory");
        }
        if round % 256 == 0 {
            yield_now().await;
        }
    }
    let ns = hal::time::ticks_to_ns(hal::time::now_ticks() - start);
    ::log::info!(target: "selftest", "{SWITCHES} switches among {SPACES} spaces, PCIDs {}: {} ns each, a read included",
        if hal::cpu::features().pcid { "on" } else { "not there" }, ns / SWITCHES);
    while let Some((tables, frame)) = spaces.pop() {
        drop(tables);
        counted::release(frame, Usage::User);
    }
    Ok(())
}

/// Tables go while another core, at rest by then, has them loaded.
async fn teardown() -> Outcome {
    static LOADED: AtomicBool = AtomicBool::new(false);
    let Some(target) = exec::fleet()
        .cores()
        .last()
        .filter(|&core| core != CoreId::FIRST)
    else {
        return Ok(());
    };
    let left = || tlb::stats(target.index() as u32).map_or(0, |stats| stats.left);
    for round in 0..20 {
        let tables = new_tables()?;
        let frame = frame_with(3)?;
        tables
            .map(USER_BASE, frame, UserFlags::READ, &mut || true)
            .map_err(|_| "a page cannot be mapped")?;
        let before = left();
        let tables = Task::<KernelPlatform>::new("loads")
            .core(target)
            .spawn(async move {
                activate(&tables);
                LOADED.store(read_u64(USER_BASE) == Ok(3), Ordering::Release);
                tables
            })
            .map_err(|_| "no memory for a task")?
            .await
            .map_err(|_| "the loading task was lost")?;
        ensure(
            LOADED.swap(false, Ordering::AcqRel),
            "another core does not see the memory",
        )?;
        if round % 2 == 0 {
            tables.evict().await;
        }
        drop(tables);
        counted::release(frame, Usage::User);
        ensure(left() > before, "the other core did not leave the tables")?;
    }
    Ok(())
}

/// What the tasks of the storm share.
struct Storm {
    tables: spin::Once<UserTables>,
    /// By page: the oldest value that may still be read.
    settled: [AtomicU64; MOST_CORES],
    writers: AtomicU64,
    reads: AtomicU64,
    gaps: AtomicU64,
    stale: AtomicU64,
}

static STORM: Storm = Storm {
    tables: spin::Once::new(),
    settled: [const { AtomicU64::new(0) }; MOST_CORES],
    writers: AtomicU64::new(0),
    reads: AtomicU64::new(0),
    gaps: AtomicU64::new(0),
    stale: AtomicU64::new(0),
};

fn storm_page(index: usize) -> u64 {
    // Far apart: each has tables of its own.
    USER_BASE + (index as u64) * (1 << 30)
}

/// On each core one task changes its page, again and again, and another reads the pages of all.
async fn storm(rounds: u64) -> Outcome {
    let cores = exec::fleet().cores().count().min(MOST_CORES);
    let before = totals();
    let tables = new_tables()?;
    for index in 0..cores {
        tables
            .map(
                storm_page(index),
                frame_with(0)?,
                UserFlags::READ_WRITE,
                &mut || true,
            )
            .map_err(|_| "a page cannot be mapped")?;
    }
    STORM.tables.call_once(|| tables);
    let tables = STORM.tables.get().ok_or("no tables")?;
    STORM.writers.store(cores as u64, Ordering::Release);
    let start = hal::time::now_ticks();
    let mut readers: heapless::Vec<_, MOST_CORES> = heapless::Vec::new();
    let mut writers: heapless::Vec<_, MOST_CORES> = heapless::Vec::new();
    for (index, core) in exec::fleet().cores().take(cores).enumerate() {
        let reader = Task::<KernelPlatform>::new("storm-reader")
            .core(core)
            .spawn(reader(tables, cores))
            .map_err(|_| "no memory for a task")?;
        let writer = Task::<KernelPlatform>::new("storm-writer")
            .core(core)
            .spawn(writer(tables, index, rounds))
            .map_err(|_| "no memory for a task")?;
        // The arrays have room for all.
        let _ = readers.push(reader);
        let _ = writers.push(writer);
    }
    let mut outcome = Ok(());
    for task in writers {
        outcome = outcome.and(task.await.unwrap_or(Err("a writer was lost")));
    }
    for task in readers {
        let _ = task.await;
    }
    let ns = hal::time::ticks_to_ns(hal::time::now_ticks() - start);
    let after = totals();
    ::log::info!(target: "selftest", "{} shootdowns by {cores} cores in {} ms: {} requests, {} interrupts sent, {} served, {} by page, {} whole, {} left; {} reads, {} met a gap",
        rounds * cores as u64, ns / 1_000_000, after.posted - before.posted, after.interrupts_sent - before.interrupts_sent, after.served - before.served,
        after.ranges - before.ranges, after.whole - before.whole, after.left - before.left, STORM.reads.load(Ordering::Relaxed), STORM.gaps.load(Ordering::Relaxed));
    // The static keeps the tables; what they map goes.
    let mut batch = tables.retired();
    let progress = batch.unmap_range(USER_BASE, USER_END, u64::MAX);
    batch.retire().await;
    ensure(
        progress.is_ok_and(|progress| progress.next.is_none()),
        "not all was unmapped",
    )?;
    outcome?;
    ensure(
        STORM.stale.load(Ordering::Acquire) == 0,
        "a core used a page after its shootdown was over",
    )
}

fn totals() -> tlb::TlbStats {
    let mut sum = tlb::TlbStats::default();
    for core in exec::fleet().cores() {
        if let Some(stats) = tlb::stats(core.index() as u32) {
            sum.posted += stats.posted;
            sum.interrupts_sent += stats.interrupts_sent;
            sum.served += stats.served;
            sum.ranges += stats.ranges;
            sum.whole += stats.whole;
            sum.left += stats.left;
        }
    }
    sum
}

/// Reads all pages until the writers are done.
async fn reader(tables: &'static UserTables, cores: usize) {
    const READS_PER_POLL: u64 = 64;
    let mut polls = 0u64;
    while STORM.writers.load(Ordering::Acquire) > 0 {
        activate(tables);
        for read in 0..READS_PER_POLL {
            let index = (read % cores as u64) as usize;
            let Some(settled) = STORM.settled.get(index) else {
                continue;
            };
            let oldest = settled.load(Ordering::Acquire);
            match read_u64(storm_page(index)) {
                Ok(value) if value == POISON || value < oldest => {
                    STORM.stale.fetch_add(1, Ordering::AcqRel);
                }
                Ok(_) => {}
                Err(_) => {
                    STORM.gaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        STORM.reads.fetch_add(READS_PER_POLL, Ordering::Relaxed);
        polls += 1;
        // Now and then the core comes to rest, with the tables loaded.
        if polls.is_multiple_of(512) {
            exec::sleep(core::time::Duration::from_micros(500)).await;
        } else {
            yield_now().await;
        }
    }
}

/// Puts ever new frames in the place of one page, in several ways.
async fn writer(tables: &'static UserTables, index: usize, rounds: u64) -> Outcome {
    let outcome = write_rounds(tables, index, rounds).await;
    STORM.writers.fetch_sub(1, Ordering::AcqRel);
    outcome
}

async fn write_rounds(tables: &'static UserTables, index: usize, rounds: u64) -> Outcome {
    let page = storm_page(index);
    let settled = STORM.settled.get(index).ok_or("too many cores")?;
    for round in 1..=rounds {
        let fresh = frame_with(round)?;
        let old = if round % 8 == 0 {
            // Takes the tables of the page away too.
            let old = tables.unmap(page).ok_or("the page is gone")?;
            tables.shootdown(Flush::page(page)).await;
            tables
                .map(page, fresh, UserFlags::READ_WRITE, &mut || true)
                .map_err(|_| "the page cannot be mapped again")?;
            old
        } else {
            let old = tables
                .replace(page, fresh, UserFlags::READ_WRITE)
                .map_err(|_| "the page cannot be replaced")?;
            match round % 32 {
                1 => tables.shootdown_now(Flush::page(page)),
                2 => tables.shootdown(Flush::All).await,
                3 => {
                    // Given up half-way, and asked for again.
                    let _ = futures_util::poll!(pin!(tables.shootdown(Flush::page(page))));
                    tables.shootdown(Flush::page(page)).await;
                }
                _ => tables.shootdown(Flush::page(page)).await,
            }
            old
        };
        settled.store(round, Ordering::Release);
        let _ = counted::write(old.frame, 0, &POISON.to_ne_bytes());
        counted::release(old.frame, Usage::User);
        if round % 4 == 0 {
            yield_now().await;
        }
    }
    Ok(())
}
