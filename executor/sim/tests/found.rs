//! What the simulator found in the executor, each boiled down to a few tasks, so that it stays found.

use executor_sim::{
    run::run_fresh,
    taskset::{TaskSet, TaskSpec, Trigger, Work},
    trace::{Class, Terms},
};

const MICROS: u64 = 1000;

fn terms(budget: u64, period: u64, deadline: u64, p_max: u64, hard: bool) -> Terms {
    let [budget, period, deadline, p_max] =
        [budget, period, deadline, p_max].map(|micros| micros * MICROS);
    Terms {
        budget,
        period,
        deadline,
        p_max,
        hard,
        reclaims: false,
        overruns: false,
    }
}

fn task(class: Class, work: Work, longest_poll: u64) -> TaskSpec {
    TaskSpec {
        core: 0,
        class,
        work,
        longest_poll: longest_poll * MICROS,
        checks: false,
        start: 0,
        stop: u64::MAX,
        wakes: Vec::new(),
        changes: false,
        guaranteed: false,
    }
}

/// Jobs of exactly `demand` every `period`.
fn jobs(period: u64, demand: u64) -> Work {
    Work::Jobs {
        trigger: Trigger::Timer,
        period: period * MICROS,
        jitter: 0,
        least: demand * MICROS,
        most: demand * MICROS,
    }
}

/// Runs the set on cores with and without statistics, from several seeds.
fn holds(reservations: &[Terms], tasks: &[TaskSpec]) {
    for seed in 0..20 {
        let set = TaskSet {
            seed,
            variant: 0,
            stats: seed % 2 == 0,
            cores: 1,
            horizon: 100_000 * MICROS,
            reservations: reservations.iter().map(|terms| (0, *terms)).collect(),
            tasks: tasks.to_vec(),
        };
        let outcome = run_fresh(&set, false);
        assert_eq!(outcome.counts.admitted, reservations.len() as u64);
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}

/// The refill used to be credited when the budget ran out, and a wake before the period's end kept it.
#[test]
fn blocking_at_exhaustion_does_not_end_the_throttling() {
    holds(
        &[terms(200, 1000, 1000, 200, true)],
        &[task(Class::In(0), jobs(300, 200), 200)],
    );
}

/// The refill used to be credited at the period's end, and cut by the wake rule when the wake was noticed later.
#[test]
fn a_wake_noticed_late_has_its_whole_budget() {
    let victim = TaskSpec {
        guaranteed: true,
        ..task(Class::In(0), jobs(1000, 100), 10)
    };
    for hard in [true, false] {
        holds(
            &[terms(100, 1000, 300, 10, hard)],
            &[victim.clone(), task(Class::Fair(1024), Work::Busy, 50)],
        );
    }
}

/// Every change of the reservations used to forgive the open tasks what they had run ahead.
#[test]
fn a_new_reservation_does_not_make_open_tasks_more_urgent() {
    let guaranteed = TaskSpec {
        guaranteed: true,
        ..task(Class::In(0), jobs(20_000, 9000), 50)
    };
    let mut reservations = vec![terms(9000, 20_000, 20_000, 50, false)];
    let mut tasks = vec![
        guaranteed,
        task(Class::Open(Some(100 * MICROS)), Work::Busy, 50),
    ];
    for index in 1..16 {
        reservations.push(terms(1, 10_000, 10_000, 1, false));
        tasks.push(TaskSpec {
            start: u64::from(index) * 450 * MICROS,
            ..task(Class::In(index), jobs(10_000, 1), 1)
        });
    }
    holds(&reservations, &tasks);
}

/// Reclaiming used to charge by Q/T, so that with D < T the budget outlived the deadline.
#[test]
fn a_reclaiming_reservation_is_out_of_budget_by_its_deadline() {
    let greedy = Terms {
        reclaims: true,
        overruns: true,
        ..terms(3000, 34_000, 4800, 150, false)
    };
    let victim = TaskSpec {
        guaranteed: true,
        ..task(Class::In(1), jobs(630, 3), 3)
    };
    holds(
        &[greedy, terms(3, 630, 630, 3, false)],
        &[task(Class::In(0), Work::Busy, 150), victim],
    );
}

/// What was admitted or changed while best effort had the core to itself used to make that time free, and best effort
/// spent the whole of an old budget just before its deadline.
#[test]
fn time_alone_is_paid_for_when_reservations_come_and_go() {
    // Best effort's period begins at 0, beside the victim's first job, and ends at 10 ms, just after its second. In between it is
    // alone for longer than its budget; shortly before the second job another reservation is admitted.
    let victim = TaskSpec {
        guaranteed: true,
        ..task(Class::In(0), jobs(9700, 600), 20)
    };
    let late = TaskSpec {
        start: 9660 * MICROS,
        ..task(Class::In(1), jobs(50_000, 1), 1)
    };
    holds(
        &[
            terms(600, 9700, 900, 20, false),
            terms(1, 50_000, 50_000, 1, false),
        ],
        &[victim, late, task(Class::Fair(1024), Work::Busy, 50)],
    );
}

/// Best effort that was ready before any reservation used to get only what was left.
#[test]
fn best_effort_that_came_first_keeps_its_share() {
    let greedy = Terms {
        overruns: true,
        ..terms(7000, 10_000, 10_000, 50, false)
    };
    let late = TaskSpec {
        start: 1000 * MICROS,
        ..task(Class::In(0), Work::Busy, 50)
    };
    holds(&[greedy], &[task(Class::Fair(1024), Work::Busy, 50), late]);
    // Beside open tasks too.
    let open = TaskSpec {
        start: 1000 * MICROS,
        ..task(Class::Open(Some(100 * MICROS)), Work::Busy, 50)
    };
    holds(&[], &[task(Class::Fair(1024), Work::Busy, 50), open]);
}

/// A poll that changed the terms of a hard reservation used to be free when that throttled it.
#[test]
fn a_change_in_every_poll_forgives_nothing() {
    for hard in [true, false] {
        let greedy = Terms {
            overruns: true,
            ..terms(1000, 10_000, 10_000, 100, hard)
        };
        let changer = TaskSpec {
            changes: true,
            ..task(Class::In(0), Work::Busy, 100)
        };
        let victim = TaskSpec {
            guaranteed: true,
            ..task(Class::In(1), jobs(20_000, 9000), 100)
        };
        holds(
            &[greedy, terms(9000, 20_000, 20_000, 100, false)],
            &[changer, victim, task(Class::Fair(1024), Work::Busy, 50)],
        );
    }
}
