//! The figures over the picture, from the frames that were made and the system's tables.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use compositor::frame::FrameTimes;
use compositor::overlay::{Overlay, OverlayLine};
use proto::window::Rate;
use proto::{CoreRow, MemoryInfo};
use rt::sys::clock;
use rt::sys::object::System;
use rt::{sleep, tables};

use crate::state::{Shared, State};

/// How often the figures change.
const EVERY: Duration = Duration::from_millis(500);

/// What was read the last time.
#[derive(Default)]
struct Before {
    time_ns: u64,
    frames: u64,
    /// Up and idle time of each core.
    cores: Vec<(u64, u64)>,
}

/// Keeps the figures fresh while they are shown.
pub async fn run(shared: Arc<Shared>, system: Arc<System>) {
    loop {
        shared.overlay.notified().await;
        let mut before = Before::default();
        while shared.lock().desk.has_overlay() {
            let machine = machine(&system, &mut before.cores);
            shared.change(|state| show(state, &mut before, machine));
            sleep(EVERY).await;
        }
    }
}

/// Lines about cores and memory.
fn machine(system: &System, before: &mut Vec<(u64, u64)>) -> Vec<OverlayLine> {
    let mut lines = Vec::new();
    let mut text = OverlayLine::from_start("load ");
    let mut number = 0;
    let read = tables::for_each::<CoreRow>(system, |row| {
        let (up, idle) = before.get(number).copied().unwrap_or_default();
        let (up_ns, idle_ns) = (
            row.up_ns.saturating_sub(up),
            row.idle_ns.saturating_sub(idle),
        );
        match before.get_mut(number) {
            Some(place) => *place = (row.up_ns, row.idle_ns),
            None => before.push((row.up_ns, row.idle_ns)),
        }
        number += 1;
        let busy = 100 - (100 * idle_ns / up_ns.max(1)).min(100);
        // What does not fit is cut: four cores to a line are enough to see what is wrong.
        let _ = write!(text, " {}: {busy:>3} %", row.core);
    });
    if read.is_ok() {
        lines.push(text);
    }
    if let Ok(memory) = tables::only::<MemoryInfo>(system) {
        let mebibytes = |frames: u64| (frames * u64::from(memory.frame_bytes)) >> 20;
        let used = mebibytes(memory.total_frames.saturating_sub(memory.free_frames));
        lines.push(OverlayLine::format(format_args!(
            "memory  {used} of {} MiB",
            mebibytes(memory.total_frames)
        )));
    }
    lines
}

/// A part of the frames was at most this.
fn part(sorted: &[u64], permille: usize) -> u64 {
    let at = (sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}

/// ns as a short text.
fn short(ns: u64) -> alloc::string::String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} us", ns / 1000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}

fn show(state: &mut State, before: &mut Before, machine: Vec<OverlayLine>) {
    let now_ns = clock::now_ns();
    let frame_ns = state.clock.frame_ns();
    let log = &state.log;
    let passed_ns = now_ns.saturating_sub(before.time_ns).max(1);
    let made = log.frames.saturating_sub(before.frames);
    let rate = if before.time_ns == 0 {
        0
    } else {
        made * 1_000_000_000 / passed_ns
    };
    (before.time_ns, before.frames) = (now_ns, log.frames);
    let mut starts: Vec<u64> = log.recent().map(FrameTimes::start_lateness_ns).collect();
    starts.sort_unstable();
    let mut works: Vec<u64> = log
        .recent()
        .map(|times| times.shown_ns.saturating_sub(times.begun_ns))
        .collect();
    works.sort_unstable();
    let [presented, started, composed, shown] = log.late_by;
    let percentiles = |sorted: &[u64]| {
        format!(
            "p50 {}, p99 {}",
            short(part(sorted, 500)),
            short(part(sorted, 990))
        )
    };
    let chosen = match state.clock.rate() {
        Rate::Fixed(rate_hz) => format!("{rate_hz}"),
        Rate::Variable { least_hz, most_hz } => format!("{least_hz} to {most_hz}"),
    };
    let mut lines: Vec<OverlayLine> = Vec::new();
    for text in [
        format_args!("{chosen} Hz, {rate} frames in the last second"),
        format_args!("frames  {}, of them late {}", log.frames, log.late),
        format_args!(
            "late by start {started}, compose {composed}, show {shown}, present {presented}"
        ),
        format_args!("start   {}", percentiles(&starts)),
        format_args!("work    {}", percentiles(&works)),
        format_args!("input to screen {}", short(log.input_to_shown_ns)),
    ] {
        lines.push(OverlayLine::format(text));
    }
    lines.extend(machine);
    let graph = log
        .recent()
        .map(|times| {
            let taken_ns = times.shown_ns.saturating_sub(times.due_ns);
            u16::try_from(taken_ns * 1000 / frame_ns.max(1)).unwrap_or(u16::MAX)
        })
        .collect();
    state.desk.set_overlay(Overlay { lines, graph });
}
