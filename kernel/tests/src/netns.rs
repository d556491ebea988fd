//! A network namespace (ip-netns(8)) of a test's own, in which machines meet programs that others wrote.
//!
//! QEMU runs in it, and so do its peers; what this process does there it does in a thread that moved there ([`Namespace::within`]). Where it
//! cannot be made (not Linux, not root, no /dev/net/tun) the error is a [`Skip`] that says why.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use xtask::host;
use xtask::packages::{self, Tool, running_as_root};

use crate::scenario::Skip;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Where namespaces with names are.
const FOLDER: &str = "/run/netns";
/// Where network devices of this host are made.
const TUN: &str = "/dev/net/tun";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace, gone when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

fn skip(why: impl Into<String>) -> Box<dyn Error> {
    Box::new(Skip(why.into()))
}

/// Removes those of processes that were killed.
fn sweep() {
    let Ok(entries) = fs::read_dir(FOLDER) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("raede-")
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(process, _)| process.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            // Another test may be faster.
            let _ = host::run_captured(host::command("ip").args(["netns", "del", &name]));
        }
    }
}

impl Namespace {
    /// Makes one, with the tools of the network's tests at hand.
    pub fn new() -> Outcome<Self> {
        if !running_as_root() {
            return Err(skip("a network namespace needs root"));
        }
        if !Path::new(TUN).exists() {
            return Err(skip(format!("there is no {TUN}")));
        }
        packages::require(&Tool::PEERS).map_err(|error| skip(error.to_string()))?;
        sweep();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("raede-{}-{number}", std::process::id());
        host::run_captured(host::command("ip").args(["netns", "add", &name]))
            .map_err(|error| skip(format!("no network namespace: {error}")))?;
        let new = Self { name };
        new.ip("link set lo up")?;
        Ok(new)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs ip(8) in it with these words.
    pub fn ip(&self, words: &str) -> Outcome<String> {
        let words = words.split_whitespace();
        let mut command = host::command("ip");
        command.args(["-n", &self.name]).args(words);
        Ok(host::run_captured(&mut command)?)
    }

    /// A device whose other end QEMU takes, with `queues` of them and these addresses on this side.
    pub fn tap(&self, name: &str, queues: u32, addresses: &[&str]) -> Outcome<()> {
        let several = if queues > 1 { " multi_queue" } else { "" };
        self.ip(&format!("tuntap add dev {name} mode tap vnet_hdr{several}"))
            .map_err(|error| skip(format!("no tap device: {error}")))?;
        for address in addresses {
            // Nobody else is here: no time for looking for the same address.
            let at_once = if address.contains(':') { " nodad" } else { "" };
            self.ip(&format!("addr add {address} dev {name}{at_once}"))?;
        }
        self.ip(&format!("link set {name} up"))?;
        Ok(())
    }

    /// A command that runs in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = host::command("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        command.args(["ip", "netns", "exec", &self.name, program]);
        command
    }

    /// Runs a command in it to its end; what it prints.
    pub fn run(&self, line: &str) -> Outcome<String> {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().unwrap_or_default());
        Ok(host::run_captured(command.args(words))?)
    }

    /// Starts a program in it that runs until the result is dropped; its messages go to a file.
    pub fn start(&self, mut command: Command, log: &Path) -> Outcome<Daemon> {
        let log = File::create(log)?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(Daemon(command.spawn()?))
    }

    /// Does something in it: sockets that are made there stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Outcome<T> {
        let file = File::open(Path::new(FOLDER).join(&self.name))?;
        let done = thread::scope(|scope| {
            let thread = scope.spawn(|| -> io::Result<T> {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(work())
            });
            thread.join()
        });
        Ok(done.map_err(|_| "a thread of this test panicked")??)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A left-over is swept away by the next test.
        let _ = host::run_captured(host::command("ip").args(["netns", "del", &self.name]));
    }
}

/// A program that runs in the background, killed when this is dropped.
#[derive(Debug)]
pub struct Daemon(Child);

impl Daemon {
    /// Has it read its files again.
    pub fn hang_up(&self) -> Outcome<()> {
        let id = self.0.id().to_string();
        host::run_captured(host::command("kill").args(["-HUP", &id]))?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
