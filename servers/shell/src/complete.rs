//! Completion of commands, their options and the words options take, and of names that only the system knows.

use core::array;
use core::fmt::Write;

use proto::{Cursor, UnitName, UnitRow};

use crate::Host;
use crate::commands::{COMMANDS, Command, SVC_WORDS};

/// Most names that are asked for: more is not worth listing.
const MOST_NAMES: usize = 64;
/// Rows asked for at once.
const PAGE_ROWS: usize = 8;

type Names = heapless::Vec<UnitName, MOST_NAMES>;

/// What the word before the cursor may become. Candidates are visited, not collected.
pub struct Completion<'a> {
    /// The word so far.
    pub word: &'a str,
    kind: Kind,
    /// Of units or programs, once they were asked for.
    names: Names,
}

enum Kind {
    Commands,
    Options(&'static Command),
    Choices(&'static [&'static str]),
    Units,
    Programs,
    Nothing,
}

impl<'a> Completion<'a> {
    /// Looks what may follow `line`.
    pub fn of(line: &'a str) -> Self {
        let command = line.rsplit(';').next().unwrap_or_default().trim_start();
        let word = command
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default();
        let before = command
            .get(..command.len() - word.len())
            .unwrap_or_default();
        let mut words = before.split_whitespace();
        let (name, last) = (words.next(), words.next_back());
        let kind = match name {
            None => Kind::Commands,
            Some("help") => Kind::Commands,
            Some("svc") if last.is_none() && !word.starts_with('-') => Kind::Choices(SVC_WORDS),
            Some("svc") if !word.starts_with('-') && last.is_some_and(is_svc_word) => Kind::Units,
            Some("run") if last.is_none() && !word.starts_with('-') => Kind::Programs,
            Some(name) => match Command::find(name) {
                None => Kind::Nothing,
                Some(command) => {
                    let taking = last.and_then(|last| command.option(last));
                    match taking.filter(|option| option.value.is_some()) {
                        Some(option) => Kind::Choices(option.choices),
                        None => Kind::Options(command),
                    }
                }
            },
        };
        Self {
            word,
            kind,
            names: Names::new(),
        }
    }

    /// Asks the system for the names it takes. Without an answer nothing is completed.
    pub async fn ask<S: Host>(&mut self, system: &S) {
        let names = &mut self.names;
        match self.kind {
            Kind::Units => {
                let mut page: [UnitRow; PAGE_ROWS] = array::from_fn(|_| UnitRow::default());
                let mut cursor = Cursor::START;
                while let Ok(count @ 1..) = system.units(&mut cursor, &mut page).await {
                    let rows = page.iter().take(count);
                    names.extend(
                        rows.map(|row| row.name.clone())
                            .take(MOST_NAMES - names.len()),
                    );
                }
            }
            Kind::Programs => {
                let mut page: [UnitName; PAGE_ROWS] = array::from_fn(|_| UnitName::new());
                let mut cursor = Cursor::START;
                while let Ok(count @ 1..) = system.programs(&mut cursor, &mut page).await {
                    let rows = page.iter().take(count);
                    names.extend(rows.take(MOST_NAMES - names.len()).cloned());
                }
            }
            _ => {}
        }
    }

    /// Visits each candidate.
    pub fn each(&self, visit: &mut dyn FnMut(&str)) {
        let mut offer = |candidate: &str| {
            if candidate.starts_with(self.word) {
                visit(candidate);
            }
        };
        match &self.kind {
            Kind::Commands => COMMANDS.iter().for_each(|command| offer(command.name)),
            Kind::Choices(words) => words.iter().for_each(|word| offer(word)),
            Kind::Options(command) => {
                for option in command.options {
                    let mut text = proto::Text::<32>::new();
                    if write!(text, "--{}", option.long).is_ok() {
                        offer(&text);
                    }
                }
                offer("--help");
            }
            Kind::Units | Kind::Programs => self.names.iter().for_each(|name| offer(name)),
            Kind::Nothing => {}
        }
    }

    /// How many candidates there are, and what all of them have in common beyond the word.
    pub fn common(&self) -> (usize, proto::Text<32>) {
        let mut count = 0;
        let mut common = proto::Text::<32>::new();
        self.each(&mut |candidate| {
            let rest = candidate.get(self.word.len()..).unwrap_or_default();
            count += 1;
            if count == 1 {
                common = proto::Text::from(rest);
            } else {
                let same = common
                    .bytes()
                    .zip(rest.bytes())
                    .take_while(|(a, b)| a == b)
                    .count();
                // Most names and options are ASCII; a cut inside of a character completes nothing.
                common = proto::Text::from(common.get(..same).unwrap_or_default());
            }
        });
        (count, common)
    }
}

fn is_svc_word(word: &str) -> bool {
    SVC_WORDS.contains(&word)
}
