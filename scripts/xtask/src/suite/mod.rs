//! The test suite: what `scripts/test` runs, and how it tells.
//!
//! A [`Step`] is one named check. The host's steps are in [`host_steps`], [`nostd`] and
//! [`binary`]; the scenarios booted in QEMU are a program of their own (`kernel/tests`) that uses
//! [`Reporter`] too, so that all lines look alike and the last one gives the totals.

pub mod binary;
pub mod host_steps;
pub mod nostd;
mod redzone;

use crate::sayln;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds. The text, if any, is a figure worth a glance.
    Passed(String),
    /// It does not, and why.
    Failed(String),
    /// It could not run here, and why.
    Skipped(String),
}

impl<E: fmt::Display> From<Result<(), E>> for Outcome {
    fn from(result: Result<(), E>) -> Outcome {
        Outcome::from(result.map(|()| String::new()))
    }
}

impl<E: fmt::Display> From<Result<String, E>> for Outcome {
    fn from(result: Result<String, E>) -> Outcome {
        match result {
            Ok(note) => Outcome::Passed(note),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

/// One named check.
pub struct Step {
    /// Its name, by which filters choose: `group.what`.
    pub name: String,
    /// Whether only `--long` runs it.
    pub long: bool,
    /// The check.
    pub run: Box<dyn Fn() -> Outcome>,
}

impl Step {
    /// A step of the normal suite.
    pub fn new(name: impl Into<String>, run: impl Fn() -> Outcome + 'static) -> Step {
        Step {
            name: name.into(),
            long: false,
            run: Box::new(run),
        }
    }
}

/// Which checks were asked for.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Run the long ones too.
    pub long: bool,
    /// Run those whose name contains one of these; all if empty.
    pub filters: Vec<String>,
}

impl Selection {
    /// Whether a check of this name is among them.
    pub fn wants(&self, name: &str, long: bool) -> bool {
        let named = self
            .filters
            .iter()
            .any(|filter| name.contains(filter.as_str()));
        if self.filters.is_empty() {
            self.long || !long
        } else {
            named && (self.long || !long || self.exact(name))
        }
    }

    /// A long check asked for by its full name runs without `--long`.
    fn exact(&self, name: &str) -> bool {
        self.filters.iter().any(|filter| filter == name)
    }
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Passed.
    pub passed: u32,
    /// Failed.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
}

impl Totals {
    /// Reads a line as [`Totals`] prints it.
    pub fn parse(line: &str) -> Option<Totals> {
        let mut totals = Totals::default();
        for part in line.trim().split(", ") {
            let (count, what) = part.split_once(' ')?;
            let field = match what {
                "passed" => &mut totals.passed,
                "failed" => &mut totals.failed,
                "skipped" => &mut totals.skipped,
                _ => return None,
            };
            *field = count.parse().ok()?;
        }
        Some(totals)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Prints one line per check on standard output and counts. Shared by threads.
#[derive(Debug, Default)]
pub struct Reporter {
    state: Mutex<(Totals, Vec<String>)>,
}

impl Reporter {
    /// Runs a check and reports it.
    pub fn run(&self, name: &str, check: impl FnOnce() -> Outcome) {
        let started = Instant::now();
        let outcome = check();
        self.report(name, started.elapsed(), &outcome);
    }

    /// Prints and counts an outcome.
    pub fn report(&self, name: &str, took: Duration, outcome: &Outcome) {
        let (word, text) = match outcome {
            Outcome::Passed(note) => ("ok  ", note),
            Outcome::Failed(why) => ("FAIL", why),
            Outcome::Skipped(why) => ("skip", why),
        };
        let mut lines = text.trim_end().lines();
        let first = lines.next().unwrap_or_default();
        let seconds = took.as_secs_f64();
        let mut message = format!("{word}  {name:<44} {seconds:>7.1} s");
        if !first.is_empty() {
            message.push_str("  ");
            message.push_str(first);
        }
        for line in lines {
            message.push_str("\n      | ");
            message.push_str(line);
        }
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        sayln!("{message}");
        match outcome {
            Outcome::Passed(_) => state.0.passed += 1,
            Outcome::Skipped(_) => state.0.skipped += 1,
            Outcome::Failed(_) => {
                state.0.failed += 1;
                state.1.push(name.to_owned());
            }
        }
    }

    /// Adds counts from another program that printed its own lines.
    pub fn add(&self, totals: Totals) {
        let mut state = self
            .state
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        state.0.passed += totals.passed;
        state.0.failed += totals.failed;
        state.0.skipped += totals.skipped;
    }

    /// The counts so far.
    pub fn totals(&self) -> Totals {
        self.state
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .0
    }
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_read_back() {
        let totals = Totals {
            passed: 12,
            failed: 1,
            skipped: 0,
        };
        assert_eq!(Totals::parse(&totals.to_string()), Some(totals));
        let totals = Totals {
            skipped: 3,
            ..totals
        };
        assert_eq!(Totals::parse(&totals.to_string()), Some(totals));
        assert_eq!(Totals::parse("running 3 tests"), None);
    }

    #[test]
    fn selections() {
        let all = Selection::default();
        assert!(all.wants("a", false) && !all.wants("a", true));
        let some = Selection {
            long: false,
            filters: vec!["boot".into(), "soak.wakes".into()],
        };
        assert!(some.wants("qemu.boot.pvh", false) && !some.wants("qemu.boot.pvh", true));
        assert!(some.wants("soak.wakes", true) && !some.wants("host.fmt", false));
    }

    #[test]
    fn counts() {
        let reporter = Reporter::default();
        reporter.run("t.pass", || Outcome::Passed(String::new()));
        reporter.run("t.fail", || Outcome::from(Err::<(), _>("why\nmore")));
        reporter.add(Totals {
            passed: 1,
            failed: 0,
            skipped: 2,
        });
        assert_eq!(
            reporter.totals(),
            Totals {
                passed: 2,
                failed: 1,
                skipped: 2
            }
        );
    }
}
