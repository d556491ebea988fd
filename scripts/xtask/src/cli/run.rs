//! `scripts/run`: boot Raede and talk to it, by hand or by script.

use super::{number, text};
use crate::build;
use crate::error::{Doing, Error, Result};
use crate::host::{self, RunDir};
use crate::packages::{self, Tool};
use crate::qemu::{
    Boot, Console, Display, Forward, Machine, Media, Network, Nic, OnReset, Protocol, Vm,
    WaitError, script,
};
use crate::say;
use lexopt::prelude::*;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

const HELP: &str = "\
Usage: scripts/run [OPTIONS] [-- QEMU ARGUMENTS]

Builds Raede and boots it in QEMU: with its desktop in a window where there is a display, and with
the serial shell in this terminal.

  --headless          no window, even where there is a display
  --smp N             processors, 1 to 64 (default 2)
  --mem SIZE          memory as QEMU spells it: 512M (default), 4G
  --firmware F        kernel: QEMU loads the kernel (default); bios, uefi: boot the image
  --media M           plug the image in as: cd (default), usb
  --exec \"CMD; CMD\"   run the commands in the serial shell without a window, print just their
                      output, power off, and exit with the last command's status
                      (101: the kernel panicked; 124: time-out)
  --timeout SECONDS   limit for --exec, boot included (default 60)
  --nic CARD          network card: virtio (default), e1000e, none. It is on a network of QEMU's own,
                      with an address by DHCP, names by DNS, and a way out by the host
  --forward tcp:HOST:GUEST
                      127.0.0.1:HOST here is the machine's port GUEST; HOST 0 is a free port, said
                      at the start. Also udp:HOST:GUEST, and as often as needed. Without --exec the
                      status page (port 80) has one by itself
  --qmp SOCKET        serve QEMU's machine protocol at this Unix socket
  --accel A           QEMU's accelerator (default tcg)
  --icount            count instructions instead of time; 1 processor unless --smp says more
  --append TEXT       words for the kernel's command line

RAEDE_KERNEL=FILE in the environment boots that kernel instead of building one.
";

/// The status page's port, which is reached from here unless --exec is given.
const PAGE: Forward = Forward {
    protocol: Protocol::Tcp,
    host: 0,
    guest: 80,
};
/// Exit status of --exec when the kernel panicked.
const PANICKED: u8 = 101;
/// Exit status of --exec when the time was over.
const TIMED_OUT: u8 = 124;
/// How long QEMU may take to end after `poweroff`.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Firmware {
    Kernel,
    Bios,
    Uefi,
}

struct Options {
    headless: bool,
    cpus: Option<u32>,
    memory: String,
    firmware: Firmware,
    media: Option<Media>,
    exec: Option<String>,
    timeout: Duration,
    nic: Option<Nic>,
    forwards: Vec<Forward>,
    qmp: Option<String>,
    accel: Option<String>,
    icount: bool,
    append: String,
    extra: Vec<String>,
}

pub(super) fn main(parser: &mut lexopt::Parser) -> Result<ExitCode> {
    let Some(options) = parse(parser)? else {
        say!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let mut tools = vec![Tool::Qemu];
    if options.firmware == Firmware::Uefi {
        tools.push(Tool::Ovmf);
    }
    if options.firmware != Firmware::Kernel {
        tools.extend(Tool::IMAGE);
    }
    packages::require(&tools)?;
    let files = RunDir::new()?;
    let machine = machine(&options, &files)?;
    match &options.exec {
        Some(commands) => exec(&machine, commands, options.timeout),
        None => interactive(&machine, &files),
    }
}

fn parse(parser: &mut lexopt::Parser) -> Result<Option<Options>> {
    let mut options = Options {
        headless: false,
        cpus: None,
        memory: "512M".into(),
        firmware: Firmware::Kernel,
        media: None,
        exec: None,
        timeout: Duration::from_secs(60),
        nic: Some(Nic::Virtio),
        forwards: Vec::new(),
        qmp: None,
        accel: None,
        icount: false,
        append: String::new(),
        extra: Vec::new(),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("headless") => options.headless = true,
            Long("smp") => options.cpus = Some(number(parser, "--smp", 1, 64)? as u32),
            Long("mem") => options.memory = text(parser)?,
            Long("firmware") => {
                options.firmware = match text(parser)?.as_str() {
                    "kernel" => Firmware::Kernel,
                    "bios" => Firmware::Bios,
                    "uefi" => Firmware::Uefi,
                    other => {
                        return Err(Error::Usage(format!(
                            "--firmware {other}: kernel, bios or uefi"
                        )));
                    }
                }
            }
            Long("media") => {
                options.media = Some(match text(parser)?.as_str() {
                    "cd" => Media::Cd,
                    "usb" => Media::Usb,
                    other => return Err(Error::Usage(format!("--media {other}: cd or usb"))),
                })
            }
            Long("exec") => options.exec = Some(text(parser)?),
            Long("timeout") => {
                options.timeout = Duration::from_secs(number(parser, "--timeout", 1, 86_400)?)
            }
            Long("nic") => {
                options.nic = match text(parser)?.as_str() {
                    "virtio" => Some(Nic::Virtio),
                    "e1000e" => Some(Nic::E1000e),
                    "none" => None,
                    other => {
                        return Err(Error::Usage(format!(
                            "--nic {other}: virtio, e1000e or none"
                        )));
                    }
                }
            }
            Long("forward") => options.forwards.push(text(parser)?.parse()?),
            Long("qmp") => options.qmp = Some(text(parser)?),
            Long("accel") => options.accel = Some(text(parser)?),
            Long("icount") => options.icount = true,
            Long("append") => options.append = text(parser)?,
            // Only what follows `--` comes as plain values.
            Value(value) => options.extra.push(
                value
                    .into_string()
                    .map_err(|_| Error::Usage("a QEMU argument is not UTF-8".into()))?,
            ),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.media.is_some() && options.firmware == Firmware::Kernel {
        return Err(Error::Usage("--media needs --firmware bios or uefi".into()));
    }
    if options.nic.is_none() && !options.forwards.is_empty() {
        return Err(Error::Usage("--forward needs a --nic".into()));
    }
    if options.icount && options.accel.is_some() {
        return Err(Error::Usage("--icount brings its own --accel".into()));
    }
    Ok(Some(options))
}

/// Builds what boots and describes the machine.
fn machine(options: &Options, files: &RunDir) -> Result<Machine> {
    let kernel = build::kernel()?;
    let window =
        options.exec.is_none() && !options.headless && host::has_display() && qemu_has_windows();
    let mut command_line = options.append.trim().to_owned();
    if window {
        // As below: --append screen=text has the shell on the screen.
        command_line = format!("screen=desktop {command_line}").trim().to_owned();
    }
    if options.exec.is_some() {
        // The later word wins, so --append can still choose another end.
        command_line = format!("{} panic=poweroff {command_line}", script::SCRIPT_WORD)
            .trim()
            .to_owned();
    }
    let media = options.media.unwrap_or(Media::Cd);
    let image = || -> Result<_> {
        let image = files.join("raede.iso");
        build::image::build(&kernel, &command_line, &image)?;
        Ok(image)
    };
    let boot = match options.firmware {
        Firmware::Kernel => Boot::Kernel {
            kernel: kernel.clone(),
            command_line: command_line.clone(),
        },
        Firmware::Bios => Boot::Bios {
            image: image()?,
            media,
        },
        Firmware::Uefi => Boot::Uefi {
            image: image()?,
            media,
        },
    };
    let mut machine = Machine::new(boot);
    machine.icount = options.icount;
    machine.cpus = options
        .cpus
        .unwrap_or(if options.icount { 1 } else { machine.cpus });
    machine.memory = options.memory.clone();
    if let Some(accel) = &options.accel {
        machine.accel = accel.clone();
    }
    if let Some(nic) = options.nic {
        let mut wanted = options.forwards.clone();
        let is_page = |forward: &Forward| forward.guest == PAGE.guest;
        if options.exec.is_none() && !wanted.iter().any(is_page) {
            wanted.push(PAGE);
        }
        let forwards = wanted.into_iter().map(Forward::settled);
        let forwards = forwards.collect::<Result<Vec<_>>>()?;
        for forward in &forwards {
            if is_page(forward) && forward.protocol == PAGE.protocol {
                eprintln!("The status page: http://localhost:{}", forward.host);
            } else {
                eprintln!("{forward}.");
            }
        }
        machine.network = Some(Network { nic, forwards });
    }
    if let Some(socket) = &options.qmp {
        let server = format!("unix:{},server=on,wait=off", socket.replace(',', ",,"));
        machine.extra.extend(["-qmp".into(), server]);
    }
    machine.extra.extend(options.extra.iter().cloned());
    if window {
        machine.display = Display::Window;
    }
    if options.exec.is_none() {
        machine.on_reset = OnReset::Restart;
    }
    Ok(machine)
}

/// Whether this QEMU can open a window (Debian keeps that in a package of its own).
fn qemu_has_windows() -> bool {
    let help = host::run_captured(Command::new("qemu-system-x86_64").args(["-display", "help"]));
    let windows = help.is_ok_and(|text| {
        ["gtk", "sdl", "cocoa"]
            .iter()
            .any(|kind| text.contains(kind))
    });
    if !windows {
        eprintln!(
            "There is a display, but this QEMU has no window support (Debian: qemu-system-gui)."
        );
    }
    windows
}

fn interactive(machine: &Machine, files: &RunDir) -> Result<ExitCode> {
    match machine.display {
        Display::Window => eprintln!("Raede runs in its window; this terminal is its serial port."),
        Display::None => eprintln!("This terminal is Raede's serial port."),
    }
    eprintln!("Leave with `poweroff`, or end QEMU with Ctrl-A X.");
    let mut command = machine.command(files, &Console::Terminal)?;
    let status = command
        .status()
        .doing(|| "starting qemu-system-x86_64".into())?;
    Ok(exit_code(status))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    )
}

/// Runs the commands and powers off. The result is the process's exit status.
fn exec(machine: &Machine, commands: &str, timeout: Duration) -> Result<ExitCode> {
    let end = Instant::now() + timeout;
    let left = || end.saturating_duration_since(Instant::now());
    let mut vm = machine.spawn()?;
    let mut status = 0;
    if let Err(error) = script::wait_ready(&mut vm.serial, left()) {
        return failed(error, None);
    }
    for command in split_commands(commands) {
        match script::run(&mut vm.serial, &command, left()) {
            Ok(reply) => {
                say!("{}", reply.output);
                status = reply.status;
            }
            Err(error) => return failed(error, vm_ended_by(&command, &mut vm)),
        }
    }
    // `poweroff` gives no status: the machine goes away.
    vm.serial.send("poweroff\n")?;
    if let Err(error) = vm.wait_exit(POWER_OFF_LIMIT.min(left().max(Duration::from_secs(1)))) {
        eprintln!("warning: poweroff had no effect, QEMU was ended by force ({error})");
    }
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

/// The single commands: `;` and line feeds separate them, except in quotes and after a backslash.
fn split_commands(text: &str) -> Vec<String> {
    let mut commands = vec![String::new()];
    let (mut quote, mut escaped) = (None, false);
    for character in text.chars() {
        let literal = escaped || quote.is_some_and(|open| open != character);
        // A line holds one command, so a quoted line feed cannot be sent: it ends the command there too.
        if character == '\n' || (character == ';' && !literal && quote.is_none()) {
            commands.push(String::new());
            (quote, escaped) = (None, false);
            continue;
        }
        if !escaped && matches!(character, '\'' | '"') && !literal {
            quote = if quote.is_some() {
                None
            } else {
                Some(character)
            };
        }
        escaped = character == '\\' && !escaped && quote != Some('\'');
        if let Some(command) = commands.last_mut() {
            command.push(character);
        }
    }
    commands
        .iter()
        .map(|command| command.trim().to_owned())
        .filter(|command| !command.is_empty())
        .collect()
}

/// Success, if this command is meant to end the machine and did.
fn vm_ended_by(command: &str, vm: &mut Vm) -> Option<ExitCode> {
    let word = command.split_whitespace().next();
    let ends = matches!(word, Some("poweroff" | "reboot"));
    (ends && vm.wait_exit(POWER_OFF_LIMIT).is_ok()).then_some(ExitCode::SUCCESS)
}

fn failed(error: script::ScriptError, ended: Option<ExitCode>) -> Result<ExitCode> {
    match error {
        script::ScriptError::Wait(WaitError::Panicked { before, report }) => {
            // The report starts on a line of its own, whatever came before.
            say!("{}", before.strip_suffix('\n').unwrap_or(&before));
            eprintln!("{report}");
            Ok(ExitCode::from(PANICKED))
        }
        script::ScriptError::Wait(WaitError::TimedOut { .. }) => {
            eprintln!("error: {error}");
            Ok(ExitCode::from(TIMED_OUT))
        }
        script::ScriptError::Wait(WaitError::Closed { .. }) if ended.is_some() => {
            Ok(ended.unwrap_or(ExitCode::SUCCESS))
        }
        other => Err(Error::Qemu(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Nic, Options, Result, parse, split_commands};

    fn options(arguments: &[&str]) -> Result<Option<Options>> {
        let mut all = vec!["run"];
        all.extend(arguments);
        parse(&mut lexopt::Parser::from_iter(all))
    }

    #[test]
    fn cards_and_forwards_are_read() {
        let given = options(&[
            "--forward",
            "tcp:0:80",
            "--nic=e1000e",
            "--forward=udp:5353:53",
        ]);
        let given = given.expect("right").expect("no help");
        assert!(given.nic == Some(Nic::E1000e) && given.forwards.len() == 2);
        let default = options(&[]).expect("right").expect("no help");
        assert!(default.nic == Some(Nic::Virtio) && default.forwards.is_empty());
        let none = options(&["--nic", "none"]).expect("right");
        assert!(none.expect("no help").nic.is_none());
        for wrong in [
            &["--nic", "rtl8139"][..],
            &["--nic"],
            &["--forward", "80"],
            &["--nic", "none", "--forward", "tcp:0:80"],
            &["--forwards", "tcp:0:80"],
        ] {
            assert!(options(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn commands_are_split_as_the_shell_would() {
        assert_eq!(
            split_commands("help; ps --json ;;\n echo a"),
            ["help", "ps --json", "echo a"]
        );
        assert_eq!(split_commands("echo 'a;b'; x"), ["echo 'a;b'", "x"]);
        assert_eq!(
            split_commands(r#"echo "a\";b" c; x"#),
            [r#"echo "a\";b" c"#, "x"]
        );
        assert_eq!(
            split_commands(r"echo a\;b; echo '\'; x"),
            [r"echo a\;b", r"echo '\'", "x"]
        );
        assert!(split_commands(" ; ").is_empty());
    }
}
