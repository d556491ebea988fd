//! Checks of the sources and of what runs on the host: formatting, lints, tests, loom models.

use super::{Outcome, Step, last_lines};
use crate::build;
use crate::error::{Error, Result};
use crate::host;
use std::process::Command;

/// How much of a failed tool's output is shown.
const SHOWN_LINES: usize = 60;
/// The host's target, named where flags must not reach build scripts.
pub const HOST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Cases per property with `--long`, for those that do not set their own; proptest's default is 256.
const LONG_CASES: &str = "20000";

/// The steps, in the order they run: the quick ones that fail most often first. With `long` the
/// tests see `RAEDE_TEST_LONG=1` and more cases per property.
pub fn steps(long: bool) -> Result<Vec<Step>> {
    let mut steps = vec![Step::new("host.fmt", || {
        command(host::cargo().args(["fmt", "--all", "--check", "--", "-l", "--color", "never"]))
    })];
    let programs = build::programs::packages()?;
    let bare: Vec<String> = std::iter::once("kernel".to_owned())
        .chain(programs.into_iter().map(|package| package.name))
        .collect();
    let with = |flag: &str, names: &[String]| -> Vec<String> {
        names
            .iter()
            .flat_map(|name| [flag.to_owned(), name.clone()])
            .collect()
    };
    let mut hosted = with("--exclude", &bare);
    hosted.insert(0, "--workspace".into());
    steps.push(Step::new("host.clippy", move || clippy(&hosted)));
    // By themselves: beside the host's crates, shared dependencies would bring std along.
    let kernel = with("-p", &bare[..1]);
    steps.push(Step::new("host.clippy.kernel", move || clippy(&kernel)));
    let programs = with("-p", &bare[1..]);
    steps.push(Step::new("host.clippy.programs", move || clippy(&programs)));
    for package in packages()? {
        // The kernel and the programs are for the bare machine and for ring 3: they have no host tests.
        if bare.contains(&package) {
            continue;
        }
        steps.push(Step::new(format!("host.test.{package}"), move || {
            let mut cargo = host::cargo();
            if long {
                cargo
                    .env("RAEDE_TEST_LONG", "1")
                    .env("PROPTEST_CASES", LONG_CASES);
            }
            command(cargo.args(["test", "--quiet", "--package", &package]))
        }));
    }
    steps.push(Step::new("host.simulation.executor", move || {
        simulation(long)
    }));
    steps.push(Step::new("host.loom.executor", || {
        loom("executor/tests/loom.sh")
    }));
    steps.push(Step::new("host.loom.ring", || {
        loom("servers/ring/tests/loom.sh")
    }));
    steps.push(Step {
        long: true,
        ..Step::new("host.asan.executor", address_sanitizer)
    });
    Ok(steps)
}

/// The workspace's packages by name.
fn packages() -> Result<Vec<String>> {
    let mut metadata = host::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = metadata.output().map_err(|source| Error::Io {
        doing: "starting cargo".into(),
        source,
    })?;
    let bad = |problem: String| Error::Format {
        path: host::root().join("Cargo.toml"),
        problem,
    };
    if !output.status.success() {
        return Err(bad(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| bad(error.to_string()))?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or_else(|| bad("cargo lists no packages".into()))?;
    let mut names: Vec<String> = packages
        .iter()
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Runs a tool to its end; its last words explain a failure.
pub(super) fn command(command: &mut Command) -> Outcome {
    match host::run_captured(command) {
        Ok(_) => Outcome::Passed(String::new()),
        Err(Error::Command {
            command,
            status,
            output,
        }) => Outcome::Failed(format!(
            "`{command}`: {status}\n{}",
            last_lines(&output, SHOWN_LINES)
        )),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// The executor on thousands of random task sets under virtual time: too many without optimisation.
fn simulation(long: bool) -> Outcome {
    let mut cargo = host::cargo();
    if long {
        cargo.env("RAEDE_TEST_LONG", "1");
    }
    command(cargo.args(["test", "--quiet", "--release", "--package", "executor-sim"]))
}

/// The models of the shipped modules, and the controls that must fail, in a target folder of their own:
/// `--cfg loom` would otherwise rebuild everything each time.
fn loom(models: &str) -> Outcome {
    let mut script = Command::new("sh");
    script
        .arg(models)
        .arg(host::target_dir().join("loom"))
        .current_dir(host::root());
    command(&mut script)
}

/// The executor's tests under AddressSanitizer, which needs the nightly toolchain.
fn address_sanitizer() -> Outcome {
    let nightly = |arguments: &[&str]| {
        let mut command = Command::new("rustup");
        command
            .args(["run", "nightly"])
            .args(arguments)
            .current_dir(host::root());
        for name in host::FLAG_VARIABLES {
            command.env_remove(name);
        }
        command
    };
    if host::run_captured(&mut nightly(&["rustc", "--version"])).is_err() {
        return Outcome::Skipped(
            "needs the nightly toolchain (rustup toolchain install nightly)".into(),
        );
    }
    let mut cargo = nightly(&[
        "cargo",
        "--config",
        r#"build.rustflags=["-Zsanitizer=address"]"#,
    ]);
    // The tests of abandoned polls leave futures that nobody drops, as a kernel would.
    cargo.env("ASAN_OPTIONS", "detect_leaks=0");
    cargo.args([
        "test",
        "--quiet",
        "--package",
        "executor",
        // Not the documentation's examples: they are linked without the sanitizer.
        "--lib",
        "--tests",
        "--target",
        HOST_TARGET,
        "--target-dir",
    ]);
    command(cargo.arg(host::target_dir().join("asan")))
}

/// Lints the packages that `which` selects, with all their targets; a warning is a failure.
fn clippy(which: &[String]) -> Outcome {
    let mut cargo = host::cargo();
    cargo
        .args(["clippy", "--quiet", "--all-targets"])
        .args(which);
    command(cargo.args(["--", "-D", "warnings"]))
}
