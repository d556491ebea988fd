//! Measuring: collects results, whoever measured, into `target/bench/MODE.json` and a table.
//!
//! A result is a JSON object as the guest writes it to COM2: `{"metric":NAME,"unit":U,...}` with
//! either `n min mean p50 p99 p999 max` or one `value`. [`guest`] boots Raede and speaks that
//! protocol; [`linux`] is the machine that measures Linux by the same protocol, and [`compare`] divides one by the other. [`peers`] runs the host
//! bench, a program of its own with its own rows.

pub mod compare;
pub mod guest;
pub mod linux;
pub mod peers;

use crate::error::{Doing, Error, Result};
use crate::host;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// The results of one mode.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// `meta` events: what was measured.
    meta: Vec<Value>,
    metrics: Vec<Value>,
}

impl Results {
    /// Adds a metric. It needs a name, a unit, and figures.
    pub fn add(&mut self, metric: Value) -> std::result::Result<(), String> {
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

    /// Adds all of another run's.
    pub fn extend(&mut self, other: Results) {
        self.meta.extend(other.meta);
        self.metrics.extend(other.metrics);
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

    /// The table for people.
    pub fn table(&self) -> String {
        const HEADINGS: [&str; 6] = ["metric", "unit", "n", "p50", "p99", "max"];
        let mut rows = vec![HEADINGS.map(str::to_owned)];
        for metric in &self.metrics {
            let word = |field: &str| metric[field].as_str().unwrap_or_default().to_owned();
            let figures = match &metric["value"] {
                Value::Null => ["n", "p50", "p99", "max"].map(|field| figure(&metric[field])),
                value => ["-".into(), figure(value), "-".into(), "-".into()],
            };
            let [n, p50, p99, max] = figures;
            rows.push([word("metric"), word("unit"), n, p50, p99, max]);
        }
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        let mut table = String::new();
        for row in &rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.chars().count());
                // Words to the left, figures to the right.
                line += &if column < 2 {
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
            results.table(),
            "metric      unit       n   p50        p99  max\n\
             exec.yield  ns    20 000   148  1 234 567    4\n\
             shm         GB/s       -  1.25          -    -\n"
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
