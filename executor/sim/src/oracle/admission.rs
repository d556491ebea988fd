//! The admission test written down as in the papers: with deadlines in order, for every one of them
//! Σ Q/D + B/D ≤ limit. In floating point, so it decides only what is clear.

use crate::trace::{Division, Terms};

/// Errors of rounding are below this.
const CLEAR: f64 = 1e-5;

/// By how much of the core the set does not fit: negative if it fits.
fn excess(division: &Division, set: &[Terms]) -> f64 {
    let part = |a: u64, b: u64| a as f64 / b as f64;
    let limit = division.limit_permille as f64 / 1000.0;
    let open = division.open_permille as f64 / 1000.0;
    let fair = part(division.fair_budget, division.fair_period);
    let sum = |upto: u64| {
        set.iter()
            .filter(|terms| terms.deadline <= upto)
            .map(|terms| part(terms.budget, terms.deadline))
            .sum::<f64>()
    };
    let mut worst = sum(u64::MAX) + fair + open - limit;
    for at in set {
        let d = at.deadline;
        let block = set
            .iter()
            .filter(|terms| terms.deadline > d)
            .map(|terms| terms.p_max)
            .max()
            .unwrap_or(0)
            .max(division.longest_poll);
        let mut used = sum(d) + part(block, d);
        if division.fair_period <= d {
            used += fair;
        }
        if division.open_period <= d {
            used += open;
        }
        worst = worst.max(used - limit);
    }
    worst
}

/// Whether the set clearly must not have been admitted.
pub fn clearly_too_much(division: &Division, set: &[Terms]) -> bool {
    excess(division, set) > CLEAR
}

/// Whether the set clearly must have been admitted.
pub fn clearly_fits(division: &Division, set: &[Terms]) -> bool {
    excess(division, set) < -CLEAR
}
