//! Samples become lines of the bench protocol on COM2.

use std::fs::{File, OpenOptions};
use std::io::Write;

use bench_guest::protocol::{Line, fitting};
use bench_guest::samples::Samples;

use crate::{Outcome, sys};

/// Where metrics go.
pub struct Report {
    harness: File,
    ticks_per_ns: f64,
}

impl Report {
    /// Opens the line to the harness and says who is measured.
    pub fn open() -> Outcome<Self> {
        let harness = OpenOptions::new().write(true).open("/dev/ttyS1")?;
        let mut report = Self {
            harness,
            ticks_per_ns: sys::ticks_per_us() / 1000.0,
        };
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let version = std::fs::read_to_string("/proc/sys/kernel/version")?;
        let kernel = format!(
            "linux {} {}",
            kernel.trim(),
            if version.contains("PREEMPT_RT") {
                "rt"
            } else {
                "stock"
            }
        );
        let cpus = sys::cpus() as u32;
        report.line(Line::Meta {
            kernel: &kernel,
            cpus,
        })?;
        Ok(report)
    }

    fn line(&mut self, line: Line<'_>) -> Outcome {
        // At once: else each piece of it would be a system call and a byte for the port's driver to be woken for.
        Ok(self.harness.write_all(format!("{line}\n").as_bytes())?)
    }

    /// A latency whose samples are nanoseconds.
    pub fn ns(&mut self, metric: &str, samples: &mut [u64]) -> Outcome {
        let count = samples.len();
        let mut from = 0;
        while let Some(values) = samples.get(from..).filter(|rest| !rest.is_empty()) {
            let values = &values[..fitting(metric, values)];
            self.line(Line::Samples {
                metric,
                from,
                values,
            })?;
            from += values.len();
        }
        let mut kept = Samples::full(samples);
        let summary = kept
            .summary()
            .ok_or_else(|| format!("{metric}: {count} samples"))?;
        self.line(Line::Latency { metric, summary })
    }

    /// A latency whose samples are ticks of the time stamp counter.
    pub fn ticks(&mut self, metric: &str, samples: &mut [u64]) -> Outcome {
        for sample in samples.iter_mut() {
            *sample = (*sample as f64 / self.ticks_per_ns).round() as u64;
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

    /// The end.
    pub fn done(mut self) -> Outcome {
        self.line(Line::Done)?;
        // Out of the port before the machine goes.
        Ok(self.harness.sync_all().or_else(|_| self.harness.flush())?)
    }
}
