//! The program's command line: `run` is for people, `measure` for the program itself.

use crate::child::{Amount, Job};
use crate::peers;
use crate::report::{Error, goals, plot, short, table};
use crate::runner::{Effort, Programs};
use crate::work::Workload;
use lexopt::prelude::*;
use std::path::PathBuf;
use std::process::ExitCode;

/// The options of `run`, as `scripts/bench --host` passes them on.
pub const OPTIONS: &str = "\
  --only WORKLOAD    only this one; may be given several times
  --quick            fewer and shorter repetitions
  --instructions     also count instructions per operation (callgrind; some minutes more)
";

/// Runs what the first argument names.
pub fn main() -> ExitCode {
    let mut parser = lexopt::Parser::from_env();
    let outcome = match parser.next() {
        Ok(Some(Value(action))) if action == "run" => run(&mut parser),
        Ok(Some(Value(action))) if action == "measure" => measure(&mut parser),
        _ => Err(Error::Usage(format!(
            "bench-host run --out FOLDER [OPTIONS]\n{OPTIONS}bench-host measure --executor NAME --workload NAME --size N (--ms N | --ops N)\n\
             executors: {}\nworkloads: {}",
            peers::NAMES.join(" "),
            Workload::ALL.map(Workload::name).join(" ")
        ))),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(if matches!(error, Error::Usage(_)) {
            2
        } else {
            1
        })
    })
}

fn workload(name: &str) -> Result<Workload, Error> {
    Workload::named(name).ok_or_else(|| {
        Error::Usage(format!(
            "no workload {name}: there are {}",
            Workload::ALL.map(Workload::name).join(" ")
        ))
    })
}

fn measure(parser: &mut lexopt::Parser) -> Result<ExitCode, Error> {
    let (mut executor, mut chosen, mut size, mut amount) = (String::new(), None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("executor") => executor = parser.value()?.string()?,
            Long("workload") => chosen = Some(workload(&parser.value()?.string()?)?),
            Long("size") => size = Some(parser.value()?.parse()?),
            Long("ms") => amount = Some(Amount::Millis(parser.value()?.parse()?)),
            Long("ops") => amount = Some(Amount::Ops(parser.value()?.parse()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(workload), Some(size), Some(amount)) = (chosen, size, amount) else {
        return Err(Error::Usage(
            "measure needs --workload, --size and --ms or --ops".into(),
        ));
    };
    if size == 0 || matches!(amount, Amount::Ops(0)) {
        return Err(Error::Usage("at least one task and one operation".into()));
    }
    let reading = peers::visit(
        &executor,
        Job {
            workload,
            size,
            amount,
        },
    )
    .ok_or_else(|| {
        Error::Usage(format!(
            "no executor {executor} in this program: there are {}",
            peers::NAMES.join(" ")
        ))
    })?;
    println!("{}", serde_json::to_string(&reading).map_err(Error::Json)?);
    Ok(ExitCode::SUCCESS)
}

fn run(parser: &mut lexopt::Parser) -> Result<ExitCode, Error> {
    let mut effort = Effort::FULL;
    let mut workloads = Vec::new();
    let mut folder = PathBuf::from("target/bench");
    let mut instructions = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("only") => workloads.push(workload(&parser.value()?.string()?)?),
            Long("quick") => effort = Effort::QUICK,
            Long("instructions") => instructions = true,
            Long("out") => folder = parser.value()?.into(),
            other => return Err(other.unexpected().into()),
        }
    }
    effort.instructions = instructions;
    if workloads.is_empty() {
        workloads.extend(Workload::ALL);
    }
    let programs = Programs::find()?;
    let report = programs.report(&workloads, effort)?;
    let executors = programs.executors();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text));
        written
            .map_err(|source| Error::Write {
                path: path.display().to_string(),
                source,
            })
            .map(|()| path)
    };
    let json = write("host.json", report.json()?)?;
    let svg = write("host.svg", plot::svg(&report, &executors))?;
    print!("{}", table::table(&report, &executors));
    println!(
        "This machine: a clock read takes {} ns, a locked instruction {} ns.",
        short(report.machine.clock_ns),
        short(report.machine.locked_ns)
    );
    println!(
        "\n{:<24} {:<28} {:<26} statistics off",
        "goal", "beside", "statistics on"
    );
    for verdict in goals::verdicts(&report) {
        println!("{verdict}");
    }
    println!(
        "\n{} rows in {}, plot in {}",
        report.rows.len(),
        json.display(),
        svg.display()
    );
    Ok(ExitCode::SUCCESS)
}
