//! `scripts/bench`: figures, for people as a table and a page, for programs as JSON; and whether they are good enough.

use super::{number, text};
use crate::bench::gate::{self, Gate, Verdict};
use crate::bench::guest::{self, Mode};
use crate::bench::wall::{self, Plan};
use crate::bench::{Results, compare, linux, peers, profile, report};
use crate::build;
use crate::error::{Error, Result};
use crate::packages::{self, Tool};
use crate::{say, sayln};
use lexopt::prelude::*;
use serde_json::json;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

const HELP: &str = "\
Usage: scripts/bench [--host] [--icount] [--tcg] [OPTIONS]

Measures Raede, prints tables, and writes target/bench/MODE.json (with all samples) and
target/bench/report.html. Without a mode: all three, with Linux beside Raede (half an hour).

  --icount           probes inside Raede under QEMU, in the kernel and in ring 3, counting
                     instructions: one ns is one instruction, figures do not depend on the host
  --tcg              the same by the clock on the wall, on two processors; boot time, memory, sizes,
                     sockets; a moment of it is recorded in target/bench/trace.pftrace, to be opened
                     at ui.perfetto.dev: tasks, deadlines, wakes, calls
  --linux            (icount, tcg) Linux beside it: Debian's kernels, stock and -rt, downloaded, in
                     a machine like Raede's, with the same probes; each figure's ratio to the better
  --host             the executor beside its peers, on this machine
  --only METRIC      print and judge only metrics that begin so (host: only this workload); may be
                     given several times
  --gate             judge the figures of two runs by bench/goals.toml; fails if one is too bad
  --store            write figures that are better than those in bench/goals.toml there
  --profile METRIC   where the instructions of one operation of this probe of ring 3 go, by function
                     of the kernel and in order; measures nothing else
  --take N           (profile) so many instructions (default 300000)
  --phases P         which probes of the kernel (default all; its bench.phases=)
  --seconds N        how long each periodic probe lasts (default 2)
  --rounds N         (tcg) how often everybody has his turn (default 2)
  --append TEXT      more words for the kernel's command line
  --timeout SECONDS  limit for each boot (default 900)
  --quick            (host) fewer and shorter repetitions
  --instructions     (host) count instructions per operation too; some minutes more
";

/// What was asked for.
struct Options {
    only: Vec<String>,
    beside_linux: bool,
    gate: bool,
    store: bool,
    phases: String,
    append: String,
    seconds: u64,
    rounds: usize,
    limit: Duration,
    /// As it was typed.
    command: String,
}

pub(super) fn main(parser: &mut lexopt::Parser) -> Result<ExitCode> {
    let mut modes = Vec::new();
    let mut options = Options {
        only: Vec::new(),
        beside_linux: false,
        gate: false,
        store: false,
        phases: "all".to_owned(),
        append: String::new(),
        seconds: 2,
        rounds: 2,
        limit: Duration::from_secs(900),
        command: std::env::args()
            .skip(2)
            .fold("scripts/bench".to_owned(), |line, word| line + " " + &word),
    };
    let (mut beside_peers, mut host_options) = (false, peers::Options::default());
    let (mut profiled, mut take) = (None, 300_000);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                say!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            Long("icount") => modes.push(Mode::Icount),
            Long("tcg") => modes.push(Mode::Tcg),
            Long("host") => beside_peers = true,
            Long("linux") => options.beside_linux = true,
            Long("gate") => options.gate = true,
            Long("store") => options.store = true,
            Long("seconds") => options.seconds = number(parser, "--seconds", 1, 600)?,
            Long("rounds") => options.rounds = number(parser, "--rounds", 1, 100)? as usize,
            Long("only") => options.only.push(text(parser)?),
            Long("profile") => profiled = Some(text(parser)?),
            Long("take") => take = number(parser, "--take", 1000, 100_000_000)? as usize,
            Long("quick") => host_options.quick = true,
            Long("instructions") => host_options.instructions = true,
            Long("phases") => options.phases = text(parser)?,
            Long("append") => options.append = text(parser)?,
            Long("timeout") => {
                options.limit = Duration::from_secs(number(parser, "--timeout", 1, 86_400)?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(metric) = profiled {
        packages::require(&[Tool::Qemu])?;
        let kernel = build::kernel()?;
        say!("{}", profile::run(&kernel, &metric, take, options.limit)?);
        return Ok(ExitCode::SUCCESS);
    }
    if modes.is_empty() && !beside_peers {
        modes = vec![Mode::Icount, Mode::Tcg];
        // Gates alone are judged without, where that is possible.
        options.beside_linux |= !options.gate;
        beside_peers = !options.gate && options.only.is_empty();
    }
    modes.dedup();
    if beside_peers {
        if modes.is_empty() {
            host_options.only = options.only.clone();
        }
        peers::run(&host_options)?;
    }
    let mut closed = 0;
    if !modes.is_empty() {
        packages::require(&[Tool::Qemu])?;
        let kernel = build::kernel()?;
        for mode in modes {
            closed += measure(mode, &kernel, &options)?;
        }
    }
    sayln!("{}", report::write()?.display());
    if closed > 0 {
        return Err(Error::Qemu(format!(
            "{closed} figures are worse than bench/goals.toml allows"
        )));
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures in this mode, tells, and gives the number of gates that are closed.
fn measure(mode: Mode, kernel: &Path, options: &Options) -> Result<usize> {
    let runs = if options.gate { 2 } else { 1 };
    let mut all = Vec::new();
    for run in 1..=runs {
        eprintln!("Measuring ({}, run {run} of {runs})...", mode.name());
        let (mut ours, mut linux) = match mode {
            Mode::Icount => counted(kernel, options)?,
            Mode::Tcg => wall::run(&Plan {
                kernel,
                beside_linux: options.beside_linux || options.gate,
                rounds: options.rounds,
                seconds: options.seconds,
                append: &options.append,
                only: &options.only,
                limit: options.limit,
            })?,
        };
        if ours.is_empty() {
            let phases = &options.phases;
            return Err(Error::Qemu(format!("no figures for phases {phases:?}")));
        }
        note(&mut ours, mode, options);
        let file = ours.save(mode.name())?;
        for (name, results) in &mut linux {
            note(results, mode, options);
            results.save(&report::file_of(name, mode.name()))?;
        }
        say!("{}", ours.table(&options.only));
        sayln!("{} figures in {}", ours.len(), file.display());
        if !linux.is_empty() {
            let mut rows = compare::rows(&ours, &linux);
            rows.retain(|row| gate::is_wanted(&row.name, &options.only));
            say!("\n{}", compare::table(&rows, &ours, &linux));
        }
        if mode == Mode::Tcg {
            sayln!(
                "the host's noise (gap that a spinner sees, p99): {} ns",
                ours.noise_ns()
            );
        }
        all.push((ours, linux));
    }
    if options.gate || options.store {
        return judge(mode, &all, options);
    }
    Ok(0)
}

/// What was measured, when, and by which command.
fn note(results: &mut Results, mode: Mode, options: &Options) {
    let date = Command::new("date").arg("+%Y-%m-%d %H:%M").output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    results.add_meta(json!({
        "event": "run", "mode": mode.name(), "command": options.command, "date": date.unwrap_or_default(),
    }));
}

/// Instructions: of Raede, and of Linux if that was asked for.
fn counted(kernel: &Path, options: &Options) -> Result<(Results, Vec<(&'static str, Results)>)> {
    let (mode, append, limit) = (Mode::Icount, &options.append, options.limit);
    let wants = |prefixes: &[&str]| gate::wants(&options.only, prefixes);
    let mut ours = Results::default();
    if wants(&["exec.", "floor."]) {
        let machine = mode.machine(kernel, &options.phases, append);
        ours.extend(guest::run(&machine, limit)?);
    }
    // The program in there takes one prefix, or none.
    let only = match options.only.as_slice() {
        [only] => only,
        _ => "",
    };
    let machine = mode.ring3_machine(kernel, options.seconds, only, append);
    ours.extend(guest::run(&machine, limit)?);
    if wants(&["input."]) {
        ours.extend(guest::keyboards(mode, kernel, append, limit)?);
    }
    let mut linux = Vec::new();
    if options.beside_linux {
        let initial = linux::initial_file_system()?;
        for flavour in linux::Flavour::ALL {
            eprintln!("Measuring {}...", flavour.name());
            let words = format!("bench.seconds={}", options.seconds);
            let machine = flavour.machine(Mode::Icount, &initial, &words)?;
            linux.push((flavour.name(), guest::run(&machine, options.limit)?));
        }
    }
    Ok((ours, linux))
}

/// A run's figures: Raede's, and Linux's.
type Run = (Results, Vec<(&'static str, Results)>);

fn judge(mode: Mode, runs: &[Run], options: &Options) -> Result<usize> {
    let runs: Vec<_> = runs
        .iter()
        .map(|(ours, linux)| (ours, linux.as_slice()))
        .collect();
    let judged: Vec<(Gate, Verdict)> = gate::gates(mode.name(), &options.only)?
        .into_iter()
        .map(|gate| {
            let verdict = gate.judge(&runs);
            (gate, verdict)
        })
        .collect();
    let mut closed = 0;
    for (gate, verdict) in &judged {
        sayln!("{}", gate.tell(verdict));
        closed += usize::from(!verdict.passes());
    }
    if options.store {
        let changed = gate::store(&judged)?;
        sayln!(
            "{changed} better figures stored in {}",
            gate::path().display()
        );
        return Ok(0);
    }
    Ok(closed)
}
