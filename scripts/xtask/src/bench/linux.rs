//! Linux beside Raede: Debian's kernels, stock and -rt, in a machine like Raede's, with `bench/linux` as the first and only program.
//!
//! The kernels are downloaded as packages and unpacked below `target/bench/linux`; nothing is installed.

use super::guest::Mode;
use crate::error::{Doing, Error, Result};
use crate::host;
use crate::qemu::Machine;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel of Debian's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The usual one.
    Stock,
    /// With the real-time patches.
    Rt,
}

impl Flavour {
    /// Both.
    pub const ALL: [Flavour; 2] = [Flavour::Stock, Flavour::Rt];

    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Flavour::Stock => "linux-stock",
            Flavour::Rt => "linux-rt",
        }
    }

    /// The package that depends on the newest kernel.
    fn meta_package(self) -> &'static str {
        match self {
            Flavour::Stock => "linux-image-amd64",
            Flavour::Rt => "linux-image-rt-amd64",
        }
    }

    /// The machine that measures it as it is at its best: nothing mitigated, preemptible wherever it can be. `noirqdebug`: the port's driver, a thread that
    /// waits while probes run, is not given up.
    pub fn machine(self, mode: Mode, initial: &Path, words: &str) -> Result<Machine> {
        let words = format!(
            "console=ttyS0 quiet mitigations=off preempt=full tsc=reliable noirqdebug panic=-1 {words}"
        );
        let mut machine = Machine::kernel(self.kernel()?, words);
        mode.set_up(&mut machine);
        machine
            .extra
            .extend(["-initrd".into(), initial.display().to_string()]);
        Ok(machine)
    }

    /// The kernel's file, downloaded if it is not there yet.
    pub fn kernel(self) -> Result<PathBuf> {
        let folder = folder()?.join(self.name());
        if let Some(kernel) = kernel_in(&folder) {
            return Ok(kernel);
        }
        fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
        let package = self.package()?;
        eprintln!("Downloading Debian's package {package}...");
        output(
            Command::new("apt-get")
                .args(["download", &package])
                .current_dir(&folder),
        )?;
        let file = files(&folder)?
            .into_iter()
            .find(|path| path.extension() == Some(OsStr::new("deb")))
            .ok_or_else(|| Error::Format {
                path: folder.clone(),
                problem: "apt-get download left no package there".into(),
            })?;
        let archive = output(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&file))?;
        let tar = folder.join("files.tar");
        fs::write(&tar, archive).doing(|| format!("writing {}", tar.display()))?;
        output(
            Command::new("tar")
                .arg("-xf")
                .arg(&tar)
                .arg("-C")
                .arg(&folder)
                .arg("./boot"),
        )?;
        for finished in [tar, file] {
            fs::remove_file(&finished).doing(|| format!("removing {}", finished.display()))?;
        }
        kernel_in(&folder).ok_or_else(|| Error::Format {
            path: folder,
            problem: format!("{package} has no boot/vmlinuz"),
        })
    }

    /// The newest kernel's package.
    fn package(self) -> Result<String> {
        let depends = || output(Command::new("apt-cache").args(["depends", self.meta_package()]));
        let find = |text: Vec<u8>| {
            String::from_utf8_lossy(&text)
                .lines()
                .find_map(|line| line.trim().strip_prefix("Depends: "))
                .map(str::to_owned)
        };
        if let Some(package) = depends().ok().and_then(find) {
            return Ok(package);
        }
        eprintln!("Asking for Debian's list of packages...");
        output(Command::new("apt-get").arg("update"))?;
        find(depends()?).ok_or_else(|| Error::Missing {
            what: format!("the Debian package {}", self.meta_package()),
            fix: "Linux is measured on machines whose apt knows Debian's kernels".into(),
        })
    }
}

fn folder() -> Result<PathBuf> {
    let folder = host::target_dir().join("bench/linux");
    fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).doing(|| format!("reading {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn kernel_in(folder: &Path) -> Option<PathBuf> {
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().map(OsStr::to_string_lossy);
        name.is_some_and(|name| name.starts_with("vmlinuz"))
    };
    files(&folder.join("boot"))
        .ok()?
        .into_iter()
        .find(is_kernel)
}

/// Runs a command; what it put out.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().doing(|| format!("starting {name}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::Command {
        command: format!("{command:?}"),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Builds the probes and puts them into an initial file system.
pub fn initial_file_system() -> Result<PathBuf> {
    let mut cargo = host::cargo();
    cargo.args([
        "rustc",
        "--quiet",
        "--release",
        "--package",
        "bench-linux",
        "--",
    ]);
    // Nothing else is in the file system, no shared library either.
    cargo.args(["-Ctarget-feature=+crt-static", "-Cstrip=symbols"]);
    output(&mut cargo)?;
    let program = host::target_dir().join("release/bench-linux");
    let program = fs::read(&program).doing(|| format!("reading {}", program.display()))?;
    let file = folder()?.join("initial.cpio");
    fs::write(&file, cpio(&program)).doing(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// An archive in the format of Linux's initramfs ("newc", `Documentation/driver-api/early-userspace/buffer-format.rst`): the console's device node, and
/// `program` as `/init`.
fn cpio(program: &[u8]) -> Vec<u8> {
    const FOLDER: u32 = 0o40_755;
    const DEVICE: u32 = 0o20_600;
    const PROGRAM: u32 = 0o100_755;
    const CONSOLE: [u32; 2] = [5, 1];
    let entries: [(&str, u32, [u32; 2], &[u8]); 5] = [
        ("dev", FOLDER, [0, 0], &[]),
        ("dev/console", DEVICE, CONSOLE, &[]),
        ("proc", FOLDER, [0, 0], &[]),
        ("init", PROGRAM, [0, 0], program),
        ("TRAILER!!!", 0, [0, 0], &[]),
    ];
    let mut archive = Vec::new();
    for (number, (name, mode, [major, minor], data)) in (1_u32..).zip(entries) {
        let name_bytes = name.len() as u32 + 1;
        let data_bytes = data.len() as u32;
        let fields = [
            number, mode, 0, 0, 1, 0, data_bytes, 0, 0, major, minor, name_bytes, 0,
        ];
        archive.extend_from_slice(b"070701");
        for field in fields {
            archive.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        archive.extend_from_slice(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(data);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_aligned_entries_and_ends() {
        let archive = cpio(b"program");
        assert_eq!(archive.len() % 4, 0);
        let text = String::from_utf8_lossy(&archive);
        assert_eq!(text.matches("070701").count(), 5);
        assert!(text.contains("init\0"));
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
        let at = archive.windows(7).position(|bytes| bytes == b"program");
        assert_eq!(at.map(|at| at % 4), Some(0));
    }
}
