// A platform under virtual time: one simulated core per test.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Mutex,
    task::Waker,
    time::Duration,
};

use executor::{CoreConfig, CoreId, Event, Fleet, Here, Platform, Step, Task, yield_now};

/// A machine per thread whose clock moves only when told to: one tick is a nanosecond.
pub struct Virtual;

/// Fleets live for ever; kept here, leak checkers see that they are still in reach.
static FLEETS: Mutex<Vec<&'static Fleet<Virtual>>> = Mutex::new(Vec::new());

fn new_fleet() -> &'static Fleet<Virtual> {
    let fleet: &'static Fleet<Virtual> = Box::leak(Box::new(Fleet::new()));
    FLEETS.lock().expect("not poisoned").push(fleet);
    fleet
}

thread_local! {
    static FLEET: &'static Fleet<Virtual> = new_fleet();
    pub static NOW: Cell<u64> = const { Cell::new(1_000_000) };
    /// Whom events wake.
    pub static TOLD: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    pub static EVENTS: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
}

pub const CORE: CoreId = CoreId::FIRST;
pub const US: u64 = 1000;
pub const MS: u64 = 1_000_000;

impl Platform for Virtual {
    fn fleet() -> &'static Fleet<Self> {
        FLEET.with(|fleet| *fleet)
    }
    fn now() -> u64 {
        NOW.get()
    }
    fn ticks_per_second() -> u64 {
        1_000_000_000
    }
    fn here() -> Here {
        // SAFETY: the fleet belongs to this thread alone, which runs its only core.
        unsafe { Here::on(CORE, false) }
    }
    fn kick(_: CoreId) {}
    fn idle(_: CoreId, until: Option<u64>, still_idle: impl FnOnce() -> bool) {
        if still_idle() {
            NOW.set(until.expect("something is due"));
        }
    }
    fn event(event: Event) {
        EVENTS.with_borrow_mut(|events| events.push(event));
        let wakers = TOLD.with_borrow(Vec::clone);
        wakers.iter().for_each(Waker::wake_by_ref);
    }
}

pub fn start(config: CoreConfig) {
    Virtual::fleet().start_core(CORE, config).expect("a core");
}

/// Takes processor time.
pub fn work(ticks: u64) {
    NOW.set(NOW.get() + ticks);
}

/// Takes processor time in polls of `poll` ticks.
pub async fn busy(mut ticks: u64, poll: u64) {
    while ticks > 0 {
        let part = ticks.min(poll);
        work(part);
        ticks -= part;
        yield_now().await;
    }
}

pub fn run_until(end: u64) {
    while NOW.get() < end {
        match Virtual::fleet().step(CORE).expect("runs here") {
            Step::Ran => {}
            Step::Idle(due) => NOW.set(due.unwrap_or(end).clamp(NOW.get(), end)),
        }
    }
}

pub fn us(value: u64) -> Duration {
    Duration::from_micros(value)
}

/// A task that works for ever in polls of `poll`, and how much it got.
pub fn hog(task: Task<Virtual>, poll: u64) -> Rc<Cell<u64>> {
    let got = Rc::new(Cell::new(0));
    let count = got.clone();
    task.spawn_local(async move {
        loop {
            work(poll);
            count.set(count.get() + poll);
            yield_now().await;
        }
    })
    .expect("spawns")
    .detach();
    got
}
