//! Failures that end at `contain`, on every kind of stack they can happen on.

use hal::provoke::{Fault, provoke};
use hal::user::contain::Reason;
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
    nested()
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
