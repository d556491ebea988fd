//! One task set from beginning to end on the virtual machine.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    time::Duration,
};

use executor::{CoreId, Fleet, Mode, Reservation, Reserved, Task, TaskId};

use crate::{
    body::Body,
    oracle::{Counts, Violation},
    platform::{Bare, Counted, Place, Simulated, at, config, now},
    rng::Rng,
    taskset::{TaskSet, TaskSpec, Trigger, Work},
    trace::{Class, Division, Event, Terms},
    world::{self, Action},
};

/// Time between two sets on the same cores: enough for every debt of the first.
const GAP: u64 = 10_000_000_000_000;

/// How a set ended.
#[derive(Debug)]
pub struct Outcome {
    /// The first thing that was wrong.
    pub violation: Option<Violation>,
    /// What was seen.
    pub counts: Counts,
    /// All events, if asked for.
    pub trace: Vec<Event>,
}

#[derive(Default)]
enum Claim {
    #[default]
    NotAsked,
    Refused,
    Admitted(Box<dyn Any>),
    /// Admitted, and the handle is gone.
    LeftToTasks,
}

struct Current {
    set: TaskSet,
    claims: Vec<Claim>,
    /// Members that are not spawned yet, and those that have not ended.
    waiting: Vec<u32>,
    living: Vec<u32>,
    arrivals: Vec<Rng>,
    bodies: Vec<Rng>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// Where the next set begins on this thread.
    static CLOCK: Cell<u64> = const { Cell::new(1_000_000_000) };
}

fn current<R>(f: impl FnOnce(&mut Current) -> R) -> R {
    CURRENT.with_borrow_mut(|current| f(current.as_mut().expect("a set is running")))
}

/// Runs a set; with `record`, keeps its trace.
pub fn run_set(set: &TaskSet, record: bool) -> Outcome {
    if set.stats {
        run_on::<Counted>(set, record)
    } else {
        run_on::<Bare>(set, record)
    }
}

/// Runs a set on cores that nobody used before.
pub fn run_fresh(set: &TaskSet, record: bool) -> Outcome {
    if set.stats {
        Counted::discard(set.variant);
    } else {
        Bare::discard(set.variant);
    }
    run_set(set, record)
}

fn division(variant: usize, timed: bool) -> Division {
    let config = config(variant);
    let ticks = |duration: Duration| duration.as_nanos() as u64;
    Division {
        limit_permille: config.limit_permille.into(),
        open_permille: config.open_permille.into(),
        fair_budget: ticks(config.best_effort_budget),
        fair_period: ticks(config.best_effort_period),
        open_period: ticks(config.open_period),
        longest_poll: ticks(config.longest_poll),
        timed,
    }
}

fn run_on<P: Simulated>(set: &TaskSet, record: bool) -> Outcome {
    let fleet = P::select(set.variant, set.cores as usize);
    let origin = CLOCK.get();
    let count = set.reservations.len();
    let members = |res: usize| {
        set.tasks
            .iter()
            .filter(|task| task.class == Class::In(res as u32))
            .count() as u32
    };
    let mut seeds = Rng::new(set.seed ^ 0x5157_0001);
    CURRENT.set(Some(Current {
        set: set.clone(),
        claims: (0..count).map(|_| Claim::NotAsked).collect(),
        waiting: (0..count).map(members).collect(),
        living: (0..count).map(members).collect(),
        arrivals: set.tasks.iter().map(|_| seeds.split()).collect(),
        bodies: set.tasks.iter().map(|_| seeds.split()).collect(),
    }));
    world::reset(
        origin,
        origin + set.horizon,
        set.stats,
        set.tasks.iter().map(|task| (task.core, task.class)),
        set.cores,
        record,
    );
    for core in 0..set.cores {
        world::emit(Event::Core {
            core,
            division: division(set.variant, set.stats),
        });
        // A core's notion of the time is that of its last step.
        if let Some(id) = CoreId::new(core as usize) {
            at(Place::Core(id), origin, || fleet.step(id))
                .0
                .map_or_else(|error| world::fail(error.to_string()), |_| ());
        }
    }
    let base: Vec<_> = fleet.cores().map(|core| fleet.load_ppm(core)).collect();
    for (task, spec) in set.tasks.iter().enumerate() {
        let task = task as u32;
        if spec.start > 0 {
            world::schedule(origin + spec.start, Action::Spawn(task));
        } else if let Some(core) = CoreId::new(spec.core as usize) {
            at(Place::Core(core), origin, || spawn::<P>(task));
        }
    }
    world::drive::<P>();
    let judge = world::take_judge();
    let (mut counts, mut violation) = (judge.oracle.counts(), judge.oracle.verdict());
    counts.refused = current(|current| {
        current
            .claims
            .iter()
            .filter(|claim| matches!(claim, Claim::Refused))
            .count() as u64
    });
    if violation.is_none() {
        violation = wind_down::<P>(fleet, &base).err().map(|what| Violation {
            event: counts.events,
            t: set.horizon,
            what,
        });
    }
    CURRENT.set(None);
    CLOCK.set(world::latest() + GAP);
    if violation.is_some() {
        // Who knows in what state they are.
        P::discard(set.variant);
    }
    Outcome {
        violation,
        counts,
        trace: judge.trace.unwrap_or_default(),
    }
}

/// Ends all tasks and reservations, and sees to it that nothing is left of them.
fn wind_down<P: Simulated>(
    fleet: &'static Fleet<P>,
    base: &[Option<(u64, u64)>],
) -> Result<(), String> {
    world::wind_down(world::latest() + GAP);
    let (tasks, claims) = current(|current| {
        (
            current.set.tasks.len() as u32,
            std::mem::take(&mut current.claims),
        )
    });
    let ids: Vec<TaskId> = (0..tasks)
        .filter_map(|task| world::task(task, |live| live.id))
        .collect();
    at(Place::Foreign, world::latest(), || {
        drop(claims);
        for &id in &ids {
            fleet.cancel(id);
        }
    });
    world::drive::<P>();
    let mut left = None;
    fleet.for_each_task(|task| left = Some(task.id));
    if let Some(task) = left {
        return Err(format!("after all were cancelled, task {task} still lives"));
    }
    for (core, before) in fleet.cores().zip(base) {
        let after = fleet.load_ppm(core);
        if after != *before {
            return Err(format!(
                "after all reservations were given up, core {core} has {after:?} ppm given out, at first {before:?}"
            ));
        }
    }
    Ok(())
}

fn reservation(terms: &Terms) -> Reservation {
    let mut reservation = Reservation::new(
        Duration::from_nanos(terms.budget),
        Duration::from_nanos(terms.period),
    )
    .deadline(Duration::from_nanos(terms.deadline))
    .longest_poll(Duration::from_nanos(terms.p_max));
    reservation.mode = if terms.hard { Mode::Hard } else { Mode::Soft };
    reservation.reclaim = terms.reclaims;
    reservation
}

/// Changes the terms of a reservation at random, from a poll of one of its tasks. A task that keeps to the old terms keeps
/// to the new ones.
pub fn change<P: Simulated>(res: u32, rng: &mut Rng) {
    let (core, asked, claim) = current(|current| {
        let (core, asked) = current.set.reservations[res as usize];
        let claim = std::mem::take(&mut current.claims[res as usize]);
        (core, asked, claim)
    });
    let most = (asked.budget + asked.budget / 3).min(asked.deadline);
    let terms = Terms {
        budget: rng.between(asked.budget, most),
        period: rng.between(
            (asked.period - asked.period / 4).max(asked.deadline),
            asked.period,
        ),
        hard: rng.percent(50),
        ..asked
    };
    if let Claim::Admitted(handle) = &claim
        && let Some(reserved) = handle.downcast_ref::<Reserved<P>>()
        && reserved.change(reservation(&terms)).is_ok()
    {
        world::emit(Event::Reserve {
            t: world::since_origin(),
            res,
            core,
            terms,
        });
    }
    current(|current| current.claims[res as usize] = claim);
}

/// The reservation of a task about to be spawned, asked for if this is the first; `None` if it was refused.
fn claim<P: Simulated>(res: u32) -> Option<Box<dyn Any>> {
    let (claim, core, terms) = current(|current| {
        let (core, terms) = current.set.reservations[res as usize];
        (
            std::mem::take(&mut current.claims[res as usize]),
            core,
            terms,
        )
    });
    match claim {
        Claim::Admitted(reserved) => Some(reserved),
        Claim::NotAsked => {
            match Reserved::<P>::new(CoreId::new(core as usize)?, reservation(&terms)) {
                Ok(reserved) => {
                    world::emit(Event::Reserve {
                        t: world::since_origin(),
                        res,
                        core,
                        terms,
                    });
                    Some(Box::new(reserved))
                }
                Err(error) => {
                    world::refused(core, &terms, &error.to_string());
                    None
                }
            }
        }
        Claim::Refused | Claim::LeftToTasks => None,
    }
}

/// Spawns task number `task` of the set.
pub fn spawn<P: Simulated>(task: u32) {
    let (spec, body) = current(|current| {
        let spec = current.set.tasks[task as usize].clone();
        let body = Body::<P>::new(task, &spec, current.bodies[task as usize].clone());
        (spec, body)
    });
    let Some(core) = CoreId::new(spec.core as usize) else {
        return;
    };
    let mut builder = Task::<P>::new("simulated").core(core);
    let mut reserved = None;
    match spec.class {
        Class::Fair(weight) => builder = builder.weight(weight),
        Class::Open(Some(relative)) => {
            builder = builder.deadline_after(Duration::from_nanos(relative))
        }
        Class::Open(None) => builder = builder.deadline_at(now()),
        Class::In(res) => {
            let Some(handle) = claim::<P>(res) else {
                current(|current| current.claims[res as usize] = Claim::Refused);
                return;
            };
            if let Some(handle) = handle.downcast_ref::<Reserved<P>>() {
                builder = builder.within(handle);
            }
            reserved = Some((res, handle));
        }
    }
    world::emit(Event::Task {
        task,
        core: spec.core,
        class: spec.class,
        guaranteed: spec.guaranteed,
    });
    let here = P::here().task_core() == Some(core);
    let spawned = if here && task.is_multiple_of(2) {
        builder.spawn_local(body)
    } else {
        builder.spawn(body)
    };
    match spawned {
        Ok(handle) => {
            let id = handle.id();
            handle.detach();
            world::spawned::<P>(task, id, !here);
        }
        Err(error) => world::fail(format!("task {task} was not spawned: {error}")),
    }
    if let Some((res, handle)) = reserved {
        let last = current(|current| {
            let waiting = &mut current.waiting[res as usize];
            *waiting -= 1;
            let changes = |task: &TaskSpec| task.changes && task.class == Class::In(res);
            *waiting == 0 && !current.set.tasks.iter().any(changes)
        });
        let claim = if last {
            Claim::LeftToTasks
        } else {
            Claim::Admitted(handle)
        };
        current(|current| current.claims[res as usize] = claim);
    }
    if let Work::Jobs {
        trigger: Trigger::Interrupt | Trigger::Foreign,
        period,
        ..
    } = spec.work
    {
        let offset = current(|current| current.arrivals[task as usize].up_to(period));
        world::schedule(now() + period + offset, arrival(task, &spec.work));
    }
    world::task(task, |live| {
        live.next_release = now() + run_period(&spec.work)
    });
}

fn arrival(task: u32, work: &Work) -> Action {
    match work {
        Work::Jobs {
            trigger: Trigger::Interrupt,
            ..
        } => Action::Interrupt(task),
        _ => Action::Foreign(task),
    }
}

fn run_period(work: &Work) -> u64 {
    match work {
        Work::Jobs { period, .. } => *period,
        Work::Busy | Work::Overshoots { .. } | Work::Naps { .. } => 0,
    }
}

/// The least time between releases of a task.
pub fn period_of(task: u32) -> u64 {
    current(|current| run_period(&current.set.tasks[task as usize].work))
}

/// A job of `task` was released from outside at `time`; says when the next will be.
pub fn next_release(task: u32, time: u64) {
    let next = current(|current| match current.set.tasks[task as usize].work {
        Work::Jobs { period, jitter, .. } => {
            let delay = period + current.arrivals[task as usize].up_to(jitter);
            Some((
                time + delay,
                arrival(task, &current.set.tasks[task as usize].work),
            ))
        }
        _ => None,
    });
    if let Some((next, action)) = next {
        world::schedule(next, action);
    }
}

/// Task number `task` has ended.
pub fn finished(task: u32) {
    let gone = current(|current| match current.set.tasks[task as usize].class {
        Class::In(res) => {
            let living = &mut current.living[res as usize];
            *living -= 1;
            (*living == 0).then_some(res)
        }
        _ => None,
    });
    if let Some(res) = gone {
        let claim = current(|current| {
            std::mem::replace(&mut current.claims[res as usize], Claim::LeftToTasks)
        });
        drop(claim);
        world::emit(Event::Release {
            t: world::since_origin(),
            res,
        });
    }
}
