//! The virtual machine: cores with clocks of their own, what will happen when, and who may go next.
//!
//! The earliest goes first: an event, a core that runs (it does one step of the shipped executor, and its poll moves its
//! clock ahead), or a core whose halt ends. A core halts *inside* `Platform::idle`, as a real one does, and the others
//! go on within that call ([`drive`]); so the executor's own handshake of halt and kick is what is tested. When a core must
//! wake that is not the innermost, those above it return early, which `Platform::idle` allows.
//!
//! A poll is done at once when it begins; what it causes on other cores is put off to the time within the poll at which it
//! was caused, so nobody sees anything before it happened.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use executor::{CoreId, TaskId};

use crate::{
    oracle::Oracle,
    platform::{Place, Simulated, at, now, set_now},
    trace::{Class, Event, How, Terms},
};

/// Something that comes from outside of the cores, or from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A device of the task's core releases a job.
    Interrupt(u32),
    /// A thread that is no core does.
    Foreign(u32),
    /// A task of this core did.
    Cross(u32, u32),
    /// A task is to be spawned.
    Spawn(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Running,
    Halted { until: u64 },
}

/// A live task.
#[derive(Debug, Default)]
pub struct Live {
    /// Its id once spawned; `None` again when it ended.
    pub id: Option<TaskId>,
    /// Its id when it has ended: wakes still come, and must do nothing.
    pub ghost: Option<TaskId>,
    /// Its core.
    pub core: u32,
    /// Releases it has not taken up.
    pub released: VecDeque<u64>,
    /// When it may be released again.
    pub next_release: u64,
    open: bool,
    in_inbox: bool,
    rewoken: bool,
    running: bool,
}

#[derive(Debug, Default)]
struct Machine {
    origin: u64,
    end: u64,
    time: u64,
    stats: bool,
    clocks: Vec<u64>,
    status: Vec<Status>,
    halted: Vec<u32>,
    queue: BinaryHeap<Reverse<(u64, u64, Action)>>,
    sequence: u64,
    /// Wakes on their way to each core.
    inbox: Vec<Vec<(u32, u64)>>,
    tasks: Vec<Live>,
    quiet: bool,
}

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::default();
    static JUDGE: RefCell<Judge> = RefCell::default();
}

/// Where events go.
#[derive(Debug, Default)]
pub struct Judge {
    /// What judges them.
    pub oracle: Oracle,
    /// What keeps them.
    pub trace: Option<Vec<Event>>,
}

fn machine<R>(f: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with_borrow_mut(f)
}

fn core_id(core: u32) -> CoreId {
    CoreId::new(core as usize).unwrap_or(CoreId::FIRST)
}

/// Starts over: `cores` cores at `origin`, to run until `end`.
pub fn reset(
    origin: u64,
    end: u64,
    stats: bool,
    classes: impl Iterator<Item = (u32, Class)>,
    cores: u32,
    record: bool,
) {
    let count = cores as usize;
    let tasks = classes
        .map(|(core, class)| Live {
            core,
            open: matches!(class, Class::Open(_)),
            ..Live::default()
        })
        .collect();
    machine(|m| {
        *m = Machine {
            origin,
            end,
            time: origin,
            stats,
            clocks: vec![origin; count],
            status: vec![Status::Running; count],
            inbox: vec![Vec::new(); count],
            tasks,
            ..Machine::default()
        }
    });
    JUDGE.with_borrow_mut(|judge| {
        *judge = Judge {
            oracle: Oracle::new(),
            trace: record.then(Vec::new),
        }
    });
}

/// Takes what was judged and recorded.
pub fn take_judge() -> Judge {
    JUDGE.with_borrow_mut(std::mem::take)
}

/// From now on nothing is recorded or judged, and the end is `end`.
pub fn wind_down(end: u64) {
    machine(|m| {
        m.quiet = true;
        m.end = end;
        m.queue.clear();
        m.inbox.iter_mut().for_each(Vec::clear);
    });
}

/// The latest time on any core.
pub fn latest() -> u64 {
    machine(|m| m.clocks.iter().copied().fold(m.time, u64::max))
}

/// The time since the set began.
pub fn since_origin() -> u64 {
    machine(|m| now().saturating_sub(m.origin))
}

/// Records an event, whose times are since the set began.
pub fn emit(event: Event) {
    if machine(|m| m.quiet) {
        return;
    }
    JUDGE.with_borrow_mut(|judge| {
        judge.oracle.observe(&event);
        if let Some(trace) = &mut judge.trace {
            trace.push(event);
        }
    });
}

/// The machine itself found something wrong.
pub fn fail(what: String) {
    if !machine(|m| m.quiet) {
        JUDGE.with_borrow_mut(|judge| judge.oracle.fail(what));
    }
}

/// A reservation was refused.
pub fn refused(core: u32, terms: &Terms, why: &str) {
    JUDGE.with_borrow_mut(|judge| judge.oracle.refused(core, terms, why));
}

/// Puts an action in the queue, for `time` (clock).
pub fn schedule(time: u64, action: Action) {
    machine(|m| {
        m.sequence += 1;
        let sequence = m.sequence;
        m.queue.push(Reverse((time, sequence, action)));
    });
}

/// Looks at a task.
pub fn task<R>(task: u32, look: impl FnOnce(&mut Live) -> R) -> R {
    machine(|m| look(&mut m.tasks[task as usize]))
}

/// A task was spawned; `remotely` if its first wake comes through the inbox.
pub fn spawned<P: Simulated>(task: u32, id: TaskId, remotely: bool) {
    machine(|m| m.tasks[task as usize].id = Some(id));
    if remotely {
        remote_wake_sent(task);
    } else {
        woken::<P>(task);
    }
}

fn remote_wake_sent(task: u32) {
    machine(|m| {
        let live = &mut m.tasks[task as usize];
        if !std::mem::replace(&mut live.in_inbox, true) {
            m.inbox[live.core as usize].push((task, now()));
        }
        let core = live.core as usize;
        if let Status::Halted { until } = m.status[core]
            && until > now()
            && !m.quiet
        {
            JUDGE.with_borrow_mut(|judge| judge.oracle.fail(format!("core {core} sleeps on: task {task} was woken from elsewhere at {} without a kick", now() - m.origin)));
        }
    });
}

fn deadline_of<P: Simulated>(id: TaskId, origin: u64) -> Option<u64> {
    P::fleet()
        .task(id)?
        .deadline
        .map(|deadline| deadline.saturating_sub(origin))
}

/// A wake on the task's own core was just carried out.
pub fn woken<P: Simulated>(task: u32) {
    let (core, id, open, origin, running) = machine(|m| {
        let live = &mut m.tasks[task as usize];
        live.rewoken |= live.running;
        (live.core, live.id, live.open, m.origin, live.running)
    });
    let Some(id) = id else { return };
    if running {
        return;
    }
    let t = now() - origin;
    let deadline = if open {
        deadline_of::<P>(id, origin)
    } else {
        None
    };
    emit(Event::Wake {
        t,
        core,
        task,
        stamp: t,
        deadline,
    });
}

/// What lay in the inbox has been taken over by the core, which is about to do something else.
pub fn drained<P: Simulated>(core: u32) {
    let (batch, origin, stats) = machine(|m| {
        (
            std::mem::take(&mut m.inbox[core as usize]),
            m.origin,
            m.stats,
        )
    });
    for (task, sent) in batch {
        let (id, open) = machine(|m| {
            let live = &mut m.tasks[task as usize];
            live.in_inbox = false;
            (live.id, live.open)
        });
        let Some(id) = id else { continue };
        let t = now() - origin;
        let stamp = if stats { sent.min(now()) - origin } else { t };
        let deadline = if open {
            deadline_of::<P>(id, origin)
        } else {
            None
        };
        emit(Event::Wake {
            t,
            core,
            task,
            stamp,
            deadline,
        });
    }
}

/// A poll of `task` begins.
pub fn begin<P: Simulated>(task: u32) {
    let (core, origin) = machine(|m| {
        let live = &mut m.tasks[task as usize];
        live.running = true;
        live.rewoken = false;
        (live.core, m.origin)
    });
    drained::<P>(core);
    let deadline = executor::deadline::<P>().map(|deadline| deadline.saturating_sub(origin));
    emit(Event::Run {
        t: now() - origin,
        core,
        task,
        deadline,
    });
}

/// The poll of `task` ends.
pub fn end(task: u32, finished: bool) {
    let (core, origin, rewoken) = machine(|m| {
        let live = &mut m.tasks[task as usize];
        live.running = false;
        if finished {
            live.ghost = live.id.take();
        }
        (live.core, m.origin, live.rewoken)
    });
    let how = match (finished, rewoken) {
        (true, _) => How::Finish,
        (false, true) => How::Yield,
        (false, false) => How::Block,
    };
    emit(Event::End {
        t: now() - origin,
        core,
        task,
        how,
    });
}

/// Wakes `task` where the caller is, for a release at the time now.
pub fn release<P: Simulated>(task: u32, here: u32) {
    let (id, core) = machine(|m| {
        let live = &mut m.tasks[task as usize];
        if live.id.is_some() {
            live.released.push_back(now());
        }
        (live.id.ok_or(live.ghost), live.core)
    });
    let id = match id {
        Ok(id) => id,
        Err(ghost) => {
            if let Some(ghost) = ghost {
                P::fleet().wake(ghost);
            }
            return;
        }
    };
    P::fleet().wake(id);
    if core == here {
        woken::<P>(task)
    } else {
        remote_wake_sent(task)
    }
}

/// See `Platform::kick`.
pub fn kick(core: CoreId) {
    machine(|m| {
        if let Status::Halted { until } = &mut m.status[core.index()] {
            *until = (*until).min(now());
        }
    });
}

/// See `Platform::idle`: others go on until this core must.
pub fn halt<P: Simulated>(core: CoreId, until: Option<u64>) {
    let index = core.index() as u32;
    drained::<P>(index);
    emit(Event::Idle {
        t: since_origin(),
        core: index,
    });
    machine(|m| {
        m.clocks[index as usize] = now();
        m.status[index as usize] = Status::Halted {
            until: until.unwrap_or(u64::MAX),
        };
        m.halted.push(index);
    });
    drive::<P>();
    let time = machine(|m| {
        let innermost = m.halted.pop();
        debug_assert_eq!(innermost, Some(index));
        m.status[index as usize] = Status::Running;
        m.time.max(m.clocks[index as usize])
    });
    set_now(time);
}

enum Next {
    Over,
    Unwind,
    Act(Action),
    Step(u32),
}

impl Machine {
    fn next(&mut self) -> Next {
        let mut best = (u64::MAX, Next::Over);
        if let Some(Reverse((time, _, action))) = self.queue.peek() {
            best = (*time, Next::Act(*action));
        }
        let mut waking = u64::MAX;
        let (mut running, mut who) = (u64::MAX, 0);
        for (core, status) in self.status.iter().enumerate() {
            match status {
                Status::Running if self.clocks[core] < running => {
                    (running, who) = (self.clocks[core], core as u32)
                }
                Status::Running => {}
                Status::Halted { until } => waking = waking.min((*until).max(self.clocks[core])),
            }
        }
        if waking < best.0 {
            best = (waking, Next::Unwind);
        }
        if running < best.0 {
            best = (running, Next::Step(who));
        }
        if best.0 >= self.end {
            best = (self.end, Next::Over);
        }
        self.time = self.time.max(best.0);
        if matches!(best.1, Next::Act(_)) {
            self.queue.pop();
        }
        best.1
    }
}

/// Runs cores and events in order of time, until the end, or until a halted core below must go on.
pub fn drive<P: Simulated>() {
    loop {
        match machine(Machine::next) {
            Next::Over | Next::Unwind => return,
            Next::Act(action) => act::<P>(action),
            Next::Step(core) => {
                let start = machine(|m| m.clocks[core as usize]);
                let ((), time) = at(Place::Core(core_id(core)), start, || {
                    let mut done = false;
                    let run =
                        P::fleet().run_until(core_id(core), || std::mem::replace(&mut done, true));
                    if let Err(error) = run {
                        fail(format!("core {core} cannot be run: {error}"));
                    }
                });
                machine(|m| m.clocks[core as usize] = time);
            }
        }
    }
}

fn act<P: Simulated>(action: Action) {
    let time = machine(|m| m.time);
    let (place, task, here) = match action {
        Action::Interrupt(task) => (
            Place::Interrupt(core_id(machine(|m| m.tasks[task as usize].core))),
            task,
            u32::MAX,
        ),
        Action::Foreign(task) => (Place::Foreign, task, u32::MAX),
        Action::Cross(from, task) => (Place::Core(core_id(from)), task, from),
        Action::Spawn(task) => {
            at(Place::Foreign, time, || crate::run::spawn::<P>(task));
            return;
        }
    };
    at(place, time, || {
        if let Place::Interrupt(core) = place {
            // The interrupt itself ends a halt.
            kick(core);
        }
        release::<P>(task, here);
    });
    if !matches!(action, Action::Cross(..)) {
        crate::run::next_release(task, time);
    }
}
