//! Failures that end at `contain`, on every kind of stack they can happen on.

use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::mem::arena::Arena;
use hal::provoke::{Fault, provoke};
use hal::user::contain::{Reason, contain_in};
use hal::user::{KernelSection, contain};

use super::Outcome;

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
