//! What a simulated task does when it is polled: lets time pass, yields, sleeps, wakes others.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use executor::{need_resched, time};

use crate::{
    platform::{Simulated, now, set_now},
    rng::Rng,
    run,
    taskset::{TaskSpec, Trigger, Work},
    trace::{Class, Event},
    world::{self, Action},
};

/// The waker given to timers: it tells the machine that the executor let the timer fire.
struct TimerWaker<P> {
    task: u32,
    core: u32,
    inner: Waker,
    platform: PhantomData<fn() -> P>,
}

impl<P: Simulated> Wake for TimerWaker<P> {
    fn wake(self: Arc<Self>) {
        world::drained::<P>(self.core);
        self.inner.wake_by_ref();
        world::woken::<P>(self.task);
    }
}

/// A task's future.
pub struct Body<P: Simulated> {
    task: u32,
    spec: TaskSpec,
    rng: Rng,
    /// When the next job is due, for those that look at the clock.
    next: u64,
    release: u64,
    left: u64,
    asleep: Option<time::Sleep<P>>,
    waker: Option<Waker>,
}

impl<P: Simulated> Unpin for Body<P> {}

impl<P: Simulated> Body<P> {
    /// The body of task number `task`, spawned now.
    pub fn new(task: u32, spec: &TaskSpec, mut rng: Rng) -> Body<P> {
        let mut next = now();
        if let Work::Jobs { period, .. } = spec.work
            && rng.percent(50)
        {
            next += period + rng.up_to(period);
        }
        Body {
            task,
            spec: spec.clone(),
            rng,
            next,
            release: 0,
            left: 0,
            asleep: None,
            waker: None,
        }
    }

    /// Whether the clock shows `self.next`, else sleeps until then.
    fn reached(&mut self, context: &mut Context<'_>) -> bool {
        let (task, core) = (self.task, self.spec.core);
        let waker = self.waker.get_or_insert_with(|| {
            Waker::from(Arc::new(TimerWaker::<P> {
                task,
                core,
                inner: context.waker().clone(),
                platform: PhantomData,
            }))
        });
        let next = self.next;
        let sleep = self
            .asleep
            .get_or_insert_with(|| time::sleep_until::<P>(next));
        let ready = Pin::new(sleep)
            .poll(&mut Context::from_waker(waker))
            .is_ready();
        if ready {
            self.asleep = None;
        }
        ready
    }

    /// Whether there is something to do; if not, whatever will bring it wakes the task.
    fn has_work(&mut self, context: &mut Context<'_>) -> bool {
        if self.left > 0 {
            return true;
        }
        match self.spec.work {
            Work::Busy => {
                self.release = now();
                self.left = u64::MAX;
                true
            }
            Work::Overshoots { budget, every } => {
                if !self.reached(context) {
                    return false;
                }
                self.release = self.next;
                self.next += every;
                self.left = budget - 1 + self.spec.longest_poll.max(1);
                true
            }
            Work::Naps { sleep, most } => {
                if !self.reached(context) {
                    return false;
                }
                self.left = self.rng.between(1, most);
                // Decided now so that it takes effect when the work is done.
                self.next = now() + self.left + self.rng.between(1, sleep);
                true
            }
            Work::Jobs {
                trigger: Trigger::Timer,
                period,
                jitter,
                least,
                most,
            } => {
                if !self.reached(context) {
                    return false;
                }
                self.release = self.next;
                self.next += period + self.rng.up_to(jitter);
                self.left = self.rng.between(least, most);
                true
            }
            Work::Jobs { least, most, .. } => {
                match world::task(self.task, |live| live.released.pop_front()) {
                    Some(release) => {
                        self.release = release;
                        self.left = self.rng.between(least, most);
                        true
                    }
                    None => false,
                }
            }
        }
    }

    /// One poll's worth of work.
    fn work(&mut self) {
        let longest = self.spec.longest_poll.max(1);
        let length = if let Work::Overshoots { .. } = self.spec.work {
            // The last one of full length, the others up to one tick before the end of the budget.
            match self.left.saturating_sub(longest) {
                0 => longest,
                before => longest.min(before),
            }
        } else if self.rng.percent(25) {
            longest
        } else {
            self.rng.between(1, longest)
        }
        .min(self.left);
        let start = now();
        if self.spec.checks {
            let piece = (length / 4).max(1);
            while now() - start < length {
                set_now((now() + piece).min(start + length));
                if need_resched::<P>() {
                    break;
                }
            }
        } else {
            set_now(start + length);
        }
        if self.left != u64::MAX {
            self.left -= now() - start;
        }
    }

    fn job_done(&mut self) {
        if matches!(self.spec.work, Work::Jobs { .. }) {
            let t = world::since_origin();
            let release = t - now().saturating_sub(self.release);
            world::emit(Event::Job {
                t,
                core: self.spec.core,
                task: self.task,
                release,
            });
        }
        for index in 0..self.spec.wakes.len() {
            let to = self.spec.wakes[index];
            let period = run::period_of(to);
            let (due, core) = world::task(to, |live| {
                // Not before it is spawned: this core's clock may be ahead of who spawns it, and it would be released as soon as
                // it lives, less than a period after its first wake.
                let known = live.id.is_some() || live.ghost.is_some();
                let due = known && now() >= live.next_release;
                if due {
                    live.next_release = now() + period;
                }
                (due, live.core)
            });
            if due && core == self.spec.core {
                world::release::<P>(to, core);
            } else if due {
                world::schedule(now(), Action::Cross(self.spec.core, to));
            }
        }
    }
}

impl<P: Simulated> Future for Body<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        world::begin::<P>(this.task);
        if this.has_work(context) {
            this.work();
            if this.left == 0 {
                this.job_done();
            }
            if this.spec.changes
                && let Class::In(res) = this.spec.class
                && this
                    .rng
                    .percent(if this.spec.work == Work::Busy { 40 } else { 20 })
            {
                run::change::<P>(res, &mut this.rng);
            }
            let may_stop = this.left == 0 || this.spec.work == Work::Busy;
            if may_stop && world::since_origin() >= this.spec.stop {
                world::end(this.task, true);
                run::finished(this.task);
                return Poll::Ready(());
            }
            if this.has_work(context) {
                context.waker().wake_by_ref();
                world::woken::<P>(this.task);
            }
        }
        world::end(this.task, false);
        Poll::Pending
    }
}
