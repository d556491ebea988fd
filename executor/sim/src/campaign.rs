//! Many sets in a row, from consecutive seeds.

use crate::{
    oracle::{Counts, Violation},
    run::{run_fresh, run_set},
    taskset::{Options, TaskSet},
};

/// A set that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What was wrong.
    pub violation: Violation,
    /// Whether it goes wrong on fresh cores too, and not only after the sets before it.
    pub alone: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many sets ran.
    pub sets: u64,
    /// What was seen in all.
    pub counts: Counts,
    /// Those that failed.
    pub failures: Vec<Failure>,
}

/// Runs `sets` sets of the seeds from `seed` on, stopping after `most_failures`.
pub fn run(
    seed: u64,
    sets: u64,
    options: Options,
    most_failures: usize,
    mut progress: impl FnMut(u64),
) -> Summary {
    let mut summary = Summary::default();
    for offset in 0..sets {
        let seed = seed.wrapping_add(offset);
        let set = TaskSet::random(seed, options);
        let outcome = run_set(&set, false);
        summary.sets += 1;
        summary.counts.add(&outcome.counts);
        if let Some(violation) = outcome.violation {
            let alone = run_fresh(&set, false).violation.is_some();
            summary.failures.push(Failure {
                seed,
                violation,
                alone,
            });
            if summary.failures.len() >= most_failures {
                break;
            }
        }
        progress(summary.sets);
    }
    summary
}
