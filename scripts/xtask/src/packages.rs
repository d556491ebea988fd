//! Installs the Debian packages an action needs, after saying which.

use crate::error::{Doing, Error, Result};
use crate::host;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What an action needs from outside the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `qemu-system-x86_64`.
    Qemu,
    /// UEFI firmware for QEMU.
    Ovmf,
    /// `grub-mkimage`.
    GrubMkimage,
    /// GRUB's modules and boot sector for BIOS machines.
    GrubBios,
    /// `xorriso`, which writes the hybrid image.
    Xorriso,
    /// `mformat`, `mmd` and `mcopy`, which write the EFI partition.
    Mtools,
    /// `valgrind`, which counts instructions.
    Valgrind,
    /// `ip`, which makes network namespaces.
    Iproute,
    /// `dnsmasq`, which gives addresses and names.
    Dnsmasq,
    /// `ping`.
    Ping,
    /// `nc`.
    Netcat,
    /// `curl`.
    Curl,
    /// `chromium`, a browser.
    Chromium,
    /// `openssl`, which makes certificates and speaks TLS.
    Openssl,
}

/// Where GRUB's BIOS modules are.
pub const GRUB_BIOS_DIR: &str = "/usr/lib/grub/i386-pc";

impl Tool {
    /// Peers of the network tests.
    pub const PEERS: [Tool; 5] = [
        Tool::Iproute,
        Tool::Dnsmasq,
        Tool::Ping,
        Tool::Netcat,
        Tool::Curl,
    ];

    /// All that building the image needs.
    pub const IMAGE: [Tool; 4] = [
        Tool::GrubMkimage,
        Tool::GrubBios,
        Tool::Xorriso,
        Tool::Mtools,
    ];

    fn package(self) -> &'static str {
        match self {
            Tool::Qemu => "qemu-system-x86",
            Tool::Ovmf => "ovmf",
            Tool::GrubMkimage => "grub-common",
            Tool::GrubBios => "grub-pc-bin",
            Tool::Xorriso => "xorriso",
            Tool::Mtools => "mtools",
            Tool::Valgrind => "valgrind",
            Tool::Iproute => "iproute2",
            Tool::Dnsmasq => "dnsmasq-base",
            Tool::Ping => "iputils-ping",
            Tool::Netcat => "netcat-openbsd",
            Tool::Curl => "curl",
            Tool::Chromium => "chromium",
            Tool::Openssl => "openssl",
        }
    }

    fn present(self) -> bool {
        match self {
            Tool::Qemu => host::find_program("qemu-system-x86_64").is_some(),
            Tool::Ovmf => crate::qemu::firmware::find().is_some(),
            Tool::GrubMkimage => host::find_program("grub-mkimage").is_some(),
            Tool::GrubBios => Path::new(GRUB_BIOS_DIR).join("boot_hybrid.img").is_file(),
            Tool::Xorriso => host::find_program("xorriso").is_some(),
            Tool::Valgrind => host::find_program("valgrind").is_some(),
            Tool::Iproute => host::find_program("ip").is_some(),
            Tool::Dnsmasq => host::find_program("dnsmasq").is_some(),
            Tool::Ping => host::find_program("ping").is_some(),
            Tool::Netcat => host::find_program("nc").is_some(),
            Tool::Curl => host::find_program("curl").is_some(),
            Tool::Chromium => host::find_program("chromium").is_some(),
            Tool::Openssl => host::find_program("openssl").is_some(),
            Tool::Mtools => ["mformat", "mmd", "mcopy"]
                .iter()
                .all(|name| host::find_program(name).is_some()),
        }
    }
}

/// Makes sure the tools are there, installing their packages where that is possible.
pub fn require(tools: &[Tool]) -> Result<()> {
    // Two installations at once refuse each other.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| !tool.present())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package()).collect();
    packages.dedup();
    let list = packages.join(" ");
    let by_hand = |why: &str| Error::Missing {
        what: format!("Debian package(s) {list}"),
        fix: format!(
            "{why}; install by hand: apt-get install {list} (elsewhere, the packages with those programs)"
        ),
    };
    if host::find_program("apt-get").is_none() {
        return Err(by_hand("there is no apt-get here"));
    }
    let sudo = if running_as_root() {
        false
    } else if host::find_program("sudo").is_some() {
        true
    } else {
        return Err(by_hand("installing needs root, and there is no sudo"));
    };
    eprintln!("Installing the missing Debian package(s): {list}");
    apt(sudo, &["update", "-q"]).map_err(|error| by_hand(&error.to_string()))?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(&packages);
    apt(sudo, &arguments).map_err(|error| by_hand(&error.to_string()))?;
    match missing.iter().find(|tool| !tool.present()) {
        None => Ok(()),
        Some(tool) => Err(Error::Missing {
            what: format!("{tool:?}"),
            fix: format!(
                "package {} was installed but does not bring it",
                tool.package()
            ),
        }),
    }
}

/// Whether this process may do what root may.
pub fn running_as_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == "0")
}

/// Runs apt-get with its messages on standard error.
fn apt(sudo: bool, arguments: &[&str]) -> Result<()> {
    let mut command = if sudo {
        let mut command = Command::new("sudo");
        command.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    } else {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    command
        .args(arguments)
        .stdin(Stdio::inherit())
        .stdout(std::io::stderr());
    let status = command.status().doing(|| "starting apt-get".into())?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Command {
        command: host::spelled(&command),
        status: status.to_string(),
        output: String::new(),
    })
}
