//! The admission test written down as in the papers: with deadlines in order, for every one of them
//! (and for the periods of best effort and open tasks) Σ Q/D + (B + O)/D ≤ limit, where B is the longest poll of anyone due later, and O the sum of the longest polls of those due
//! by then, less the shortest of them: what all but one can use beyond their budgets. In floating point, so it decides only what
//! is clear.

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
    let shortest = set.iter().map(|terms| terms.deadline).min().unwrap_or(0);
    let periods = [division.open_period, division.fair_period];
    let steps = set.iter().map(|terms| terms.deadline);
    for d in steps.chain(periods.into_iter().filter(|&period| period >= shortest)) {
        let block = set
            .iter()
            .filter(|terms| terms.deadline > d)
            .map(|terms| terms.p_max)
            .max()
            .unwrap_or(0)
            .max(division.longest_poll);
        let polls = || {
            set.iter()
                .filter(|terms| terms.deadline <= d)
                .map(|terms| terms.p_max)
        };
        let overshoot = polls().sum::<u64>() - polls().min().unwrap_or(0);
        let mut used = sum(d) + part(block + overshoot, d);
        if division.fair_period <= d {
            used += fair + part(division.longest_poll, d);
        }
        if division.open_period <= d {
            used += open + part(division.longest_poll, d);
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
