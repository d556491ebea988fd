//! CPU exceptions: what they mean to a person, and the report they end in.

use core::fmt::Write;

use x86_64::registers::control::Cr2;

use super::report::Report;
use super::trap::TrapFrame;
use crate::user;

const BREAKPOINT: u64 = 3;
const DOUBLE_FAULT: u64 = 8;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;

/// Mnemonic and meaning of the exception vectors (Intel SDM vol. 3A table 7-1).
pub(crate) fn name(vector: u64) -> (&'static str, &'static str) {
    match vector {
        0 => ("#DE", "division by zero or overflowing division"),
        1 => ("#DB", "debug exception"),
        4 => ("#OF", "overflow trap"),
        5 => ("#BR", "bound range exceeded"),
        6 => ("#UD", "invalid instruction"),
        7 => ("#NM", "no floating-point unit"),
        8 => (
            "#DF",
            "double fault: a second fault while starting to handle a first",
        ),
        10 => ("#TS", "invalid TSS"),
        11 => ("#NP", "segment not present"),
        12 => ("#SS", "stack-segment fault"),
        13 => ("#GP", "general protection fault"),
        14 => ("#PF", "page fault"),
        16 => ("#MF", "x87 floating-point error"),
        17 => ("#AC", "alignment check"),
        18 => ("#MC", "machine check: the hardware reports an error"),
        19 => ("#XM", "SIMD floating-point exception"),
        20 => ("#VE", "virtualization exception"),
        21 => ("#CP", "control protection exception"),
        _ => ("reserved", "reserved vector"),
    }
}

/// Handles an exception taken in ring 0 where the core was in `here` ([`super::percpu::PerCpu::here`]); and, of those taken in ring 3, #DF and
/// #MC. Returns from a breakpoint, a fault of a user copy, one that brings a page, and one that ends contained work: in `frame` is where to go on.
pub(super) fn handle(frame: &mut TrapFrame, here: u32) {
    if user::copy::fix_up(frame) {
        return;
    }
    if frame.vector == BREAKPOINT {
        crate::provoke::overwrite_xmm();
        return;
    }
    let fatal = matches!(frame.vector, DOUBLE_FAULT | MACHINE_CHECK);
    if !fatal
        && (user::touch::redirect(frame, here) || user::contain::abandon_exception(frame, here))
    {
        return;
    }
    let mut report = Report::begin();
    let (mnemonic, meaning) = name(frame.vector);
    // A report that cannot be written has nowhere to say so.
    let _ = writeln!(
        report,
        "{meaning} ({mnemonic}, vector {}, error code {:#x})",
        frame.vector, frame.error
    );
    if frame.vector == PAGE_FAULT {
        describe_page_fault(&mut report, frame);
    }
    let _ = writeln!(
        report,
        "rip {:#018x}  rflags {:#010x}  cs {:#x} ss {:#x}\n\
         rsp {:#018x}  rbp {:#018x}\n\
         rax {:#018x}  rbx {:#018x}  rcx {:#018x}\n\
         rdx {:#018x}  rsi {:#018x}  rdi {:#018x}\n\
         r8  {:#018x}  r9  {:#018x}  r10 {:#018x}\n\
         r11 {:#018x}  r12 {:#018x}  r13 {:#018x}\n\
         r14 {:#018x}  r15 {:#018x}",
        frame.rip,
        frame.rflags,
        frame.cs,
        frame.ss,
        frame.rsp,
        frame.rbp,
        frame.rax,
        frame.rbx,
        frame.rcx,
        frame.rdx,
        frame.rsi,
        frame.rdi,
        frame.r8,
        frame.r9,
        frame.r10,
        frame.r11,
        frame.r12,
        frame.r13,
        frame.r14,
        frame.r15,
    );
    report.finish(frame.rip, frame.rbp)
}

/// Page-fault error bits (Intel SDM vol. 3A §5.7).
const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const RESERVED_BIT: u64 = 1 << 3;
const FETCH: u64 = 1 << 4;

fn describe_page_fault(report: &mut Report, frame: &TrapFrame) {
    let address = Cr2::read_raw();
    let access = match frame.error {
        e if e & FETCH != 0 => "execute",
        e if e & WRITE != 0 => "write",
        _ => "read",
    };
    let why = match frame.error {
        e if e & RESERVED_BIT != 0 => "a page table entry has reserved bits set",
        e if e & PRESENT != 0 => "the page is mapped but forbids that",
        _ => "nothing is mapped there",
    };
    let _ = writeln!(report, "tried to {access} {address:#018x}: {why}");
    if let Some(guard) = crate::mem::stack::guard_at(address) {
        let _ = writeln!(report, "stack overflow: that is the guard page of {guard}");
    }
}
