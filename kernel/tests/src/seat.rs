//! Keyboards and pointers driven from outside, and what the input server makes of them: its unit `test.input` logs each event. The compositor,
//! which listens otherwise, is stopped.

use crate::lab::{Lab, MANAGER};
use crate::scenario::{Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, Prompt};
use serde_json::{Value, json};
use std::error::Error;
use xtask::qemu::Machine;

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.seat.ps2", ps2),
        Scenario::alone("qemu.seat.virtio", virtio),
    ]
}

/// Of a step.
pub type Done = Result<(), Box<dyn Error>>;

/// A booted machine whose input events are logged on the serial port.
pub struct Seat(pub Prompt);

impl Seat {
    /// Boots it.
    pub fn boot(machine: &Machine) -> Result<Self, Box<dyn Error>> {
        let mut prompt = Prompt::boot(machine)?;
        prompt.type_line("svc stop compositor")?;
        prompt.vm.serial.send("svc enable test.input\r")?;
        let mut seat = Self(prompt);
        seat.sees("test.input: listening")?;
        Ok(seat)
    }

    /// Waits for a log line with this in it.
    pub fn sees(&mut self, what: &str) -> Result<String, Box<dyn Error>> {
        Ok(self.0.vm.serial.wait_line(what, COMMAND_LIMIT)?)
    }

    /// Waits for several, in this order.
    fn sees_all(&mut self, what: &[&str]) -> Done {
        what.iter().try_for_each(|line| self.sees(line).map(drop))
    }

    /// Presses (`true`) and releases keys, at the keyboard that came last.
    pub fn keys(&mut self, keys: &[(&str, bool)]) -> Done {
        Ok(self.0.vm.qmp.input_keys(keys)?)
    }

    /// Sends what else QEMU's input devices can do.
    pub fn events(&mut self, events: &[Value]) -> Done {
        let events = json!({ "events": events });
        self.0.vm.qmp.execute("input-send-event", events)?;
        Ok(())
    }
}

/// Motion.
pub fn relative(axis: &str, value: i32) -> Value {
    json!({ "type": "rel", "data": { "axis": axis, "value": value } })
}

fn absolute(axis: &str, value: i32) -> Value {
    json!({ "type": "abs", "data": { "axis": axis, "value": value } })
}

/// A button pressed or released.
pub fn button(button: &str, down: bool) -> Value {
    json!({ "type": "btn", "data": { "button": button, "down": down } })
}

/// How long after its interrupt the event was logged, in microseconds.
fn age_us(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("after ")?;
    rest.split_whitespace().next()?.parse().ok()
}

fn ps2(lab: &Lab) -> Verdict {
    let mut seat = Seat::boot(&lab.machine(&format!("{MANAGER} screen=desktop keymap=fr")))?;
    // The command line's layout: where an American keyboard has Q, a French one has A.
    seat.keys(&[("q", true), ("q", false)])?;
    let line = seat.sees("0: key 16 Down Some(Char('a')) shift=false")?;
    seat.sees("0: key 16 Up None")?;
    // Layouts change while it runs.
    for (function, code, character) in [("f1", 59, 'Z'), ("f2", 60, 'Y')] {
        seat.keys(&[(function, true), (function, false)])?;
        seat.sees_all(&[&format!("key {code} Down"), "test.input: asked"])?;
        seat.keys(&[("shift", true), ("y", true), ("y", false), ("shift", false)])?;
        let typed = format!("0: key 21 Down Some(Char('{character}')) shift=true");
        seat.sees_all(&["0: key 42 Down None", &typed, "0: key 42 Up None"])?;
    }
    mouse(&mut seat)?;
    repeats(&mut seat)?;
    let age = age_us(&line).ok_or("no time behind an event")?;
    Ok(format!("first key logged {age} us after its interrupt"))
}

/// Motion, five buttons and the wheel at the PS/2 port.
fn mouse(seat: &mut Seat) -> Done {
    seat.events(&[relative("x", 17), relative("y", -5)])?;
    seat.sees("1: motion 17 -5")?;
    for (name, shown) in [
        ("left", "Left"),
        ("right", "Right"),
        ("middle", "Middle"),
        ("side", "Back"),
        ("extra", "Forward"),
    ] {
        seat.events(&[button(name, true)])?;
        seat.sees(&format!("1: button {shown} true"))?;
        seat.events(&[button(name, false)])?;
        seat.sees(&format!("1: button {shown} false"))?;
    }
    for (name, notches) in [("wheel-up", -1), ("wheel-down", 1)] {
        seat.events(&[button(name, true), button(name, false)])?;
        seat.sees(&format!("1: wheel {notches} 0"))?;
    }
    Ok(())
}

/// A held key repeats, outlives the server, repeats again, and ends when it is released, also where that happens between two servers.
fn repeats(seat: &mut Seat) -> Done {
    seat.keys(&[("f3", true), ("f3", false)])?;
    seat.sees("test.input: asked")?;
    seat.keys(&[("s", true)])?;
    seat.sees("0: key 31 Down Some(Char('s'))")?;
    let repeated = "0: key 31 Repeat Some(Char('s'))";
    seat.sees_all(&[repeated; 3])?;
    seat.0.vm.serial.send("svc kill input\r")?;
    let held = "0: key 31 Held None";
    seat.sees_all(&["test.input: the server is gone", held, repeated])?;
    seat.0.vm.serial.send("svc kill input\r")?;
    seat.keys(&[("s", false)])?;
    seat.sees("test.input: listening")?;
    seat.keys(&[("d", true)])?;
    seat.sees("0: key 32 Down Some(Char('d'))")?;
    let meanwhile = seat
        .0
        .vm
        .serial
        .wait_for("0: key 32 Repeat", COMMAND_LIMIT)?;
    if meanwhile.contains("key 31") {
        return Err(format!("the key that was released goes on: {meanwhile}").into());
    }
    seat.keys(&[("d", false)])?;
    seat.sees("0: key 32 Up None").map(drop)
}

/// Keyboard, mouse and tablet by virtio, the last one behind a PCI Express port; they work on after the server died.
fn virtio(lab: &Lab) -> Verdict {
    let mut machine = lab.machine(&format!("{MANAGER} screen=desktop"));
    machine.extra.extend(
        [
            "-device",
            "pcie-root-port,id=root-port,chassis=1,slot=1",
            "-device",
            "virtio-keyboard-pci",
            "-device",
            "virtio-mouse-pci",
            "-device",
            "virtio-tablet-pci,bus=root-port",
        ]
        .map(str::to_owned),
    );
    let mut seat = Seat::boot(&machine)?;
    for round in 0..2 {
        seat.keys(&[("a", true)])?;
        seat.sees(": key 30 Down Some(Char('a'))")?;
        seat.keys(&[("a", false)])?;
        let line = seat.sees(": key 30 Up None")?;
        if line.contains(" 0: key") {
            return Err(format!("the PS/2 keyboard got it: {line}").into());
        }
        seat.events(&[absolute("x", 16_384), absolute("y", 8192)])?;
        seat.sees(": position 16384 8192")?;
        seat.events(&[relative("x", -300), relative("y", 300)])?;
        let line = seat.sees(": motion -300 300")?;
        if line.contains(" 1: motion") {
            return Err(format!("the PS/2 mouse got it: {line}").into());
        }
        seat.events(&[button("left", true)])?;
        seat.sees(": button Left true")?;
        seat.events(&[button("left", false)])?;
        seat.sees(": button Left false")?;
        seat.events(&[button("wheel-down", true), button("wheel-down", false)])?;
        seat.sees(": wheel 1 0")?;
        if round == 0 {
            seat.0.vm.serial.send("svc kill input\r")?;
            seat.sees("test.input: the server is gone")?;
            // Each is reset before it is driven again, and the listener comes back: in any order.
            let mut waiting = ["Keyboard", "Mouse", "Tablet", "listening"].to_vec();
            while !waiting.is_empty() {
                let line = seat.sees("input: ")?;
                waiting.retain(|name| !line.contains(name));
            }
        }
    }
    Ok(String::new())
}
