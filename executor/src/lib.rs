//! A per-core, earliest-deadline-first executor with budgets, for kernels, processes, hosts and microcontrollers.
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
mod inspect;
mod inbox;
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
            gate::{Gate, Acquire},
            joincell::{Completion, JoinCell},
            oneshot,
        },
    };
}

pub use admission::AdmissionError;
pub use config::{CoreConfig, StartError};
pub use current::{YieldNow, checkpoint, current_task, deadline, need_resched, preemptible, set_deadline, yield_now};
pub use donate::lend;
pub use event::{Event, Late};
pub use fleet::{Fleet, MoveError, RunError, Step};
pub use ident::{CoreId, TaskId};
pub use inspect::{Class, PollInfo, TaskInfo};
pub use platform::Platform;
pub use raw::{
    core::Window,
    here::Here,
    join::{JoinError, JoinHandle},
    locals::{Scope, TaskLocal},
};
pub use reserve::{Mode, Reservation, Reserved};
pub use slot::State;
pub use spawn::{SpawnError, Task};
