//! A seed is a run: the same on cores that were used before, and its trace says the same again.

use executor_sim::{
    oracle,
    run::{run_fresh, run_set},
    taskset::{Kind, Options, TaskSet},
    trace,
};

#[test]
fn a_seed_is_the_same_run_on_used_cores() {
    let seeds = if cfg!(debug_assertions) { 10 } else { 150 };
    for kind in [Kind::Kept, Kind::Overload, Kind::Overshoot] {
        for seed in 0..seeds {
            let set = TaskSet::random(seed, Options { kind, cores: None });
            let used = run_set(&set, true);
            let fresh = run_fresh(&set, true);
            if let Some(at) = (0..used.trace.len().min(fresh.trace.len()))
                .find(|&at| used.trace[at] != fresh.trace[at])
            {
                let around = |events: &[trace::Event]| {
                    trace::print(&events[at.saturating_sub(25)..(at + 5).min(events.len())])
                };
                println!(
                    "used:\n{}fresh:\n{}",
                    around(&used.trace),
                    around(&fresh.trace)
                );
                panic!(
                    "seed {seed}: event {at} is `{}` on used cores, `{}` on fresh ones",
                    used.trace[at], fresh.trace[at]
                );
            }
            assert_eq!(used.trace.len(), fresh.trace.len(), "seed {seed}");
        }
    }
}

#[test]
fn a_trace_is_judged_as_its_run_was() {
    for kind in [Kind::Kept, Kind::Overload, Kind::Overshoot] {
        for seed in 0..20 {
            let outcome = run_set(&TaskSet::random(seed, Options { kind, cores: None }), true);
            let text = trace::print(&outcome.trace);
            let events = trace::parse(&text).expect("what was printed can be read");
            assert_eq!(events, outcome.trace);
            let (counts, violation) = oracle::judge(&events);
            assert_eq!(
                (counts.polls, counts.jobs, violation),
                (outcome.counts.polls, outcome.counts.jobs, outcome.violation),
                "seed {seed}"
            );
        }
    }
}
