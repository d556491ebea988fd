//! Ring 3 put to the test without any process: an address space made by hand, and the pieces of code in `hal::user::snippets`.
//!
//! `selftest=user` runs everything on each core in turn; `selftest=user_storm:SECONDS` makes system calls for so long, while the
//! test suite fires NMIs from outside; `selftest=user_cost` says what the gate costs; `selftest=contain_held` dies, as a
//! failure that must not be contained has to.
//! - [`space`]: the address space and how a thread runs in it.
//! - [`gate`]: system calls, flags, single steps, time limits.
//! - [`hostile`]: code that ends in exceptions.
//! - [`state`]: vector state and segment bases, kept and not leaked.
//! - [`cost`]: instructions per way through the gate.
//! - [`copies`]: user copies.
//! - [`contained`]: failures that end at `contain`.

mod contained;
mod copies;
mod cost;
mod gate;
mod hostile;
mod space;
mod state;

use executor::Task;
use hal::platform::KernelPlatform;

use crate::exec::{self, CoreId};

/// What a test found wrong.
type Outcome = Result<(), &'static str>;

/// A group of checks on one core.
type Group = fn() -> Outcome;

const GROUPS: [(&str, Group); 12] = [
    ("slow and fast system calls", gate::system_calls),
    ("foreign system calls", gate::foreign_calls),
    ("exceptions", hostile::exceptions),
    ("flags", gate::flags),
    ("single steps", gate::single_steps),
    ("the edge of the address space", gate::edge),
    ("a time limit", gate::time_limit),
    ("vector state is kept", state::kept),
    ("vector state does not leak", state::not_leaked),
    ("segment bases and selectors", state::bases),
    ("user copies", copies::all),
    ("contained failures", contained::all),
];

/// Runs all checks on all cores.
pub async fn run() -> Outcome {
    for core in exec::fleet().cores() {
        on_core(core, move || {
            for (name, group) in GROUPS {
                group().inspect_err(|what| {
                    ::log::error!(target: "selftest", "user: {name}, core {core}: {what}");
                })?;
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Fast and slow system calls on the last core for `seconds`, each checked.
pub async fn storm(seconds: u64) -> Outcome {
    let cores = exec::fleet().cores();
    let core = cores.last().unwrap_or(CoreId::FIRST);
    on_core(core, move || gate::storm(seconds)).await
}

/// What the gate costs, to the log.
pub async fn cost() -> Outcome {
    on_core(CoreId::FIRST, cost::all).await
}

/// A failure of contained work that holds kernel state: must end in a report. Returns only if it does not.
pub fn contain_held() -> Outcome {
    contained::held();
    Err("nothing stopped it")
}

/// Runs `work` as a task of `core`.
async fn on_core(core: CoreId, work: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let task = Task::<KernelPlatform>::new("user-test")
        .core(core)
        .spawn(async move {
            let outcome = work();
            hal::mem::user_tables::activate_kernel();
            outcome
        })
        .map_err(|_| "no memory for the task")?;
    task.await.map_err(|_| "the task did not end by itself")?
}
