//! What fits and what does not.

use proptest::prelude::*;

use alloc::vec::Vec;

use super::*;
use crate::sched::cbs::{Params, bandwidth};

const US: u64 = 1000;

fn ledger() -> Ledger {
    Ledger::new(
        16,
        Division {
            limit: permille(950),
            fair: Params {
                budget: 500 * US,
                period: 10_000 * US,
                deadline: 10_000 * US,
            },
            open_period: 1000 * US,
            open_least: permille(50),
            longest_poll: 50 * US,
        },
    )
    .expect("memory")
}

fn claim(budget: u64, period: u64, deadline: u64, longest_poll: u64) -> Claim {
    Claim {
        params: Params {
            budget: budget * US,
            period: period * US,
            deadline: deadline * US,
        },
        longest_poll: longest_poll * US,
        hard: true,
        reclaims: false,
    }
}

#[test]
fn fills_up_to_the_limit_and_says_what_is_missing() {
    let mut ledger = ledger();
    // 95 % - 5 % best effort - 5 % open = 85 %, less 50 us of blocking in 100 ms and 150 us of overshoot: of one of both, of
    // best effort and of open tasks.
    ledger
        .admit(claim(80_000, 100_000, 100_000, 50))
        .expect("80 % fit");
    let refusal = ledger
        .admit(claim(6000, 100_000, 100_000, 50))
        .expect_err("6 % more do not");
    let AdmissionError::DoesNotFit {
        wanted_ppm,
        free_ppm,
        ..
    } = refusal
    else {
        panic!("{refusal}")
    };
    assert_eq!(wanted_ppm, 60_000);
    assert!((49_000..=50_000).contains(&free_ppm), "{refusal}");
    assert!(refusal.excess_ppm() >= 10_000);
    ledger
        .admit(claim(4790, 100_000, 100_000, 50))
        .expect("4.79 % fit");
}

#[test]
fn a_long_poll_blocks_a_short_deadline() {
    let mut ledger = ledger();
    ledger
        .admit(claim(10, 200, 200, 10))
        .expect("5 % + 50/200 fit");
    let refusal = ledger
        .admit(claim(300, 100_000, 100_000, 300))
        .expect_err("polls of 300 us in a deadline of 200 us");
    assert!(
        matches!(
            refusal,
            AdmissionError::DoesNotFit {
                deadline_ticks: 200_000,
                blocking_ticks: 300_000,
                ..
            }
        ),
        "{refusal}"
    );
    ledger
        .admit(claim(300, 100_000, 100_000, 100))
        .expect("polls of 100 us are fine");
}

/// Each of the others can use up to a poll more than its budget, all before the same deadline.
#[test]
fn everybody_may_overshoot_at_once() {
    let mut ledger = ledger();
    // 10 of 2 % each in polls of 400 us: on 20 ms that is 2 % more for each but one, and 0.25 % each for best effort, open tasks
    // and who blocks.
    for _ in 0..10 {
        ledger
            .admit(claim(400, 20_000, 20_000, 400))
            .expect("20 % in all");
    }
    let victim = |budget| claim(budget, 20_000, 20_000, 10);
    let refusal = ledger
        .admit(victim(9_000))
        .expect_err("85 % - 20 % - 20 % - 0.75 % are free");
    assert!(
        matches!(
            refusal,
            AdmissionError::DoesNotFit {
                overshoot_ticks: 4_100_000,
                blocking_ticks: 50_000,
                ..
            }
        ),
        "{refusal}"
    );
    ledger.admit(victim(8_840)).expect("44.2 % fit");
    // It counts only where it can happen: those with longer deadlines block, once.
    let short = claim(100, 10_000, 10_000, 10);
    let refusal = ledger.admit(short).expect_err("full further up");
    assert!(
        matches!(
            refusal,
            AdmissionError::DoesNotFit {
                deadline_ticks: 20_000_000,
                ..
            }
        ),
        "{refusal}"
    );
}

#[test]
fn release_frees_after_zero_lag() {
    let mut ledger = ledger();
    let big = claim(80_000, 100_000, 100_000, 50);
    let server = ledger.admit(big).expect("fits");
    assert_eq!(ledger.next_change(), Some(Change::Install(server, big)));
    assert_eq!(ledger.next_change(), None);
    assert!(ledger.release(server));
    assert_eq!(ledger.next_change(), Some(Change::Retire(server)));
    ledger.admit(big).expect_err("still counted");
    assert_eq!(ledger.change(server, big), Err(AdmissionError::Gone));
    ledger.vacate(server);
    ledger.admit(big).expect("free again");
}

#[test]
fn bad_numbers() {
    let mut ledger = ledger();
    for bad in [
        claim(0, 1, 1, 1),
        claim(2, 1, 1, 1),
        claim(1, 1, 2, 1),
        claim(2, 10, 1, 1),
    ] {
        assert_eq!(ledger.admit(bad), Err(AdmissionError::BadReservation));
    }
    let absurd = Claim {
        params: Params {
            budget: 1,
            period: u64::MAX,
            deadline: u64::MAX,
        },
        ..claim(1, 1, 1, 1)
    };
    assert_eq!(ledger.admit(absurd), Err(AdmissionError::BadReservation));
    let blocked = Claim {
        longest_poll: u64::MAX,
        ..claim(1, 100, 100, 1)
    };
    let _ = ledger.admit(blocked);
}

#[test]
fn too_many() {
    let mut ledger = ledger();
    for _ in 0..16 {
        ledger.admit(claim(1, 100_000, 100_000, 1)).expect("fits");
    }
    assert_eq!(
        ledger.admit(claim(1, 100_000, 100_000, 1)),
        Err(AdmissionError::TooMany { reservations: 16 })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is admitted satisfies the test, written down naively, and changing to the same terms always fits.
    #[test]
    fn admitted_sets_satisfy_the_test(claims in prop::collection::vec((1u64..5000, 1u64..100, 1u64..100, 1u64..300), 1..16)) {
        let mut ledger = ledger();
        let mut admitted = Vec::new();
        for (budget, deadline_factor, period_factor, poll) in claims {
            let deadline = budget * deadline_factor;
            let claim = claim(budget, deadline * period_factor.div_ceil(50), deadline, poll);
            if let Ok(server) = ledger.admit(claim) {
                admitted.push((server, claim));
            }
        }
        let part = |a: u64, b: u64| a as f64 / b as f64;
        for d in admitted.iter().map(|(_, c)| c.params.deadline).chain([1000 * US, 10_000 * US]) {
                if admitted.iter().all(|(_, c)| c.params.deadline > d) {
                    continue;
                }
            let sum: f64 = admitted.iter().filter(|(_, c)| c.params.deadline <= d).map(|(_, c)| part(c.params.budget, c.params.deadline)).sum();
            let block = admitted.iter().filter(|(_, c)| c.params.deadline > d).map(|(_, c)| c.longest_poll).max().unwrap_or(0).max(50 * US);
            let (polls, fewest) = admitted.iter().filter(|(_, c)| c.params.deadline <= d).fold((0, u64::MAX), |(sum, least), (_, c)| (sum + c.longest_poll, least.min(c.longest_poll)));
            let others = u64::from(d >= 10_000 * US) + u64::from(d >= 1000 * US);
            let overshoot = polls - fewest + others * 50 * US;
            let fair = if d >= 10_000 * US { 0.05 } else { 0.0 };
            let open = if d >= 1000 * US { 0.05 } else { 0.0 };
            prop_assert!(sum + part(block + overshoot, d) + fair + open <= 0.950_001);
        }
        for (server, claim) in admitted {
            prop_assert_eq!(ledger.change(server, claim), Ok(()));
        }
        prop_assert!(bandwidth(ledger.open_params().budget + 1, 1000 * US) >= permille(50));
    }
}
