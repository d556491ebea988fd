//! Ours, with statistics (`raede`) and without (`raede-off`), on a platform made of host threads.

use crate::clock::{tsc, tsc_hz};
use crate::peer::{Order, Peer, Room, Waits};
use executor::{CoreConfig, CoreId, Fleet, Here, Platform, Task, time};
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Context;
use std::thread::{self, Thread};
use std::time::Duration;

/// Host threads as cores, the time stamp counter as clock.
pub(super) struct Host<const STATS: bool>;

/// The fleets, one for each kind of [`Host`]: a static cannot be generic.
pub(super) trait Own: Sized + 'static {
    fn own_fleet() -> &'static Fleet<Self>
    where
        Self: Platform;
}

impl Own for Host<true> {
    #[inline(always)]
    fn own_fleet() -> &'static Fleet<Self> {
        static FLEET: Fleet<Host<true>> = Fleet::new();
        &FLEET
    }
}

impl Own for Host<false> {
    #[inline(always)]
    fn own_fleet() -> &'static Fleet<Self> {
        static FLEET: Fleet<Host<false>> = Fleet::new();
        &FLEET
    }
}

static THREADS: [OnceLock<Thread>; CoreId::MAX] = [const { OnceLock::new() }; CoreId::MAX];
static NEXT_CORE: AtomicUsize = AtomicUsize::new(0);
/// By how much the clock is ahead of the counter: it jumps while a core waits for a timer in virtual time.
static AHEAD: AtomicU64 = AtomicU64::new(0);
static JUMPS: AtomicBool = AtomicBool::new(false);

thread_local! {
    static HERE: Cell<Here> = const { Cell::new(Here::foreign()) };
}

impl<const STATS: bool> Platform for Host<STATS>
where
    Host<STATS>: Own,
{
    const STATS: bool = STATS;

    #[inline(always)]
    fn fleet() -> &'static Fleet<Self> {
        Self::own_fleet()
    }

    #[inline(always)]
    fn now() -> u64 {
        tsc() + AHEAD.load(Relaxed)
    }

    fn ticks_per_second() -> u64 {
        tsc_hz()
    }

    #[inline(always)]
    fn here() -> Here {
        HERE.get()
    }

    fn kick(core: CoreId) {
        if let Some(thread) = THREADS[core.index()].get() {
            thread.unpark();
        }
    }

    fn idle(_core: CoreId, until: Option<u64>, still_idle: impl FnOnce() -> bool) {
        if !still_idle() {
            return;
        }
        if !JUMPS.load(Relaxed) {
            thread::park();
        } else if let Some(until) = until {
            let short = until.saturating_sub(Self::now());
            AHEAD.store(AHEAD.load(Relaxed) + short, Relaxed);
        }
    }
}

#[derive(Clone)]
pub(super) struct Raede<const STATS: bool>;

impl<const STATS: bool> Peer for Raede<STATS>
where
    Host<STATS>: Own,
{
    const NAME: &'static str = if STATS { "raede" } else { "raede-off" };
    const ORDER: Order = Order::Deadline;
    const TIMERS: bool = true;
    type Storage<F: Future<Output = ()> + 'static> = ();

    fn run<M, F>(room: Room, main: M)
    where
        M: FnOnce(Self) -> F,
        F: Future<Output = ()> + 'static,
    {
        let fleet = Host::<STATS>::own_fleet();
        // A core is for ever: each run takes the next one.
        let core = CoreId::new(NEXT_CORE.fetch_add(1, Relaxed))
            .unwrap_or_else(|| panic!("more runs than cores"));
        let config = CoreConfig {
            tasks: room.tasks,
            remote_tasks: 0,
            timers: room.timers,
            reservations: 1,
            ..CoreConfig::new()
        };
        fleet
            .start_core(core, config)
            .unwrap_or_else(|error| panic!("{error}"));
        THREADS[core.index()].get_or_init(thread::current);
        JUMPS.store(room.waits == Waits::Virtual, Relaxed);
        // SAFETY: this thread alone runs this core: its number was given out once.
        HERE.set(unsafe { Here::on(core, false) });
        let done = Rc::new(Cell::new(false));
        let (seen, main) = (done.clone(), main(Raede));
        let task = async move {
            main.await;
            seen.set(true);
        };
        Task::<Host<STATS>>::new("main")
            .spawn_local(task)
            .unwrap_or_else(|error| panic!("{error}"))
            .detach();
        if room.waits == Waits::Spin {
            while !done.get() {
                fleet.step(core).unwrap_or_else(|error| panic!("{error}"));
            }
        } else {
            fleet
                .run_until(core, || done.get())
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }

    fn storage<F: Future<Output = ()> + 'static>(&self, _tasks: usize) {}

    fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        (): &mut (),
        deadline: Option<u64>,
        future: F,
    ) {
        let mut task = Task::<Host<STATS>>::new("task");
        if let Some(deadline) = deadline {
            task = task.deadline_at(deadline);
        }
        task.spawn_local(future)
            .unwrap_or_else(|error| panic!("{error}"))
            .detach();
    }

    #[inline(always)]
    fn set_deadline(_context: &mut Context<'_>, deadline: u64) {
        executor::set_deadline::<Host<STATS>>(deadline);
    }

    fn sleep(&self, millis: u64) -> impl Future<Output = ()> + 'static {
        time::sleep::<Host<STATS>>(Duration::from_millis(millis))
    }
}
