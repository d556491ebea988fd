//! Samples become lines of the bench protocol on COM2.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::Error;
use bench_guest::protocol::{Line, fitting};
use bench_guest::samples::Samples;
use rt::sys::clock;
use rt::sys::object::{IoRange, Notification, System};

use crate::Outcome;

/// COM2's ports; the debug console's.
const COM2: (u16, u16) = (0x2f8, 8);
const DEBUG_CONSOLE: (u16, u16) = (0xe9, 1);
/// Registers of the port: what is sent or was received, and its state with "there is a byte" in bit 0 and "there is room" in bit 5 (16550 data sheet).
const TRANSMIT: u16 = 0;
const LINE_STATUS: u16 = 5;
const HAS_BYTE: u32 = 1 << 0;
const HAS_ROOM: u32 = 1 << 5;
/// Between two looks for the harness's word.
const LOOK_NS: u64 = 1_000_000;
/// Looks before a port that takes nothing counts as gone.
const LOOKS: u32 = 1_000_000;

/// Where metrics go.
pub struct Report {
    harness: IoRange,
    debug: IoRange,
    /// For people: what `done` shows.
    rows: Vec<String>,
}

impl Report {
    /// Says that programs run, opens the line to the harness and says who is measured.
    pub fn open(system: &System) -> Outcome<Self> {
        let (first, count) = DEBUG_CONSOLE;
        let debug = IoRange::legacy(system, first, count)?;
        debug.write(0, 1, u32::from(b'U'))?;
        let (first, count) = COM2;
        let report = Self {
            harness: IoRange::legacy(system, first, count)?,
            debug,
            rows: Vec::new(),
        };
        report.line(Line::Meta {
            kernel: concat!("raede ", env!("CARGO_PKG_VERSION")),
            cpus: clock::page().cores,
        })?;
        Ok(report)
    }

    /// Nothing is measured meanwhile, so it may look again and again whether there is room.
    fn line(&self, line: Line<'_>) -> Outcome {
        for byte in format!("{line}\r\n").bytes() {
            let mut looks = 0;
            while self.harness.read(LINE_STATUS, 1)? & HAS_ROOM == 0 && looks < LOOKS {
                looks += 1;
            }
            self.harness.write(TRANSMIT, 1, byte.into())?;
        }
        Ok(())
    }

    /// A latency whose samples are nanoseconds.
    pub fn ns(&mut self, metric: &str, samples: &mut [u64]) -> Outcome {
        let mut from = 0;
        while let Some(values) = samples.get(from..).filter(|rest| !rest.is_empty()) {
            let values = values.get(..fitting(metric, values)).unwrap_or(values);
            self.line(Line::Samples {
                metric,
                from,
                values,
            })?;
            from += values.len();
        }
        match Samples::full(samples).summary() {
            Some(summary) => {
                let (p50, p99, max) = (summary.p50, summary.p99, summary.max);
                self.row(format!("{metric:32} {p50:>12} {p99:>12} {max:>12} ns"));
                self.line(Line::Latency { metric, summary })
            }
            None => self.skipped(metric, "there are no samples"),
        }
    }

    /// A latency whose samples are ticks of the time stamp counter.
    pub fn ticks(&mut self, metric: &str, samples: &mut [u64]) -> Outcome {
        let page = clock::page();
        let at = |ticks: u64| clock::ns_at(page, page.base_ticks + ticks);
        let zero = at(0);
        for sample in samples.iter_mut() {
            *sample = at(*sample) - zero;
        }
        self.ns(metric, samples)
    }

    /// A single value.
    #[allow(dead_code)] // by one of two programs
    pub fn value(&mut self, metric: &str, unit: &str, value: u64) -> Outcome {
        self.row(format!("{metric:32} {value:>12} {:25} {unit}", ""));
        self.line(Line::Value {
            metric,
            unit,
            value,
        })
    }

    /// A single value of which more is better, in thousandths.
    #[allow(dead_code)] // by one of two programs
    pub fn rate(&mut self, metric: &str, unit: &str, thousandths: u64) -> Outcome {
        let (whole, rest) = (thousandths / 1000, thousandths % 1000);
        self.row(format!("{metric:32} {whole:>8}.{rest:03} {:25} {unit}", ""));
        self.line(Line::Rate {
            metric,
            unit,
            thousandths,
        })
    }

    /// Something that cannot be measured, and why.
    pub fn skipped(&mut self, metric: &str, reason: &str) -> Outcome {
        self.line(Line::Skipped { metric, reason })
    }

    /// Asks the harness for what it does in this phase, `events` times.
    #[allow(dead_code)] // by one of two programs
    pub fn ready(&mut self, phase: &str, events: usize) -> Outcome {
        self.line(Line::Ready { phase, events })
    }

    /// Waits until the harness says `go`: that it has done all of a phase.
    #[allow(dead_code)] // by one of two programs
    pub fn wait_go(&mut self) -> Outcome {
        let (mut last, never) = ([0; 2], Notification::create()?);
        while last != *b"go" {
            if self.harness.read(LINE_STATUS, 1)? & HAS_BYTE == 0 {
                // Not all the time: whoever waits may have a budget to lose.
                match never.take_blocking(clock::now_ns() + LOOK_NS) {
                    Err(Error::TimedOut) | Ok(_) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            last = [last[1], self.harness.read(TRANSMIT, 1)? as u8];
        }
        Ok(())
    }

    /// Tells the harness at once, by a byte.
    #[allow(dead_code)] // by one of two programs
    pub fn tell(&mut self, byte: u8) -> Outcome {
        Ok(self.debug.write(0, 1, byte.into())?)
    }

    /// Keeps a row for people; without memory there is none.
    fn row(&mut self, row: String) {
        if self.rows.try_reserve(1).is_ok() {
            self.rows.push(row);
        }
    }

    /// The end: people get their table, through the log on screen and first serial port.
    pub fn done(self) -> Outcome {
        log::info!(
            "{:32} {:>12} {:>12} {:>12}",
            "latency bench",
            "p50",
            "p99",
            "max"
        );
        for row in &self.rows {
            log::info!("{row}");
        }
        log::info!("latency bench: done");
        self.line(Line::Done)
    }
}
