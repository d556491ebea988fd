//! `version`, `time`, `mem`, `echo`.

use rt::{ByteSink, ByteSource, Closed};

use super::options::Parsed;
use crate::Host;
use crate::json::Object;
use crate::output::put;
use crate::session::Session;
use crate::status;
use crate::units::{Bytes, Duration};

pub async fn version<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let info = session.system.info().await;
    let output = &mut session.output;
    if parsed.has("json") {
        let object = Object::new(output)
            .string("version", &info.version)
            .string("build", &info.build)
            .string("boot_path", &info.boot_path)
            .string("command_line", &info.command_line)
            .string("cpu", &info.cpu)
            .number("cores", info.cores);
        let object = match info.screen {
            None => object.null("screen"),
            Some(screen) => object.object("screen", |object| {
                object
                    .number("width", screen.width)
                    .number("height", screen.height)
                    .number("bits_per_pixel", screen.bits_per_pixel)
                    .end()
            }),
        };
        let written = object.end();
        debug_assert!(written.is_ok());
        put!(*output, "\n");
        return Ok(status::OK);
    }
    put!(*output, "Raede {}\n", info.version);
    put!(*output, "build         {}\n", info.build);
    put!(*output, "boot path     {}\n", info.boot_path);
    put!(*output, "command line  {}\n", info.command_line);
    put!(
        *output,
        "processor     {}, {} running\n",
        info.cpu,
        info.cores
    );
    match info.screen {
        None => put!(*output, "screen        none\n"),
        Some(screen) => put!(
            *output,
            "screen        {}x{}, {} bits per pixel\n",
            screen.width,
            screen.height,
            screen.bits_per_pixel
        ),
    }
    Ok(status::OK)
}

pub async fn time<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let time = session.system.time().await;
    let output = &mut session.output;
    if parsed.has("json") {
        let object = Object::new(output).number("uptime_ns", time.uptime_ns);
        let object = match time.wall_clock {
            None => object.null("wall_clock"),
            Some(now) => object.plain("wall_clock", now),
        };
        let written = object
            .number("tsc_hz", time.tsc_hz)
            .string("calibrated_by", &time.calibration.source)
            .number("calibration_spread_ppm", time.calibration.spread_ppm)
            .string("timer", &time.timer)
            .end();
        debug_assert!(written.is_ok());
        put!(*output, "\n");
        return Ok(status::OK);
    }
    let (seconds, rest_ns) = (
        time.uptime_ns / 1_000_000_000,
        time.uptime_ns % 1_000_000_000,
    );
    put!(*output, "up      {seconds}.{:06} s\n", rest_ns / 1000);
    match time.wall_clock {
        None => put!(
            *output,
            "now     unknown: the machine has no clock that is set\n"
        ),
        Some(now) => put!(*output, "now     {now}\n"),
    }
    let (mhz, rest_hz) = (time.tsc_hz / 1_000_000, time.tsc_hz % 1_000_000);
    put!(
        *output,
        "tsc     {mhz}.{:03} MHz, {}, spread {} ppm\n",
        rest_hz / 1000,
        time.calibration.source,
        time.calibration.spread_ppm
    );
    put!(*output, "timer   {}\n", time.timer);
    Ok(status::OK)
}

pub async fn mem<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let memory = session.system.memory().await;
    let output = &mut session.output;
    let used_frames = memory.total_frames.saturating_sub(memory.free_frames);
    if parsed.has("json") {
        let written = Object::new(output)
            .number("frame_bytes", memory.frame_bytes)
            .number("total_frames", memory.total_frames)
            .number("free_frames", memory.free_frames)
            .number("used_frames", used_frames)
            .array("kinds", memory.kinds.iter(), |writer, kind| {
                Object::new(writer)
                    .string("kind", &kind.kind)
                    .number("frames", kind.frames)
                    .end()
            })
            .numbers("core_caches", memory.core_caches.iter().copied())
            .object("heap", |object| {
                object
                    .number("total", memory.heap.total)
                    .number("used", memory.heap.used)
                    .number("free", memory.heap.total.saturating_sub(memory.heap.used))
                    .number("peak", memory.heap.peak)
                    .number("failed", memory.heap.failed)
                    .end()
            })
            .end();
        debug_assert!(written.is_ok());
        put!(*output, "\n");
        return Ok(status::OK);
    }
    let bytes = |frames: u64| Bytes(frames.saturating_mul(u64::from(memory.frame_bytes)));
    put!(*output, "{:<24} {:>12} {:>12}\n", "use", "frames", "size");
    let mut line = |what: &str, frames: u64| {
        put!(*output, "{what:<24} {frames:>12} {:>12}\n", bytes(frames));
    };
    for kind in &memory.kinds {
        line(&kind.kind, kind.frames);
    }
    line("free", memory.free_frames);
    line("total", memory.total_frames);
    let heap = memory.heap;
    put!(
        *output,
        "heap: {} of {} used, {} at most, {} allocations refused\n",
        Bytes(heap.used),
        Bytes(heap.total),
        Bytes(heap.peak),
        heap.failed
    );
    put!(*output, "frames in core caches:");
    for frames in &memory.core_caches {
        put!(*output, " {frames}");
    }
    put!(*output, "\n");
    Ok(status::OK)
}

pub fn echo<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> u8 {
    for (index, word) in parsed.operands.iter().enumerate() {
        put!(
            session.output,
            "{}{word}",
            if index == 0 { "" } else { " " }
        );
    }
    put!(session.output, "\n");
    status::OK
}

/// The share of a whole as a bar of twenty marks, for `top`.
pub struct Bar(pub u64);

impl core::fmt::Display for Bar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let marks = (self.0.min(1000) + 25) / 50;
        f.write_str("[")?;
        for mark in 0..20 {
            f.write_str(if mark < marks { "#" } else { " " })?;
        }
        f.write_str("]")
    }
}

/// A time in its own words, for tables; blank for none.
pub fn deadline(deadline_ns: Option<u64>) -> proto::Text<32> {
    match deadline_ns {
        Some(ns) => proto::Text::format(format_args!("{}", Duration(ns))),
        None => proto::Text::from("-"),
    }
}
