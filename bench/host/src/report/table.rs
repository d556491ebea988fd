//! The figures for people: a line per workload and size, a column per executor.

use super::{OURS, Report, Row, short};
use std::fmt::Write;

/// The whole table, in Markdown.
pub fn table(report: &Report, executors: &[String]) -> String {
    let mut lines: Vec<Vec<String>> = vec![
        std::iter::once("ns per operation")
            .chain(executors.iter().map(String::as_str))
            .map(str::to_owned)
            .collect(),
    ];
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for row in &report.rows {
        if !seen.contains(&(row.workload, row.size)) {
            seen.push((row.workload, row.size));
        }
    }
    for (workload, size) in seen {
        let of = |executor: &String| {
            report.rows.iter().find(|row| {
                row.workload == workload && row.size == size && row.executor == *executor
            })
        };
        let cells = executors
            .iter()
            .map(|executor| of(executor).map_or_else(|| "-".into(), cell));
        lines.push(
            std::iter::once(format!("{workload}/{size}"))
                .chain(cells)
                .collect(),
        );
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text.push_str(LEGEND);
    text
}

const LEGEND: &str = "\
ns: median, (instructions per operation), how many times ours, ± interquartile range if over 10 %.
";

fn cell(row: &Row) -> String {
    let mut text = String::new();
    if let Some(ns) = row.ns_per_op {
        text.push_str(&short(ns));
        if let Some(instructions) = row.instructions {
            let _ = write!(text, " ({} i)", short(instructions));
        }
        if let Some(ratio) = row
            .ours_ratio
            .filter(|ratio| row.executor != OURS && *ratio > 0.0)
        {
            let _ = write!(text, " x{}", short(1.0 / ratio));
        }
        if let Some(spread) = row.spread.filter(|spread| *spread > 0.1) {
            let _ = write!(text, " ±{:.0}%", spread * 100.0);
        }
    }
    for (name, value) in &row.extra {
        let shown = match name.as_str() {
            "allocs_per_op" if *value < 0.005 => continue,
            "allocs_per_op" => format!("{} allocs", short(*value)),
            "late_percent" if row.ns_per_op.is_some() && *value == 0.0 => continue,
            "late_percent" => format!("{} % late", short(*value)),
            "overtaken_percent" => format!("{} % overtaken", short(*value)),
            "bytes_per_task" => format!("{} B", short(*value)),
            "p99_ns" => format!("p99 {}", short(*value)),
            "worst_wake_ns" => format!("wake {}", short(*value)),
            "worst_dispatch_ns" => format!("dispatch {}", short(*value)),
            _ => continue,
        };
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(&shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |executor: &str, ns| Row {
            workload: "yield_ping",
            executor: executor.into(),
            size: 1,
            ns_per_op: Some(ns),
            spread: Some(0.2),
            instructions: Some(40.0),
            ours_ratio: Some(0.5),
            ours_off_ratio: None,
            extra: [("allocs_per_op".to_owned(), 1.0)].into(),
        };
        let report = Report {
            rows: vec![row("raede", 10.0), row("other", 20.0)],
            ..Report::default()
        };
        let text = table(&report, &["raede".into(), "other".into(), "absent".into()]);
        assert!(
            text.contains("20.0 (40.0 i) x2.00 ±20%, 1.00 allocs"),
            "{text}"
        );
        let widths: Vec<usize> = text
            .lines()
            .take(3)
            .map(|line| line.chars().count())
            .collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }
}
