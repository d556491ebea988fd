//! `kerncore`: the parts of the kernel that are pure logic, so that they run and are tested on the host.
//!
//! Who calls it: `hal` while booting and the kernel binary afterwards. Nothing here touches memory it was not handed,
//! reads a register, takes a lock or allocates. Firmware tables, memory maps, command lines and symbol blobs
//! are untrusted: whatever their bytes, these functions return, within a stated amount of work, and do not panic.
//!
//! In the order a boot uses them:
//! - [`boot_info`]: what every way of booting is turned into.
//! - [`cmdline`]: the kernel command line and the one table of its options.
//! - [`memory_map`]: the firmware's memory map made sorted, disjoint and page aligned.
//! - [`entropy`], [`kaslr`]: a seed for choosing base addresses, and the choice.
//! - [`frames`]: physical frames, with per-core caches in front.
//! - [`page_tree`]: the page tables of a process.
//! - [`tlb`]: keeping the translation caches of all cores honest.
//! - [`acpi`]: the tables that say which processors, interrupt controllers and registers there are.
//! - [`tsc_calibration`], [`tsc_scale`]: how fast the time-stamp counter runs; ticks to nanoseconds and back.
//! - [`bridge_window`]: addresses for what is plugged in behind a bridge.
//! - [`civil_time`]: the date that the CMOS clock's registers mean.
//! - [`log_ring`]: the log that `dmesg` reads.
//! - [`trace`]: what the cores did, moment by moment.
//! - [`symbols`]: address to function name, for backtraces.
//! - [`watchdog`]: tells a long poll from a core that is stuck with interrupts off.
//!
//! Beside each there are tests against naive models and with hostile input; `PROPTEST_CASES=100000` makes those long.
//!
//! [`fixed_list`] and [`text`] are the plain `Copy` containers the others are made of.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod boot_info;
pub mod bridge_window;
pub mod civil_time;
pub mod cmdline;
pub mod entropy;
pub mod fixed_list;
pub mod frames;
pub mod kaslr;
pub mod log_ring;
pub mod memory_map;
pub mod page_tree;
pub mod symbols;
pub mod text;
pub mod tlb;
pub mod trace;
pub mod tsc_calibration;
pub mod tsc_scale;
pub mod watchdog;
