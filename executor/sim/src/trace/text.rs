//! A trace as text: one event per line, as the table in the [module](super) says.

use std::fmt;

use super::{Class, Division, Event, How, Terms};

/// The first line of a trace.
pub const HEADER: &str = "executor-trace 1";

struct Maybe(Option<u64>);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("-"),
        }
    }
}

fn flags(pairs: &[(bool, char)]) -> String {
    let text: String = pairs
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, letter)| *letter)
        .collect();
    if text.is_empty() { "-".into() } else { text }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Event::Core { core, division: d } => write!(
                f,
                "core {core} {} {} {} {} {} {} {}",
                d.limit_permille,
                d.open_permille,
                d.fair_budget,
                d.fair_period,
                d.open_period,
                d.longest_poll,
                if d.timed { "timed" } else { "untimed" }
            ),
            Event::Reserve {
                t,
                res,
                core,
                terms: r,
            } => write!(
                f,
                "reserve {t} {res} {core} {} {} {} {} {} {}",
                r.budget,
                r.period,
                r.deadline,
                r.p_max,
                if r.hard { "hard" } else { "soft" },
                flags(&[(r.reclaims, 'r'), (r.overruns, 'o')])
            ),
            Event::Release { t, res } => write!(f, "release {t} {res}"),
            Event::Task {
                task,
                core,
                class: Class::Fair(weight),
                ..
            } => write!(f, "task {task} {core} fair {weight}"),
            Event::Task {
                task,
                core,
                class: Class::Open(relative),
                ..
            } => write!(f, "task {task} {core} open {}", Maybe(relative)),
            Event::Task {
                task,
                core,
                class: Class::In(res),
                guaranteed,
            } => {
                write!(
                    f,
                    "task {task} {core} in {res} {}",
                    flags(&[(guaranteed, 'g')])
                )
            }
            Event::Wake {
                t,
                core,
                task,
                stamp,
                deadline,
            } => write!(f, "wake {t} {core} {task} {stamp} {}", Maybe(deadline)),
            Event::Run {
                t,
                core,
                task,
                deadline,
            } => write!(f, "run {t} {core} {task} {}", Maybe(deadline)),
            Event::End { t, core, task, how } => {
                let how = match how {
                    How::Yield => "yield",
                    How::Block => "block",
                    How::Finish => "finish",
                };
                write!(f, "end {t} {core} {task} {how}")
            }
            Event::Job {
                t,
                core,
                task,
                release,
            } => write!(f, "job {t} {core} {task} {release}"),
            Event::Idle { t, core } => write!(f, "idle {t} {core}"),
        }
    }
}

/// A line that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What was expected.
    pub wanted: &'static str,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: expected {}, got `{}`",
            self.line, self.wanted, self.text
        )
    }
}

impl std::error::Error for BadLine {}

struct Words<'a>(std::str::SplitWhitespace<'a>);

type Wanted = &'static str;

impl Words<'_> {
    fn word(&mut self, wanted: Wanted) -> Result<&str, Wanted> {
        self.0.next().ok_or(wanted)
    }

    fn ticks(&mut self) -> Result<u64, Wanted> {
        self.word("a number")?.parse().map_err(|_| "a number")
    }

    fn number(&mut self) -> Result<u32, Wanted> {
        self.word("a number")?
            .parse()
            .map_err(|_| "a number below 2^32")
    }

    fn maybe(&mut self) -> Result<Option<u64>, Wanted> {
        match self.word("a number or `-`")? {
            "-" => Ok(None),
            word => word.parse().map(Some).map_err(|_| "a number or `-`"),
        }
    }

    fn flags(&mut self, letters: &str) -> Result<String, Wanted> {
        let word = self.word("flags or `-`")?;
        if word == "-" || word.chars().all(|letter| letters.contains(letter)) {
            Ok(word.into())
        } else {
            Err("known flags or `-`")
        }
    }
}

fn parse_line(line: &str) -> Result<Event, Wanted> {
    let mut words = Words(line.split_whitespace());
    let kind = words.word("an event")?.to_owned();
    let w = &mut words;
    let event = match kind.as_str() {
        "core" => {
            let core = w.number()?;
            let (limit_permille, open_permille) = (w.ticks()?, w.ticks()?);
            let (fair_budget, fair_period) = (w.ticks()?, w.ticks()?);
            let (open_period, longest_poll) = (w.ticks()?, w.ticks()?);
            let timed = match w.word("timed or untimed")? {
                "timed" => true,
                "untimed" => false,
                _ => return Err("timed or untimed"),
            };
            if fair_budget == 0 || fair_budget > fair_period || open_period == 0 {
                return Err("budgets and periods above 0");
            }
            Event::Core {
                core,
                division: Division {
                    limit_permille,
                    open_permille,
                    fair_budget,
                    fair_period,
                    open_period,
                    longest_poll,
                    timed,
                },
            }
        }
        "reserve" => {
            let (t, res, core) = (w.ticks()?, w.number()?, w.number()?);
            let (budget, period, deadline, p_max) =
                (w.ticks()?, w.ticks()?, w.ticks()?, w.ticks()?);
            let hard = match w.word("hard or soft")? {
                "hard" => true,
                "soft" => false,
                _ => return Err("hard or soft"),
            };
            let flags = w.flags("ro")?;
            if budget == 0 || budget > deadline || deadline > period {
                return Err("0 < budget <= deadline <= period");
            }
            let terms = Terms {
                budget,
                period,
                deadline,
                p_max,
                hard,
                reclaims: flags.contains('r'),
                overruns: flags.contains('o'),
            };
            Event::Reserve {
                t,
                res,
                core,
                terms,
            }
        }
        "release" => Event::Release {
            t: w.ticks()?,
            res: w.number()?,
        },
        "task" => {
            let (task, core) = (w.number()?, w.number()?);
            let (class, guaranteed) = match w.word("fair, open or in")? {
                "fair" => (Class::Fair(w.number()?.max(1)), false),
                "open" => (Class::Open(w.maybe()?), false),
                "in" => (Class::In(w.number()?), w.flags("g")?.contains('g')),
                _ => return Err("fair, open or in"),
            };
            Event::Task {
                task,
                core,
                class,
                guaranteed,
            }
        }
        "wake" => Event::Wake {
            t: w.ticks()?,
            core: w.number()?,
            task: w.number()?,
            stamp: w.ticks()?,
            deadline: w.maybe()?,
        },
        "run" => Event::Run {
            t: w.ticks()?,
            core: w.number()?,
            task: w.number()?,
            deadline: w.maybe()?,
        },
        "end" => {
            let (t, core, task) = (w.ticks()?, w.number()?, w.number()?);
            let how = match w.word("yield, block or finish")? {
                "yield" => How::Yield,
                "block" => How::Block,
                "finish" => How::Finish,
                _ => return Err("yield, block or finish"),
            };
            Event::End { t, core, task, how }
        }
        "job" => Event::Job {
            t: w.ticks()?,
            core: w.number()?,
            task: w.number()?,
            release: w.ticks()?,
        },
        "idle" => Event::Idle {
            t: w.ticks()?,
            core: w.number()?,
        },
        _ => return Err("an event"),
    };
    if words.0.next().is_some() {
        Err("the end of the line")
    } else {
        Ok(event)
    }
}

/// Reads a trace.
///
/// # Errors
/// At the first line that is neither event nor comment, or if the header is missing.
pub fn parse(text: &str) -> Result<Vec<Event>, BadLine> {
    let bad = |line: usize, text: &str, wanted| BadLine {
        line: line + 1,
        text: text.chars().take(120).collect(),
        wanted,
    };
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number, line.split('#').next().unwrap_or("").trim()))
        .filter(|(_, line)| !line.is_empty());
    match lines.next() {
        Some((_, HEADER)) => {}
        first => {
            return Err(first.map_or(bad(0, "", HEADER), |(number, line)| {
                bad(number, line, HEADER)
            }));
        }
    }
    lines
        .map(|(number, line)| parse_line(line).map_err(|wanted| bad(number, line, wanted)))
        .collect()
}

/// Writes a trace.
pub fn print(events: &[Event]) -> String {
    use fmt::Write;
    let mut text = String::from(HEADER);
    text.push('\n');
    for event in events {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{event}");
    }
    text
}
