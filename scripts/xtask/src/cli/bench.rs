//! `scripts/bench`: figures, for people as a table and for programs as JSON.

use super::{number, text};
use crate::bench::guest::{self, Mode};
use crate::bench::{Results, compare, linux, peers};
use crate::build;
use crate::error::{Error, Result};
use crate::packages::{self, Tool};
use crate::{say, sayln};
use lexopt::prelude::*;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Usage: scripts/bench --icount|--host [OPTIONS]

Measures Raede, prints a table and writes target/bench/MODE.json.

  --icount           probes inside Raede under QEMU, in the kernel and in ring 3, counting
                     instructions: one ns is one instruction, figures do not depend on the host
  --linux            (with --icount) Linux beside it: Debian's kernels, stock and -rt, downloaded, in
                     a machine like Raede's, with the same probes; each figure's ratio to the better
  --host             the executor beside its peers, on this machine
  --phases P         (icount) which probes of the kernel (default all; its bench.phases=)
  --seconds N        (icount) how long each periodic probe lasts (default 2)
  --append TEXT      (icount) more words for the kernel's command line
  --timeout SECONDS  (icount) limit (default 900)
  --only WORKLOAD    (host) only this one; may be given several times
  --quick            (host) fewer and shorter repetitions
  --instructions     (host) count instructions per operation too; some minutes more
";

pub(super) fn main(parser: &mut lexopt::Parser) -> Result<ExitCode> {
    let mut modes = Vec::new();
    let (mut phases, mut append) = ("all".to_owned(), String::new());
    let mut limit = Duration::from_secs(900);
    let (mut beside_linux, mut seconds) = (false, 2);
    let (mut beside_peers, mut host_options) = (false, peers::Options::default());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => {
                say!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            Long("icount") => modes.push(Mode::Icount),
            Long("host") => beside_peers = true,
            Long("linux") => beside_linux = true,
            Long("seconds") => seconds = number(parser, "--seconds", 1, 600)?,
            Long("only") => host_options.only.push(text(parser)?),
            Long("quick") => host_options.quick = true,
            Long("instructions") => host_options.instructions = true,
            Long("phases") => phases = text(parser)?,
            Long("append") => append = text(parser)?,
            Long("timeout") => limit = Duration::from_secs(number(parser, "--timeout", 1, 86_400)?),
            other => return Err(other.unexpected().into()),
        }
    }
    if beside_peers {
        peers::run(&host_options)?;
        if modes.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if modes.is_empty() {
        return Err(Error::Usage("what to measure? --icount or --host".into()));
    }
    modes.dedup();
    packages::require(&[Tool::Qemu])?;
    let kernel = build::kernel()?;
    for mode in modes {
        eprintln!("Measuring Raede ({})...", mode.name());
        let mut results = guest::run(&mode.machine(&kernel, &phases, &append), limit)?;
        if results.is_empty() {
            return Err(Error::Qemu(format!("no figures for phases {phases:?}")));
        }
        results.extend(guest::run(
            &mode.ring3_machine(&kernel, seconds, &append),
            limit,
        )?);
        let file = results.save(mode.name())?;
        say!("{}", results.table());
        sayln!("{} figures in {}", results.len(), file.display());
        if beside_linux {
            compare_with_linux(&results, seconds, limit)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compare_with_linux(ours: &Results, seconds: u64, limit: Duration) -> Result<()> {
    let initial = linux::initial_file_system()?;
    let mut all = Vec::new();
    for flavour in linux::Flavour::ALL {
        let machine = flavour.machine(&initial, seconds)?;
        eprintln!("Measuring {}...", flavour.name());
        let results = guest::run(&machine, limit)?;
        let file = results.save(flavour.name())?;
        sayln!("{} figures in {}", results.len(), file.display());
        all.push((flavour.name(), results));
    }
    say!("\n{}", compare::table(&compare::rows(ours, &all)));
    Ok(())
}
