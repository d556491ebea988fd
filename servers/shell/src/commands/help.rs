//! `help`, usage, and what is said about an unknown command.

use rt::{ByteSink, ByteSource, Closed};

use super::options::Parsed;
use super::{COMMANDS, Command};
use crate::Host;
use crate::json::Object;
use crate::output::{Output, put};
use crate::session::Session;
use crate::status;

pub async fn help<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let output = &mut session.output;
    if let Some(name) = parsed.operands.first() {
        let Some(command) = Command::find(name) else {
            unknown(output, name);
            return Ok(status::FAILED);
        };
        usage(output, command);
        return Ok(status::OK);
    }
    let json = parsed.has("json");
    for command in COMMANDS {
        if json {
            let object = Object::new(output).string("command", command.name);
            let written = object.string("about", command.about).end();
            debug_assert!(written.is_ok());
            put!(*output, "\n");
        } else {
            put!(*output, "  {:<9} {}\n", command.name, command.about);
        }
        output.checkpoint().await?;
    }
    if !json {
        put!(
            *output,
            "COMMAND --help shows its options; `;` separates commands.\n"
        );
    }
    Ok(status::OK)
}

/// The one line behind every usage error.
pub fn usage_line<O: ByteSink>(output: &mut Output<'_, O>, command: &Command) {
    put!(*output, "usage: {}", command.name);
    for option in command.options {
        match (option.short, option.value) {
            (Some(short), Some(value)) => put!(*output, " [-{short} {value}]"),
            (Some(short), None) => put!(*output, " [-{short}]"),
            (None, Some(value)) => put!(*output, " [--{} {value}]", option.long),
            (None, None) => put!(*output, " [--{}]", option.long),
        }
    }
    if !command.operands.is_empty() {
        put!(*output, " {}", command.operands);
    }
    put!(*output, "\n");
}

pub fn usage<O: ByteSink>(output: &mut Output<'_, O>, command: &Command) {
    usage_line(output, command);
    put!(*output, "{}: {}\n", command.name, command.about);
    for option in command.options {
        let mut spelled = proto::Text::<48>::new();
        if let Some(short) = option.short {
            spelled = proto::Text::format(format_args!("-{short}, "));
        }
        spelled.push("--");
        spelled.push(option.long);
        if let Some(value) = option.value {
            spelled.push(" ");
            spelled.push(value);
        }
        put!(*output, "  {spelled:<22} {}", option.about);
        for (index, choice) in option.choices.iter().enumerate() {
            put!(*output, "{}{choice}", if index == 0 { ": " } else { ", " });
        }
        put!(*output, "\n");
    }
    put!(*output, "  {:<22} show this\n", "-h, --help");
}

pub fn unknown<O: ByteSink>(output: &mut Output<'_, O>, name: &str) {
    put!(*output, "raede: there is no command {name:?}");
    let nearest = COMMANDS
        .iter()
        .map(|command| (distance(name, command.name), command.name))
        .min();
    match nearest {
        Some((0..=2, similar)) => put!(*output, "; did you mean `{similar}`?\n"),
        _ => put!(*output, "; `help` lists them\n"),
    }
}

/// Longest word that is compared with the commands' names.
const LONGEST: usize = 16;

/// How many characters must be added, left out, replaced or swapped with their neighbour to get from
/// one word to the other (optimal string alignment). Words longer than any command are far off.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    if from.len() > LONGEST || to.len() > LONGEST || from.is_empty() {
        return usize::MAX;
    }
    let mut table = [[0; LONGEST + 1]; LONGEST + 1];
    for (row, cells) in table.iter_mut().enumerate() {
        cells[0] = row;
    }
    for (column, cell) in table[0].iter_mut().enumerate() {
        *cell = column;
    }
    for row in 1..=from.len() {
        for column in 1..=to.len() {
            let cost = usize::from(from[row - 1] != to[column - 1]);
            let mut best = (table[row - 1][column - 1] + cost)
                .min(table[row - 1][column] + 1)
                .min(table[row][column - 1] + 1);
            let swapped = row > 1
                && column > 1
                && from[row - 1] == to[column - 2]
                && from[row - 2] == to[column - 1];
            if swapped {
                best = best.min(table[row - 2][column - 2] + 1);
            }
            table[row][column] = best;
        }
    }
    // A short word is not similar to everything that is short.
    let result = table[from.len()][to.len()];
    if result >= from.len() {
        usize::MAX
    } else {
        result
    }
}
