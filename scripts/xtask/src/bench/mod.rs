//! Measuring: collects results, whoever measured, into `target/bench/MODE.json` and a table.
//!
//! A result is a JSON object as the guest writes it to COM2: `{"metric":NAME,"unit":U,...}` with
//! either `n min mean p50 p99 p999 max` or one `value`. [`guest`] boots Raede and speaks that
//! protocol; [`linux`] is the machine that measures Linux by the same protocol, and [`compare`] divides one by the other. [`peers`] runs the host
//! bench, a program of its own with its own rows. [`wall`] is what is measured by the clock on the wall. [`gate`] judges figures by their goals, [`report`] draws them. [`profile`]
//! shows what a figure consists of.

pub mod compare;
mod drive;
pub mod gate;
pub mod guest;
pub mod linux;
pub mod peers;
pub mod profile;
pub mod report;
pub mod wall;

use crate::error::{Doing, Error, Result};
use crate::host;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Ring 0's own metrics begin so; all others are of ring 3.
const RING0: [&str; 2] = ["exec.", "floor."];

/// The results of one mode.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// `meta` events: what was measured.
    meta: Vec<Value>,
    metrics: Vec<Value>,
    /// Samples whose metric is still to come: its name, and what came.
    samples: Vec<(String, Vec<u64>)>,
}

/// The ring that a metric is of.
pub fn ring_of(metric: &str) -> u8 {
    if RING0.iter().any(|prefix| metric.starts_with(prefix)) {
        0
    } else {
        3
    }
}

impl Results {
    /// Adds a metric. It needs a name, a unit, and figures.
    pub fn add(&mut self, mut metric: Value) -> std::result::Result<(), String> {
        if let Some(name) = metric["metric"].as_str().map(str::to_owned)
            && metric["unit"].is_string()
        {
            metric["ring"] = ring_of(&name).into();
            if let Some(place) = self.samples.iter().position(|(of, _)| *of == name) {
                metric["samples"] = self.samples.swap_remove(place).1.into();
            }
        }
        let has_figures =
            metric["value"].is_number() || (metric["n"].is_u64() && metric["p50"].is_number());
        if metric["metric"].is_string() && metric["unit"].is_string() && has_figures {
            self.metrics.push(metric);
            return Ok(());
        }
        Err(format!(
            "a metric needs `metric`, `unit` and `value` or `n`..`max`: {metric}"
        ))
    }

    /// Adds samples of a metric that is still to come.
    pub fn add_samples(&mut self, line: &Value) {
        let name = line["metric"].as_str().unwrap_or_default();
        let values = line["values"].as_array().map_or(&[][..], Vec::as_slice);
        let values = values.iter().filter_map(Value::as_u64);
        match self.samples.iter_mut().find(|(of, _)| of == name) {
            Some((_, samples)) => samples.extend(values),
            None => self.samples.push((name.to_owned(), values.collect())),
        }
    }

    /// All metrics.
    pub fn metrics(&self) -> &[Value] {
        &self.metrics
    }

    /// What was measured.
    pub fn meta(&self) -> &[Value] {
        &self.meta
    }

    /// The largest of the gaps (p99, ns) that spinners saw, where the clock on the wall counts; 0 if nobody looked.
    pub fn noise_ns(&self) -> f64 {
        let gaps = self.metrics.iter().filter(|metric| {
            let name = metric["metric"].as_str().unwrap_or_default();
            name.starts_with("noise.")
        });
        gaps.filter_map(|gap| gap["p99"].as_f64())
            .fold(0.0, f64::max)
    }

    /// Whether a figure is smaller than the host's noise: then it says nothing. Medians stand above what disturbs one sample in a hundred, and instructions
    /// above everything.
    pub fn is_noise(&self, metric: &str, figure: &str) -> bool {
        let wall = self.meta.iter().any(|meta| meta["mode"] == "tcg");
        let is_tail = matches!(figure, "p99" | "p999" | "max");
        let value = self
            .metric(metric)
            .and_then(|metric| metric[figure].as_f64());
        wall && is_tail && value.is_some_and(|value| value < self.noise_ns())
    }

    /// Adds all of another run's.
    pub fn extend(&mut self, other: Results) {
        self.meta.extend(other.meta);
        for metric in other.metrics {
            // What both measured, the first did.
            if self
                .metric(metric["metric"].as_str().unwrap_or_default())
                .is_none()
            {
                self.metrics.push(metric);
            }
        }
    }

    /// Adds what was measured.
    pub fn add_meta(&mut self, meta: Value) {
        self.meta.push(meta);
    }

    /// The metric of this name.
    pub fn metric(&self, name: &str) -> Option<&Value> {
        self.metrics.iter().find(|metric| metric["metric"] == name)
    }

    /// Number of metrics.
    pub fn len(&self) -> usize {
        self.metrics.len()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    /// Writes them as a JSON array, one object per line, and gives the file's path.
    pub fn save(&self, mode: &str) -> Result<PathBuf> {
        let folder = host::target_dir().join("bench");
        fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
        let file = folder.join(format!("{mode}.json"));
        let lines: Vec<String> = self
            .meta
            .iter()
            .chain(&self.metrics)
            .map(Value::to_string)
            .collect();
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        fs::write(&file, text).doing(|| format!("writing {}", file.display()))?;
        Ok(file)
    }

    /// Reads what was [saved](Self::save); `None` if there is no such file, or another thing in it.
    pub fn load(mode: &str) -> Option<Results> {
        let file = host::target_dir().join(format!("bench/{mode}.json"));
        let objects: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
        let (metrics, meta) = objects
            .into_iter()
            .partition(|object| object["unit"].is_string());
        Some(Results {
            meta,
            metrics,
            samples: Vec::new(),
        })
    }

    /// The table for people, of metrics that begin with one of `only`, if that has any.
    pub fn table(&self, only: &[String]) -> String {
        const HEADINGS: [&str; 7] = ["metric", "ring", "unit", "n", "p50", "p99", "max"];
        let mut rows = vec![HEADINGS.map(str::to_owned)];
        for metric in &self.metrics {
            if !gate::is_wanted(metric["metric"].as_str().unwrap_or_default(), only) {
                continue;
            }
            let word = |field: &str| metric[field].as_str().unwrap_or_default().to_owned();
            let figures = match &metric["value"] {
                Value::Null => ["n", "p50", "p99", "max"].map(|field| figure(&metric[field])),
                value => ["-".into(), figure(value), "-".into(), "-".into()],
            };
            let [n, p50, p99, max] = figures;
            let ring = metric["ring"].to_string();
            rows.push([word("metric"), ring, word("unit"), n, p50, p99, max]);
        }
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 7] = std::array::from_fn(width);
        let mut table = String::new();
        for row in &rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.chars().count());
                // Words to the left, figures to the right.
                line += &if column < 3 {
                    format!("{cell}{padding}  ")
                } else {
                    format!("{padding}{cell}  ")
                };
            }
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table
    }
}

/// A number with its thousands apart; `-` where there is none.
fn figure(value: &Value) -> String {
    if let Some(whole) = value.as_u64() {
        let digits = whole.to_string();
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i) % 3 == 0 {
                text.push(' ');
            }
            text.push(digit);
        }
        return text;
    }
    value
        .as_f64()
        .map_or_else(|| "-".into(), |number| format!("{number:.2}"))
}

/// Reads one line of the protocol.
fn parse_line(line: &str) -> Result<Value> {
    serde_json::from_str(line).map_err(|error| {
        Error::Qemu(format!(
            "the guest's measurements hold a line that is not JSON ({error}): {line}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_with_both_kinds() {
        let mut results = Results::default();
        let latency = json!({"metric": "exec.yield", "unit": "ns", "n": 20000, "min": 1, "mean": 1.5,
            "p50": 148, "p99": 1234567, "p999": 3, "max": 4});
        results.add(latency).expect("a latency");
        results
            .add(json!({"metric": "shm", "unit": "GB/s", "value": 1.25}))
            .expect("a value");
        assert_eq!(
            results.table(&[]),
            "metric      ring  unit       n   p50        p99  max\n\
             exec.yield  0     ns    20 000   148  1 234 567    4\n\
             shm         3     GB/s       -  1.25          -    -\n"
        );
    }

    #[test]
    fn samples_belong_to_the_metric_that_follows() {
        let mut results = Results::default();
        results
            .add_samples(&json!({"event": "samples", "metric": "a", "from": 0, "values": [3, 1]}));
        results.add_samples(&json!({"event": "samples", "metric": "a", "from": 2, "values": [2]}));
        results
            .add(json!({"metric": "a", "unit": "ns", "n": 3, "p50": 2}))
            .expect("a metric");
        assert_eq!(
            results.metric("a").expect("it")["samples"],
            json!([3, 1, 2])
        );
    }

    #[test]
    fn a_tail_below_the_noise_says_nothing() {
        let mut results = Results::default();
        for (name, p99) in [
            ("noise.spin_gap_per_ms.cpu0", 5000),
            ("timer1k.idle", 4000),
            ("timer1k.load", 9000),
        ] {
            results
                .add(json!({"metric": name, "unit": "ns", "n": 3, "p50": 10, "p99": p99}))
                .expect("a metric");
        }
        assert!(
            !results.is_noise("timer1k.idle", "p99"),
            "instructions have none"
        );
        results.add_meta(json!({"event": "meta", "mode": "tcg"}));
        assert!(results.is_noise("timer1k.idle", "p99"));
        assert!(
            !results.is_noise("timer1k.idle", "p50") && !results.is_noise("timer1k.load", "p99")
        );
    }

    #[test]
    fn refuses_metrics_without_figures() {
        let mut results = Results::default();
        for bad in [
            json!({}),
            json!({"metric": "x", "unit": "ns"}),
            json!({"unit": "ns", "value": 1}),
            json!(7),
        ] {
            assert!(results.add(bad).is_err());
        }
        assert!(results.is_empty());
    }
}
