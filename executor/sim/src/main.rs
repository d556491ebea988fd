//! The simulator's command line; see `--help`.

use std::{fmt, fs, path::PathBuf, process::ExitCode};

use executor_sim::{
    campaign,
    oracle::{self, Counts, Violation},
    run::run_fresh,
    taskset::{Kind, Options, TaskSet},
    trace,
};
use lexopt::prelude::*;

const HELP: &str = "\
Usage: executor-sim [--sets N] [--seed N] [KIND] [--cores N] [--failures N]
       executor-sim --seed N [KIND] [--cores N] --trace FILE
       executor-sim --replay FILE

Runs the executor's scheduler on random task sets under virtual time and judges every dispatch.

  --sets N      how many sets (default 1000), of consecutive seeds
  --seed N      the first seed (default 1)
  --cores N     1 to 256 cores in each set (default: random)
  --failures N  stop after so many sets that failed (default 1)
  --trace FILE  run the one set of --seed and write down everything that happened
  --overload    a KIND: in each set somebody overruns what was declared
  --overshoot   a KIND: many reservations use a poll more than their budget at once
  --replay FILE judge a trace, simulated or recorded (its format: executor/sim/src/trace.rs)

Exit status: 0 all rules kept, 1 a rule broken, 2 bad usage or file.
";

struct Arguments {
    sets: u64,
    seed: u64,
    options: Options,
    failures: usize,
    trace: Option<PathBuf>,
    replay: Option<PathBuf>,
}

enum Problem {
    Usage(lexopt::Error),
    Cores,
    File(PathBuf, std::io::Error),
    Trace(PathBuf, trace::BadLine),
}

impl From<lexopt::Error> for Problem {
    fn from(error: lexopt::Error) -> Problem {
        Problem::Usage(error)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Usage(error) => write!(f, "{error}; see --help"),
            Problem::Cores => f.write_str("--cores takes 1 to 256"),
            Problem::File(path, error) => write!(f, "{}: {error}", path.display()),
            Problem::Trace(path, error) => write!(f, "{}, {error}", path.display()),
        }
    }
}

fn arguments() -> Result<Option<Arguments>, Problem> {
    let mut arguments = Arguments {
        sets: 1000,
        seed: 1,
        options: Options::default(),
        failures: 1,
        trace: None,
        replay: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("sets") => arguments.sets = parser.value()?.parse()?,
            Long("seed") => arguments.seed = parser.value()?.parse()?,
            Long("overload") => arguments.options.kind = Kind::Overload,
            Long("overshoot") => arguments.options.kind = Kind::Overshoot,
            Long("cores") => {
                let cores = parser.value()?.parse()?;
                if !(1..=256).contains(&cores) {
                    return Err(Problem::Cores);
                }
                arguments.options.cores = Some(cores);
            }
            Long("failures") => arguments.failures = parser.value()?.parse::<usize>()?.max(1),
            Long("trace") => arguments.trace = Some(parser.value()?.into()),
            Long("replay") => arguments.replay = Some(parser.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(arguments))
}

fn verdict(counts: &Counts, violation: Option<&Violation>) -> bool {
    println!("{counts}");
    match violation {
        Some(violation) => println!("VIOLATION: {violation}"),
        None => println!("all rules kept"),
    }
    violation.is_none()
}

fn work(arguments: &Arguments) -> Result<bool, Problem> {
    if let Some(path) = &arguments.replay {
        let text = fs::read_to_string(path).map_err(|error| Problem::File(path.clone(), error))?;
        let events = trace::parse(&text).map_err(|error| Problem::Trace(path.clone(), error))?;
        let (counts, violation) = oracle::judge(&events);
        return Ok(verdict(&counts, violation.as_ref()));
    }
    if let Some(path) = &arguments.trace {
        let outcome = run_fresh(&TaskSet::random(arguments.seed, arguments.options), true);
        fs::write(path, trace::print(&outcome.trace))
            .map_err(|error| Problem::File(path.clone(), error))?;
        println!("{} events in {}", outcome.trace.len(), path.display());
        return Ok(verdict(&outcome.counts, outcome.violation.as_ref()));
    }
    let step = (arguments.sets / 10).max(1);
    let summary = campaign::run(
        arguments.seed,
        arguments.sets,
        arguments.options,
        arguments.failures,
        |done| {
            if done % step == 0 && arguments.sets > 1000 {
                eprintln!("{done} of {} sets", arguments.sets);
            }
        },
    );
    println!(
        "{} sets from seed {}: {}",
        summary.sets, arguments.seed, summary.counts
    );
    for failure in &summary.failures {
        let history = if failure.alone {
            ""
        } else {
            " (only after the sets before it)"
        };
        println!(
            "seed {}: VIOLATION{history}: {}",
            failure.seed, failure.violation
        );
    }
    println!("{} sets failed", summary.failures.len());
    Ok(summary.failures.is_empty())
}

fn main() -> ExitCode {
    let done = match arguments() {
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Some(arguments)) => work(&arguments),
        Err(problem) => Err(problem),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("executor-sim: {problem}");
            ExitCode::from(2)
        }
    }
}
