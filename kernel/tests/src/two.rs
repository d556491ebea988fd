//! Two machines on one wire, which is a socket between two QEMUs: they talk to each other and to nobody else.

use std::error::Error;

use xtask::host::RunDir;
use xtask::qemu::Machine;

use crate::http::wait;
use crate::lab::Lab;
use crate::peer::{BULK_PORT, content, digits};
use crate::scenario::{Scenario, Verdict};
use crate::session::Session;

const BYTES: usize = 1_000_000;

/// The machines' addresses: by hand, then those of the link by their cards' (RFC 4291, appendix A).
const ADDRESS: [&str; 2] = ["10.99.0.1", "10.99.0.2"];
const ADDRESS_6: [&str; 2] = ["fd99::1", "fd99::2"];
const LINK_ADDRESS_6: [&str; 2] = ["fe80::5054:ff:fe00:1", "fe80::5054:ff:fe00:2"];

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![Scenario::alone("qemu.net.two_machines", two)]
}

/// The machine of this number at the wire; the first one waits there for the other.
fn machine(lab: &Lab, folder: &RunDir, number: usize) -> Machine {
    let mut machine = lab.script_machine("init=\"servers/manager test.peer\"");
    let server = if number == 0 { "on" } else { "off" };
    let wire = folder.join("wire");
    machine.extra.extend([
        "-netdev".to_owned(),
        format!(
            "stream,id=wire,server={server},addr.type=unix,addr.path={}",
            wire.display()
        ),
        "-device".to_owned(),
        format!(
            "virtio-net-pci,netdev=wire,mac=52:54:00:00:00:0{},romfile=",
            number + 1
        ),
    ]);
    machine
}

fn two(lab: &Lab) -> Verdict {
    let folder = RunDir::new()?;
    let first = Session::boot(&machine(lab, &folder, 0))?;
    let second = Session::boot(&machine(lab, &folder, 1))?;
    let mut both = [first, second];
    set_up(&mut both, ADDRESS, 24)?;
    talk(&mut both, ADDRESS)?;
    talk(&mut both, LINK_ADDRESS_6)?;
    set_up(&mut both, ADDRESS_6, 64)?;
    talk(&mut both, ADDRESS_6)?;
    Ok(format!(
        "{BYTES} bytes each way by {}, {} and {}",
        ADDRESS[0], LINK_ADDRESS_6[0], ADDRESS_6[0]
    ))
}

fn set_up(both: &mut [Session; 2], addresses: [&str; 2], bits: u8) -> Result<(), Box<dyn Error>> {
    for (session, address) in both.iter_mut().zip(addresses) {
        session.ok(&format!("ip set eth0 {address}/{bits}"))?;
    }
    Ok(())
}

/// Each pings the other, and fetches bytes from it.
fn talk(both: &mut [Session; 2], addresses: [&str; 2]) -> Result<(), Box<dyn Error>> {
    let right = format!("{} {BYTES} bytes", digits(&content(BYTES)));
    let [first, second] = addresses;
    for (session, other) in both.iter_mut().zip([second, first]) {
        // The first one may be lost while neighbours get to know each other.
        wait("echo", || {
            let said = session.run(&format!("ping --count=1 {other}"))?;
            Ok((said.status == 0).then_some(()))
        })?;
        let host = if other.contains(':') {
            format!("[{other}]")
        } else {
            other.to_owned()
        };
        let command = format!("curl --sha256 http://{host}:{BULK_PORT}/{BYTES}");
        let said = session.ok(&command)?;
        if said.trim() != right {
            return Err(format!("`{command}` should give {right}: {said}").into());
        }
    }
    Ok(())
}
