//! The page of frames: how late they began, how long inputs took to the screen, as histograms.

use alloc::format;
use alloc::string::String;

use gui::{Page, Rect};
use proto::frames::{BUCKETS, FrameFigures, STAGES, Spread};

/// Rows of a histogram.
const GRAPH_PX: i32 = 90;
/// What the first count of a histogram is below, in µs.
const FIRST_US: u32 = 16;
/// What takes longer is drawn as an alarm: for a frame's start, a frame at 120 Hz; for an input, three of them at 60 Hz.
const LATE_US: u32 = 8192;
const SLOW_US: u32 = 65_536;

/// Draws it.
pub fn draw(page: &mut Page<'_, '_, '_>, figures: &FrameFigures) {
    let [presented, started, composed, shown] = figures.late_by;
    page.label(&format!(
        "{} frames, {} late (presented {presented}, started {started}, composed {composed}, shown {shown}), {} without composing",
        figures.frames, figures.late, figures.direct
    ));
    page.label(&line("Start after it was due", &figures.start));
    histogram(page, &figures.start_counts, LATE_US);
    page.label(&line(
        &format!("Input to screen, {} inputs", figures.inputs),
        &figures.input,
    ));
    histogram(page, &figures.input_counts, SLOW_US);
    page.mono(&format!(
        "{:<10} {:>10} {:>10} {:>10}",
        "", "p50", "p99", "max"
    ));
    let frame = [("compose", &figures.compose), ("show", &figures.show)];
    let stages = STAGES.into_iter().zip(&figures.stages);
    for (name, spread) in frame.into_iter().chain(stages) {
        let [p50, p99, max] = [spread.p50_ns, spread.p99_ns, spread.max_ns].map(short);
        page.mono(&format!("{name:<10} {p50:>10} {p99:>10} {max:>10}"));
    }
}

fn line(name: &str, spread: &Spread) -> String {
    let [p50, p99, max] = [spread.p50_ns, spread.p99_ns, spread.max_ns].map(short);
    format!("{name}: p50 {p50}, p99 {p99}, max {max}")
}

fn short(ns: u32) -> String {
    match ns {
        0..10_000_000 => format!("{} us", ns / 1000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}

fn histogram(page: &mut Page<'_, '_, '_>, counts: &[u32; BUCKETS], long_us: u32) {
    let rect = page.area(GRAPH_PX);
    let (_, line) = page.line_heights();
    let (raised, accent, faint) = (
        page.palette().raised,
        page.palette().accent,
        page.palette().faint,
    );
    let alarm = page.palette().alarm;
    page.canvas().round(&rect, 4, raised);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let width = rect.width() / BUCKETS as i32;
    let room = rect.height() - line - 6;
    for (count, number) in counts.iter().zip(0..) {
        let left = rect.left + number * width;
        let end_us = FIRST_US << number;
        // By the logarithm: one frame that was late is seen beside thousands that were not.
        let height = match count {
            0 => 0,
            _ => (room * (count.ilog2() as i32 + 1) / (most.ilog2() as i32 + 1)).max(2),
        };
        let bar = Rect::new(left + 3, rect.top + 4 + room - height, width - 6, height);
        let colour = if end_us > long_us { alarm } else { accent };
        page.canvas().fill(&bar, colour);
        let label = match end_us {
            0..1000 => format!("{end_us}us"),
            _ => format!("{}ms", end_us / 1000),
        };
        page.mono_at(left + 3, rect.bottom - line - 1, &label, faint);
    }
}
