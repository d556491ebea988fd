//! The machine the tools run on: where things are, and running programs with a clean environment.

use crate::error::{Doing, Error, Result};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Variables that would replace the rustflags of `.cargo/config.toml`; the kernel is unsound
/// without those.
pub const FLAG_VARIABLES: [&str; 3] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
];

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Cargo's target folder: `CARGO_TARGET_DIR` or `target/`.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// A cargo command in the workspace, without the variables that replace its flags.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for name in FLAG_VARIABLES {
        command.env_remove(name);
    }
    // `cargo run` hands its own package's variables on; build scripts must not see them.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// The command as a person would type it, for messages.
pub fn spelled(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        text.push(' ');
        if argument.is_empty() || argument.contains([' ', '\'', '"', '$', '*']) {
            text.push('\'');
            text.push_str(&argument.replace('\'', "'\\''"));
            text.push('\'');
        } else {
            text.push_str(&argument);
        }
    }
    text
}

/// Runs a program to its end, capturing what it says; an unsuccessful end is an error with that text.
pub fn run_captured(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .doing(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        return Ok(text);
    }
    Err(Error::Command {
        command: spelled(command),
        status: output.status.to_string(),
        output: text,
    })
}

/// Runs cargo showing its progress line by line on standard error, but not its closing
/// `Finished` line, so that an up-to-date build is silent.
pub fn run_cargo(command: &mut Command) -> Result<()> {
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .doing(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line.doing(|| "reading cargo's messages".into())?;
            if !line.contains(" Finished") && !line.contains("Blocking waiting") {
                eprintln!("{line}");
            }
        }
    }
    let status = child.wait().doing(|| "waiting for cargo".into())?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Command {
        command: spelled(command),
        status: status.to_string(),
        output: String::new(),
    })
}

/// The program's full path, looked up as a shell would.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    env::split_paths(&path)
        .chain(sbin)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A command of that name, also if it is among the system's and those are not in the path.
pub fn command(name: &str) -> Command {
    match find_program(name) {
        Some(path) => Command::new(path),
        None => Command::new(name),
    }
}

/// A fresh folder for one run's sockets and copies; removed when dropped.
///
/// It lives in the system's temporary folder, because a Unix socket's path holds 107 bytes.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// Removes the folders of killed processes, which could not remove them.
fn sweep_leftovers() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(owner_of_run_dir);
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            // Another's, perhaps: then it stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The process in a run folder's name, `raede-PROCESS-NUMBER`.
fn owner_of_run_dir(name: &str) -> Option<u32> {
    let (process, number) = name.strip_prefix("raede-")?.split_once('-')?;
    number.parse::<u32>().ok()?;
    process.parse().ok()
}

static NEXT_RUN: AtomicU32 = AtomicU32::new(0);

impl RunDir {
    /// Makes the folder.
    pub fn new() -> Result<RunDir> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep_leftovers);
        let process = std::process::id();
        loop {
            let number = NEXT_RUN.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("raede-{process}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunDir { path }),
                // A left-over of an earlier process with this number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(source) => {
                    return Err(Error::Io {
                        doing: format!("making {}", path.display()),
                        source,
                    });
                }
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and a left-over folder harms nobody.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether a window can be opened here.
pub fn has_display() -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| value != OsStr::new(""));
    set("DISPLAY") || set("WAYLAND_DISPLAY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_folders_come_and_go() {
        let dir = RunDir::new().expect("a folder");
        let path = dir.path().to_owned();
        fs::write(dir.join("file"), "x").expect("a file in it");
        let name = path.file_name().and_then(OsStr::to_str).expect("a name");
        assert_eq!(owner_of_run_dir(name), Some(std::process::id()));
        drop(dir);
        assert!(!path.exists());
        for other in ["raede-1", "raede-x-1", "raede-1-x", "other-1-1"] {
            assert_eq!(owner_of_run_dir(other), None);
        }
    }

    #[test]
    fn commands_are_spelled_for_a_shell() {
        let mut command = Command::new("tool");
        command.args(["plain", "two words", "it's", ""]);
        assert_eq!(spelled(&command), r"tool plain 'two words' 'it'\''s' ''");
    }
}
