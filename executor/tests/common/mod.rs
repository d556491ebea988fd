// A platform made of host threads, one fleet per process. No inner attributes: rustdoc examples include this file.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use executor::{CoreConfig, CoreId, Fleet, Here, Platform};

/// Host threads as cores.
#[derive(Debug)]
pub struct Host;

static FLEET: Fleet<Host> = Fleet::new();
static THREADS: [OnceLock<Thread>; CoreId::MAX] = [const { OnceLock::new() }; CoreId::MAX];
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HERE: Cell<Here> = const { Cell::new(Here::foreign()) };
}

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

impl Platform for Host {
    fn fleet() -> &'static Fleet<Self> {
        &FLEET
    }

    fn now() -> u64 {
        epoch().elapsed().as_nanos() as u64 + 1
    }

    fn ticks_per_second() -> u64 {
        1_000_000_000
    }

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
        match until {
            Some(until) => {
                thread::park_timeout(Duration::from_nanos(until.saturating_sub(Self::now())))
            }
            None => thread::park(),
        }
    }
}

/// Makes the calling thread a core of its own, numbered in order of asking.
pub fn become_core(config: CoreConfig) -> CoreId {
    let core = CoreId::new(NEXT.fetch_add(1, Ordering::Relaxed)).expect("a core for each test");
    FLEET.start_core(core, config).expect("a core");
    THREADS[core.index()].get_or_init(thread::current);
    // SAFETY: this thread alone runs this core: its number was given out once.
    HERE.set(unsafe { Here::on(core, false) });
    core
}

/// Runs `body` as if an interrupt had come.
pub fn in_interrupt<R>(body: impl FnOnce() -> R) -> R {
    let before = HERE.get();
    // SAFETY: the thread's task context is suspended below `body`, as below an interrupt handler.
    HERE.set(unsafe { Here::on(before.core().expect("a core"), true) });
    let result = body();
    HERE.set(before);
    result
}

/// Polls until nothing is ready.
pub fn settle(core: CoreId) {
    while FLEET.step(core).expect("runs here") == executor::Step::Ran {}
}

/// Runs the calling core until `future` is done, and returns its output.
pub fn block_on<F: Future + 'static>(core: CoreId, future: F) -> F::Output
where
    F::Output: 'static,
{
    let result = std::rc::Rc::new(Cell::new(None));
    let slot = result.clone();
    executor::Task::<Host>::new("main")
        .spawn_local(async move { slot.set(Some(future.await)) })
        .expect("main spawns")
        .detach();
    let mut output = None;
    FLEET
        .run_until(core, || {
            output = result.take();
            output.is_some()
        })
        .expect("runs here");
    output.expect("an output")
}

/// A second core on a thread of its own, which runs until dropped.
pub struct Background {
    pub core: CoreId,
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

pub fn background(config: CoreConfig) -> Background {
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let (send, receive) = std::sync::mpsc::channel();
    let flag = stop.clone();
    let thread = thread::spawn(move || {
        let core = become_core(config);
        send.send(core).expect("the test waits");
        FLEET
            .run_until(core, || flag.load(Ordering::Acquire))
            .expect("runs here");
    });
    Background {
        core: receive.recv().expect("a core"),
        stop,
        thread: Some(thread),
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        executor::Task::<Host>::new("stop")
            .core(self.core)
            .spawn(async {})
            .expect("stop spawns")
            .detach();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the core ended well");
        }
    }
}
