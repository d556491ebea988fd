//! `cargo xtask programs`: builds only the programs' archive, for builds of the kernel by hand.

use crate::build::programs;
use crate::error::Result;
use crate::{say, sayln};
use lexopt::prelude::*;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask programs

Builds the programs for ring 3 and prints the archive's path: what RAEDE_PROGRAMS names when the kernel is built.
";

pub(super) fn main(parser: &mut lexopt::Parser) -> Result<ExitCode> {
    match parser.next()? {
        None => {}
        Some(Long("help") | Short('h')) => {
            say!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(other) => return Err(other.unexpected().into()),
    }
    sayln!("{}", programs::archive(None)?.display());
    Ok(ExitCode::SUCCESS)
}
