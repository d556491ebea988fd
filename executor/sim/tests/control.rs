//! Negative controls: traces in which one rule is broken must not pass.

use std::collections::HashMap;

use executor_sim::{
    oracle::judge,
    run::run_fresh,
    taskset::{Options, TaskSet},
    trace::{Class, Event, parse},
};

fn recorded(seed: u64) -> Vec<Event> {
    let set = TaskSet::random(
        seed,
        Options {
            cores: Some(1),
            ..Options::default()
        },
    );
    let outcome = run_fresh(&set, true);
    assert_eq!(outcome.violation, None);
    outcome.trace
}

/// Judges what `change` makes of recorded traces wherever it applies; returns how often that was.
fn must_fail(what: &str, mut change: impl FnMut(&[Event], usize) -> Option<Vec<Event>>) {
    let mut tried = 0;
    for seed in 0..30 {
        let trace = recorded(seed);
        let mut here = 0;
        for at in 0..trace.len() {
            let Some(broken) = change(&trace, at) else {
                continue;
            };
            let (_, violation) = judge(&broken);
            assert!(
                violation.is_some(),
                "{what}: seed {seed}, event {at} (`{}`) was not noticed",
                trace[at]
            );
            here += 1;
            if here == 20 {
                break;
            }
        }
        tried += here;
    }
    assert!(tried >= 20, "{what}: only {tried} places to try");
}

fn reclaimers(trace: &[Event]) -> HashMap<u32, bool> {
    let mut servers = HashMap::new();
    let mut tasks = HashMap::new();
    for event in trace {
        match *event {
            Event::Reserve { res, terms, .. } => drop(servers.insert(res, terms.reclaims)),
            Event::Task {
                task,
                class: Class::In(res),
                ..
            } => drop(tasks.insert(task, servers[&res])),
            _ => {}
        }
    }
    tasks
}

#[test]
fn two_polls_swapped() {
    must_fail("swapped", |trace, at| {
        // Two polls of tasks in reservations, one after the other, with nothing woken in between.
        let [
            Event::Run {
                task: first,
                deadline: Some(soon),
                ..
            },
            Event::End { .. },
            Event::Run {
                task: second,
                deadline: Some(late),
                ..
            },
            Event::End { .. },
        ] = *trace.get(at..at + 4)?
        else {
            return None;
        };
        let reclaims = reclaimers(trace);
        if late <= soon
            || reclaims.get(&first) != Some(&false)
            || reclaims.get(&second) != Some(&false)
        {
            return None;
        }
        let mut broken = trace.to_vec();
        for event in &mut broken[at..at + 4] {
            match event {
                Event::Run { task, deadline, .. } => {
                    (*task, *deadline) = if *task == first {
                        (second, Some(late))
                    } else {
                        (first, Some(soon))
                    }
                }
                Event::End { task, .. } => *task = if *task == first { second } else { first },
                _ => {}
            }
        }
        Some(broken)
    });
}

#[test]
fn a_deadline_one_tick_off() {
    must_fail("deadline", |trace, at| {
        let Event::Run {
            task,
            deadline: Some(_),
            ..
        } = trace[at]
        else {
            return None;
        };
        if reclaimers(trace).get(&task) == Some(&true) {
            return None;
        }
        let mut broken = trace.to_vec();
        if let Event::Run {
            deadline: Some(deadline),
            ..
        } = &mut broken[at]
        {
            *deadline += 1;
        }
        Some(broken)
    });
}

#[test]
fn a_job_that_ends_late() {
    must_fail("late", |trace, at| {
        let Event::Job { t, task, .. } = trace[at] else {
            return None;
        };
        let guaranteed = trace.iter().find_map(|event| match *event {
            Event::Task {
                task: other,
                class: Class::In(res),
                guaranteed: true,
                ..
            } if other == task => Some(res),
            _ => None,
        })?;
        let (mut promised, mut longest) = (0, 0);
        for event in trace {
            match event {
                Event::Reserve { res, terms, .. } => {
                    longest = longest.max(terms.p_max);
                    if *res == guaranteed {
                        promised = terms.deadline;
                    }
                }
                Event::Core { division, .. } => longest = longest.max(division.longest_poll),
                _ => {}
            }
        }
        let mut broken = trace.to_vec();
        if let Event::Job { release, .. } = &mut broken[at] {
            *release = t.checked_sub(promised + longest + 1)?;
        }
        Some(broken)
    });
}

#[test]
fn a_wake_that_came_to_nothing() {
    must_fail("idle", |trace, at| {
        // The task is ready, but the core idles for all that is left.
        let Event::Wake { t, core, task, .. } = trace[at] else {
            return None;
        };
        let reserved = reclaimers(trace).contains_key(&task);
        let mut broken = trace[..=at].to_vec();
        broken.push(Event::Idle { t, core });
        let begun = broken
            .iter()
            .filter(|event| matches!(event, Event::Run { .. }))
            .count();
        let ended = broken
            .iter()
            .filter(|event| matches!(event, Event::End { .. }))
            .count();
        (at > 100 && begun == ended && !reserved).then_some(broken)
    });
}

/// Judges a trace written by hand; a core with 5 % for best effort (5 in 100), 5 % for open tasks (over 20), limit 95 %,
/// and polls of at most 2.
fn verdict(lines: &str) -> Result<(), String> {
    let text = format!("executor-trace 1\ncore 0 950 50 5 100 20 2 timed\n{lines}");
    judge(&parse(&text).expect("well written"))
        .1
        .map_or(Ok(()), |violation| Err(violation.what))
}

#[track_caller]
fn refused(lines: &str, why: &str) {
    match verdict(lines) {
        Ok(()) => panic!("passed, but: {why}"),
        Err(what) => assert!(
            what.contains(why),
            "refused because {what}, not because {why}"
        ),
    }
}

#[test]
fn budgets() {
    let start = "reserve 0 0 0 10 100 100 10 hard -\ntask 0 0 in 0 -\nwake 0 0 0 0 -\nrun 0 0 0 100\nend 10 0 0 yield\nidle 10 0\n";
    verdict(&format!("{start}run 100 0 0 200\nend 110 0 0 yield\n"))
        .expect("throttled until its next period");
    refused(
        &format!("{start}run 99 0 0 200\n"),
        "budget is used up until 100",
    );
    let blocked = start.replace("end 10 0 0 yield", "end 10 0 0 block");
    verdict(&format!(
        "{blocked}wake 50 0 0 50 -\nidle 50 0\nrun 100 0 0 200\n"
    ))
    .expect("throttled after a wake");
    refused(
        &format!("{blocked}wake 50 0 0 50 -\nrun 50 0 0 200\n"),
        "budget is used up until 100",
    );
    refused(
        &format!("{blocked}wake 130 0 0 130 -\nrun 130 0 0 200\n"),
        "due at 230",
    );
    let soft = start.replace("hard", "soft").replace("idle 10 0\n", "");
    verdict(&format!(
        "{soft}run 10 0 0 200\nend 20 0 0 yield\nrun 20 0 0 300\n"
    ))
    .expect("postponed");
    refused(&format!("{soft}run 10 0 0 100\n"), "due at 200");
    refused(&format!("{soft}idle 10 0\n"), "idles while reservation 0");
}

#[test]
fn turns() {
    let start = "task 0 0 open 50\ntask 1 0 open 50\nwake 0 0 0 0 50\nwake 0 0 1 0 50\n";
    verdict(&format!(
        "{start}run 0 0 0 50\nend 1 0 0 yield\nrun 1 0 1 50\nend 2 0 1 yield\nrun 2 0 0 50\n"
    ))
    .expect("in turns");
    refused(&format!("{start}run 0 0 1 50\n"), "runs before task 0");
    refused(
        &format!("{start}run 0 0 0 50\nend 1 0 0 yield\nrun 1 0 0 50\n"),
        "runs before task 1",
    );
    let members = "reserve 0 0 0 10 100 100 10 soft -\ntask 0 0 in 0 -\ntask 1 0 in 0 -\nwake 0 0 0 0 -\nwake 0 0 1 0 -\n";
    refused(&format!("{members}run 0 0 1 100\n"), "which came first");
    let equals = "reserve 0 0 0 10 100 100 5 soft -\nreserve 0 1 0 10 100 100 5 soft -\ntask 0 0 in 0 -\ntask 1 0 in 1 -\nwake 0 0 1 0 -\nwake 0 0 0 0 -\n";
    verdict(&format!("{equals}run 0 0 1 100\n")).expect("first come first served");
    refused(
        &format!("{equals}run 0 0 0 100\n"),
        "runs before reservation 1",
    );
}

#[test]
fn one_core_does_one_thing() {
    let start =
        "task 0 0 fair 1024\ntask 1 0 fair 1024\nwake 0 0 0 0 -\nwake 0 0 1 0 -\nrun 0 0 0 -\n";
    refused(&format!("{start}run 1 0 1 -\n"), "while it runs task 0");
    refused(&format!("{start}end 2 0 1 yield\n"), "did not begin");
    refused(
        &format!("{start}end 2 0 0 block\nrun 1 0 1 -\n"),
        "before its last poll ended",
    );
    refused(
        &format!("{start}end 2 0 0 block\nrun 2 0 0 -\n"),
        "not ready",
    );
    refused(
        &format!("{start}end 2 0 0 block\nidle 2 0\n"),
        "idles while task 1",
    );
    refused("run 0 0 7 -\n", "not introduced");
}

#[test]
fn shares_and_fairness() {
    // Two tasks of the same weight, of which one runs all the time.
    let mut one_sided =
        String::from("task 0 0 fair 1024\ntask 1 0 fair 1024\nwake 0 0 0 0 -\nwake 0 0 1 0 -\n");
    let mut even = one_sided.clone();
    for t in 0..100u64 {
        one_sided += &format!("run {t} 0 0 -\nend {} 0 0 yield\n", t + 1);
        even += &format!("run {t} 0 {} -\nend {} 0 {} yield\n", t % 2, t + 1, t % 2);
    }
    verdict(&even).expect("fair");
    refused(&one_sided, "virtual ticks more");
    // A soft reservation that leaves nothing to best effort, and one that does.
    let mut starved = String::from(
        "reserve 0 0 0 78 100 100 2 soft o\ntask 0 0 fair 1024\ntask 1 0 in 0 -\nwake 0 0 0 0 -\nwake 0 0 1 0 -\n",
    );
    let (mut deadline, mut left) = (100, 78);
    for t in (0..2000u64).step_by(2) {
        starved += &format!("run {t} 0 1 {deadline}\nend {} 0 1 yield\n", t + 2);
        left -= 2;
        if left == 0 {
            (deadline, left) = (deadline + 100, 78);
        }
    }
    refused(&starved, "best effort lacks");
    // Best effort that runs while a reservation waits.
    let mut greedy = String::from(
        "reserve 0 0 0 78 100 100 2 soft -\ntask 0 0 fair 1024\ntask 1 0 in 0 -\nwake 0 0 0 0 -\nwake 0 0 1 0 -\n",
    );
    for t in 0..40u64 {
        greedy += &format!("run {t} 0 0 -\nend {} 0 0 yield\n", t + 1);
    }
    refused(&greedy, "while reservations waited");
}

#[test]
fn admission() {
    verdict("reserve 0 0 0 78 100 100 2 hard -\n").expect("fits");
    refused(
        "reserve 0 0 0 78 100 100 2 hard -\nreserve 0 1 0 10 100 100 2 hard -\n",
        "does not fit",
    );
    refused(
        "reserve 0 0 0 80 1000 1000 40 hard -\nreserve 0 1 0 20 50 50 2 hard -\n",
        "does not fit",
    );
    verdict("reserve 0 0 0 78 100 100 2 hard -\nrelease 5 0\nreserve 6 1 0 78 100 100 2 hard -\n")
        .expect("given up");
}

#[test]
fn late_jobs() {
    let start = "reserve 0 0 0 10 100 50 10 soft -\ntask 0 0 in 0 g\nwake 5 0 0 5 -\n";
    verdict(&format!(
        "{start}run 5 0 0 55\njob 15 0 0 0\nend 15 0 0 block\n"
    ))
    .expect("in time");
    refused(
        &format!("{start}run 80 0 0 55\njob 90 0 0 0\nend 90 0 0 block\n"),
        "later than its deadline",
    );
}

#[test]
fn bad_traces_are_named_by_line() {
    assert_eq!(parse("wake 1 2 3").expect_err("no header").line, 1);
    for (text, line) in [
        ("run 1", 2),
        ("run 1 0 0 -\nend 1 0 0 maybe", 3),
        ("# only a comment\n\ntask 0 0 in 0 x", 4),
        ("job 1 2 3 4 5", 2),
        ("reserve 0 0 0 0 1 1 1 hard -", 2),
    ] {
        assert_eq!(
            parse(&format!("executor-trace 1\n{text}"))
                .expect_err(text)
                .line,
            line,
            "{text}"
        );
    }
}
