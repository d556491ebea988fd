//! `scripts/image`: the image for CD and USB stick.

use super::text;
use crate::build;
use crate::error::{Doing, Result};
use crate::host;
use crate::packages::{self, Tool};
use crate::{say, sayln};
use lexopt::prelude::*;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Usage: scripts/image [--out FILE] [--append TEXT]

Builds one image that boots from CD and from a USB stick, on BIOS and UEFI machines.

  --out FILE     where to put it (default: target/raede.iso)
  --append TEXT  words for the kernel's command line
";

pub(super) fn main(parser: &mut lexopt::Parser) -> Result<ExitCode> {
    let mut out: Option<PathBuf> = None;
    let mut command_line = String::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                say!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            Long("out") => out = Some(parser.value()?.into()),
            Long("append") => command_line = text(parser)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let out = out.unwrap_or_else(|| host::target_dir().join("raede.iso"));
    packages::require(&Tool::IMAGE)?;
    let kernel = build::kernel()?;
    eprintln!("Writing the image...");
    build::image::build(&kernel, &command_line, &out)?;
    let size = fs::metadata(&out)
        .doing(|| format!("reading {}", out.display()))?
        .len();
    sayln!(
        "{} ({:.1} MiB)",
        out.display(),
        size as f64 / f64::from(1 << 20)
    );
    sayln!("Write it to a USB stick (this erases the stick; put its device for sdX):");
    sayln!(
        "  sudo dd if={} of=/dev/sdX bs=4M conv=fsync status=progress",
        out.display()
    );
    Ok(ExitCode::SUCCESS)
}
