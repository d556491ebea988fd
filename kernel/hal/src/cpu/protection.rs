//! Protections the CPU offers: turned on where present, reported at boot, missing ones tolerated.

use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;

use super::features;

/// IA32_PAT (Intel SDM vol. 3A §12.12.2).
const IA32_PAT: u32 = 0x277;

/// Entries 0-7: write-back, write-combining, UC-, uncached, then the same with write-protect and
/// write-through in place of 1 and 3 of the upper half. Entry 1 (PWT alone) is what the framebuffer uses.
const PAT_LAYOUT: u64 = 0x0407_0506_0007_0106;

/// Turns protections on for the calling core.
pub(super) fn enable() {
    let f = features();
    // SAFETY: each bit is set only where CPUID lists the feature; none changes how existing mappings
    // of the kernel work (all are supervisor pages with NX already in use).
    unsafe {
        Efer::update(|efer| {
            efer.set(EferFlags::NO_EXECUTE_ENABLE, f.nx);
            efer.insert(EferFlags::SYSTEM_CALL_EXTENSIONS);
        });
        Cr0::update(|cr0| {
            // Without NUMERIC_ERROR x87 errors of ring 3 would come as an interrupt of the 8259, which is masked.
            cr0.insert(
                Cr0Flags::WRITE_PROTECT | Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::NUMERIC_ERROR,
            );
            cr0.remove(Cr0Flags::EMULATE_COPROCESSOR | Cr0Flags::TASK_SWITCHED);
        });
        Cr4::update(|cr4| {
            cr4.insert(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE);
            cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, f.smep);
            cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, f.smap);
            cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, f.umip);
            cr4.set(Cr4Flags::PAGE_GLOBAL, f.pge);
            cr4.set(Cr4Flags::OSXSAVE, f.xsave);
            // Ring 3's bases are the kernel's to set: traps tell by the GS base whose it is.
            cr4.remove(
                Cr4Flags::FSGSBASE
                    | Cr4Flags::PERFORMANCE_MONITOR_COUNTER
                    | Cr4Flags::TIMESTAMP_DISABLE,
            );
            // Without it a machine check shuts the machine down instead of being reported (Intel SDM vol. 3A §2.5).
            cr4.set(Cr4Flags::MACHINE_CHECK_EXCEPTION, f.mce);
        });
        if f.pat {
            Msr::new(IA32_PAT).write(PAT_LAYOUT);
        }
    }
}

/// Logs which protections are on, and warns of each that this CPU lacks.
pub fn report() {
    let f = features();
    let all = [
        ("NX", f.nx, "data pages can be executed"),
        (
            "SMEP",
            f.smep,
            "the kernel could be led to execute a program's pages",
        ),
        (
            "SMAP",
            f.smap,
            "the kernel could be led to use a program's data by mistake",
        ),
        (
            "UMIP",
            f.umip,
            "programs can read descriptor-table addresses",
        ),
    ];
    for (name, on, consequence) in all {
        if on {
            log::info!("{name} on");
        } else {
            log::warn!("{name} is missing on this CPU: {consequence}; going on without");
        }
    }
}
