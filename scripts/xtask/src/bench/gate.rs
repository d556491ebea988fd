//! Gates: what `bench/goals.toml` asks of a run's figures.
//!
//! A figure passes if it meets its goal in every run, or, as long as it has not met it, if it is at most 5 % worse than the
//! stored one. [`store`] writes better figures into the file.

use super::{Results, compare};
use crate::error::{Doing, Error, Result};
use crate::host;
use std::fmt::{self, Write};
use std::fs;
use std::path::PathBuf;

/// A figure without its goal may be so much worse than the stored one.
const TOLERANCE: f64 = 1.05;

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The figure itself: instructions, bytes.
    Figure,
    /// Divided by the better Linux's of the same run.
    ToLinux,
    /// Divided by another figure of the same run.
    ToFloor,
}

/// One figure's goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// The mode it is measured in.
    pub mode: String,
    /// The metric.
    pub metric: String,
    /// Which figure of it: `p50`, `p99`, `value`.
    pub figure: String,
    /// What is judged.
    pub unit: Unit,
    /// The metric that it is divided by, for [`Unit::ToFloor`].
    pub floor: String,
    /// To be reached.
    pub goal: f64,
    /// The best so far.
    pub stored: f64,
    /// A figure without its goal may be so many times as bad as the stored one: [`TOLERANCE`], unless runs of the same code differ by more.
    pub spread: f64,
    /// Whether more is better.
    pub higher: bool,
}

/// What became of a gate.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The goal is met, by this figure at worst.
    Met(f64),
    /// It is not, but the figure is no worse than it was.
    Held(f64),
    /// Too bad a figure.
    Worse(f64),
    /// Not measured.
    Missing,
    /// The host's noise is larger than the figure.
    Noise(f64),
}

impl Verdict {
    /// Whether the gate is open.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Met(_) | Self::Held(_) | Self::Noise(_))
    }
}

impl Gate {
    /// Its name in reports.
    pub fn name(&self) -> String {
        let of = match self.unit {
            Unit::Figure => "",
            Unit::ToLinux => " / Linux",
            Unit::ToFloor => " / floor",
        };
        match self.figure.as_str() {
            "value" => format!("{}{of}", self.metric),
            figure => format!("{} {figure}{of}", self.metric),
        }
    }

    /// What is judged, in one run.
    fn figure_in(&self, ours: &Results, linux: &[(&str, Results)]) -> Option<f64> {
        let figure = ours.metric(&self.metric)?[&self.figure].as_f64()?;
        match self.unit {
            Unit::Figure => Some(figure),
            Unit::ToLinux => {
                let (theirs, _) = compare::best(&self.metric, &self.figure, linux)?;
                Some(figure / theirs)
            }
            Unit::ToFloor => Some(figure / ours.metric(&self.floor)?[&self.figure].as_f64()?),
        }
    }

    fn is_within(&self, figure: f64, limit: f64) -> bool {
        if self.higher {
            figure >= limit
        } else {
            figure <= limit
        }
    }

    /// Judges the runs together: the worst one counts.
    pub fn judge(&self, runs: &[(&Results, &[(&str, Results)])]) -> Verdict {
        let mut worst: Option<f64> = None;
        for (ours, linux) in runs {
            let Some(figure) = self.figure_in(ours, linux) else {
                return Verdict::Missing;
            };
            // A clock on the wall shows the host too.
            if ours.is_noise(&self.metric, &self.figure) {
                return Verdict::Noise(figure);
            }
            worst = Some(match worst {
                Some(other) if self.is_within(figure, other) => other,
                _ => figure,
            });
        }
        let Some(worst) = worst else {
            return Verdict::Missing;
        };
        let limit = if self.higher {
            self.stored / self.spread
        } else {
            self.stored * self.spread
        };
        if self.is_within(worst, self.goal) {
            Verdict::Met(worst)
        } else if self.is_within(worst, limit) {
            Verdict::Held(worst)
        } else {
            Verdict::Worse(worst)
        }
    }

    /// One line about it, with what to do if it is closed.
    pub fn tell(&self, verdict: &Verdict) -> String {
        let (name, goal, stored) = (self.name(), Number(self.goal), Number(self.stored));
        match verdict {
            Verdict::Met(figure) => format!("met   {name}: {} (goal {goal})", Number(*figure)),
            Verdict::Held(figure) => format!(
                "held  {name}: {} (goal {goal}, stored {stored})",
                Number(*figure)
            ),
            Verdict::Noise(figure) => format!(
                "noise {name}: {} (goal {goal}): the host's noise is larger than this figure",
                Number(*figure)
            ),
            Verdict::Missing => format!("FAIL  {name}: it was not measured"),
            Verdict::Worse(figure) => {
                let figure = Number(*figure);
                let rule = if self.is_within(self.stored, self.goal) {
                    "it met its goal and does no more".to_owned()
                } else {
                    let percent = ((self.spread - 1.0) * 100.0).round();
                    format!("more than {percent} % worse than the stored figure")
                };
                format!(
                    "FAIL  {name}: {figure}, goal {goal}, stored {stored}: {rule}. Find what got slower; if it is meant to, write \
                     `stored = {figure}` for it in bench/goals.toml and say why in the commit"
                )
            }
        }
    }
}

/// A figure as the file has it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.abs() >= 10.0 || self.0 == self.0.trunc() {
            write!(f, "{}", self.0.round())
        } else {
            write!(f, "{:.3}", self.0)
        }
    }
}

/// The file with the goals.
pub fn path() -> PathBuf {
    host::root().join("bench/goals.toml")
}

/// All gates of a mode whose metric begins with one of `only`, if that has any.
pub fn gates(mode: &str, only: &[String]) -> Result<Vec<Gate>> {
    let path = path();
    let text = fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))?;
    let mut gates = parse(&text).map_err(|problem| Error::Format { path, problem })?;
    gates.retain(|gate| gate.mode == mode && is_wanted(&gate.metric, only));
    Ok(gates)
}

/// Whether `--only` names this metric, or a prefix of it, or nothing at all.
pub fn is_wanted(metric: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|prefix| metric.starts_with(prefix))
}

/// Whether `--only` leaves anything of metrics that begin with one of these.
pub fn wants(only: &[String], prefixes: &[&str]) -> bool {
    let related = |only: &String| {
        let mut prefixes = prefixes.iter();
        prefixes.any(|prefix| prefix.starts_with(only.as_str()) || only.starts_with(prefix))
    };
    only.is_empty() || only.iter().any(related)
}

fn parse(text: &str) -> std::result::Result<Vec<Gate>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let list = table.get("gate").and_then(toml::Value::as_array);
    let list = list.ok_or("no [[gate]] in it")?;
    list.iter().map(gate).collect()
}

fn gate(value: &toml::Value) -> std::result::Result<Gate, String> {
    let text = |key: &str| value.get(key).and_then(toml::Value::as_str);
    let number = |key: &str| {
        let value = value.get(key)?;
        value
            .as_float()
            .or_else(|| value.as_integer().map(|number| number as f64))
    };
    let metric = text("metric").ok_or("a gate without a metric")?;
    let (name, figure) = metric.rsplit_once(' ').unwrap_or((metric, "value"));
    let missing = |key: &str| format!("{metric}: no {key}");
    let unit = match text("to") {
        None => Unit::Figure,
        Some("linux") => Unit::ToLinux,
        Some(_) => Unit::ToFloor,
    };
    Ok(Gate {
        mode: text("mode").ok_or_else(|| missing("mode"))?.to_owned(),
        metric: name.to_owned(),
        figure: figure.to_owned(),
        unit,
        floor: text("to").unwrap_or_default().to_owned(),
        goal: number("goal").ok_or_else(|| missing("goal"))?,
        stored: number("stored").ok_or_else(|| missing("stored"))?,
        spread: number("spread").unwrap_or(TOLERANCE),
        higher: value.get("higher").and_then(toml::Value::as_bool) == Some(true),
    })
}

/// Writes better figures into the file; gives their number.
pub fn store(gates: &[(Gate, Verdict)]) -> Result<usize> {
    let path = path();
    let text = fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))?;
    let (text, changed) = stored(&text, gates);
    if changed > 0 {
        fs::write(&path, text).doing(|| format!("writing {}", path.display()))?;
    }
    Ok(changed)
}

/// The file's text with better figures, and their number.
fn stored(text: &str, gates: &[(Gate, Verdict)]) -> (String, usize) {
    let mut out = String::new();
    let (mut mode, mut metric, mut to, mut changed) = (String::new(), String::new(), None, 0);
    for line in text.lines() {
        let value = |key: &str| {
            let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
            Some(rest.trim().trim_matches('"').to_owned())
        };
        if line.trim() == "[[gate]]" {
            to = None;
        }
        mode = value("mode").unwrap_or(mode);
        metric = value("metric").unwrap_or(metric);
        to = value("to").or(to);
        let better = gates.iter().find_map(|(gate, verdict)| {
            let named =
                metric == format!("{} {}", gate.metric, gate.figure) || metric == gate.metric;
            let same = gate.mode == mode && named && gate.floor == to.clone().unwrap_or_default();
            match verdict {
                Verdict::Met(figure) | Verdict::Held(figure)
                    if same && *figure != gate.stored && gate.is_within(*figure, gate.stored) =>
                {
                    Some(*figure)
                }
                _ => None,
            }
        });
        match better.filter(|_| value("stored").is_some()) {
            Some(figure) => {
                changed += 1;
                let _ = writeln!(out, "stored = {}", Number(figure));
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    (out, changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FILE: &str = "# what\n[[gate]]\nmode = \"icount\"\nmetric = \"wake p50\"\ngoal = 900\nstored = 1000\n\n[[gate]]\nmode = \"tcg\"\nmetric = \"boot\"\nto = \"linux\"\ngoal = 0.1\nstored = 0.25\n";

    fn results(name: &str, figure: &str, value: f64) -> Results {
        let mut results = Results::default();
        results
            .add(json!({"metric": name, "unit": "ns", "n": 1, "p50": 0, figure: value}))
            .expect("a metric");
        results
    }

    fn judge(gate: &Gate, figures: &[f64]) -> Verdict {
        let runs: Vec<Results> = figures
            .iter()
            .map(|figure| results(&gate.metric, &gate.figure, *figure))
            .collect();
        let runs: Vec<_> = runs.iter().map(|run| (run, &[][..])).collect();
        gate.judge(&runs)
    }

    #[test]
    fn a_goal_is_met_in_all_runs_or_not_at_all() {
        let gates = parse(FILE).expect("two gates");
        let gate = &gates[0];
        assert_eq!(judge(gate, &[900.0, 850.0]), Verdict::Met(900.0));
        assert_eq!(judge(gate, &[850.0, 901.0]), Verdict::Held(901.0));
        assert_eq!(judge(gate, &[1049.0]), Verdict::Held(1049.0));
        assert_eq!(judge(gate, &[1000.0, 1051.0]), Verdict::Worse(1051.0));
        let told = gate.tell(&Verdict::Worse(1051.0));
        for word in ["wake p50", "1051", "goal 900", "stored 1000", "goals.toml"] {
            assert!(told.contains(word), "{told}");
        }
        assert_eq!(gate.judge(&[(&Results::default(), &[])]), Verdict::Missing);
        assert!(!Verdict::Missing.passes() && !Verdict::Worse(1.0).passes());
    }

    #[test]
    fn a_goal_that_was_met_is_to_be_kept() {
        let gate = Gate {
            stored: 880.0,
            ..parse(FILE).expect("gates").remove(0)
        };
        assert_eq!(judge(&gate, &[899.0]), Verdict::Met(899.0));
        assert_eq!(judge(&gate, &[925.0]), Verdict::Worse(925.0));
    }

    #[test]
    fn ratios_are_of_one_run() {
        let gate = &parse(FILE).expect("gates")[1];
        let ours = results("boot", "value", 20.0);
        let linux = [("stock", results("boot", "value", 100.0))];
        assert_eq!(gate.judge(&[(&ours, &linux)]), Verdict::Held(0.2));
        let floor = Gate {
            unit: Unit::ToFloor,
            floor: "floor".into(),
            goal: 1.2,
            ..gate.clone()
        };
        let mut ours = results("boot", "value", 11.0);
        ours.extend(results("floor", "value", 10.0));
        assert_eq!(floor.judge(&[(&ours, &[])]), Verdict::Met(1.1));
    }

    #[test]
    fn more_can_be_better() {
        let gate = Gate {
            higher: true,
            goal: 1.0,
            stored: 0.8,
            ..parse(FILE).expect("gates").remove(0)
        };
        assert_eq!(judge(&gate, &[1.5, 1.1]), Verdict::Met(1.1));
        assert_eq!(judge(&gate, &[0.79]), Verdict::Held(0.79));
        assert_eq!(judge(&gate, &[0.7]), Verdict::Worse(0.7));
    }

    #[test]
    fn only_better_figures_are_stored() {
        let gates = parse(FILE).expect("gates");
        let judged = |wake: f64, boot: f64| {
            let verdicts = [Verdict::Held(wake), Verdict::Met(boot)];
            gates.iter().cloned().zip(verdicts).collect::<Vec<_>>()
        };
        let (text, changed) = stored(FILE, &judged(950.0, 0.2));
        assert_eq!(changed, 2);
        let again = parse(&text).expect("still a file");
        assert_eq!((again[0].stored, again[1].stored), (950.0, 0.2));
        assert_eq!(stored(FILE, &judged(1010.0, 0.3)), (FILE.to_owned(), 0));
    }
}
