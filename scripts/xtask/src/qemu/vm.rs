//! A running machine.

use super::machine::{Console, Machine};
use super::qmp::Qmp;
use super::serial::Serial;
use crate::error::{Doing, Error, Result};
use crate::host::RunDir;
use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long QEMU may take to open its sockets, on the slowest host imaginable.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// A running QEMU with its connections. Dropping it kills QEMU and removes its files.
///
/// Keep it in the thread that spawned it: QEMU is killed when that thread ends.
#[derive(Debug)]
pub struct Vm {
    /// COM1: log and shell.
    pub serial: Serial,
    /// COM2, when it was asked for.
    pub com2: Option<Serial>,
    /// Port 0xe9, when it was asked for.
    pub debug_console: Option<Serial>,
    /// QEMU's machine protocol.
    pub qmp: Qmp,
    /// When QEMU was started.
    pub started: Instant,
    child: Child,
    stderr: Receiver<String>,
    dir: RunDir,
}

/// Which ports beside COM1 and QMP are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// COM2, which carries measurements.
    pub com2: bool,
    /// The debug console at I/O port 0xe9: a byte written there reaches the host at once.
    pub debug_console: bool,
}

impl Ports {
    /// What the measuring machine has.
    pub const MEASURING: Ports = Ports {
        com2: true,
        debug_console: true,
    };
}

impl Machine {
    /// Starts the machine with COM1 and QMP connected.
    pub fn spawn(&self) -> Result<Vm> {
        self.spawn_with(Ports::default())
    }

    /// Starts the machine with COM1, QMP and these ports connected.
    pub fn spawn_with(&self, ports: Ports) -> Result<Vm> {
        let dir = RunDir::new()?;
        let com1 = Listener::new(dir.join("com1"))?;
        let optional =
            |wanted: bool, name: &str| wanted.then(|| Listener::new(dir.join(name))).transpose();
        let com2 = optional(ports.com2, "com2")?;
        let debug = optional(ports.debug_console, "debug")?;
        let qmp = Listener::new(dir.join("qmp"))?;

        let mut command = self.command(&dir, &Console::Socket(com1.path.clone()))?;
        if let Some(com2) = &com2 {
            let chardev = format!("socket,id=com2,path={}", com2.path.display());
            command.args(["-chardev", &chardev, "-serial", "chardev:com2"]);
        }
        if let Some(debug) = &debug {
            let chardev = format!("socket,id=debug,path={}", debug.path.display());
            command.args([
                "-chardev",
                &chardev,
                "-device",
                "isa-debugcon,iobase=0xe9,chardev=debug",
            ]);
        }
        let chardev = format!("socket,id=qmp,path={}", qmp.path.display());
        command.args(["-chardev", &chardev, "-mon", "chardev=qmp,mode=control"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command
            .spawn()
            .doing(|| "starting qemu-system-x86_64".into())?;

        let paths: Vec<PathBuf> = [Some(&com1), com2.as_ref(), debug.as_ref(), Some(&qmp)]
            .into_iter()
            .flatten()
            .map(|l| l.path.clone())
            .collect();
        let stderr = collect_stderr(&mut child, paths);
        let connected = (|| {
            let serial = Serial::new(com1.accept()?)?;
            let connect = |listener: Listener| Serial::new(listener.accept()?);
            let com2 = com2.map(connect).transpose()?;
            let debug_console = debug.map(connect).transpose()?;
            let qmp = Qmp::new(qmp.accept()?)?;
            Ok((serial, com2, debug_console, qmp))
        })();
        match connected {
            Ok((serial, com2, debug_console, qmp)) => Ok(Vm {
                serial,
                com2,
                debug_console,
                qmp,
                started,
                child,
                stderr,
                dir,
            }),
            Err(error) => {
                end(&mut child);
                let said = stderr.recv_timeout(CONNECT_LIMIT).unwrap_or_default();
                if said.trim().is_empty() {
                    Err(error)
                } else {
                    Err(Error::Qemu(said.trim().into()))
                }
            }
        }
    }
}

impl Vm {
    /// The run's own folder, gone with the machine.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The CPU time QEMU has used: unlike the clock it does not count what others used meanwhile.
    pub fn cpu_time(&self) -> Result<Duration> {
        // proc(5): utime and stime are fields 14 and 15, in ticks of 1/100 s; the second field, in
        // parentheses, may hold blanks.
        let file = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(&file).doing(|| format!("reading {file}"))?;
        let fields = text
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// How long QEMU's threads, one of which is each of the machine's processors, were ready to run, but the host ran something else: added up
    /// over all of them.
    pub fn held_up(&self) -> Result<Duration> {
        let folder = format!("/proc/{}/task", self.child.id());
        let mut waited = Duration::ZERO;
        for task in std::fs::read_dir(&folder).doing(|| format!("reading {folder}"))? {
            let task = task.doing(|| format!("reading {folder}"))?.path();
            // One that has ended meanwhile has nothing to tell.
            let Ok(times) = std::fs::read_to_string(task.join("schedstat")) else {
                continue;
            };
            // Documentation/scheduler/sched-stats of Linux: time on a processor, time waiting for one (both in ns), time slices.
            let waiting = times.split_whitespace().nth(1);
            let ns = waiting.and_then(|ns| ns.parse().ok()).unwrap_or(0);
            waited += Duration::from_nanos(ns);
        }
        Ok(waited)
    }

    /// Waits until QEMU ends by itself: a power-off, or a reset on a machine that exits on reset.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        // QEMU's standard error closes when it ends.
        match self.stderr.recv_timeout(limit) {
            Ok(said) => {
                let status = self.child.wait().doing(|| "waiting for QEMU".into())?;
                if status.success() {
                    return Ok(status);
                }
                Err(Error::Qemu(format!("ended with {status}: {}", said.trim())))
            }
            Err(RecvTimeoutError::Timeout) => Err(Error::Timeout {
                awaited: "QEMU's end".into(),
                seconds: limit.as_secs(),
            }),
            Err(RecvTimeoutError::Disconnected) => {
                self.child.wait().doing(|| "waiting for QEMU".into())
            }
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // Both fail only when it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Collects QEMU's messages until it ends, then frees whoever still waits for a connection.
fn collect_stderr(child: &mut Child, sockets: Vec<PathBuf>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let stderr = child.stderr.take();
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            // What was read before an error is kept.
            let _ = stderr.read_to_end(&mut said);
        }
        // The receiver may be gone: then nobody wants to know.
        let _ = sender.send(String::from_utf8_lossy(&said).into_owned());
        for path in sockets {
            // A connection that ends at once makes a pending accept() return.
            let _ = UnixStream::connect(path);
        }
    });
    receiver
}

/// A socket QEMU will connect to: nothing it says can be lost, and no file has to be awaited.
struct Listener {
    path: PathBuf,
    connections: Receiver<std::io::Result<UnixStream>>,
}

impl Listener {
    fn new(path: PathBuf) -> Result<Listener> {
        let listener =
            UnixListener::bind(&path).doing(|| format!("listening on {}", path.display()))?;
        let (sender, connections) = mpsc::channel();
        thread::spawn(move || {
            // The receiver is gone when QEMU failed to start.
            let _ = sender.send(listener.accept().map(|(stream, _)| stream));
        });
        Ok(Listener { path, connections })
    }

    fn accept(&self) -> Result<UnixStream> {
        match self.connections.recv_timeout(CONNECT_LIMIT) {
            Ok(stream) => stream.doing(|| format!("accepting on {}", self.path.display())),
            Err(_) => Err(Error::Timeout {
                awaited: format!("QEMU's connection to {}", self.path.display()),
                seconds: CONNECT_LIMIT.as_secs(),
            }),
        }
    }
}
