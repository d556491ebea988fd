//! Hostile code: each piece ends in the exception that CPUs document for it, and in nothing else.

use hal::mem::user_tables::USER_END;
use hal::user::Exit;

use super::Outcome;
use super::gate::FAST;
use super::space::{CODE, DATA, NOWHERE, Space};

/// What a snippet must end in.
struct Case {
    snippet: &'static str,
    /// RDI.
    at: u64,
    vector: u8,
    error_code: u64,
    address: u64,
}

const fn case(snippet: &'static str, vector: u8, error_code: u64) -> Case {
    Case {
        snippet,
        at: 0,
        vector,
        error_code,
        address: 0,
    }
}

/// A page fault at `at` with this error code.
const fn page_fault(snippet: &'static str, at: u64, error_code: u64) -> Case {
    Case {
        snippet,
        at,
        vector: 14,
        error_code,
        address: at,
    }
}

/// Page-fault error bits (Intel SDM vol. 3A §4.7).
const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
pub const USER: u64 = 1 << 2;
pub const FETCH: u64 = 1 << 4;
/// Error code of `int n` at a gate that ring 3 may not use (§6.13).
const fn idt(vector: u64) -> u64 {
    vector << 3 | 2
}

const CASES: [Case; 39] = [
    case("cli", 13, 0),
    case("sti", 13, 0),
    case("hlt", 13, 0),
    case("in_byte", 13, 0),
    case("out_byte", 13, 0),
    case("rdmsr", 13, 0),
    case("wrmsr", 13, 0),
    case("mov_from_cr0", 13, 0),
    case("mov_to_cr3", 13, 0),
    case("mov_dr7", 13, 0),
    case("lidt", 13, 0),
    case("ltr", 13, 0),
    case("invlpg", 13, 0),
    case("wbinvd", 13, 0),
    case("swapgs", 13, 0),
    case("sysret", 13, 0),
    case("iret_to_ring_0", 13, 8),
    case("load_kernel_ss", 13, 0x10),
    case("far_call_tss", 13, 0x28),
    case("rdpmc", 13, 0),
    case("wrfsbase", 6, 0),
    case("wrgsbase", 6, 0),
    case("stac", 6, 0),
    case("int_0x80", 13, idt(0x80)),
    case("int_timer", 13, idt(0xf0)),
    case("int_page_fault", 13, idt(14)),
    case("int_nmi", 13, idt(2)),
    case("int_double_fault", 13, idt(8)),
    case("int3", 3, 0),
    case("int_3", 3, 0),
    case("int_4", 4, 0),
    case("ud2", 6, 0),
    case("divide", 0, 0),
    case("x87_error", 16, 0),
    case("jump_non_canonical", 13, 0),
    case("return_non_canonical", 13, 0),
    case("read_non_canonical", 13, 0),
    case("push_non_canonical", 12, 0),
    case("nested_iret", 13, 0),
];

pub fn exceptions() -> Outcome {
    let space = Space::new()?;
    let kernel_code = exceptions as fn() -> Outcome as usize as u64;
    let kernel_data = &raw const FAST as u64;
    let direct_map = hal::mem::direct::base();
    let fetch = if hal::cpu::features().nx { FETCH } else { 0 };
    let memory = [
        page_fault("read", 0, USER),
        page_fault("read", NOWHERE, USER),
        page_fault("write", NOWHERE, USER | WRITE),
        page_fault("write", CODE, PRESENT | USER | WRITE),
        page_fault("read", kernel_code, PRESENT | USER),
        page_fault("read", kernel_data, PRESENT | USER),
        page_fault("write", kernel_data, PRESENT | USER | WRITE),
        page_fault("read", direct_map, USER | space_present(direct_map)),
        page_fault("jump", kernel_code, PRESENT | USER | fetch),
        page_fault("jump", NOWHERE, USER | fetch),
        page_fault("read", USER_END, USER),
        page_fault("jump", USER_END, USER | fetch),
    ];
    for case in CASES.iter().chain(&memory) {
        check_case(&space, case)?;
    }
    if fetch != 0 {
        check_case(&space, &page_fault("jump", DATA, PRESENT | USER | fetch))?;
    }
    if hal::cpu::features().umip {
        check_case(&space, &case("sgdt", 13, 0))?;
    }
    if hal::cpu::features().xsave {
        check_case(&space, &case("xsetbv", 13, 0))?;
    }
    Ok(())
}

fn space_present(address: u64) -> u64 {
    u64::from(hal::mem::paging::is_mapped(address, 1))
}

fn check_case(space: &Space, case: &Case) -> Outcome {
    let mut thread = space.thread(case.snippet)?;
    thread.registers.rdi = case.at;
    let exit = space.run(&mut thread);
    let expected = Exit::Exception {
        vector: case.vector,
        error_code: case.error_code,
        address: case.address,
    };
    if exit == expected || emulated(case, exit) {
        return Ok(());
    }
    ::log::error!(
        target: "selftest",
        "user: {} with {:#x} ended in {exit:x?} at {:#x}, expected {expected:x?}",
        case.snippet,
        case.at,
        thread.rip()
    );
    Err("a piece of hostile code ended in something unexpected")
}

/// Where QEMU 7.2 differs from CPUs, without harm.
fn emulated(case: &Case, exit: Exit) -> bool {
    let Exit::Exception {
        vector, error_code, ..
    } = exit
    else {
        return false;
    };
    match case.snippet {
        // It pops as ring 0 for these, whoever executes them; then SMAP stops that.
        "iret_to_ring_0" | "far_call_tss" => vector == 14 && error_code == PRESENT,
        // It does not tell the stack segment from others.
        "push_non_canonical" => vector == 13 && error_code == 0,
        // A gate's error code is 16 times the vector instead of 8 times.
        "int_0x80" | "int_timer" | "int_page_fault" | "int_nmi" | "int_double_fault" => {
            vector == 13 && error_code == idt(case.error_code >> 2)
        }
        _ => false,
    }
}
