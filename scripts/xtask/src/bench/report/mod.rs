//! The page: `target/bench/report.html`, made anew by each run out of all modes' results that are there.
//!
//! It holds everything itself: tables, one picture for each latency ([`plot`]), frames and wake times one after the other, how noisy the host was, and the
//! command and the date of each mode.

pub mod plot;

use super::gate::{self, Verdict};
use super::{Results, compare, figure};
use crate::error::{Doing, Result};
use crate::host;
use plot::{Series, distribution, sequence, short};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Modes, as they follow on the page, with what is counted.
const MODES: [(&str, &str, &str); 2] = [
    (
        "icount",
        "instructions",
        "Instructions (one processor, each guest instruction is a nanosecond): the same on every host.",
    ),
    (
        "tcg",
        "ns",
        "Time on the wall (two processors, emulated): only to be compared within this run, and with the host's noise in mind.",
    ),
];
/// Metrics that are drawn one after the other too.
const SEQUENCES: [&str; 5] = [
    "frame120.",
    "timer1k.load",
    "input.",
    "net.",
    "wake.futex.cross",
];
/// Who is drawn how.
const SYSTEMS: [(&str, &str); 3] = [
    ("Raede", "raede"),
    ("linux-stock", "stock"),
    ("linux-rt", "rt"),
];

/// The figures of a mode, as far as its files are there.
#[derive(Debug)]
struct Measured {
    ours: Results,
    linux: Vec<(&'static str, Results)>,
}

/// The name of the file that holds a kernel's results.
pub fn file_of(kernel: &str, mode: &str) -> String {
    format!("{kernel}.{mode}")
}

fn load(mode: &str) -> Option<Measured> {
    let ours = Results::load(mode)?;
    let linux = SYSTEMS[1..].iter().filter_map(|(name, _)| {
        let results = Results::load(&file_of(name, mode))?;
        Some((*name, results))
    });
    Some(Measured {
        ours,
        linux: linux.collect(),
    })
}

/// Writes the page and gives its path.
pub fn write() -> Result<PathBuf> {
    let mut page = String::from(HEAD);
    for (mode, unit, about) in MODES {
        if let Some(measured) = load(mode) {
            section(&mut page, mode, unit, about, &measured)?;
        }
    }
    let picture = host::target_dir().join("bench/host.svg");
    if let Ok(svg) = fs::read_to_string(&picture) {
        let start = svg.find("<svg").unwrap_or(0);
        let _ = write!(
            page,
            "<section><h2>Host</h2><p class=\"about\">The executor beside its peers, on the machine itself.</p><div class=\"wide\">{}</div></section>",
            &svg[start..]
        );
    }
    page.push_str("</main></body></html>\n");
    let file = host::target_dir().join("bench/report.html");
    fs::write(&file, page).doing(|| format!("writing {}", file.display()))?;
    Ok(file)
}

fn section(
    page: &mut String,
    mode: &str,
    unit: &str,
    about: &str,
    measured: &Measured,
) -> Result<()> {
    let _ = write!(
        page,
        "<section><h2>{mode}</h2><p class=\"about\">{about}</p>"
    );
    for (name, results) in std::iter::once(("Raede", &measured.ours)).chain(
        measured
            .linux
            .iter()
            .map(|(name, results)| (*name, results)),
    ) {
        let said = |key: &str| {
            let of = results.meta().iter().filter_map(|meta| meta[key].as_str());
            escaped(of.fold("?", |_, last| last))
        };
        let _ = write!(
            page,
            "<p class=\"run\"><b class=\"{}\">{name}</b> {} · {} · <code>{}</code>",
            class_of(name),
            said("kernel"),
            said("date"),
            said("command")
        );
        if mode == "tcg" {
            let _ = write!(page, " · host noise p99 {} ns", short(results.noise_ns()));
        }
        page.push_str("</p>");
    }
    gates(page, mode, measured)?;
    ratios(page, measured);
    figures(page, &measured.ours);
    pictures(page, unit, measured);
    page.push_str("</section>");
    Ok(())
}

fn gates(page: &mut String, mode: &str, measured: &Measured) -> Result<()> {
    let gates = gate::gates(mode, &[])?;
    let judged: Vec<_> = gates
        .iter()
        .map(|gate| (gate, gate.judge(&[(&measured.ours, &measured.linux)])))
        .filter(|(_, verdict)| *verdict != Verdict::Missing)
        .collect();
    if judged.is_empty() {
        return Ok(());
    }
    page.push_str("<h3>Goals</h3><table><tr><th>figure<th>now<th>goal<th>stored<th></tr>");
    for (gate, verdict) in judged {
        let (figure, class, word) = match verdict {
            Verdict::Met(figure) => (figure, "met", "met"),
            Verdict::Held(figure) => (figure, "held", "not met yet"),
            Verdict::Noise(figure) => (figure, "held", "noise"),
            Verdict::Worse(figure) => (figure, "worse", "worse than it was"),
            Verdict::Missing => continue,
        };
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td class=\"{class}\">{word}</tr>",
            escaped(&gate.name()),
            number(figure),
            number(gate.goal),
            number(gate.stored)
        );
    }
    page.push_str("</table>");
    Ok(())
}

fn ratios(page: &mut String, measured: &Measured) {
    let linux: Vec<_> = measured
        .linux
        .iter()
        .map(|(name, results)| (*name, results.clone()))
        .collect();
    let rows = compare::rows(&measured.ours, &linux);
    if rows.is_empty() {
        return;
    }
    page.push_str("<h3>Beside Linux</h3><table><tr><th>figure<th>Raede<th>Linux<th>ratio<th><th>compared with</tr>");
    for row in rows {
        let noise = compare::noise(&row, &measured.ours, &measured.linux);
        let (ratio, class, bar) = match row.ratio() {
            _ if noise => ("noise".to_owned(), "held", 0.0),
            _ if row.theirs == 0.0 => ("-".to_owned(), "", 0.0),
            ratio => (
                format!("{ratio:.3}"),
                if row.is_better() { "met" } else { "worse" },
                ratio,
            ),
        };
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td class=\"{class}\">{ratio}<td><span class=\"ratio\" style=\"width:{:.0}px\"></span><td class=\"note\">{}</tr>",
            escaped(&row.name),
            number(row.ours),
            number(row.theirs),
            (bar * 60.0).min(180.0),
            escaped(&row.note())
        );
    }
    page.push_str("</table>");
}

fn figures(page: &mut String, results: &Results) {
    page.push_str("<details><summary>All figures of Raede</summary><table><tr><th>metric<th>ring<th>unit<th>n<th>min<th>p50<th>p99<th>p99.9<th>max</tr>");
    for metric in results.metrics() {
        let word = |key: &str| escaped(metric[key].as_str().unwrap_or_default());
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}",
            word("metric"),
            metric["ring"],
            word("unit")
        );
        let keys = ["n", "min", "p50", "p99", "p999", "max"];
        for key in keys {
            let value = match (&metric["value"], key) {
                (Value::Null, key) => &metric[key],
                (value, "p50") => value,
                _ => &Value::Null,
            };
            let _ = write!(page, "<td>{}", figure(value));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></details>");
}

fn pictures(page: &mut String, unit: &str, measured: &Measured) {
    page.push_str("<h3>Distributions</h3><p class=\"about\">Bars: how often. Curve: the share of samples up to here.</p><div class=\"grid-of-plots\">");
    let mut wide = String::new();
    for metric in measured.ours.metrics() {
        let Some(name) = metric["metric"].as_str() else {
            continue;
        };
        let mut series: Vec<Series> = samples(metric, "Raede").into_iter().collect();
        for (kernel, results) in &measured.linux {
            let peer = compare::best(name, "p50", &[(*kernel, results.clone())]);
            let whose =
                peer.and_then(|(_, whose)| whose.split_once(' ').map(|(_, name)| name.to_owned()));
            let theirs = whose.and_then(|peer| results.metric(&peer));
            series.extend(theirs.and_then(|theirs| samples(theirs, kernel)));
        }
        if !series.iter().any(|series| series.class == "raede") {
            continue;
        }
        let caption = caption(name, metric, &series);
        let _ = write!(
            page,
            "<figure>{}<figcaption>{caption}</figcaption></figure>",
            distribution(&series, unit, name)
        );
        if SEQUENCES.iter().any(|prefix| name.starts_with(prefix)) {
            let _ = write!(
                wide,
                "<figure>{}<figcaption>{caption}</figcaption></figure>",
                sequence(&series, unit, name)
            );
        }
    }
    page.push_str("</div>");
    if !wide.is_empty() {
        let _ = write!(
            page,
            "<h3>One after the other: periods, frames, keys, packets</h3><div class=\"wide\">{wide}</div>"
        );
    }
}

fn caption(name: &str, metric: &Value, series: &[Series]) -> String {
    let mut caption = format!("<b>{}</b> (ring {})", escaped(name), metric["ring"]);
    for series in series {
        let mut sorted = series.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let index = (sorted.len() as f64 * part) as usize;
            sorted.get(index).copied().unwrap_or(0.0)
        };
        let _ = write!(
            caption,
            " <span class=\"{}\">■ {} p50 {} p99 {}</span>",
            series.class,
            series.name,
            short(at(0.5)),
            short(at(0.99))
        );
    }
    caption
}

fn samples(metric: &Value, system: &str) -> Option<Series> {
    let samples: Vec<f64> = metric["samples"]
        .as_array()?
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    (!samples.is_empty()).then(|| Series {
        name: system.to_owned(),
        class: class_of(system),
        samples,
    })
}

fn class_of(system: &str) -> &'static str {
    let found = SYSTEMS.iter().find(|(name, _)| *name == system);
    found.map_or("raede", |(_, class)| class)
}

fn number(value: f64) -> String {
    if value.abs() >= 10.0 || value == value.trunc() {
        figure(&Value::from(value.round() as u64))
    } else {
        format!("{value:.3}")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const HEAD: &str = r##"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Raede: how late is it?</title><style>
:root { --ink: #1c1e21; --soft: #667; --line: #e3e5ea; --raede: #d9480f; --stock: #1971c2; --rt: #2b8a3e; }
body { margin: 0; font: 14px/1.45 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); background: #f6f7f9; }
main { max-width: 1000px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 0 0 2px; } h3 { font-size: 15px; margin: 22px 0 8px; }
section { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 20px 24px; margin: 18px 0; }
.about, .run { color: var(--soft); margin: 0 0 6px; } .run { font-size: 12.5px; }
code { background: #f1f2f5; padding: 1px 5px; border-radius: 4px; font-size: 12px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th { text-align: right; font-weight: 600; color: var(--soft); font-size: 12px; } th:first-child, td:first-child { text-align: left; }
td, th { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); } td { text-align: right; white-space: nowrap; }
td.note, th:last-child { text-align: left; color: var(--soft); font-size: 12px; padding-left: 10px; white-space: normal; }
.met { color: #2b8a3e; font-weight: 600; } .held { color: #b26a00; } .worse { color: #c92a2a; font-weight: 600; }
.ratio { display: inline-block; height: 9px; background: var(--raede); opacity: .55; border-radius: 2px; }
details { margin: 18px 0 0; } summary { cursor: pointer; font-weight: 600; }
.grid-of-plots { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: 8px 8px 6px; } .wide figure { margin-bottom: 14px; }
.wide svg, figure svg { max-width: 100%; height: auto; display: block; }
figcaption { font-size: 12px; color: var(--soft); margin-top: 4px; } figcaption b { color: var(--ink); }
svg text { font: 10px system-ui, "DejaVu Sans", sans-serif; fill: #778; } svg .grid { stroke: #eceef2; }
.bar { opacity: .28; } .bar.raede { fill: var(--raede); } .bar.stock { fill: var(--stock); } .bar.rt { fill: var(--rt); }
.curve { fill: none; stroke-width: 1.8; } .points { fill: none; stroke-width: 2.2; stroke-linecap: round; opacity: .6; }
path.raede { stroke: var(--raede); } path.stock { stroke: var(--stock); } path.rt { stroke: var(--rt); }
span.raede, b.raede { color: var(--raede); } span.stock, b.stock { color: var(--stock); } span.rt, b.rt { color: var(--rt); }
</style></head><body><main><h1>How late is it?</h1><p class="about">Raede and Debian's Linux in the same virtual machine, measured by the same probes. Lower is better where nothing else is said.</p>
"##;
