//! No std in the kernel and in the programs: checks them against a sysroot that holds only core, alloc and
//! compiler_builtins. A plain build proves nothing, because the host target's sysroot has std and a
//! crate that asks for it gets it silently.

use super::{Outcome, Step, host_steps::HOST_TARGET, last_lines};
use crate::build;
use crate::error::{Doing, Error, Result};
use crate::host;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the kernel may use of the toolchain.
const CRATES: [&str; 3] = ["core", "alloc", "compiler_builtins"];

/// The step.
pub fn steps() -> Vec<Step> {
    vec![
        Step::new("nostd.kernel", || {
            Outcome::from(check(&["kernel".to_owned()]))
        }),
        Step::new("nostd.programs", || {
            let programs = build::programs::packages().map(|packages| {
                packages
                    .into_iter()
                    .map(|package| package.name)
                    .collect::<Vec<_>>()
            });
            Outcome::from(programs.and_then(|programs| check(&programs)))
        }),
    ]
}

fn check(packages: &[String]) -> Result<()> {
    let sysroot = make_sysroot()?;
    refuses_std(&sysroot)?;
    let flag = serde_json::Value::from(format!("--sysroot={}", sysroot.display()));
    let mut cargo = host::cargo();
    // Added to the configured flags; with --target they do not reach build scripts and macros.
    cargo.args([
        "--config",
        &format!("build.rustflags=[{flag}]"),
        "check",
        "--quiet",
    ]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo.args(["--target", HOST_TARGET, "--target-dir"]);
    cargo.arg(host::target_dir().join("nostd"));
    match host::run_captured(&mut cargo) {
        Ok(_) => Ok(()),
        Err(Error::Command {
            command,
            status,
            output,
        }) => Err(Error::Command {
            command,
            status,
            output: last_lines(&output, 60),
        }),
        Err(other) => Err(other),
    }
}

/// The folder of the toolchain's libraries for the host target.
pub(super) fn toolchain_libraries() -> Result<PathBuf> {
    let sysroot = host::run_captured(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(host::root()),
    )?;
    Ok(Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(HOST_TARGET)
        .join("lib"))
}

/// Copies the allowed crates into `target/sysroot`.
fn make_sysroot() -> Result<PathBuf> {
    let from = toolchain_libraries()?;
    let sysroot = host::target_dir().join("sysroot");
    let to = sysroot.join("lib/rustlib").join(HOST_TARGET).join("lib");
    if to.exists() {
        fs::remove_dir_all(&to).doing(|| format!("clearing {}", to.display()))?;
    }
    fs::create_dir_all(&to).doing(|| format!("making {}", to.display()))?;
    let reading = || format!("reading {}", from.display());
    for entry in fs::read_dir(&from).doing(reading)? {
        let entry = entry.doing(reading)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let of_crate = |allowed: &&str| name.starts_with(&format!("lib{allowed}-"));
        if CRATES.iter().any(of_crate) {
            fs::copy(entry.path(), to.join(&*name)).doing(|| format!("copying {name}"))?;
        }
    }
    Ok(sysroot)
}

/// The check of the check: with this sysroot a crate that uses std must not compile.
fn refuses_std(sysroot: &Path) -> Result<()> {
    let compiles = |source: &str| -> Result<bool> {
        let mut rustc = Command::new("rustc");
        rustc.args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--crate-name",
            "probe",
        ]);
        rustc.args(["--emit", "metadata", "--target", HOST_TARGET, "--out-dir"]);
        rustc.arg(sysroot).arg("--sysroot").arg(sysroot).arg("-");
        let mut child = rustc
            .current_dir(host::root())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .doing(|| "starting rustc".into())?;
        if let Some(mut stdin) = child.stdin.take() {
            std::io::Write::write_all(&mut stdin, source.as_bytes())
                .doing(|| "writing to rustc".into())?;
        }
        Ok(child.wait().doing(|| "waiting for rustc".into())?.success())
    };
    let wrong = |problem: &str| Error::Format {
        path: sysroot.into(),
        problem: problem.into(),
    };
    if !compiles("#![no_std] extern crate alloc;")? {
        return Err(wrong(
            "this sysroot does not compile an empty crate: is the toolchain complete?",
        ));
    }
    if compiles("#![no_std] extern crate std;")? {
        return Err(wrong("this sysroot has std, so the check proves nothing"));
    }
    Ok(())
}
