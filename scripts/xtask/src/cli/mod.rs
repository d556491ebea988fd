//! What a person types: one module per script, each with its own `--help`.

mod bench;
mod image;
mod programs;
mod run;
mod test;

use crate::error::{Error, Result};
use lexopt::Parser;
use std::process::ExitCode;

/// Exit status of a wrong command line.
const USAGE: u8 = 2;

/// Runs the action named by the first argument.
pub fn main() -> ExitCode {
    let mut parser = Parser::from_env();
    let action = match parser.next() {
        Ok(Some(lexopt::Arg::Value(action))) => action.to_string_lossy().into_owned(),
        _ => String::new(),
    };
    let outcome = match action.as_str() {
        "run" => run::main(&mut parser),
        "image" => image::main(&mut parser),
        "bench" => bench::main(&mut parser),
        "programs" => programs::main(&mut parser),
        "test" => test::main(&mut parser),
        _ => Err(Error::Usage(
            "an action is needed: run, test, bench, image or programs".into(),
        )),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(if matches!(error, Error::Usage(_)) {
            USAGE
        } else {
            1
        })
    })
}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Error {
        Error::Usage(error.to_string())
    }
}

/// An option's value as text.
fn text(parser: &mut Parser) -> Result<String> {
    let value = parser.value()?;
    value
        .into_string()
        .map_err(|raw| Error::Usage(format!("{} is not UTF-8", raw.to_string_lossy())))
}

/// An option's value as a number from `low` to `high`.
fn number(parser: &mut Parser, option: &str, low: u64, high: u64) -> Result<u64> {
    let value = text(parser)?;
    match value.parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(Error::Usage(format!(
            "{option} {value}: a number from {low} to {high} is needed"
        ))),
    }
}
