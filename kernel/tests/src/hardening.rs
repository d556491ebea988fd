//! Random addresses and failing allocations.

use crate::interrupts::self_test;
use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::Session;
use std::error::Error;

/// Boots until two differ in all three bases. With 8 bits of entropy two boots agree in one of them
/// once in 80 runs, four boots once in millions.
const MOST_BOOTS: usize = 4;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.hardening.kaslr", kaslr),
        Scenario::alone("qemu.hardening.kaslr_off", |lab| {
            let (first, second) = (bases(lab, "kaslr=off")?, bases(lab, "kaslr=off")?);
            if first.map(|base| base.address) == second.map(|base| base.address) {
                return Ok(String::new());
            }
            Err(
                format!("kaslr=off should give the same bases each time: {first:x?}, {second:x?}")
                    .into(),
            )
        }),
        Scenario::alone("qemu.hardening.features_reported", features),
        Scenario::alone("qemu.hardening.alloc_fail", |lab| {
            self_test(lab, "alloc_fail")
        }),
    ]
}

/// A random base address and its entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Base {
    address: u64,
    bits: u32,
}

/// Two boots differ in image, direct map and heap.
fn kaslr(lab: &Lab) -> Verdict {
    let first = bases(lab, "")?;
    let mut differs = [false; 3];
    for _ in 1..MOST_BOOTS {
        let next = bases(lab, "")?;
        for (differs, (a, b)) in differs.iter_mut().zip(first.iter().zip(&next)) {
            *differs |= a.address != b.address;
        }
        if differs == [true; 3] {
            let [image, direct_map, heap] = first.map(|base| base.bits);
            return Ok(format!(
                "entropy: image {image}, direct map {direct_map}, heap {heap} bits"
            ));
        }
    }
    Err(format!(
        "image, direct map, heap moved in {MOST_BOOTS} boots: {differs:?}; the first had {first:x?}"
    )
    .into())
}

/// Boots and reads the bases from the log.
fn bases(lab: &Lab, words: &str) -> Result<[Base; 3], Box<dyn Error>> {
    let mut session = Session::boot(&lab.script_machine(words))?;
    let log = session.ok("dmesg")?;
    parse_bases(&log).ok_or_else(|| {
        format!("dmesg has no `kaslr: image at 0x... (N bits)`, direct map, heap:\n{log}").into()
    })
}

fn parse_bases(log: &str) -> Option<[Base; 3]> {
    let base = |name: &str| {
        let (_, rest) = log.split_once(&format!("kaslr: {name} at 0x"))?;
        let (address, rest) = rest.split_once(" (")?;
        let (bits, _) = rest.split_once(" bits)")?;
        Some(Base {
            address: u64::from_str_radix(address, 16).ok()?,
            bits: bits.parse().ok()?,
        })
    };
    Some([base("image")?, base("direct map")?, base("heap")?])
}

/// Each protection is reported at boot, and its absence warned of.
fn features(lab: &Lab) -> Verdict {
    let mut session = Session::boot(&lab.script_machine(""))?;
    let log = session.ok("dmesg")?.to_lowercase();
    for feature in ["smep", "smap", "umip", "nx"] {
        if !log.contains(feature) {
            return Err(format!("dmesg does not report {feature}:\n{log}").into());
        }
    }
    let mut old = lab.script_machine("");
    old.cpu = "qemu64".into();
    let mut session = Session::boot(&old)?;
    let log = session.ok("dmesg")?;
    // qemu64 has none of these.
    let warned = |name: &str| {
        log.lines()
            .any(|line| line.to_lowercase().contains("warn") && line.to_lowercase().contains(name))
    };
    for feature in ["smep", "smap", "umip"] {
        if !warned(feature) {
            return Err(
                format!("on qemu64 dmesg does not warn of missing {feature}:\n{log}").into(),
            );
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_line() {
        let log = "[0.01] debug kaslr: image at 0xffffffff8a000000 (9 bits)\n[0.01] debug kaslr: \
                   direct map at 0xffff8b0000000000 (14 bits)\n[0.01] debug kaslr: heap at 0xffffa00000000000 (15 bits)\n";
        let bases = parse_bases(log).expect("a good line");
        assert_eq!(
            bases[0],
            Base {
                address: 0xffff_ffff_8a00_0000,
                bits: 9
            }
        );
        assert_eq!(
            bases[2],
            Base {
                address: 0xffff_a000_0000_0000,
                bits: 15
            }
        );
        assert_eq!(parse_bases("kaslr: image at 0x12 (9 bits)"), None);
    }
}
