//! Making a core: everything it will ever need is allocated here.

use alloc::vec::Vec;
use core::{cell::UnsafeCell, marker::PhantomData};

use super::{Apart, Core, Last, Local, Polling};
use crate::{
    admission::{Division, Ledger},
    atomics::AtomicU64,
    config::{CoreConfig, StartError},
    ident::{CoreId, TaskId},
    inbox::{Inbox, Park},
    platform::Platform,
    pool::Pool,
    published::P64,
    raw::{
        list::Stack,
        locals::Chain,
        sites::SiteRecords,
        slab::{Returns, Slab},
    },
    sched::{FAIR, FIRST_RESERVED, OPEN, Scheduler, Terms, cbs::Params},
    slot::{Slot, flag},
    stats::{CoreStats, TaskRecord},
    timers::Timers,
};

fn filled<T>(count: usize, mut make: impl FnMut() -> T) -> Result<Vec<T>, StartError> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(count)
        .map_err(|_| StartError::NoMemory)?;
    vec.resize_with(count, &mut make);
    Ok(vec)
}

impl<P: Platform> Core<P> {
    pub(crate) fn new(id: CoreId, config: CoreConfig) -> Result<Core<P>, StartError> {
        let slots = config.tasks + 1;
        if config.tasks == 0 || slots > 1 << TaskId::SLOT_BITS {
            return Err(StartError::BadConfig("tasks"));
        }
        if config.remote_tasks > config.tasks {
            return Err(StartError::BadConfig("remote_tasks"));
        }
        if config.reservations > 1 << 15 {
            return Err(StartError::BadConfig("reservations"));
        }
        if config.timers > 1 << 20 {
            return Err(StartError::BadConfig("timers"));
        }
        let limit = crate::admission::permille(config.limit_permille);
        let ticks = |duration| crate::time::to_ticks::<P>(duration);
        let fair = Params {
            budget: ticks(config.best_effort_budget),
            period: ticks(config.best_effort_period),
            deadline: ticks(config.best_effort_period),
        };
        if !fair.is_sane() {
            return Err(StartError::BadConfig("best_effort_budget"));
        }
        let open_period = ticks(config.open_period);
        let open_least = crate::admission::permille(config.open_permille);
        let longest_poll = ticks(config.longest_poll);
        let no_memory = |_| StartError::NoMemory;
        let division = Division {
            limit,
            fair,
            open_period,
            open_least,
            longest_poll,
        };
        let mut ledger = Ledger::new(config.reservations, division).map_err(no_memory)?;
        let open = ledger.open_params();
        if !open.is_sane() || limit < fair.bandwidth() + open_least {
            return Err(StartError::BadConfig(
                "limit_permille, open_period or open_permille",
            ));
        }
        let band = (fair.budget / 4).max(16);
        let mut sched =
            Scheduler::new(slots, config.reservations, band, limit).map_err(no_memory)?;
        sched.install(
            OPEN,
            Terms {
                params: open,
                hard: false,
                reclaims: false,
            },
            0,
        );
        sched.install(
            FAIR,
            Terms {
                params: fair,
                hard: true,
                reclaims: false,
            },
            0,
        );
        let table = {
            let mut number = 0..;
            filled(slots, || Slot::new(id, number.next().unwrap_or(0)))?
        };
        let pool = Pool::new();
        let mut free = Stack::new();
        for slot in (1..slots as u32).rev() {
            if slot as usize <= config.remote_tasks {
                table[slot as usize].raise(flag::POOLED);
                pool.push(&table, slot);
            }
        }
        for slot in (config.remote_tasks as u32 + 1..slots as u32).rev() {
            free.push(slot, &table[slot as usize]);
        }
        let stats_slots = if P::STATS { slots } else { 0 };
        let sites = if P::STATS {
            SiteRecords::new().ok_or(StartError::NoMemory)?
        } else {
            SiteRecords::none()
        };
        let timers = Timers::with_capacity(config.timers).map_err(no_memory)?;
        Ok(Core {
            id,
            config,
            slots: table,
            lent: filled(slots, || AtomicU64::new(u64::MAX))?,
            origins: filled(config.remote_tasks + 1, P64::default)?,
            records: filled(stats_slots, TaskRecord::default)?,
            sites,
            polling: Polling::default(),
            stats: CoreStats::default(),
            local: Apart(UnsafeCell::new(Local {
                sched,
                timers,
                slab: Slab::new(),
                free,
                rewoken: false,
                now: 0,
                clock_from: 0,
                allowed: filled(config.reservations + FIRST_RESERVED as usize, || {
                    longest_poll
                })?,
                last: Last::default(),
                notes: [None; 2],
            })),
            chain: Chain::new(),
            inbox: Apart(Inbox::new()),
            park: Park::new(),
            window: AtomicU64::new(0),
            pool: Apart(pool),
            returns: Returns::new(),
            ledger: spin::Mutex::new(ledger),
            dead_timers: spin::Mutex::new(Vec::new()),
            platform: PhantomData,
        })
    }
}
