//! The executor's seams on a virtual machine: one thread plays all cores, and time is a number.
//!
//! [`Counted`] and [`Bare`] are the same machine with and without the executor's statistics, because the executor reads
//! its clock at other places then. A fleet lives for ever, so a thread keeps one per platform and [variant](VARIANTS) and
//! uses it for one task set after another; each set must leave it as it found it.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use executor::{CoreConfig, CoreId, Fleet, Here, Platform};

use crate::world;

/// How many ways there are to configure the cores.
pub const VARIANTS: usize = 4;

thread_local! {
    static HERE: Cell<Here> = const { Cell::new(Here::foreign()) };
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// The time now (ticks, which are nanoseconds).
#[inline(always)]
pub fn now() -> u64 {
    NOW.get()
}

/// Lets time pass for whoever runs.
pub fn set_now(ticks: u64) {
    NOW.set(ticks);
}

/// Where an action takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On no core.
    Foreign,
    /// In the task context of a core.
    Core(CoreId),
    /// In an interrupt handler of a core.
    Interrupt(CoreId),
}

/// Does `body` at a place and time; returns the time at its end.
pub fn at<R>(place: Place, time: u64, body: impl FnOnce() -> R) -> (R, u64) {
    let before = (HERE.get(), NOW.get());
    HERE.set(match place {
        Place::Foreign => Here::foreign(),
        // SAFETY: fleets are per thread, and this thread plays one place at a time: a core's task context is entered
        // again only from within its own halt, where the executor expects other cores to run (`world::drive`).
        Place::Core(core) => unsafe { Here::on(core, false) },
        // SAFETY: as above; a handler is left before its core goes on.
        Place::Interrupt(core) => unsafe { Here::on(core, true) },
    });
    NOW.set(time);
    let result = body();
    let end = NOW.get();
    HERE.set(before.0);
    NOW.set(before.1);
    (result, end)
}

/// How the cores of a variant are configured. The first is the executor's default, sized down.
pub fn config(variant: usize) -> CoreConfig {
    let small = CoreConfig {
        tasks: 64,
        remote_tasks: 24,
        timers: 64,
        reservations: 24,
        ..CoreConfig::new()
    };
    let micros = Duration::from_micros;
    match variant {
        0 => small,
        1 => CoreConfig {
            limit_permille: 900,
            best_effort_budget: micros(1000),
            best_effort_period: micros(20_000),
            open_period: micros(2000),
            open_permille: 100,
            longest_poll: micros(20),
            ..small
        },
        2 => CoreConfig {
            best_effort_budget: micros(200),
            best_effort_period: micros(4000),
            longest_poll: micros(40),
            ..small
        },
        _ => CoreConfig {
            limit_permille: 980,
            best_effort_budget: micros(2000),
            best_effort_period: micros(10_000),
            open_period: micros(5000),
            open_permille: 20,
            longest_poll: micros(100),
            ..small
        },
    }
}

/// A platform of simulated cores.
pub trait Simulated: Platform {
    /// Makes the calling thread's fleet of `variant` the current one, with cores `0..cores` started.
    fn select(variant: usize, cores: usize) -> &'static Fleet<Self>;
    /// Gives up the calling thread's fleet of `variant`: the next set gets a fresh one.
    fn discard(variant: usize);
}

macro_rules! simulated {
    ($(#[$doc:meta])* $name:ident, $current:ident, $fleets:ident, $stats:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        thread_local! {
            static $current: Cell<Option<&'static Fleet<$name>>> = const { Cell::new(None) };
            static $fleets: RefCell<[Option<&'static Fleet<$name>>; VARIANTS]> = const { RefCell::new([None; VARIANTS]) };
        }

        impl Platform for $name {
            const STATS: bool = $stats;

            fn fleet() -> &'static Fleet<Self> {
                $current.get().expect("a simulation selected its fleet")
            }

            fn now() -> u64 {
                now()
            }

            fn ticks_per_second() -> u64 {
                1_000_000_000
            }

            fn here() -> Here {
                HERE.get()
            }

            fn kick(core: CoreId) {
                world::kick(core);
            }

            fn idle(core: CoreId, until: Option<u64>, still_idle: impl FnOnce() -> bool) {
                if still_idle() {
                    world::halt::<Self>(core, until);
                }
            }
        }

        impl Simulated for $name {
            fn select(variant: usize, cores: usize) -> &'static Fleet<Self> {
                let fleet = $fleets.with_borrow_mut(|fleets| *fleets[variant].get_or_insert_with(|| Box::leak(Box::new(Fleet::new()))));
                $current.set(Some(fleet));
                let started = fleet.cores().count();
                for core in (started..cores).filter_map(CoreId::new) {
                    fleet.start_core(core, config(variant)).expect("the variants are sound and memory suffices");
                }
                fleet
            }

            fn discard(variant: usize) {
                $fleets.with_borrow_mut(|fleets| fleets[variant] = None);
            }
        }
    };
}

simulated!(
    /// Simulated cores that keep statistics.
    Counted, COUNTED, COUNTED_FLEETS, true
);
simulated!(
    /// Simulated cores that do not.
    Bare, BARE, BARE_FLEETS, false
);
