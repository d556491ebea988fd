//! System calls, flags, single steps, the end of the address space, time limits.

use hal::mem::user_tables::USER_END;
use hal::user::fast::NOT_FAST;
use hal::user::{Exit, FAST_COUNT, FastResult, FastTable, UserContext, snippets};

use super::Outcome;
use super::hostile::{FETCH, USER};
use super::space::{LAST, STACK_TOP, Space};

/// "So far so good", and "something is wrong", as the snippets say it.
pub const FINE: u64 = 100;

/// The tests' own fast system calls.
pub static FAST: FastTable = {
    let mut table: FastTable = [NOT_FAST; FAST_COUNT];
    table[0] = nop;
    table[1] = weighted_sum;
    table[3] = dirty;
    table[4] = flags_here;
    table
};

extern "sysv64" fn nop(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> FastResult {
    FastResult::one(0)
}

extern "sysv64" fn weighted_sum(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> FastResult {
    FastResult {
        rax: a + 10 * b + 100 * c + 1000 * d + 10_000 * e + 100_000 * f,
        rdx: 6,
    }
}

extern "sysv64" fn dirty(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> FastResult {
    snippets::dirty_vector_registers();
    FastResult::one(0)
}

extern "sysv64" fn flags_here(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> FastResult {
    let (flags, mxcsr) = snippets::flags_and_mxcsr();
    FastResult {
        rax: flags,
        rdx: u64::from(mxcsr),
    }
}

/// `Ok` if the thread called `FINE`.
pub fn fine(exit: Exit, context: &UserContext) -> Outcome {
    match exit {
        Exit::Syscall if context.call_number() == FINE => Ok(()),
        Exit::Syscall => Err("ring 3 found something wrong"),
        other => {
            ::log::error!(target: "selftest", "user: {other:x?} at {:#x}", context.rip());
            Err("not the exit that was expected")
        }
    }
}

pub fn system_calls() -> Outcome {
    let space = Space::new()?;
    let mut thread = space.thread("slow_call")?;
    if space.run(&mut thread) != Exit::Syscall || thread.call_number() != 77 {
        return Err("a slow call does not arrive");
    }
    if thread.arguments() != [1, 2, 3, 4, 5, 6] || *thread.words() != [3, 5, 6, 4, 12, 13, 14, 15] {
        return Err("a slow call's arguments are wrong");
    }
    thread.set_results(0x111, 0x222);
    fine(space.run(&mut thread), &thread)?;

    let mut thread = space.thread("fast_calls")?;
    thread.registers.rcx = 1000;
    if space.run(&mut thread) != Exit::Syscall || thread.call_number() != 2 {
        return Err("fast calls go wrong, or one that says it is slow does not come out");
    }
    if thread.arguments() != [1, 2, 6, 4, 5, 6] {
        return Err("a call that was not fast after all lost its arguments");
    }
    fine(space.run(&mut thread), &thread)
}

/// Of a foreign interface: no number is fast, and registers and vector state survive.
pub fn foreign_calls() -> Outcome {
    let space = Space::new()?;
    let mut thread = space.thread("vectors_over_call")?;
    thread.set_foreign(true);
    thread.registers.rsi = 1;
    if space.run(&mut thread) != Exit::Syscall || thread.call_number() != 1 {
        return Err("a foreign call with a fast number does not come out");
    }
    if thread.registers.rcx != thread.rip() || thread.registers.r11 != thread.rflags() {
        return Err("RCX and R11 are not as `syscall` leaves them");
    }
    snippets::dirty_vector_registers();
    thread.set_result(0);
    fine(space.run(&mut thread), &thread)?;
    let vectors: [u8; 256] = space.read(0)?;
    let ones = |register: usize| {
        vectors[16 * register..16 * register + 16]
            .iter()
            .all(|&byte| byte == 0xff)
    };
    let zeroes = vectors[32..240].iter().all(|&byte| byte == 0);
    if ones(0) && ones(1) && ones(15) && zeroes {
        Ok(())
    } else {
        Err("a foreign call does not keep vector registers")
    }
}

/// RFLAGS bits.
const TRAP: u64 = 1 << 8;
const INTERRUPTS: u64 = 1 << 9;
const DIRECTION: u64 = 1 << 10;
const IO_PRIVILEGE: u64 = 0b11 << 12;
const NESTED_TASK: u64 = 1 << 14;
const RESUME: u64 = 1 << 16;
const ALIGNMENT_CHECK: u64 = 1 << 18;
const INITIAL_MXCSR: u64 = 0x1f80;

fn kernel_flags_are_clean(flags: u64, interrupts: bool) -> bool {
    let unwanted = TRAP | DIRECTION | IO_PRIVILEGE | NESTED_TASK | RESUME | ALIGNMENT_CHECK;
    flags & unwanted == 0 && (flags & INTERRUPTS != 0) == interrupts
}

pub fn flags() -> Outcome {
    const ASKED: u64 = NESTED_TASK | ALIGNMENT_CHECK | DIRECTION;
    let space = Space::new()?;
    let mut thread = space.thread("flags")?;
    fine(space.run(&mut thread), &thread)?;
    // What `popfq` gave, and what the gate saved.
    for flags in [thread.registers.rbx, thread.rflags()] {
        if flags & (ASKED | INTERRUPTS) != ASKED | INTERRUPTS || flags & IO_PRIVILEGE != 0 {
            return Err("ring 3 got flags it must not have, or lost some");
        }
    }
    if !kernel_flags_are_clean(snippets::flags_and_mxcsr().0, true) {
        return Err("ring 3's flags reach ring 0 by a slow call");
    }
    fine(space.run(&mut thread), &thread)?;
    let [in_call, mxcsr, after] = [
        thread.registers.r12,
        thread.registers.r13,
        thread.registers.r14,
    ];
    if !kernel_flags_are_clean(in_call, false) || mxcsr != INITIAL_MXCSR {
        return Err("ring 3's flags or MXCSR reach ring 0 by a fast call");
    }
    if after & ASKED != ASKED {
        return Err("a fast call changes flags");
    }
    // The snippet goes on into an invalid instruction, with those flags.
    let Exit::Exception { vector: 6, .. } = space.run(&mut thread) else {
        return Err("the invalid instruction is not reported");
    };
    if thread.rflags() & ASKED != ASKED {
        return Err("a trap loses flags");
    }
    if !kernel_flags_are_clean(snippets::flags_and_mxcsr().0, true) {
        return Err("ring 3's flags reach ring 0 by a trap");
    }
    let mut thread = space.thread("slow_call")?;
    thread.set_rflags(!0);
    if thread.rflags() & IO_PRIVILEGE != 0 || thread.rflags() >> 22 != 0 {
        return Err("the setter lets bad flags through");
    }
    Ok(())
}

/// A step over `syscall` traps behind it, and not in the gate.
pub fn single_steps() -> Outcome {
    let space = Space::new()?;
    let behind = Exit::Exception {
        vector: 1,
        error_code: 0,
        address: 0,
    };
    for number in [0, FINE] {
        let mut thread = space.thread("step")?;
        thread.registers.rax = number;
        let mut exit = space.run(&mut thread);
        if number == FINE {
            fine(exit, &thread)?;
            exit = space.run(&mut thread);
        }
        if exit != behind || thread.rip() != thread.registers.rbx {
            ::log::error!(target: "selftest", "user: {exit:x?} at {:#x}", thread.rip());
            return Err("a step over a system call does not trap right behind it");
        }
        // One more step, through the trap's way back.
        if space.run(&mut thread) != behind || thread.rip() != thread.registers.rbx + 1 {
            return Err("the next step does not trap behind its instruction");
        }
        thread.set_rflags(0);
    }
    Ok(())
}

/// Where addresses end.
pub fn edge() -> Outcome {
    /// First non-canonical address.
    const HOLE: u64 = 1 << 47;
    let space = Space::new()?;
    let mut thread = UserContext::new(USER_END - 2, STACK_TOP).map_err(|_| "refused")?;
    thread.registers.rax = FINE;
    fine(space.run(&mut thread), &thread)?;
    if thread.rip() != USER_END || LAST + 4096 != USER_END {
        return Err("the last instruction is not where it should be");
    }
    let fetch = if hal::cpu::features().nx { FETCH } else { 0 };
    let fault = Exit::Exception {
        vector: 14,
        error_code: USER | fetch,
        address: USER_END,
    };
    if space.run(&mut thread) != fault {
        return Err("behind the last instruction there is something");
    }
    for bad in [USER_END, HOLE, HOLE - 1, u64::MAX, 1 << 63] {
        if UserContext::new(bad, 0).is_ok() || thread.set_rip(bad).is_ok() {
            return Err("a RIP beyond ring 3's addresses is accepted");
        }
        if thread.set_fs_base(bad).is_ok() || thread.set_gs_base(bad).is_ok() {
            return Err("a segment base beyond ring 3's addresses is accepted");
        }
    }
    // Behind a system call and behind a trap: both ways out of the gate.
    let mut called = space.thread("slow_call")?;
    if space.run(&mut called) != Exit::Syscall {
        return Err("a slow call does not arrive");
    }
    for thread in [&mut called, &mut thread] {
        for bad in [HOLE, 1 << 63, 0xffff_7fff_ffff_ffff] {
            snippets::misplace(thread, bad);
            let refused = Exit::Exception {
                vector: 13,
                error_code: 0,
                address: bad,
            };
            if space.run(thread) != refused {
                return Err("a non-canonical RIP is not refused");
            }
        }
    }
    Ok(())
}

/// A thread that never stops is stopped.
pub fn time_limit() -> Outcome {
    let space = Space::new()?;
    let mut thread = space.thread("spin")?;
    let rip = thread.rip();
    for _ in 0..10 {
        let until = hal::time::now_ticks() + hal::time::ns_to_ticks(1_000_000);
        // Other interrupts may come first.
        while hal::time::now_ticks() < until {
            if space.stay(&mut thread, Some(until)) != Exit::Interrupt || thread.rip() != rip {
                return Err("a loop ends in something else than an interrupt");
            }
        }
    }
    if snippets::flags_and_mxcsr().0 & INTERRUPTS == 0 {
        return Err("interrupts stay off");
    }
    Ok(())
}

/// Fast and slow calls, each checked by ring 3, for `seconds`.
pub fn storm(seconds: u64) -> Outcome {
    let space = Space::new()?;
    let mut thread = space.thread("storm")?;
    let nmis =
        || hal::irq::core_counts(hal::cpu::percpu::core_number()).map_or(0, |counts| counts.nmi);
    let before = nmis();
    ::log::info!(target: "selftest", "system calls begin");
    let end = hal::time::now_ticks() + hal::time::ns_to_ticks(seconds * 1_000_000_000);
    let mut calls = 0u64;
    while hal::time::now_ticks() < end {
        fine(space.run(&mut thread), &thread)?;
        calls += CALLS_PER_ROUND;
    }
    ::log::info!(target: "selftest", "{calls} system calls, {} NMIs meanwhile", nmis() - before);
    Ok(())
}

/// Fast ones before each slow one, and that.
const CALLS_PER_ROUND: u64 = 256 + 1;
