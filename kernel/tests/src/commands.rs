//! Each command of the shell: it works, explains itself, and its tables are JSON.

use crate::json;
use crate::lab::MANAGER;
use crate::scenario::{Check, Scenario, Verdict};
use crate::session::Session;
use std::error::Error;
use std::time::{Duration, Instant};

/// All commands of the shell.
const ALL: [&str; 25] = [
    "help", "version", "ps", "top", "cores", "irq", "mem", "pci", "dmesg", "time", "sleep", "echo",
    "poweroff", "reboot", "panic", "svc", "run", "kill", "caps", "ip", "ping", "dns", "netstat",
    "nc", "curl",
];

pub fn scenarios() -> Vec<Scenario> {
    let mut checks = vec![
        Check::new("qemu.command.help", help),
        Check::new("qemu.command.version", version),
        Check::new("qemu.command.ps", |session| {
            table(session, "ps", &["name", "core", "state", "polls"])?;
            spawn_places(session)
        }),
        Check::new("qemu.command.top", |session| {
            // One picture: with nobody at the keyboard it must end by itself.
            session.rows("top --json").map(|_| String::new())
        }),
        Check::new("qemu.command.cores", |session| {
            table(
                session,
                "cores",
                &["core", "apic_id", "state", "dispatches", "timer_irqs"],
            )
        }),
        Check::new("qemu.command.irq", |session| {
            table(session, "irq", &["vector", "source"])
        }),
        Check::new("qemu.command.mem", mem),
        Check::new("qemu.command.pci", pci),
        Check::new("qemu.command.dmesg", |session| {
            table(session, "dmesg", &["level"])
        }),
        Check::new("qemu.command.time", time),
        Check::new("qemu.command.sleep", sleep),
        Check::new("qemu.command.echo", echo),
    ];
    for command in ALL {
        checks.push(Check::new(
            format!("qemu.command.help_of_{command}"),
            move |session| {
                let text = session.ok(&format!("{command} --help"))?;
                if text.contains(command) && text.len() > command.len() + 10 {
                    return Ok(String::new());
                }
                Err(format!("`{command} --help` explains little: {text:?}").into())
            },
        ));
    }
    vec![
        Scenario::shared(|lab| Ok(lab.script_machine(MANAGER)), checks),
        Scenario::shared(
            |lab| Ok(lab.script_machine("")),
            vec![Check::new("qemu.command.rescue", rescue)],
        ),
    ]
}

/// The shell inside the kernel knows the same commands; what takes a manager is refused with a reason.
fn rescue(session: &mut Session) -> Verdict {
    for command in [
        "ps", "cores", "irq", "pci", "dmesg", "mem", "time", "version",
    ] {
        session.ok(command)?;
        session.rows(&format!("{command} --json"))?;
    }
    session.rows("top --json")?;
    for command in ["svc list", "run hello", "kill 1", "caps 1", "ip", "netstat"] {
        session.refused(command)?;
    }
    session.alive()
}

fn help(session: &mut Session) -> Verdict {
    let text = session.ok("help")?;
    let missing: Vec<&str> = ALL
        .into_iter()
        .filter(|command| {
            !text
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == *command)
        })
        .collect();
    if missing.is_empty() {
        return Ok(String::new());
    }
    Err(format!("`help` does not name {missing:?}:\n{text}").into())
}

fn version(session: &mut Session) -> Verdict {
    let text = session.ok("version")?;
    if !text.contains("Raede") {
        return Err(format!("`version` does not name the system: {text:?}").into());
    }
    session.object("version --json")?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A command that prints a table: as text with a heading, as JSON with these fields in each row.
fn table(session: &mut Session, command: &str, fields: &[&str]) -> Verdict {
    let text = session.ok(command)?;
    let rows = session.rows(&format!("{command} --json"))?;
    if rows.is_empty() || text.lines().count() < 2 {
        return Err(format!("`{command}` has no rows:\n{text}\n{rows:?}").into());
    }
    // `ps` lists processes, too, which have other fields.
    for row in rows.iter().filter(|row| row["kind"] != "process") {
        if let Some(field) = fields.iter().find(|field| row.get(field).is_none()) {
            return Err(format!("a row of `{command} --json` has no {field:?}: {row}").into());
        }
    }
    Ok(format!("{} rows", rows.len()))
}

/// `ps` says where each task was spawned.
fn spawn_places(session: &mut Session) -> Verdict {
    let text = session.ok("ps")?;
    if text.contains(".rs:") {
        return Ok(String::new());
    }
    Err(format!("`ps` shows no spawn places:\n{text}").into())
}

fn mem(session: &mut Session) -> Verdict {
    let text = session.ok("mem")?;
    let value = session.object("mem --json")?;
    let total = json::count(&value, "total_frames")?;
    let free = json::count(&value, "free_frames")?;
    // 512 MiB less what the firmware keeps, in 4 KiB frames.
    if !(120_000..=131_072).contains(&total) || free == 0 || free > total {
        return Err(format!(
            "512 MiB should be about 130000 frames, some of them free:\n{text}\n{value}"
        )
        .into());
    }
    Ok(format!("{free} of {total} frames free"))
}

fn pci(session: &mut Session) -> Verdict {
    let rows = session.rows("pci --json")?;
    // q35 without extras: host bridge, VGA, ISA bridge, SATA, SMBus.
    if rows.len() < 5 {
        return Err(format!("q35 has at least 5 PCI functions: {rows:?}").into());
    }
    table(session, "pci", &["address", "vendor", "device"])
}

/// Uptime grows with the host's clock.
fn time(session: &mut Session) -> Verdict {
    session.ok("time")?;
    let uptime = |session: &mut Session| -> Result<u64, Box<dyn Error>> {
        Ok(json::count(&session.object("time --json")?, "uptime_ns")?)
    };
    let before = Instant::now();
    let first = uptime(session)?;
    session.ok("sleep 2")?;
    let second = uptime(session)?;
    let outside = before.elapsed();
    let inside = Duration::from_nanos(second.saturating_sub(first));
    // The guest's interval lies within the host's; a busy host only widens the latter.
    if inside < Duration::from_millis(1990) || inside > outside.mul_f64(1.02) {
        return Err(format!("{inside:?} passed in the machine, {outside:?} outside").into());
    }
    Ok(format!(
        "{} ms in, {} ms out",
        inside.as_millis(),
        outside.as_millis()
    ))
}

fn sleep(session: &mut Session) -> Verdict {
    let started = Instant::now();
    session.ok("sleep 1")?;
    let took = started.elapsed();
    if took < Duration::from_millis(990) {
        return Err(format!("`sleep 1` took {took:?}").into());
    }
    session.ok("sleep 0")?;
    for wrong in ["sleep", "sleep soon", "sleep -1", "sleep 1e99"] {
        session.refused(wrong)?;
    }
    Ok(format!("{} ms", took.as_millis()))
}

fn echo(session: &mut Session) -> Verdict {
    for text in ["hello", "a  b", "grüße, 世界"] {
        let output = session.ok(&format!("echo \"{text}\""))?;
        if output != format!("{text}\n") {
            return Err(format!("echo of {text:?} gave {output:?}").into());
        }
    }
    if session.ok("echo")? != "\n" {
        return Err("`echo` alone should print an empty line".into());
    }
    Ok(String::new())
}
