//! Raede's figures divided by those of the better Linux.

use super::{Results, figure};
use serde_json::Value;

/// What Raede's metric is compared with where it is not one of the same name: what Linux's programs would use in its place.
const ALTERNATIVES: [(&str, &[&str]); 5] = [
    (
        "ipc64.call.same",
        &["ipc64.pipe.same", "ipc64.unix.same", "ipc64.shmfutex.same"],
    ),
    (
        "ipc64.call.cross",
        &[
            "ipc64.pipe.cross",
            "ipc64.unix.cross",
            "ipc64.shmfutex.cross",
        ],
    ),
    ("pingpong.notification.", &["pingpong.eventfd."]),
    ("pingpong.channel.", &["pingpong.pipe."]),
    (
        "frame120.deadline.",
        &["frame120.fifo.", "frame120.deadline."],
    ),
];
/// Where the two systems' operations differ in kind.
const KINDS: [(&str, &str); 9] = [
    ("syscall.null", "Raede's no-operation, Linux's getppid"),
    (
        "wake.futex.",
        "Raede: a notification wakes a thread with a reservation; Linux: a futex wakes a FIFO thread",
    ),
    (
        "ipc64.call.same.resident",
        "Raede: a server in the kernel; Linux has another process",
    ),
    (
        "ipc64.call.cross.resident",
        "Raede: a server in the kernel; Linux has another process",
    ),
    ("ipc64.call.", "Raede: a call in registers"),
    (
        "pingpong.",
        "two threads of one process; Raede: notification or channel, Linux: eventfd or pipe",
    ),
    (
        "thread.",
        "Raede: a thread is a future of an executor; Linux: a pthread",
    ),
    ("timer1k.", "Raede: a reservation; Linux: FIFO 90"),
    (
        "frame120.deadline.",
        "Raede: a reservation; Linux: the better of FIFO and SCHED_DEADLINE",
    ),
];
/// Metrics whose tail counts as much as their median.
const WITH_TAIL: [&str; 4] = ["timer1k.", "frame120.", "input.", "net."];

/// One figure of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The metric, and which figure of it.
    pub name: String,
    /// Raede's.
    pub ours: f64,
    /// The better Linux's.
    pub theirs: f64,
    /// Which kernel and metric that is.
    pub whose: String,
    /// Whether more is better.
    pub higher: bool,
}

impl Row {
    /// Below 1: Raede needs less, or does less where more is better.
    pub fn ratio(&self) -> f64 {
        self.ours / self.theirs
    }

    /// Whether Raede is at least as good.
    pub fn is_better(&self) -> bool {
        if self.higher {
            self.ratio() >= 1.0
        } else {
            self.ratio() <= 1.0
        }
    }

    /// What the row needs to be understood: whose figure Linux's is, and in what the two differ in kind.
    pub fn note(&self) -> String {
        let kind = KINDS
            .iter()
            .find(|(prefix, _)| self.name.starts_with(prefix));
        match kind {
            Some((_, kind)) => format!("{}; {kind}", self.whose),
            None => self.whose.clone(),
        }
    }
}

/// The metrics that are to be compared with `name`.
fn peers(name: &str) -> Vec<String> {
    let Some((prefix, others)) = ALTERNATIVES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
    else {
        return vec![name.to_owned()];
    };
    let rest = &name[prefix.len()..];
    let whole = |other: &&str| {
        if other.ends_with('.') {
            format!("{other}{rest}")
        } else {
            (*other).to_owned()
        }
    };
    others.iter().map(whole).collect()
}

/// The better Linux's figure to compare that of `name` with, and whose it is.
pub fn best(name: &str, field: &str, linux: &[(&str, Results)]) -> Option<(f64, String)> {
    let peers = peers(name);
    let candidates = linux.iter().flat_map(|(kernel, results)| {
        peers.iter().filter_map(move |peer| {
            let metric = results.metric(peer)?;
            let higher = metric["better"] == "higher";
            Some((metric[field].as_f64()?, higher, format!("{kernel} {peer}")))
        })
    });
    let best = candidates.min_by(|(one, higher, _), (other, _, _)| {
        let order = one.total_cmp(other);
        if *higher { order.reverse() } else { order }
    });
    best.map(|(theirs, _, whose)| (theirs, whose))
}

/// A row for each metric that both have.
pub fn rows(ours: &Results, linux: &[(&str, Results)]) -> Vec<Row> {
    let mut rows = Vec::new();
    for metric in &ours.metrics {
        let name = metric["metric"].as_str().unwrap_or_default();
        let tail = WITH_TAIL.iter().any(|prefix| name.starts_with(prefix));
        let fields: &[&str] = match (metric["value"].is_number(), tail) {
            (true, _) => &["value"],
            (false, true) => &["p50", "p99"],
            (false, false) => &["p50"],
        };
        for field in fields {
            let best = best(name, field, linux);
            if let (Some(ours), Some((theirs, whose))) = (metric[field].as_f64(), best) {
                let name = match *field {
                    "value" => name.to_owned(),
                    field => format!("{name} {field}"),
                };
                rows.push(Row {
                    name,
                    ours,
                    theirs,
                    whose,
                    higher: metric["better"] == "higher",
                });
            }
        }
    }
    rows
}

/// Whether a row's figures are below what the host's noise makes of them.
pub fn noise(row: &Row, ours: &Results, linux: &[(&'static str, Results)]) -> bool {
    let (name, field) = row.name.rsplit_once(' ').unwrap_or((&row.name, "value"));
    let theirs = row.whose.split_once(' ').is_some_and(|(kernel, peer)| {
        let mut kernels = linux.iter();
        kernels.any(|(name, results)| *name == kernel && results.is_noise(peer, field))
    });
    ours.is_noise(name, field) || theirs
}

/// For people.
pub fn table(rows: &[Row], ours: &Results, linux: &[(&'static str, Results)]) -> String {
    let cell = |value: f64| {
        if value < 10.0 && value != value.trunc() {
            format!("{value:.2}")
        } else {
            figure(&Value::from(value.round() as u64))
        }
    };
    let mut cells = vec![["figure", "Raede", "Linux", "ratio", "compared with"].map(str::to_owned)];
    for row in rows {
        // Nothing missed on either side has no ratio.
        let ratio = if noise(row, ours, linux) {
            "noise".to_owned()
        } else if row.theirs == 0.0 {
            "-".to_owned()
        } else {
            format!("{:.3}", row.ratio())
        };
        cells.push([
            row.name.clone(),
            cell(row.ours),
            cell(row.theirs),
            ratio,
            row.note(),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut table = String::new();
    for [name, ours, theirs, ratio, whose] in &cells {
        let [name_width, ours_width, theirs_width, ratio_width, _] = widths;
        table.push_str(&format!(
            "{name:name_width$}  {ours:>ours_width$}  {theirs:>theirs_width$}  {ratio:>ratio_width$}  {whose}\n"
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results(metrics: &[Value]) -> Results {
        let mut results = Results::default();
        for metric in metrics {
            results.add(metric.clone()).expect("a metric");
        }
        results
    }

    #[test]
    fn each_figure_is_divided_by_the_better_one() {
        let latency = |name: &str, p50: u64, p99: u64| json!({"metric": name, "unit": "ns", "n": 9, "p50": p50, "p99": p99});
        let ours = results(&[
            latency("ipc64.call.same", 900, 950),
            latency("timer1k.load", 2000, 4000),
            latency("exec.yield", 1, 1),
            json!({"metric": "timer1k.load.missed", "unit": "periods", "value": 0}),
        ]);
        let stock = results(&[
            latency("ipc64.pipe.same", 12_000, 12_100),
            latency("timer1k.load", 3600, 10_000),
            json!({"metric": "timer1k.load.missed", "unit": "periods", "value": 0}),
        ]);
        let rt = results(&[
            latency("ipc64.pipe.same", 13_000, 13_100),
            latency("timer1k.load", 3700, 4600),
        ]);
        let linux = [("stock", stock), ("rt", rt)];
        let rows = rows(&ours, &linux);
        let names: Vec<_> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.theirs))
            .collect();
        assert_eq!(
            names,
            [
                ("ipc64.call.same p50", 12_000.0),
                ("timer1k.load p50", 3600.0),
                ("timer1k.load p99", 4600.0),
                ("timer1k.load.missed", 0.0),
            ]
        );
        let table = table(&rows, &ours, &linux);
        let words = |line: usize| {
            let line = table.lines().nth(line).unwrap_or_default();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            words(1),
            "ipc64.call.same p50 900 12 000 0.075 stock ipc64.pipe.same; Raede: a call in registers"
        );
        assert_eq!(
            words(4),
            "timer1k.load.missed 0 0 - stock timer1k.load.missed; Raede: a reservation; Linux: FIFO 90"
        );
    }
}
