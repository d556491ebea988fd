//! Counting mapped pages by what may be done with them, as the CPU decides it: what is not allowed at any level is not allowed.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{direct, paging};
use crate::cpu::features;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Pages of any size, by what may be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// All.
    pub pages: u64,
    /// Those that can be written.
    pub writable: u64,
    /// Those that can be executed. On a CPU without the NX bit, all of them.
    pub executable: u64,
    /// Those that can be both written and executed: there must be none.
    pub writable_and_executable: u64,
    /// Those that programs can use.
    pub user: u64,
}

/// What all levels above allow.
#[derive(Clone, Copy)]
struct Allowed {
    write: bool,
    execute: bool,
    user: bool,
}

/// The kernel's half.
pub fn kernel_half() -> Audit {
    half(paging::kernel_root(), 256..512)
}

/// The user half of the tables below `root`, which nobody changes meanwhile.
pub(super) fn user_half(root: u64) -> Audit {
    half(root, 0..256)
}

fn half(root: u64, entries: core::ops::Range<usize>) -> Audit {
    let all = Allowed {
        write: true,
        execute: true,
        user: true,
    };
    let mut audit = Audit::default();
    table(root, 4, entries, all, &mut audit);
    audit
}

fn table(
    table_at: u64,
    level: u32,
    entries: core::ops::Range<usize>,
    above: Allowed,
    audit: &mut Audit,
) {
    for index in entries {
        let place = direct::to_virtual(table_at) as *const AtomicU64;
        // SAFETY: a live page table, which the direct map covers; `index` is below 512. Other cores and the CPU change
        // entries as whole words; kernel tables are never freed, and the caller keeps user tables as they are.
        let entry = unsafe { (*place.add(index)).load(Ordering::Acquire) };
        if entry & PRESENT == 0 {
            continue;
        }
        let allowed = Allowed {
            write: above.write && entry & WRITABLE != 0,
            execute: above.execute && (entry & NO_EXECUTE == 0 || !features().nx),
            user: above.user && entry & USER != 0,
        };
        if level > 1 && entry & LARGE == 0 {
            table(entry & ADDRESS, level - 1, 0..512, allowed, audit);
            continue;
        }
        audit.pages += 1;
        audit.writable += u64::from(allowed.write);
        audit.executable += u64::from(allowed.execute);
        audit.writable_and_executable += u64::from(allowed.write && allowed.execute);
        audit.user += u64::from(allowed.user);
    }
}
