//! A per-core, earliest-deadline-first async executor with budgets: for kernels, processes, hosts and microcontrollers.
//!
//! # Tour
//! A [`Fleet`] is a set of cores; each runs one executor on one stack, and a task lives on one core. Start a core with
//! [`Fleet::start_core`], give it tasks with [`Task`], run it with [`Fleet::run`] (or [`run_until`](Fleet::run_until),
//! [`step`](Fleet::step)). What the executor needs from its surroundings is one trait of static functions, [`Platform`]: the clock,
//! "which core is this, and is it in an interrupt", a kick, and idle.
//!
//! * **Order.** Tasks with deadlines run strictly earliest deadline first, first come first served among equals. Tasks with a
//!   [`Reservation`] have their deadlines from it, are sure of their budget and cannot take more; tasks with a deadline of their own
//!   share what nobody reserved; all others are best effort and share by weight what is left, and a small part in any case.
//! * **Wakes.** A task's waker is its id in one word: cloning is free, a stale one is harmless. A wake from the task's own core is plain
//!   memory; from an interrupt handler or elsewhere it is an atomic bit and a lock-free push, and a kick only if the core sleeps or runs
//!   something [`preemptible`] and less urgent.
//! * **Memory.** Everything is allocated when a core starts, except for the futures themselves, which come from per-core lists by
//!   size, and for a place's statistics, when it first spawns on a core. Nothing is allocated per wake, poll or timer; every allocation may fail and says so.
//! * **Watching.** Counters, histograms, why jobs were late, and what each core polls right now can be read from anywhere at any
//!   time, without stopping anyone. With [`Platform::STATS`] off none of it is compiled in.
//!
//! Inside: `sched` is the scheduling logic, pure and under any clock; `inbox` is how wakes cross cores; `raw` is the only home of
//! `unsafe`; `admission` keeps the books of what is reserved; [`sync`] and [`time`] are what tasks use. `docs/` has a page with pictures.
//!
//! # Example
//! ```
//! # #[allow(dead_code)] mod common { include!("../tests/common/mod.rs"); }
//! use core::time::Duration;
//! # use common::{Host, become_core, block_on};
//! use executor::{CoreConfig, Reservation, Task, time};
//!
//! let core = become_core(CoreConfig::new());
//! # let total =
//! block_on(core, async {
//!     let control = Task::<Host>::new("control loop")
//!         .reservation(Reservation::new(Duration::from_micros(200), Duration::from_millis(1)))
//!         .spawn(async {
//!             let mut every_ms = time::interval::<Host>(Duration::from_millis(1));
//!             for _ in 0..3 {
//!                 every_ms.tick().await;
//!                 // read, compute, write
//!             }
//!             3
//!         })
//!         .expect("fits, or the error says by how much it does not");
//!     let helper = Task::<Host>::new("helper").deadline_after(Duration::from_millis(5)).spawn(async { 4 }).expect("a slot");
//!     control.await.expect("was not cancelled") + helper.await.expect("was not cancelled")
//! })
//! # ; assert_eq!(total, 7);
//! ```
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod admission;
mod atomics;
mod config;
mod current;
mod donate;
mod event;
mod fleet;
mod ident;
mod inbox;
mod inspect;
mod platform;
mod pool;
mod published;
#[allow(unsafe_code)]
mod raw;
mod reserve;
pub mod sched;
mod slot;
mod spawn;
pub mod stats;
pub mod sync;
pub mod time;
mod timers;

/// The concurrent parts, for the loom models in `tests/`.
#[cfg(loom)]
#[doc(hidden)]
pub mod modelled {
    pub use crate::{
        inbox::{Inbox, Linked, Park, claim},
        raw::{
            gate::{Acquire, Gate},
            joincell::{Completion, JoinCell},
            oneshot,
        },
    };
}

pub use admission::AdmissionError;
pub use config::{CoreConfig, StartError};
pub use current::{
    YieldNow, checkpoint, current_task, deadline, need_resched, postpone, preemptible,
    set_deadline, yield_now,
};
pub use donate::lend;
pub use event::{Ended, Event, Late, Moment};
pub use fleet::{AbandonError, Fleet, MoveError, RunError, Step};
pub use ident::{CoreId, TaskId};
pub use inspect::{Class, PollInfo, TaskInfo};
pub use platform::Platform;
pub use raw::{
    abandon::{Abandoned, Guarded, Remains},
    core::Window,
    here::Here,
    join::{JoinError, JoinHandle},
    locals::{Scope, TaskLocal},
};
pub use reserve::{Mode, Reservation, Reserved};
pub use slot::State;
pub use spawn::{SpawnError, Task, task_bytes};
