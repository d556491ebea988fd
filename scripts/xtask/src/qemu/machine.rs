//! The virtual machine's description and the QEMU command line that follows from it.

use super::{Network, firmware};
use crate::error::{Doing, Error, Result};
use crate::host::{self, RunDir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the hybrid image is plugged in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A CD drive on the SATA controller.
    Cd,
    /// A USB mass-storage stick on an xHCI controller.
    Usb,
}

/// How the kernel gets into memory.
#[derive(Clone, Debug)]
pub enum Boot {
    /// QEMU's `-kernel` (PVH entry), with the kernel's command line.
    Kernel {
        /// The ELF file.
        kernel: PathBuf,
        /// The kernel's command line.
        command_line: String,
    },
    /// SeaBIOS boots the image; the command line is inside it.
    Bios {
        /// The hybrid image.
        image: PathBuf,
        /// As what it is plugged in.
        media: Media,
    },
    /// OVMF boots the image; the command line is inside it.
    Uefi {
        /// The hybrid image.
        image: PathBuf,
        /// As what it is plugged in.
        media: Media,
    },
}

/// Where the screen goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// Nowhere; QMP can still dump it.
    None,
    /// A window.
    Window,
}

/// Where COM1 goes.
#[derive(Clone, Debug)]
pub enum Console {
    /// To QEMU's standard input and output, with QEMU's own escape key Ctrl-A.
    Terminal,
    /// To a Unix socket somebody listens on already.
    Socket(PathBuf),
}

/// What a reset by the guest (reboot or triple fault) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReset {
    /// QEMU ends, so that a triple fault cannot loop unseen.
    Exit,
    /// The machine starts again.
    Restart,
}

/// A machine to run Raede in. Fields not set by a caller keep the defaults of [`Machine::new`].
#[derive(Clone, Debug)]
pub struct Machine {
    /// How it boots.
    pub boot: Boot,
    /// `-machine`, with options.
    pub machine: String,
    /// `-cpu`.
    pub cpu: String,
    /// Number of virtual CPUs.
    pub cpus: u32,
    /// `-m`, as QEMU spells sizes (`512M`).
    pub memory: String,
    /// `-accel`.
    pub accel: String,
    /// Count instructions instead of time: one virtual ns per instruction, reproducible.
    pub icount: bool,
    /// `-vga`.
    pub vga: String,
    /// The screen.
    pub display: Display,
    /// Its card on QEMU's own network.
    pub network: Option<Network>,
    /// What a reset does.
    pub on_reset: OnReset,
    /// The network namespace (ip-netns(8)) that QEMU runs in; that of this process without one.
    pub namespace: Option<String>,
    /// Arguments added at the end, verbatim.
    pub extra: Vec<String>,
}

impl Machine {
    /// The default machine: q35, `-cpu max`, 2 CPUs, 512 MiB, TCG, no window, no network, reset ends QEMU.
    pub fn new(boot: Boot) -> Machine {
        Machine {
            boot,
            machine: "q35".into(),
            cpu: "max".into(),
            cpus: 2,
            memory: "512M".into(),
            accel: "tcg".into(),
            icount: false,
            vga: "std".into(),
            display: Display::None,
            network: None,
            on_reset: OnReset::Exit,
            namespace: None,
            extra: Vec::new(),
        }
    }

    /// A machine that boots the ELF file by `-kernel`.
    pub fn kernel(kernel: impl Into<PathBuf>, command_line: impl Into<String>) -> Machine {
        Machine::new(Boot::Kernel {
            kernel: kernel.into(),
            command_line: command_line.into(),
        })
    }

    /// The QEMU command. Copies it needs go to `dir`, which must outlive the process.
    ///
    /// QEMU is asked to end with this thread where the system can arrange it: a killed tool
    /// leaves no machine behind.
    pub fn command(&self, dir: &RunDir, console: &Console) -> Result<Command> {
        let mut words: Vec<&str> = Vec::new();
        if host::find_program("setpriv").is_some() {
            words.extend(["setpriv", "--pdeathsig", "KILL", "--"]);
        }
        if let Some(namespace) = &self.namespace {
            words.extend(["ip", "netns", "exec", namespace]);
        }
        words.push("qemu-system-x86_64");
        let mut command = host::command(words[0]);
        command.args(&words[1..]);
        command.args(["-name", "Raede", "-nodefaults", "-no-user-config"]);
        command.args([
            "-machine",
            &self.machine,
            "-cpu",
            &self.cpu,
            "-m",
            &self.memory,
        ]);
        command.args(["-smp", &self.cpus.to_string()]);
        if self.icount {
            command.args([
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
            ]);
        } else {
            command.args(["-accel", &self.accel]);
        }
        command.args(["-vga", &self.vga]);
        match self.display {
            Display::None => command.args(["-display", "none"]),
            Display::Window => &mut command, // QEMU opens its default window.
        };
        match console {
            Console::Terminal => command.args(["-serial", "mon:stdio"]),
            Console::Socket(path) => {
                let chardev = format!("socket,id=com1,path={}", path.display());
                command.args(["-chardev", &chardev, "-serial", "chardev:com1"])
            }
        };
        if self.on_reset == OnReset::Exit {
            command.arg("-no-reboot");
        }
        match &self.boot {
            Boot::Kernel {
                kernel,
                command_line,
            } => {
                command
                    .arg("-kernel")
                    .arg(kernel)
                    .args(["-append", command_line]);
            }
            Boot::Bios { image, media } => add_media(&mut command, image, *media),
            Boot::Uefi { image, media } => {
                add_ovmf(&mut command, dir)?;
                add_media(&mut command, image, *media);
            }
        }
        if let Some(network) = &self.network {
            network.add_to(&mut command);
        }
        command.args(&self.extra);
        Ok(command)
    }
}

fn add_ovmf(command: &mut Command, dir: &RunDir) -> Result<()> {
    let ovmf = firmware::find().ok_or_else(|| Error::Missing {
        what: "OVMF, the UEFI firmware for QEMU,".into(),
        fix: "install the package ovmf".into(),
    })?;
    let variables = dir.join("ovmf-variables.fd");
    fs::copy(&ovmf.variables, &variables)
        .doing(|| format!("copying {}", ovmf.variables.display()))?;
    let flash = |unit: u32, options: &str, file: &Path| {
        format!(
            "if=pflash,unit={unit},format=raw{options},file={}",
            file.display()
        )
    };
    command.args(["-drive", &flash(0, ",readonly=on", &ovmf.code)]);
    command.args(["-drive", &flash(1, "", &variables)]);
    Ok(())
}

fn add_media(command: &mut Command, image: &Path, media: Media) {
    // A comma in a file name would end the option; QEMU wants it doubled.
    let file = image.display().to_string().replace(',', ",,");
    let drive = format!("if=none,id=boot,format=raw,readonly=on,file={file}");
    match media {
        Media::Cd => {
            command.args(["-drive", &format!("{drive},media=cdrom")]);
            command.args(["-device", "ide-cd,bus=ide.0,drive=boot,bootindex=0"]);
        }
        Media::Usb => {
            command.args(["-drive", &drive, "-device", "qemu-xhci,id=xhci"]);
            command.args(["-device", "usb-storage,bus=xhci.0,drive=boot,bootindex=0"]);
        }
    }
}
