//! Samples become lines of the bench protocol on COM2.

use alloc::format;

use bench_guest::protocol::{Line, fitting};
use bench_guest::samples::Samples;
use rt::sys::clock;
use rt::sys::object::{IoRange, System};

use crate::Outcome;

/// COM2's ports; the debug console's.
const COM2: (u16, u16) = (0x2f8, 8);
const DEBUG_CONSOLE: (u16, u16) = (0xe9, 1);
/// Registers of the port: what is sent, and its state with "there is room" in bit 5 (16550 data sheet).
const TRANSMIT: u16 = 0;
const LINE_STATUS: u16 = 5;
const HAS_ROOM: u32 = 1 << 5;
/// Looks before a port that takes nothing counts as gone.
const LOOKS: u32 = 1_000_000;

/// Where metrics go.
pub struct Report {
    harness: IoRange,
}

impl Report {
    /// Says that programs run, opens the line to the harness and says who is measured.
    pub fn open(system: &System) -> Outcome<Self> {
        let (first, count) = DEBUG_CONSOLE;
        IoRange::legacy(system, first, count)?.write(0, 1, u32::from(b'U'))?;
        let (first, count) = COM2;
        let report = Self {
            harness: IoRange::legacy(system, first, count)?,
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
            Some(summary) => self.line(Line::Latency { metric, summary }),
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
    pub fn value(&mut self, metric: &str, unit: &str, value: u64) -> Outcome {
        self.line(Line::Value {
            metric,
            unit,
            value,
        })
    }

    /// A single value of which more is better, in thousandths.
    pub fn rate(&mut self, metric: &str, unit: &str, thousandths: u64) -> Outcome {
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

    /// The end.
    pub fn done(self) -> Outcome {
        self.line(Line::Done)
    }
}
