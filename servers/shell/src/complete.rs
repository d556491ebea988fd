//! Completion of commands, their options and the words options take.

use core::fmt::Write;

use crate::commands::{COMMANDS, Command, SVC_WORDS};

/// What the word before the cursor may become. Candidates are visited, not collected.
pub struct Completion<'a> {
    /// The word so far.
    pub word: &'a str,
    kind: Kind,
}

enum Kind {
    Commands,
    Options(&'static Command),
    Choices(&'static [&'static str]),
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
        Self { word, kind }
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
                // Names and options are ASCII: every byte position is a character's.
                common = proto::Text::from(common.get(..same).unwrap_or_default());
            }
        });
        (count, common)
    }
}
