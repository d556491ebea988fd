//! Every address space, read from outside: a copy of the machine's memory is searched for page tables, and each is walked as the CPU
//! would (Intel SDM vol. 3A §4.5).
//!
//! The kernel's half is the same in all of them, so a page that repeats those entries of the table a CPU uses is a root. Nothing
//! in the machine is asked or has to help.

use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::{KERNEL_BOOT_LIMIT, Prompt};
use std::error::Error;
use std::time::Duration;

const PAGE_BYTES: usize = 4096;
const ENTRIES: usize = 512;
const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bits that the CPU sets by itself: accessed, dirty.
const BY_CPU: u64 = 1 << 5 | 1 << 6;

/// Control register 4 (Intel SDM vol. 3A §2.5).
const CR4_BITS: [(&str, u64); 3] = [("UMIP", 1 << 11), ("SMEP", 1 << 20), ("SMAP", 1 << 21)];
/// Extended features: no-execute is on.
const EFER_NXE: u64 = 1 << 11;
/// Control register 0: read-only pages are so for the kernel too.
const CR0_WP: u64 = 1 << 16;

/// Processes while the memory is looked at, and bytes of that memory.
const PROCESSES: usize = 60;
const MEMORY: (&str, u64) = ("256M", 256 << 20);
const LIMIT: Duration = Duration::from_secs(180);

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![Scenario::alone("qemu.memory.from_outside", from_outside)]
}

/// The machine's memory.
struct Dump(Vec<u8>);

/// Mapped pages of any size, by what may be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    pages: u64,
    user: u64,
    writable: u64,
    executable: u64,
    /// Where the first one lies that is both.
    both: Option<u64>,
}

#[derive(Clone, Copy)]
struct Allowed {
    write: bool,
    execute: bool,
    user: bool,
}

impl Dump {
    fn entry(&self, table: u64, index: usize) -> Option<u64> {
        let at = usize::try_from(table).ok()? + index * 8;
        let bytes = self.0.get(at..at + 8)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    }

    /// Where the tables lie whose upper half is that of `root`.
    fn roots_like(&self, root: u64) -> Vec<u64> {
        let upper: Vec<(usize, u64)> = (ENTRIES / 2..ENTRIES)
            .filter_map(|index| Some((index, self.entry(root, index)?)))
            .filter(|(_, entry)| entry & PRESENT != 0)
            .collect();
        (0..self.0.len() as u64)
            .step_by(PAGE_BYTES)
            .filter(|&table| {
                upper.iter().all(|&(index, wanted)| {
                    self.entry(table, index)
                        .is_some_and(|entry| (entry ^ wanted) & !BY_CPU == 0)
                })
            })
            .collect()
    }

    fn count(&self, root: u64) -> Result<Count, String> {
        let mut count = Count::default();
        let all = Allowed {
            write: true,
            execute: true,
            user: true,
        };
        self.walk(root, 4, 0, all, &mut count)?;
        Ok(count)
    }

    fn walk(
        &self,
        table: u64,
        level: u32,
        start: u64,
        above: Allowed,
        count: &mut Count,
    ) -> Result<(), String> {
        for index in 0..ENTRIES {
            let entry = self
                .entry(table, index)
                .ok_or_else(|| format!("a page table at {table:#x}, outside of the memory"))?;
            if entry & PRESENT == 0 {
                continue;
            }
            let address = start | (index as u64) << (12 + 9 * (level - 1));
            let allowed = Allowed {
                write: above.write && entry & WRITABLE != 0,
                execute: above.execute && entry & NO_EXECUTE == 0,
                user: above.user && entry & USER != 0,
            };
            if level > 1 && entry & LARGE == 0 {
                self.walk(entry & ADDRESS, level - 1, address, allowed, count)?;
                continue;
            }
            count.pages += 1;
            count.user += u64::from(allowed.user);
            count.writable += u64::from(allowed.write);
            count.executable += u64::from(allowed.execute);
            if allowed.write && allowed.execute {
                count.both.get_or_insert(address);
            }
        }
        Ok(())
    }
}

/// The values of a register on all CPUs, out of the monitor's `info registers -a`.
fn register(text: &str, name: &str) -> Vec<u64> {
    let mark = format!("{name}=");
    text.split_ascii_whitespace()
        .filter_map(|word| u64::from_str_radix(word.strip_prefix(&mark)?, 16).ok())
        .collect()
}

/// No page of any address space can be written and executed, and the CPUs enforce what the tables say.
fn from_outside(lab: &Lab) -> Verdict {
    let mut machine = lab.machine(&format!("init=\"programs/crowd {PROCESSES} stay\""));
    machine.memory = MEMORY.0.into();
    let mut prompt = Prompt::boot(&machine)?;
    let vm = &mut prompt.vm;
    vm.serial
        .wait_for(" processes run:", LIMIT.max(KERNEL_BOOT_LIMIT))?;
    vm.qmp.execute("stop", serde_json::json!({}))?;
    let registers = vm.qmp.monitor("info registers -a")?;
    let file = vm.dir().join("memory");
    vm.qmp.execute(
        "pmemsave",
        serde_json::json!({ "val": 0, "size": MEMORY.1, "filename": file }),
    )?;
    let dump = Dump(std::fs::read(&file)?);
    vm.qmp.quit()?;
    enforced(&registers)?;

    let mut roots = Vec::new();
    for cr3 in register(&registers, "CR3") {
        roots.extend(dump.roots_like(cr3 & ADDRESS));
    }
    roots.sort_unstable();
    roots.dedup();
    let mut user_pages = 0;
    let mut with_programs = 0;
    for &root in &roots {
        let count = dump.count(root)?;
        if let Some(address) = count.both {
            return Err(format!(
                "the address space at {root:#x} has {address:#x} writable and executable"
            )
            .into());
        }
        user_pages += count.user;
        with_programs += usize::from(count.user > 0);
    }
    // The processes and the one that started them.
    if with_programs < PROCESSES + 1 {
        return Err(format!(
            "{with_programs} address spaces with programs were found, and there are {}",
            PROCESSES + 1
        )
        .into());
    }
    Ok(format!(
        "{} address spaces, {user_pages} pages of programs, none writable and executable",
        roots.len()
    ))
}

fn enforced(registers: &str) -> Result<(), Box<dyn Error>> {
    let bits = [("CR0", "WP", CR0_WP), ("EFER", "NXE", EFER_NXE)]
        .into_iter()
        .chain(CR4_BITS.map(|(name, bit)| ("CR4", name, bit)));
    for (name, what, bit) in bits {
        let values = register(registers, name);
        if values.is_empty() || values.iter().any(|value| value & bit == 0) {
            return Err(format!("{what} is not on everywhere: {name} is {values:x?}").into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables at pages 1 to 4 of a small memory; one page is mapped, with this leaf entry.
    fn with_leaf(leaf: u64) -> Dump {
        let mut dump = Dump(vec![0; 8 * PAGE_BYTES]);
        for (table, index, entry) in [
            (0x1000, 0, 0x2000 | PRESENT | WRITABLE | USER),
            (0x1000, 511, 0x7000 | PRESENT | NO_EXECUTE),
            (0x2000, 1, 0x3000 | PRESENT | WRITABLE | USER),
            (0x3000, 2, 0x4000 | PRESENT | WRITABLE | USER),
            (0x4000, 3, leaf),
        ] {
            let at = table + index * 8;
            dump.0[at..at + 8].copy_from_slice(&u64::to_le_bytes(entry));
        }
        dump
    }

    #[test]
    fn a_writable_and_executable_page_is_found() {
        let count = with_leaf(0x5000 | PRESENT | WRITABLE | USER)
            .count(0x1000)
            .unwrap();
        let address = 1 << 30 | 2 << 21 | 3 << 12;
        assert_eq!(count.both, Some(address));
        let count = with_leaf(0x5000 | PRESENT | WRITABLE | USER | NO_EXECUTE)
            .count(0x1000)
            .unwrap();
        assert_eq!((count.both, count.writable, count.user), (None, 1, 1));
        let count = with_leaf(0x5000 | PRESENT | USER).count(0x1000).unwrap();
        assert_eq!((count.both, count.executable), (None, 1));
    }

    #[test]
    fn roots_repeat_the_upper_half() {
        let mut dump = with_leaf(0);
        // Accessed by the CPU, and nothing in the lower half.
        let at = 0x6000 + 511 * 8;
        let entry = 0x7000 | PRESENT | NO_EXECUTE | 1 << 5;
        dump.0[at..at + 8].copy_from_slice(&u64::to_le_bytes(entry));
        assert_eq!(dump.roots_like(0x1000), [0x1000, 0x6000]);
    }

    #[test]
    fn registers_of_all_cpus_are_read() {
        let text = "CPU#0\nCR0=80010033 CR2=0000000000000000 CR3=0000000001000000 CR4=00350ef0\nCPU#1\n\
                    CR0=80010033 CR2=0 CR3=0000000002000000 CR4=003006a0\nEFER=0000000000000d01\n";
        assert_eq!(register(text, "CR3"), [0x100_0000, 0x200_0000]);
        assert_eq!(register(text, "CR4"), [0x35_0ef0, 0x30_06a0]);
        assert!(enforced(text).is_err(), "the second has no UMIP");
    }
}
