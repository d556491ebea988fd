//! A task that dies in the middle of a poll, whose stack is never seen again: nothing on it is dropped or unwound.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Condvar, Mutex as StdMutex},
    task::{Context, Poll, Waker},
};

use executor::{
    Abandoned, CoreConfig, CoreId, Fleet, Guarded, Here, JoinError, Platform, Step, Task, TaskId,
    TaskLocal,
};

const CORE: CoreId = CoreId::FIRST;

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Each poll has a thread of its own, and a dying task's never ends: nothing on its stack is ever dropped.
struct Stacked;

static STACKED: Fleet<Stacked> = Fleet::new();
static DIED: (StdMutex<Option<bool>>, Condvar) = (StdMutex::new(None), Condvar::new());

impl Stacked {
    fn over(died: bool) {
        *DIED.0.lock().expect("not poisoned") = Some(died);
        DIED.1.notify_all();
    }
}

impl Platform for Stacked {
    fn fleet() -> &'static Fleet<Self> {
        &STACKED
    }
    fn now() -> u64 {
        1
    }
    fn ticks_per_second() -> u64 {
        1_000_000_000
    }
    fn here() -> Here {
        // SAFETY: one test, one of whose threads runs at a time.
        unsafe { Here::on(CORE, false) }
    }
    fn kick(_: CoreId) {}
    fn idle(_: CoreId, _: Option<u64>, _: impl FnOnce() -> bool) {}
    fn guard(_: TaskId, poll: impl FnOnce()) -> Guarded {
        fn run<F: FnOnce()>(slot: usize) {
            let slot = std::ptr::with_exposed_provenance_mut::<Option<F>>(slot);
            // SAFETY: the guard waits and leaves the slot to this thread.
            if let Some(poll) = unsafe { (*slot).take() } {
                poll();
            }
            Stacked::over(false);
        }
        fn runner<F: FnOnce()>(_: &Option<F>) -> fn(usize) {
            run::<F>
        }
        let mut slot = Some(poll);
        let (run, slot) = (runner(&slot), (&raw mut slot).expose_provenance());
        std::thread::spawn(move || run(slot));
        let mut died = DIED.0.lock().expect("not poisoned");
        loop {
            match died.take() {
                Some(false) => return Guarded::Returned,
                // SAFETY: the thread sleeps for ever, in its task's own code; what it had stays where it is.
                Some(true) => return Guarded::Abandoned(unsafe { Abandoned::new() }),
                None => died = DIED.1.wait(died).expect("not poisoned"),
            }
        }
    }
}

#[test]
fn its_scopes_and_windows_end_with_it() {
    static NAME: TaskLocal<Stacked, u32> = TaskLocal::new();
    let settle = || while STACKED.step(CORE).expect("runs here") == Step::Ran {};
    STACKED.start_core(CORE, CoreConfig::new()).expect("a core");
    let scoped = NAME.scope(
        7,
        poll_fn(|_| -> Poll<()> {
            assert_eq!(NAME.with(|name| *name), Some(7));
            let _window = executor::preemptible::<Stacked>();
            Stacked::over(true);
            loop {
                std::thread::park();
            }
        }),
    );
    let dies = Task::<Stacked>::new("scoped")
        .spawn_local(scoped)
        .expect("spawns");
    settle();
    let next = Task::<Stacked>::new("next")
        .spawn_local(async { NAME.with(|name| *name) })
        .expect("spawns");
    settle();
    assert_eq!(
        pin!(dies).poll(&mut noop()),
        Poll::Ready(Err(JoinError::Abandoned))
    );
    assert_eq!(pin!(next).poll(&mut noop()), Poll::Ready(Ok(None)));
}
