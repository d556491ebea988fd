//! The bench's probes for Linux: the first process of a machine like Raede's, so that a figure of one can be divided by a figure
//! of the other. Names and definitions are the bench protocol's (`bench/README.md`).
//!
//! Linked statically, it is all that is in the initial file system. It says that it runs (port 0xe9), measures, writes each metric to COM2 and
//! switches the machine off. Every probe runs as Linux is at its best: real-time priority, memory locked; the command line
//! switches mitigations off.
//!
//! - [`sys`]: the system calls that the standard library has not; all the `unsafe` there is.
//! - [`report`]: samples become lines. [`load`]: busy loops and memory hogs. [`probes`]: what is measured.
//!
//! It starts itself again with arguments for the other side of probes between two processes.

mod load;
mod probes;
mod report;
mod sys;

use std::error::Error;

use report::Report;

/// What can go wrong ends the bench.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() {
    let began = [sys::ticks(), sys::now_ns()];
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(partner) = arguments.get(1).filter(|_| std::process::id() != 1) {
        if let Err(error) = probes::partner(partner, arguments.get(2)) {
            eprintln!("bench-linux {partner}: {error}");
        }
        return;
    }
    if let Err(error) = first_process(began) {
        eprintln!("bench-linux: {error}");
    }
    sys::power_off();
}

fn first_process([began_ticks, began_ns]: [u64; 2]) -> Outcome {
    sys::mount("devtmpfs", "/dev")?;
    // Before anything that takes time: the harness measures until this byte.
    sys::write_port(0xe9, b'U')?;
    sys::mount("proc", "/proc")?;
    let words = std::fs::read_to_string("/proc/cmdline")?;
    let number = |name: &str| {
        words
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .and_then(|value| value.parse().ok())
    };
    let seconds = number("bench.seconds").unwrap_or(2);
    let mut report = Report::open()?;
    report.value("boot.tsc_at_user", "ticks", began_ticks)?;
    report.value("boot.kernel_clock_at_user", "ns", began_ns)?;
    probes::memory::at_start(&mut report)?;
    // To measure the start alone.
    if words.contains("bench.phases=none") {
        return report.done();
    }
    sys::lock_memory()?;
    probes::all(&mut report, seconds)?;
    report.done()
}
