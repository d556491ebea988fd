//! The figures as a picture: a dot for each executor on a logarithmic scale, a line for each workload.

use super::{Report, Row, short};
use std::fmt::Write;

const LEFT: f64 = 170.0;
const WIDTH: f64 = 720.0;
const TOP: f64 = 60.0;
const LINE: f64 = 26.0;
/// Told apart by people who see colours differently too (Okabe and Ito 2008), ours first.
const COLOURS: [&str; 10] = [
    "#d55e00", "#e69f00", "#0072b2", "#56b4e9", "#009e73", "#7bc8a4", "#cc79a7", "#8c6bb1",
    "#666666", "#bbbbbb",
];

/// The plot as SVG.
pub fn svg(report: &Report, executors: &[String]) -> String {
    let timed: Vec<&Row> = report
        .rows
        .iter()
        .filter(|row| row.ns_per_op.is_some_and(|ns| ns > 0.0))
        .collect();
    let mut lines: Vec<String> = Vec::new();
    for row in &timed {
        let line = line_of(row);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let logs = || timed.iter().filter_map(|row| row.ns_per_op).map(f64::log10);
    let low = logs().fold(f64::INFINITY, f64::min).floor();
    let high = logs()
        .fold(f64::NEG_INFINITY, f64::max)
        .ceil()
        .max(low + 1.0);
    let x = |ns: f64| LEFT + WIDTH * (ns.log10() - low) / (high - low);
    let bottom = TOP + LINE * lines.len() as f64;
    let mut text = String::new();
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + 30.0,
        bottom + 40.0
    );
    for (number, executor) in executors.iter().enumerate() {
        let (column, line) = ((number % 5) as f64, (number / 5) as f64);
        let at = (LEFT + column * 145.0, 18.0 + line * 18.0);
        let _ = writeln!(
            text,
            "<circle cx=\"{:.0}\" cy=\"{:.0}\" r=\"5\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{:.0}\">{executor}</text>",
            at.0,
            at.1 - 4.0,
            colour(number),
            at.0 + 10.0,
            at.1
        );
    }
    for decade in low as i32..=high as i32 {
        let (ns, at) = (10f64.powi(decade), x(10f64.powi(decade)));
        let _ = writeln!(
            text,
            "<path d=\"M{at:.1} {TOP:.0}V{bottom:.0}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            short(ns)
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">ns per operation</text>",
        LEFT + WIDTH / 2.0,
        bottom + 34.0
    );
    for (number, line) in lines.iter().enumerate() {
        let y = TOP + LINE * (number as f64 + 0.5);
        let _ = writeln!(
            text,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{line}</text>",
            LEFT - 10.0,
            y + 4.0
        );
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT:.0} {y:.0}H{:.0}\" stroke=\"#eee\"/>",
            LEFT + WIDTH
        );
        // Ours last, so that nothing hides it.
        for (number, executor) in executors.iter().enumerate().rev() {
            let Some(row) = timed
                .iter()
                .find(|row| row.executor == *executor && line_of(row) == *line)
            else {
                continue;
            };
            let ns = row.ns_per_op.unwrap_or(1.0);
            let _ = writeln!(
                text,
                "<circle cx=\"{:.1}\" cy=\"{y:.0}\" r=\"{}\" fill=\"{}\"><title>{executor} {line}: {} ns</title></circle>",
                x(ns),
                if number < 2 { 6 } else { 5 },
                colour(number),
                short(ns)
            );
        }
    }
    text.push_str("</svg>\n");
    text
}

fn line_of(row: &Row) -> String {
    format!("{}/{}", row.workload, row.size)
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_for_each_figure() {
        let row = |executor: &str, ns| Row {
            workload: "yield_ping",
            executor: executor.into(),
            size: 1,
            ns_per_op: ns,
            spread: None,
            instructions: None,
            ours_ratio: None,
            ours_off_ratio: None,
            extra: Default::default(),
        };
        let report = Report {
            rows: vec![
                row("raede", Some(10.0)),
                row("other", Some(2000.0)),
                row("silent", None),
            ],
            ..Report::default()
        };
        let svg = svg(&report, &["raede".into(), "other".into(), "silent".into()]);
        assert_eq!(svg.matches("<title>").count(), 2, "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
