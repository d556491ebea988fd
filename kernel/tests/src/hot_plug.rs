//! Keyboards and mice that are plugged into PCI Express slots while the system runs, and taken out: what is held on others stays held, and
//! what was held on them is released.

use serde_json::json;
use xtask::qemu::Machine;

use crate::lab::{Lab, MANAGER};
use crate::scenario::{Scenario, Verdict};
use crate::seat::{Done, Seat, button, relative};
use crate::session::COMMAND_LIMIT;

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![Scenario::alone("qemu.seat.hot_plug", hot_plug)]
}

/// Two empty slots, as PCI Express has them. QEMU's machine would rather tell of them by ACPI.
fn machine(lab: &Lab) -> Machine {
    let mut machine = lab.machine(&format!("{MANAGER} screen=desktop"));
    machine.extra.extend(
        [
            "-global",
            "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
            "-device",
            "pcie-root-port,id=first,chassis=1,slot=1",
            "-device",
            "pcie-root-port,id=second,chassis=2,slot=2",
        ]
        .map(str::to_owned),
    );
    machine
}

fn plug(seat: &mut Seat, driver: &str, bus: &str) -> Done {
    let id = format!("in-{bus}");
    let device = json!({ "driver": driver, "bus": bus, "id": id });
    seat.0.vm.qmp.execute("device_add", device)?;
    Ok(())
}

/// Presses the buttons of slots, which is what QEMU does before it takes something out.
fn press(seat: &mut Seat, buses: &[&str]) -> Done {
    for bus in buses {
        let id = format!("in-{bus}");
        seat.0.vm.qmp.execute("device_del", json!({ "id": id }))?;
    }
    Ok(())
}

fn hot_plug(lab: &Lab) -> Verdict {
    let mut seat = Seat::boot(&machine(lab))?;
    // Held on the keyboard that stays.
    seat.keys(&[("s", true)])?;
    seat.sees("0: key 31 Down Some(Char('s'))")?;
    for round in 0..2 {
        plug(&mut seat, "virtio-keyboard-pci", "first")?;
        seat.sees("QEMU Virtio Keyboard")?;
        plug(&mut seat, "virtio-mouse-pci", "second")?;
        seat.sees("QEMU Virtio Mouse")?;
        seat.keys(&[("a", true), ("a", false)])?;
        let line = seat.sees(": key 30 Down Some(Char('a'))")?;
        if line.contains(" 0: key") {
            return Err(format!("the PS/2 keyboard got it: {line}").into());
        }
        seat.sees(": key 30 Up None")?;
        seat.events(&[relative("x", -300), relative("y", 300)])?;
        let line = seat.sees(": motion -300 300")?;
        if line.contains(" 1: motion") {
            return Err(format!("the PS/2 mouse got it: {line}").into());
        }
        if round == 1 {
            break;
        }
        // Held on those that go.
        seat.keys(&[("b", true)])?;
        seat.sees(": key 48 Down Some(Char('b'))")?;
        seat.events(&[button("left", true)])?;
        seat.sees(": button Left true")?;
        press(&mut seat, &["first", "second"])?;
        let mut waiting = [
            ": key 48 Up None",
            ": button Left false",
            "device 2 was taken out",
            "device 3 was taken out",
        ]
        .to_vec();
        while !waiting.is_empty() {
            let line = seat.sees("input: ")?;
            if line.contains("key 31 Up") {
                return Err(format!("a key of another keyboard was let go: {line}").into());
            }
            waiting.retain(|wanted| !line.contains(wanted));
        }
        // Their parts go, too, and are told of in between.
        let mut left = 2;
        while left > 0 {
            let event = seat.0.vm.qmp.wait_event("DEVICE_DELETED", COMMAND_LIMIT)?;
            left -= usize::from(event["data"]["device"].is_string());
        }
        seat.keys(&[("s", false)])?;
        seat.sees("0: key 31 Up None")?;
    }
    Ok("a keyboard and a mouse, in, out and in again".into())
}
