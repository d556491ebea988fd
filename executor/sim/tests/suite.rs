//! Random task sets by the thousand: 10⁴ admitted and 10⁴ overloaded ones (10⁵ each with `RAEDE_TEST_LONG`), in which no
//! rule of the oracle may be broken. Without optimisation, but with overflow checks, a sample of them.

use executor_sim::{
    campaign,
    taskset::{Kind, Options},
};

fn sets() -> u64 {
    match (
        cfg!(debug_assertions),
        std::env::var_os("RAEDE_TEST_LONG").is_some(),
    ) {
        (true, _) => 25,
        (false, false) => 10_000,
        (false, true) => 100_000,
    }
}

/// Runs `sets` sets; names the seeds that fail, each of which replays alone.
fn run(seed: u64, sets: u64, options: Options) -> campaign::Summary {
    let summary = campaign::run(seed, sets, options, 5, |_| ());
    let kind = match options.kind {
        Kind::Kept => "",
        Kind::Overload => " --overload",
        Kind::Overshoot => " --overshoot",
    };
    let cores = options
        .cores
        .map_or(String::new(), |cores| format!(" --cores {cores}"));
    for failure in &summary.failures {
        eprintln!("{}", failure.violation);
        eprintln!(
            "  cargo run --release -p executor-sim -- --sets 1 --seed {}{kind}{cores}",
            failure.seed
        );
    }
    assert!(
        summary.failures.is_empty(),
        "{} sets failed, seeds above",
        summary.failures.len()
    );
    assert_eq!(summary.sets, sets);
    summary
}

#[test]
fn suite_admitted_sets_miss_nothing() {
    let counts = run(1, sets(), Options::default()).counts;
    // It was not all idle.
    assert!(
        counts.jobs > 100 * sets()
            && counts.choices > 500 * sets()
            && counts.throttled > 5 * sets(),
        "{counts}"
    );
    assert!(counts.refused > sets() / 4, "{counts}");
}

#[test]
fn suite_in_overloaded_sets_only_the_culprit_suffers() {
    let counts = run(
        1,
        sets(),
        Options {
            kind: Kind::Overload,
            cores: None,
        },
    )
    .counts;
    assert!(
        counts.jobs > 50 * sets() && counts.late_other_jobs > 5 * sets(),
        "{counts}"
    );
}

/// Everybody but the victims uses a poll more than its budget, at the same time. Without that term in the admission test one
/// set in twenty misses.
#[test]
fn suite_overshoot_of_all_others_is_admitted_for() {
    let sets = (sets() / 4).max(25);
    let counts = run(
        1,
        sets,
        Options {
            kind: Kind::Overshoot,
            cores: None,
        },
    )
    .counts;
    assert!(
        counts.jobs > 20 * sets && counts.refused > 3 * sets && counts.throttled > 3 * sets,
        "{counts}"
    );
}

#[test]
fn suite_many_cores() {
    let options = |cores| Options {
        cores: Some(cores),
        ..Options::default()
    };
    let most = if cfg!(debug_assertions) { 16 } else { 256 };
    run(1, sets() / 1000 + 1, options(most / 4));
    run(1, 1, options(most));
}
