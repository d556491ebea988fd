//! Tasks that die in the middle of a poll: a platform whose guard catches what the task throws, and never drops what it held.

use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, Mutex as StdMutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use executor::{
    AbandonError, Abandoned, CoreConfig, CoreId, Fleet, Guarded, Here, JoinError, JoinHandle,
    Platform, Remains, Reservation, Step, Task, TaskId, lend,
    sync::{Mutex, Notify, Semaphore, mpsc},
    time,
};

/// A machine per thread under virtual time, whose tasks may die.
struct Fragile;

/// Fleets live for ever; kept here, leak checkers see that they are still in reach.
static FLEETS: StdMutex<Vec<&'static Fleet<Fragile>>> = StdMutex::new(Vec::new());

thread_local! {
    static FLEET: &'static Fleet<Fragile> = {
        let fleet: &'static Fleet<Fragile> = Box::leak(Box::new(Fleet::new()));
        FLEETS.lock().expect("not poisoned").push(fleet);
        fleet
    };
    static NOW: Cell<u64> = const { Cell::new(1_000_000) };
    static REMAINS: RefCell<Vec<Remains<Fragile>>> = const { RefCell::new(Vec::new()) };
}

const CORE: CoreId = CoreId::FIRST;
const MS: u64 = 1_000_000;

/// What a dying task throws.
struct Death;

impl Platform for Fragile {
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
    fn idle(_: CoreId, _: Option<u64>, _: impl FnOnce() -> bool) {}
    fn guard(_: TaskId, poll: impl FnOnce()) -> Guarded {
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(()) => Guarded::Returned,
            Err(thrown) if thrown.is::<Death>() => {
                // SAFETY: the frames are gone; tasks here die in their own code only, and their memory stays (`REMAINS`).
                Guarded::Abandoned(unsafe { Abandoned::new() })
            }
            Err(other) => resume_unwind(other),
        }
    }
    fn remains(remains: Remains<Self>) {
        REMAINS.with_borrow_mut(|all| all.push(remains));
    }
}

fn start() -> &'static Fleet<Fragile> {
    let fleet = Fragile::fleet();
    fleet
        .start_core(
            CORE,
            CoreConfig {
                tasks: 16,
                remote_tasks: 0,
                timers: 8,
                ..CoreConfig::new()
            },
        )
        .expect("a core");
    fleet
}

fn settle() {
    while Fragile::fleet().step(CORE).expect("runs here") == Step::Ran {}
}

fn die() -> ! {
    resume_unwind(Box::new(Death))
}

/// Polls `inner` until `fatal` is set; then takes 2 ms, and dies without dropping it.
struct Doomed<F> {
    inner: F,
    fatal: Rc<Cell<bool>>,
    dropped: Rc<Cell<bool>>,
}

impl<F: Future> Future for Doomed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: `inner` is pinned with this; nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        if this.fatal.get() {
            NOW.set(NOW.get() + 2 * MS);
            die();
        }
        // SAFETY: as above.
        unsafe { Pin::new_unchecked(&mut this.inner) }.poll(context)
    }
}

impl<F> Drop for Doomed<F> {
    fn drop(&mut self) {
        self.dropped.set(true);
    }
}

/// A task that will die when it is [killed](Victim::kill).
struct Victim<T> {
    handle: JoinHandle<Fragile, T>,
    fatal: Rc<Cell<bool>>,
    dropped: Rc<Cell<bool>>,
}

fn victim<F: Future + 'static>(task: Task<Fragile>, inner: F) -> Victim<F::Output>
where
    F::Output: 'static,
{
    let (fatal, dropped) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let doomed = Doomed {
        inner,
        fatal: fatal.clone(),
        dropped: dropped.clone(),
    };
    let handle = task.spawn_local(doomed).expect("spawns");
    settle();
    Victim {
        handle,
        fatal,
        dropped,
    }
}

impl<T> Victim<T> {
    fn id(&self) -> TaskId {
        self.handle.id()
    }

    /// It dies in its next poll, which is now. Returns its handle.
    fn kill(self) -> JoinHandle<Fragile, T> {
        self.fatal.set(true);
        Fragile::fleet().wake(self.handle.id());
        settle();
        assert!(!self.dropped.get(), "what it held is not dropped");
        assert!(Fragile::fleet().task(self.handle.id()).is_none(), "gone");
        self.handle
    }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The output of a handle whose task is over.
fn join<T>(handle: JoinHandle<Fragile, T>) -> Result<T, JoinError> {
    match pin!(handle).poll(&mut noop()) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("still alive"),
    }
}

/// Where the memory of dead tasks lies.
fn graves() -> Vec<std::ops::Range<usize>> {
    REMAINS.with_borrow(|all| {
        all.iter()
            .map(|remains| {
                let memory = remains.memory();
                let start = memory.as_ptr().cast::<u8>().addr();
                start..start + memory.len()
            })
            .collect()
    })
}

/// Gives all memory back.
fn recycle() -> usize {
    let all = REMAINS.take();
    let count = all.len();
    for remains in all {
        // SAFETY: the tests see to it that nothing waits in it any more.
        unsafe { remains.recycle() };
    }
    count
}

#[test]
fn the_handle_says_so_and_the_memory_comes_back_last() {
    let fleet = start();
    let task = Task::new("reserved").reservation(Reservation::new(
        Duration::from_millis(10),
        Duration::from_millis(100),
    ));
    let victim = victim(task, pending::<u8>());
    let id = victim.id();
    let load = fleet.load_ppm(CORE).expect("a core").0;
    let misses = fleet.core_stats(CORE).expect("a core").dispatches.get();
    let handle = victim.kill();
    assert!(handle.is_finished());
    assert_eq!(
        fleet.core_stats(CORE).expect("a core").dispatches.get(),
        misses + 1
    );
    assert!(graves().is_empty(), "the handle still refers to it");
    assert_eq!(join(handle), Err(JoinError::Abandoned));
    assert_eq!(REMAINS.with_borrow(|all| all[0].task()), id);
    // Stale: no-ops.
    fleet.wake(id);
    assert!(!fleet.cancel(id));
    assert_eq!(fleet.abandon(id), Err(AbandonError::Gone));
    settle();
    // The reservation is given up once what was used is paid for: 2 ms at a tenth.
    NOW.set(NOW.get() + 200 * MS);
    settle();
    assert_eq!(
        fleet.load_ppm(CORE).expect("a core").0,
        load - 100_000,
        "its reservation is free"
    );
    assert_eq!(recycle(), 1);
}

#[test]
fn time_is_charged_and_lateness_noted() {
    let fleet = start();
    let late = Task::new("late").deadline_after(Duration::from_millis(1));
    let victim = victim(late, pending::<()>());
    let cpu = || {
        let mut ticks = 0;
        fleet.for_each_site(CORE, |_, _, site| ticks += site.latency.total());
        ticks
    };
    let before = (cpu(), NOW.get());
    drop(victim.kill());
    assert_eq!(cpu(), before.0 + 1);
    assert_eq!(NOW.get(), before.1 + 2 * MS);
    let stats = fleet.core_stats(CORE).expect("a core");
    assert_eq!(
        stats.misses.iter().map(|count| count.get()).sum::<u64>(),
        1,
        "2 ms of work within 1"
    );
    assert_eq!(stats.longest_poll.get(), 2 * MS);
    assert_eq!(recycle(), 1);
}

#[test]
fn what_it_lent_comes_back_and_what_was_lent_to_it_is_free() {
    let fleet = start();
    let due = |id| fleet.task(id).expect("lives").deadline;
    // The borrower is due in 100 ms, the lender in 5.
    let borrower = Task::<Fragile>::new("borrower")
        .deadline_at(NOW.get() + 100 * MS)
        .spawn_local(pending::<()>())
        .expect("spawns");
    settle();
    let id = borrower.id();
    let own = due(id);
    let lender = victim(
        Task::new("lender").deadline_at(NOW.get() + 5 * MS),
        lend::<Fragile, _>(id, pending::<()>()),
    );
    assert!(due(id) < own, "lent");
    drop(lender.kill());
    assert_eq!(due(id), own, "back");
    // The other way about: the borrower dies, the lender goes on.
    let borrower = victim(Task::new("doomed borrower"), pending::<()>());
    let lender = Task::<Fragile>::new("lives on")
        .deadline_at(NOW.get() + 5 * MS)
        .spawn_local(lend::<Fragile, _>(borrower.id(), async {
            time::sleep::<Fragile>(Duration::from_millis(1)).await;
            7
        }))
        .expect("spawns");
    settle();
    drop(borrower.kill());
    NOW.set(NOW.get() + 2 * MS);
    settle();
    assert_eq!(join(lender), Ok(7));
    assert_eq!(recycle(), 2);
}

/// A waker of the task's own making, in memory that dies with it.
struct Own;

impl Wake for Own {
    fn wake(self: Arc<Self>) {
        panic!("woken after its death");
    }
}

#[test]
fn its_timers_are_disarmed() {
    let fleet = start();
    for _ in 0..100 {
        // More often than there are timers.
        let sleeper = victim(
            Task::new("sleeper"),
            time::sleep::<Fragile>(Duration::from_secs(1000)),
        );
        drop(sleeper.kill());
        recycle();
    }
    assert_eq!(
        fleet
            .core_stats(CORE)
            .expect("a core")
            .timers_exhausted
            .get(),
        0
    );
    assert_eq!(fleet.step(CORE), Ok(Step::Idle(None)), "none is armed");
    // Behind a waker of its own.
    let own = Arc::new(Own);
    let memory = Arc::as_ptr(&own).addr();
    let waker = Waker::from(own);
    let mut sleep = time::sleep::<Fragile>(Duration::from_millis(10));
    let nested = victim(
        Task::new("nested"),
        poll_fn(move |_| Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker))),
    );
    drop(nested.kill());
    assert!(matches!(fleet.step(CORE), Ok(Step::Idle(Some(_)))));
    fleet.forget_wakers(memory..memory + 1);
    assert_eq!(fleet.step(CORE), Ok(Step::Idle(None)));
    NOW.set(NOW.get() + 50 * MS);
    settle();
    recycle();
}

#[test]
fn its_place_in_line_is_forgotten_on_demand() {
    start();
    // Two permits wanted in front of one: the one behind cannot go ahead until the dead one is out of the line.
    let permits = Rc::new(Semaphore::new(1));
    let greedy = {
        let permits = permits.clone();
        victim(Task::new("greedy"), async move {
            permits.acquire(2).await.expect("open").forget();
        })
    };
    let modest = {
        let permits = permits.clone();
        Task::<Fragile>::new("modest")
            .spawn_local(async move { permits.acquire(1).await.expect("open").forget() })
            .expect("spawns")
    };
    settle();
    drop(greedy.kill());
    settle();
    assert!(!modest.is_finished(), "the dead one still stands before it");
    for grave in graves() {
        // SAFETY: its task is dead.
        unsafe { permits.forget_waiters(grave) };
    }
    settle();
    assert_eq!(join(modest), Ok(()));
    assert_eq!(recycle(), 1);

    // A mutex that it holds stays locked; one that it waits for is passed on.
    let held: Rc<Mutex<Fragile, u32>> = Rc::new(Mutex::new(0));
    let (theirs, ours) = (held.clone(), held.clone());
    let holder = victim(Task::new("holder"), async move {
        let _guard = theirs.lock().await;
        pending::<()>().await
    });
    let waiter = victim(Task::new("waiter"), async move {
        *ours.lock().await += 1;
    });
    let (holder_id, holder) = (holder.id(), holder.kill());
    drop((holder, waiter.kill()));
    assert_eq!(held.holder(), Some(holder_id), "stale, and says so");
    assert!(held.try_lock().is_none());
    for grave in graves() {
        // SAFETY: their tasks are dead.
        unsafe { held.forget_waiters(grave) };
    }
    // What waited in the grave is out of the list: memory can be used again.
    assert_eq!(recycle(), 2);
    let notify = Rc::new(Notify::new());
    let theirs = notify.clone();
    let deaf = victim(Task::new("deaf"), async move { theirs.notified().await });
    drop(deaf.kill());
    for grave in graves() {
        // SAFETY: its task is dead.
        unsafe { notify.forget_waiters(grave) };
    }
    notify.notify_one();
    let hears = {
        let notify = notify.clone();
        Task::<Fragile>::new("hears")
            .spawn_local(async move { notify.notified().await })
            .expect("spawns")
    };
    settle();
    assert_eq!(join(hears), Ok(()), "not swallowed by the dead one");
    recycle();
}

#[test]
fn its_channels_stay_open() {
    start();
    let (sender, mut receiver) = mpsc::channel::<u32>(2).expect("memory");
    let victim = victim(Task::new("sender"), async move {
        sender.send(1).await.expect("room");
        pending::<()>().await
    });
    let handle = victim.kill();
    assert_eq!(receiver.try_receive(), Some(1), "what was sent is there");
    let waits = Task::<Fragile>::new("receiver")
        .spawn_local(async move { receiver.receive().await })
        .expect("spawns");
    settle();
    assert!(!waits.is_finished(), "no disconnect");
    assert_eq!(join(handle), Err(JoinError::Abandoned), "but this");
    waits.abort();
    settle();
    recycle();
}

/// The rest of a server whose one task died: tasks that wait, that are ready, whose handles lay in dead memory.
#[test]
fn others_are_abandoned_with_it() {
    let fleet = start();
    let child = victim(Task::new("child"), pending::<()>());
    let (id, dropped) = (child.id(), child.dropped.clone());
    let parent = victim(Task::new("parent"), async move {
        let mut handle = child.handle;
        poll_fn(|context| Pin::new(&mut handle).poll(context)).await
    });
    drop(parent.kill());
    assert_eq!(graves().len(), 1);
    // SAFETY: the handle lies in the grave.
    unsafe { fleet.disown(id) }.expect("lives");
    fleet.abandon(id).expect("lives");
    settle();
    assert!(fleet.task(id).is_none() && !dropped.get());
    assert_eq!(graves().len(), 2, "nobody waits for its handle");
    assert_eq!(
        // SAFETY: nothing happens.
        unsafe { fleet.disown(id) },
        Err(AbandonError::Gone)
    );
    assert_eq!(recycle(), 2);
    // Ready, and from within another task; itself is none of them.
    let ready = Task::<Fragile>::new("ready")
        .spawn_local(async { unreachable!("never polled") })
        .expect("spawns");
    let target = ready.id();
    let avenger = Task::<Fragile>::new("avenger")
        .deadline_at(0)
        .spawn_local(async move {
            let own = executor::current_task::<Fragile>().expect("a task");
            assert_eq!(fleet.abandon(own), Err(AbandonError::Running));
            fleet.abandon(target)
        })
        .expect("spawns");
    settle();
    assert_eq!(join(avenger), Ok(Ok(())));
    assert_eq!(join::<()>(ready), Err(JoinError::Abandoned));
    assert_eq!(recycle(), 1);
}

/// A cancelled task whose drop fails: no second chance.
#[test]
fn a_drop_may_be_abandoned_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            die();
        }
    }
    struct Quiet {
        _bomb: Bomb,
    }
    impl Future for Quiet {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
    start();
    let handle = Task::<Fragile>::new("bomb")
        .spawn_local(Quiet { _bomb: Bomb })
        .expect("spawns");
    settle();
    assert!(handle.cancel());
    settle();
    assert_eq!(join(handle), Err(JoinError::Abandoned));
    assert_eq!(recycle(), 1);
}

/// A restart storm: memory, slots and timers are flat.
#[test]
fn ten_thousand_deaths() {
    let fleet = start();
    let bytes = || fleet.core_stats(CORE).expect("a core").slab_bytes.get();
    let mut held = 0;
    for round in 0..10_000 {
        let dies = victim(
            Task::new("again"),
            time::sleep::<Fragile>(Duration::from_secs(1)),
        );
        let handle = dies.kill();
        if round % 2 == 0 {
            assert_eq!(join(handle), Err(JoinError::Abandoned));
        } else {
            drop(handle);
        }
        assert_eq!(recycle(), 1);
        if round == 10 {
            held = bytes();
        }
    }
    assert_eq!(bytes(), held);
    assert_eq!(fleet.core_stats(CORE).expect("a core").tasks.get(), 0);
}
