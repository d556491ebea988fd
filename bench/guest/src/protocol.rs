//! The lines a bench harness reads on COM2: one JSON object each.

use core::fmt::{self, Write};

use rt::{ByteSink, Closed};

use crate::samples::Summary;

/// Longer than any line below can be.
const LINE_BYTES: usize = 320;

/// One line.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// Who is measured.
    Meta {
        /// Name and version of the kernel.
        kernel: &'a str,
        /// Cores in use.
        cpus: u32,
    },
    /// A latency.
    Latency {
        /// The metric's name.
        metric: &'a str,
        /// Its figures, in nanoseconds.
        summary: Summary,
    },
    /// Samples of a latency as they came, from number `from` on; as many as a line holds ([`fitting`]). They come before the latency itself.
    Samples {
        /// The metric's name.
        metric: &'a str,
        /// The first one's number.
        from: usize,
        /// In nanoseconds.
        values: &'a [u64],
    },
    /// A single value.
    Value {
        /// The metric's name.
        metric: &'a str,
        /// What it is counted in.
        unit: &'a str,
        /// The value.
        value: u64,
    },
    /// A single value of which more is better.
    Rate {
        /// The metric's name.
        metric: &'a str,
        /// What it is counted in.
        unit: &'a str,
        /// The value, in thousandths.
        thousandths: u64,
    },
    /// What the host drives can begin.
    Ready {
        /// What it is.
        phase: &'a str,
        /// How often it is to be done.
        events: usize,
    },
    /// Something that could not be measured, and why.
    Skipped {
        /// The metric's name.
        metric: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// The end.
    Done,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta { kernel, cpus } => {
                write!(
                    f,
                    "{{\"event\":\"meta\",\"kernel\":\"{kernel}\",\"cpus\":{cpus}}}"
                )
            }
            Self::Latency { metric, summary: s } => {
                let tenths = s.sum * 10 / s.n.max(1) as u128;
                write!(
                    f,
                    "{{\"metric\":\"{metric}\",\"unit\":\"ns\",\"better\":\"lower\",\"n\":{},\"min\":{},\"mean\":{}.{},\
                     \"p50\":{},\"p99\":{},\"p999\":{},\"max\":{}}}",
                    s.n,
                    s.min,
                    tenths / 10,
                    tenths % 10,
                    s.p50,
                    s.p99,
                    s.p999,
                    s.max
                )
            }
            Self::Samples {
                metric,
                from,
                values,
            } => {
                write!(
                    f,
                    "{{\"event\":\"samples\",\"metric\":\"{metric}\",\"from\":{from},\"values\":["
                )?;
                for (number, value) in values.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]}")
            }
            Self::Value {
                metric,
                unit,
                value,
            } => {
                write!(
                    f,
                    "{{\"metric\":\"{metric}\",\"unit\":\"{unit}\",\"better\":\"lower\",\"value\":{value}}}"
                )
            }
            Self::Rate {
                metric,
                unit,
                thousandths,
            } => {
                let (whole, rest) = (thousandths / 1000, thousandths % 1000);
                write!(
                    f,
                    "{{\"metric\":\"{metric}\",\"unit\":\"{unit}\",\"better\":\"higher\",\"value\":{whole}.{rest:03}}}"
                )
            }
            Self::Ready { phase, events } => {
                write!(
                    f,
                    "{{\"event\":\"ready\",\"phase\":\"{phase}\",\"events\":{events}}}"
                )
            }
            Self::Skipped { metric, reason } => {
                write!(
                    f,
                    "{{\"event\":\"skipped\",\"metric\":\"{metric}\",\"reason\":\"{reason}\"}}"
                )
            }
            Self::Done => f.write_str("{\"event\":\"done\"}"),
        }
    }
}

/// How many of these values one line of samples holds.
pub fn fitting(metric: &str, values: &[u64]) -> usize {
    // What stands around the values, the number of the first one included.
    let mut left = LINE_BYTES.saturating_sub(80 + metric.len());
    let mut count = 0;
    for value in values {
        let digits = value.checked_ilog10().map_or(1, |log| log as usize + 1);
        match left.checked_sub(digits + 1) {
            Some(rest) => left = rest,
            None => break,
        }
        count += 1;
    }
    // A single one always fits.
    count.max(1).min(values.len())
}

/// Writes `line` and its newline.
///
/// # Errors
/// [`Closed`] when nobody reads any more.
pub async fn send(out: &impl ByteSink, line: Line<'_>) -> Result<(), Closed> {
    let mut text = heapless::String::<LINE_BYTES>::new();
    // Names are ours and numbers have at most 20 digits, so a line always fits.
    let _ = write!(text, "{line}\r\n");
    out.write_all(text.as_bytes()).await
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_line_is_json_and_fits() {
        let largest = Summary {
            n: usize::MAX,
            min: u64::MAX,
            sum: u128::MAX / 20,
            p50: u64::MAX,
            p99: u64::MAX,
            p999: u64::MAX,
            max: u64::MAX,
        };
        let small = Summary {
            n: 4,
            min: 1,
            sum: 11,
            p50: 3,
            p99: 4,
            p999: 4,
            max: 4,
        };
        for line in [
            Line::Meta {
                kernel: "raede 0.1.0",
                cpus: 2,
            },
            Line::Latency {
                metric: "exec.wake.same",
                summary: largest,
            },
            Line::Latency {
                metric: "exec.wake.same",
                summary: small,
            },
            Line::Value {
                metric: "exec.task_bytes",
                unit: "bytes",
                value: 96,
            },
            Line::Ready {
                phase: "input.virtio.load",
                events: usize::MAX,
            },
            Line::Rate {
                metric: "shm.copy.cross",
                unit: "GB/s",
                thousandths: 1005,
            },
            Line::Skipped {
                metric: "exec.wake.cross",
                reason: "one core",
            },
            Line::Done,
        ] {
            let text = line.to_string();
            assert!(text.len() + 2 <= LINE_BYTES);
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
        let values = [u64::MAX; 20];
        let (metric, count) = (
            "frame120.deadline.load.finish",
            fitting("frame120.deadline.load.finish", &values),
        );
        assert!((2..values.len()).contains(&count));
        let line = Line::Samples {
            metric,
            from: 1999,
            values: &values[..count],
        };
        let text = line.to_string();
        assert!(text.len() + 2 <= LINE_BYTES, "{}", text.len());
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        assert!(
            Line::Latency {
                metric: "m",
                summary: small
            }
            .to_string()
            .contains("\"mean\":2.7,")
        );
    }
}
