//! Probes inside Raede: boots the measuring machine and collects what it writes to COM2.
//!
//! COM2 carries one JSON object per line and ends with `{"event":"done"}`. A failure tells
//! what the machine said on COM1.

use super::{Results, drive, parse_line};
use crate::error::{Error, Result};
use crate::qemu::script::{self, SCRIPT_WORD};
use crate::qemu::{Forward, Machine, Network, Nic, Ports, Vm, WaitError};
use std::path::Path;
use std::time::{Duration, Instant};

/// How virtual time passes while measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One virtual nanosecond per guest instruction, one processor: reproducible to the digit.
    Icount,
    /// By the clock on the wall, two processors.
    Tcg,
}

impl Mode {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Icount => "icount",
            Mode::Tcg => "tcg",
        }
    }

    /// The machine: the words of the protocol on the command line, the protocol's devices.
    pub fn machine(self, kernel: &Path, phases: &str, append: &str) -> Machine {
        let words = format!("init=off bench.{} bench.phases={phases}", self.name());
        self.plain_machine(kernel, &words, append)
    }

    /// The machine whose first process measures ring 3, each periodic probe for so many seconds. `arguments`: what else that process is told.
    pub fn ring3_machine(
        self,
        kernel: &Path,
        seconds: u64,
        arguments: &str,
        append: &str,
    ) -> Machine {
        let init = format!("programs/bench {seconds} {arguments}");
        self.plain_machine(kernel, &format!("init=\"{}\"", init.trim()), append)
    }

    /// What this mode's machines have, whatever kernel runs there.
    pub fn set_up(self, machine: &mut Machine) {
        match self {
            Mode::Icount => {
                machine.icount = true;
                machine.cpus = 1;
                // Random numbers and the date too are the same each time, and with them all addresses.
                let same = ["-seed", "1", "-rtc", "base=2026-01-01T00:00:00,clock=vm"];
                machine.extra.extend(same.map(str::to_owned));
            }
            Mode::Tcg => machine.accel = "tcg,thread=multi".into(),
        }
    }

    fn plain_machine(self, kernel: &Path, words: &str, append: &str) -> Machine {
        let words = format!("panic=poweroff {words} {append}");
        let mut machine = Machine::kernel(kernel, words.trim());
        self.set_up(&mut machine);
        machine
    }
}

/// All figures in instructions: the kernel's probes, then those of ring 3.
pub fn counted(
    kernel: &Path,
    phases: &str,
    seconds: u64,
    append: &str,
    limit: Duration,
) -> Result<Results> {
    let mode = Mode::Icount;
    let mut results = run(&mode.machine(kernel, phases, append), limit)?;
    results.extend(run(
        &mode.ring3_machine(kernel, seconds, "", append),
        limit,
    )?);
    Ok(results)
}

/// Runs the probes to their end.
pub fn run(machine: &Machine, limit: Duration) -> Result<Results> {
    follow(
        machine.spawn_with(Ports::MEASURING)?,
        drive::Ports::default(),
        limit,
    )
}

/// What the host measures of sockets: datagrams and connections through QEMU's own network.
pub fn sockets(mode: Mode, kernel: &Path, append: &str, limit: Duration) -> Result<Results> {
    let words = "init=\"servers/manager test.bench-net\"";
    let mut machine = mode.plain_machine(kernel, words, append);
    let forward = |text: &str| text.parse::<Forward>()?.settled();
    let (udp, tcp, page) = (
        forward("udp:0:7")?,
        forward("tcp:0:5001")?,
        forward("tcp:0:80")?,
    );
    let ports = drive::Ports {
        udp: udp.host,
        tcp: tcp.host,
        page: page.host,
    };
    machine.network = Some(Network {
        nic: Nic::Virtio,
        forwards: vec![udp, tcp, page],
    });
    follow(machine.spawn_with(Ports::MEASURING)?, ports, limit)
}

/// What is measured of keyboards: of the machine's own, and of one that it has beside that, each in a machine of its own.
pub fn keyboards(mode: Mode, kernel: &Path, append: &str, limit: Duration) -> Result<Results> {
    let mut results = Results::default();
    for (keyboard, devices) in [
        ("ps2", &[][..]),
        ("virtio", &["-device", "virtio-keyboard-pci"]),
    ] {
        let words = format!("{SCRIPT_WORD} init=servers/manager screen=desktop");
        let mut machine = mode.plain_machine(kernel, &words, append);
        let devices = devices.iter().map(|&argument| argument.to_owned());
        machine.extra.extend(devices);
        let mut vm = machine.spawn_with(Ports::MEASURING)?;
        let wrong = |error: script::ScriptError| Error::Qemu(error.to_string());
        script::wait_ready(&mut vm.serial, limit).map_err(wrong)?;
        // Who listens to the keyboard otherwise makes room.
        for command in [
            "svc stop compositor",
            &format!("svc enable test.bench-{keyboard}"),
        ] {
            let reply = script::run(&mut vm.serial, command, limit).map_err(wrong)?;
            if reply.status != 0 {
                return Err(Error::Qemu(format!("`{command}`: {}", reply.output)));
            }
        }
        results.extend(follow(vm, drive::Ports::default(), limit)?);
    }
    Ok(results)
}

/// Collects what a machine measures until it is done.
fn follow(mut vm: Vm, ports: drive::Ports, limit: Duration) -> Result<Results> {
    let end = Instant::now() + limit;
    let mut results = Results::default();
    loop {
        let line = next_line(&mut vm, end)?;
        let message = parse_line(&line)?;
        match message["event"].as_str() {
            None => {
                let name = message["metric"].as_str().unwrap_or("?").to_owned();
                results.add(message).map_err(Error::Qemu)?;
                eprintln!("{name}");
            }
            Some("meta") => results.add_meta(message),
            Some("samples") => results.add_samples(&message),
            Some("skipped") => {
                eprintln!("{} skipped: {}", message["metric"], message["reason"]);
                results.add_meta(message);
            }
            Some("ready") => drive::phase(&mut vm, &message, ports, &mut results)?,
            Some("done") => return Ok(results),
            Some(other) => {
                return Err(Error::Qemu(format!(
                    "the guest asks for {other:?}, which this mode does not offer: {line}"
                )));
            }
        }
    }
}

/// The next line of the protocol.
pub(super) fn next_line(vm: &mut Vm, end: Instant) -> Result<String> {
    let left = end.saturating_duration_since(Instant::now());
    let com2 = vm
        .com2
        .as_mut()
        .ok_or_else(|| Error::Qemu("the machine has no COM2".into()))?;
    let line = com2.wait_until("a measurement on COM2", left, |unread| {
        let length = unread.iter().position(|&byte| byte == b'\n')?;
        Some((
            length + 1,
            String::from_utf8_lossy(&unread[..length]).trim().to_owned(),
        ))
    });
    line.map_err(|error| match error {
        WaitError::Panicked { report, .. } => Error::Qemu(report),
        // The machine's own story is on COM1.
        WaitError::Closed { .. } => match vm.serial.wait_panic(Duration::from_secs(1)) {
            Ok(report) => Error::Qemu(format!("the kernel panicked:\n{report}")),
            Err(_) => Error::Qemu(format!(
                "the machine ended before it was done:\n{}",
                vm.serial.tail()
            )),
        },
        late => Error::Qemu(format!("{late}\nCOM1 said last:\n{}", vm.serial.tail())),
    })
}
