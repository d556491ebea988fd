//! Failures that end at `contain`, on every kind of stack they can happen on.

use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::mem::arena::Arena;
use hal::mem::user_tables::UserFlags;
use hal::provoke::{Fault, Touched, provoke, touch};
use hal::user::contain::{Reason, contain_in};
use hal::user::{KernelSection, contain};

use spin::Mutex;

use super::Outcome;
use super::space::{NOWHERE, PAGE, Space};

/// More often than there are stacks to lose.
const TIMES: usize = 50;

pub fn all() -> Outcome {
    if !matches!(contain(|| 42), Ok(42)) {
        return Err("what does not fail does not come back");
    }
    for _ in 0..TIMES {
        exception(Fault::PageFault, 14)?;
        exception(Fault::GeneralProtection, 13)?;
        exception(Fault::StackOverflow, 14)?;
        panics()?;
    }
    exception(Fault::WriteText, 14)?;
    // Sections that were left again do not count.
    drop(KernelSection::new());
    exception(Fault::PageFault, 14)?;
    nested()?;
    touched()?;
    arena()
}

fn interrupts_are_on() -> bool {
    hal::user::snippets::flags_and_mxcsr().0 & 1 << 9 != 0
}

fn exception(fault: Fault, expected: u8) -> Outcome {
    match contain(|| provoke(fault)) {
        Ok(()) => Err("nothing stopped the fault"),
        Err(abandoned) => match abandoned.reason {
            Reason::Exception { vector, rip, .. } if vector == expected && rip != 0 => {
                if interrupts_are_on() {
                    Ok(())
                } else {
                    Err("interrupts stay off behind a contained exception")
                }
            }
            _ => Err("a contained exception has another's reason"),
        },
    }
}

/// A panic, with interrupts off where it happens.
fn panics() -> Outcome {
    let number = core::hint::black_box(7);
    let outcome = contain(|| {
        let _off = hal::user::InterruptsOff::new();
        if number == 7 {
            panic!("contained on purpose: {number}");
        }
        number
    });
    let Err(abandoned) = outcome else {
        return Err("nothing stopped the panic");
    };
    let Reason::Panic { message, place } = abandoned.reason else {
        return Err("a contained panic has another's reason");
    };
    if message.as_str() != "contained on purpose: 7" || !place.as_str().contains("contained.rs:") {
        return Err("a contained panic's message or place is lost");
    }
    if interrupts_are_on() {
        Ok(())
    } else {
        Err("interrupts stay off behind a contained panic")
    }
}

/// The innermost takes the failure, the outer one goes on and can take the next.
fn nested() -> Outcome {
    let outcome = contain(|| {
        let inner = contain(|| provoke(Fault::PageFault)).is_err();
        if inner {
            provoke(Fault::GeneralProtection);
        }
    });
    match outcome.map_err(|abandoned| abandoned.reason) {
        Err(Reason::Exception { vector: 13, .. }) => Ok(()),
        _ => Err("nested containment goes wrong"),
    }
}

/// Where a page comes from that contained work touches, and what is in it.
static SPACE: Mutex<Option<Space>> = Mutex::new(None);
const TOUCHED: u64 = 0x80_0000;
const WORD: u64 = 0x0123_4567_89ab_cdef;

fn bring(owner: u64, address: u64, _write: bool) -> bool {
    let mut space = SPACE.lock();
    let (Some(space), Some(flags)) = (space.as_mut(), UserFlags::READ_WRITE.for_ring_0()) else {
        return false;
    };
    let page = address / PAGE * PAGE;
    let mapped =
        owner == OWNER && page == TOUCHED && space.map(page, &WORD.to_le_bytes(), flags).is_ok();
    if mapped {
        space.activate();
    }
    mapped
}

/// A page that contained work touches comes, and the work notices nothing; if it does not come, the work ends.
fn touched() -> Outcome {
    *SPACE.lock() = Some(Space::new()?);
    let arena = Arena::new(OWNER, pay, bring);
    let expected = Some(Touched {
        word: WORD,
        all_kept: true,
    });
    let mut outcome = Ok(());
    // The second time it is there.
    for _ in 0..2 {
        match contain_in(&arena, || touch(TOUCHED)) {
            Ok(found) if found == expected => {}
            Ok(_) => {
                outcome = Err("a page that is brought has wrong contents, or changes the toucher")
            }
            Err(_) => outcome = Err("a page that could be brought was not"),
        }
    }
    let missing = contain_in(&arena, || touch(NOWHERE));
    match missing.map_err(|abandoned| abandoned.reason) {
        Err(Reason::Exception {
            vector: 14,
            address: NOWHERE,
            ..
        }) => {}
        _ => outcome = Err("a touch of what cannot be brought does not end contained work"),
    }
    if !interrupts_are_on() {
        outcome = Err("interrupts stay off behind a touch");
    }
    arena.reclaim();
    let space = SPACE.lock().take();
    drop(space);
    outcome
}

/// What an arena is paid for.
const PAID_BYTES: u64 = 256 << 10;
static PAID: AtomicU64 = AtomicU64::new(0);

/// Whose it is.
const OWNER: u64 = 7;

fn pay(owner: u64, bytes: u64) -> bool {
    if owner != OWNER {
        return false;
    }
    PAID.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| {
        Some(paid + bytes).filter(|&paid| paid <= PAID_BYTES)
    })
    .is_ok()
}

/// Reserves bytes, and never gives them back.
fn take(bytes: usize) -> bool {
    let mut list = Vec::<u8>::new();
    let taken = list.try_reserve_exact(bytes).is_ok();
    core::mem::forget(black_box(list));
    taken
}

/// Contained work allocates in its arena, as much as is paid for; a refusal can end it; then the arena goes as a whole.
fn arena() -> Outcome {
    const TOO_MUCH: usize = 2 * PAID_BYTES as usize;
    PAID.store(0, Ordering::Relaxed);
    let arena = Arena::new(OWNER, pay, |_, _, _| false);
    if !matches!(contain_in(&arena, || take(1000)), Ok(true)) || arena.bytes() == 0 {
        return Err("an arena gives nothing out");
    }
    if !matches!(contain_in(&arena, || take(TOO_MUCH)), Ok(false)) {
        return Err("an arena gives out what was not paid for");
    }
    let in_section = || {
        let _section = KernelSection::new();
        let mut list = Vec::<u8>::new();
        let reserved = list.try_reserve_exact(TOO_MUCH).is_ok();
        drop(black_box(list));
        reserved
    };
    if !matches!(contain_in(&arena, in_section), Ok(true)) {
        return Err("the kernel's own allocations come from the arena");
    }
    let outcome = contain_in(&arena, || {
        black_box(Vec::<u8>::with_capacity(TOO_MUCH));
    });
    if outcome.is_ok() {
        return Err("a refused allocation ends nothing");
    }
    if !matches!(contain_in(&arena, || take(100 << 10)), Ok(false)) {
        return Err("an arena grows after a failure in it");
    }
    let paid = PAID.load(Ordering::Relaxed);
    if arena.reclaim() == paid && arena.bytes() == 0 {
        Ok(())
    } else {
        Err("an arena gives back something else than it took")
    }
}

/// Fails while kernel state is held.
pub fn held() {
    let outcome = contain(|| {
        let _section = KernelSection::new();
        provoke(Fault::PageFault);
    });
    if outcome.is_err() {
        ::log::error!(target: "selftest", "a failure that holds kernel state was contained");
    }
}
