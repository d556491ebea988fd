//! Measuring by the clock on the wall: Raede and Linux in turns on the same host, round by round, so that what the host does meanwhile meets all of them.
//!
//! A round boots each once for all probes, and a few times to see how long that takes. Samples of all rounds are put together.

use super::guest::{self, Mode};
use super::linux::{self, Flavour};
use super::{Results, gate};
use crate::error::{Doing, Error, Result};
use crate::qemu::{Machine, Ports};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// From power-on to the first program of ring 3 takes less, on any host.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// Boots of each system in a round, to see how long they take.
const BOOTS: usize = 3;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Raede's kernel.
    pub kernel: &'a Path,
    /// Whether Linux is measured too.
    pub beside_linux: bool,
    /// How often everybody has his turn.
    pub rounds: usize,
    /// How long each periodic probe lasts.
    pub seconds: u64,
    /// More words for Raede's command line.
    pub append: &'a str,
    /// What the metrics that are wanted begin with; empty: all.
    pub only: &'a [String],
    /// For each boot.
    pub limit: Duration,
}

/// Raede's results, and Linux's.
type Both = (Results, Vec<(&'static str, Results)>);

/// Measures.
pub fn run(plan: &Plan) -> Result<Both> {
    let initial = plan
        .beside_linux
        .then(linux::initial_file_system)
        .transpose()?;
    let flavours: &[Flavour] = if plan.beside_linux {
        &Flavour::ALL
    } else {
        &[]
    };
    let mut ours = Vec::new();
    let mut theirs = vec![Vec::new(); flavours.len()];
    for round in 1..=plan.rounds {
        eprintln!("Round {round} of {}: Raede...", plan.rounds);
        ours.push(raede(plan)?);
        for (flavour, results) in flavours.iter().zip(&mut theirs) {
            let Some(initial) = &initial else { continue };
            eprintln!("Round {round} of {}: {}...", plan.rounds, flavour.name());
            results.push(linux(plan, *flavour, initial)?);
        }
    }
    let mut ours = pooled(ours);
    ours.add(file_size(plan.kernel)?).map_err(Error::Qemu)?;
    let mut linux = Vec::new();
    for (flavour, results) in flavours.iter().zip(theirs) {
        let mut results = pooled(results);
        results
            .add(file_size(&flavour.kernel()?)?)
            .map_err(Error::Qemu)?;
        linux.push((flavour.name(), results));
    }
    Ok((ours, linux))
}

fn raede(plan: &Plan) -> Result<Results> {
    let (mode, kernel, append) = (Mode::Tcg, plan.kernel, plan.append);
    let wants = |prefixes: &[&str]| gate::wants(plan.only, prefixes);
    let mut results = Results::default();
    if wants(&["exec.", "floor."]) {
        results.extend(guest::run(
            &mode.machine(kernel, "all", append),
            plan.limit,
        )?);
    }
    // The program in there takes one prefix, or none.
    let only = match plan.only {
        [only] => only,
        _ => "",
    };
    let programs = mode.ring3_machine(kernel, plan.seconds, only, append);
    results.extend(guest::run(&programs, plan.limit)?);
    if wants(&["input."]) {
        results.extend(guest::keyboards(mode, kernel, append, plan.limit)?);
    }
    if wants(&["net."]) {
        results.extend(guest::sockets(mode, kernel, append, plan.limit)?);
    }
    let start = mode.ring3_machine(kernel, 0, "", append);
    results.add(boots(&start)?).map_err(Error::Qemu)?;
    Ok(results)
}

fn linux(plan: &Plan, flavour: Flavour, initial: &Path) -> Result<Results> {
    let words = format!("bench.seconds={}", plan.seconds);
    let mut results = guest::run(&flavour.machine(Mode::Tcg, initial, &words)?, plan.limit)?;
    let start = flavour.machine(Mode::Tcg, initial, "bench.phases=none")?;
    results.add(boots(&start)?).map_err(Error::Qemu)?;
    Ok(results)
}

/// From QEMU's start to the byte that a program of ring 3 writes first.
fn boots(machine: &Machine) -> Result<Value> {
    let mut samples = Vec::new();
    for _ in 0..BOOTS {
        let mut vm = machine.spawn_with(Ports::MEASURING)?;
        let (started, debug) = (vm.started, vm.debug_console.as_mut());
        let debug = debug.ok_or_else(|| Error::Qemu("the machine has no debug console".into()))?;
        let said = debug.wait_until("the first program's U", BOOT_LIMIT, |unread| {
            unread.contains(&b'U').then_some((unread.len(), ()))
        });
        said.map_err(|error| {
            Error::Qemu(format!("{error}\nCOM1 said last:\n{}", vm.serial.tail()))
        })?;
        samples.push(started.elapsed().as_nanos() as u64);
    }
    Ok(summed("boot.qemu_to_user", samples))
}

/// A latency's object.
pub fn summed(metric: &str, samples: Vec<u64>) -> Value {
    let mut sorted = samples.clone();
    sorted.sort_unstable();
    let at = |permille: usize| sorted.get(sorted.len() * permille / 1000).copied();
    let mean = sorted.iter().sum::<u64>() as f64 / sorted.len().max(1) as f64;
    json!({
        "metric": metric, "unit": "ns", "better": "lower", "n": sorted.len(), "min": sorted.first(), "mean": mean.round(),
        "p50": at(500), "p99": at(990), "p999": at(999), "max": sorted.last(), "samples": samples,
    })
}

fn file_size(file: &Path) -> Result<Value> {
    let bytes = fs::metadata(file)
        .doing(|| format!("reading {}", file.display()))?
        .len();
    Ok(json!({"metric": "image.kernel", "unit": "bytes", "better": "lower", "value": bytes}))
}

/// The samples of all rounds together; of single values the median.
fn pooled(rounds: Vec<Results>) -> Results {
    let mut all = Results::default();
    let Some(first) = rounds.first() else {
        return all;
    };
    first
        .meta()
        .iter()
        .for_each(|meta| all.add_meta(meta.clone()));
    for metric in first.metrics() {
        let name = metric["metric"].as_str().unwrap_or_default();
        let each = || rounds.iter().filter_map(|round| round.metric(name));
        let mut metric = metric.clone();
        if metric["value"].is_number() {
            let mut values: Vec<f64> = each()
                .filter_map(|metric| metric["value"].as_f64())
                .collect();
            values.sort_by(f64::total_cmp);
            // Whole numbers stay such.
            if let Some(median) = values.get(values.len() / 2) {
                let whole = *median == median.trunc();
                metric["value"] = if whole {
                    json!(*median as u64)
                } else {
                    json!(median)
                };
            }
        } else if metric["samples"].is_array() {
            let samples = each().filter_map(|metric| metric["samples"].as_array());
            let samples = samples.flatten().filter_map(Value::as_u64).collect();
            metric = summed(name, samples);
        }
        // It was a metric before.
        let _ = all.add(metric);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_put_together() {
        let round = |samples: Vec<u64>, value: f64| {
            let mut results = Results::default();
            results.add(summed("wake", samples)).expect("a metric");
            results
                .add(json!({"metric": "shm", "unit": "GB/s", "better": "higher", "value": value}))
                .expect("a metric");
            results
        };
        let all = pooled(vec![
            round(vec![5, 1], 1.5),
            round(vec![9, 3], 0.5),
            round(vec![7], 1.0),
        ]);
        let wake = all.metric("wake").expect("it");
        assert_eq!(
            (&wake["n"], &wake["p50"], &wake["max"]),
            (&json!(5), &json!(5), &json!(9))
        );
        assert_eq!(wake["samples"], json!([5, 1, 9, 3, 7]));
        assert_eq!(all.metric("shm").expect("it")["value"], json!(1));
    }
}
