//! Vector state and segment bases: a thread's own are kept, and nobody else's show.

use hal::mem::heap;
use hal::user::extended::{self, ExtendedError};
use hal::user::{Exit, UserContext, snippets};

use super::Outcome;
use super::gate::fine;
use super::space::{DATA, Space};

/// Layout of `keep_state`'s memory.
const VECTORS_OUT: u64 = 512;
const FLAG: u64 = 1024;
const MXCSR_IN: u64 = 1032;
const MXCSR_OUT: u64 = 1036;
const FCW_IN: u64 = 1040;
const FCW_OUT: u64 = 1042;
const X87_IN: u64 = 1056;
const X87_OUT: u64 = 1152;
/// Bytes for each of the two threads.
const HALF: u64 = 2048;
/// The vector registers it looks at.
const LOOKED_AT: [u64; 5] = [0, 1, 7, 8, 15];

/// How often two threads preempt each other.
const ROUNDS: usize = 40;

/// Not the reset values: round towards zero (with all exceptions masked).
const MXCSR: u32 = 0x7f80;
const FCW: u16 = 0x0f7f;

fn pattern(seed: u8, register: u64) -> [u8; 32] {
    core::array::from_fn(|byte| seed ^ (register as u8) << 3 ^ byte as u8)
}

/// A number with a different mantissa for each register: 80 bits, normalised.
fn x87_pattern(seed: u8, register: u8) -> [u8; 10] {
    let mut bytes = [seed ^ register; 10];
    [bytes[7], bytes[8], bytes[9]] = [0x80 | register, 0xff, 0x3f];
    bytes
}

/// A `keep_state` thread whose memory is at `base` of the data page.
fn keeper(space: &Space, base: u64, seed: u8) -> Result<UserContext, &'static str> {
    for register in LOOKED_AT {
        space.write(base + 32 * register, &pattern(seed, register))?;
    }
    for register in 0..8 {
        space.write(
            base + X87_IN + 10 * u64::from(register),
            &x87_pattern(seed, register),
        )?;
    }
    space.write(base + FLAG, &[0; 4])?;
    space.write(base + MXCSR_IN, &MXCSR.to_le_bytes())?;
    space.write(base + FCW_IN, &FCW.to_le_bytes())?;
    let mut thread = space.thread("keep_state")?;
    thread.registers.rdi = DATA + base;
    thread.registers.rsi = u64::from(hal::cpu::features().avx);
    for (index, register) in thread_registers(&mut thread).into_iter().enumerate() {
        *register = u64::from(seed) << 32 | index as u64;
    }
    Ok(thread)
}

/// Those that `keep_state` does not use.
fn thread_registers(thread: &mut UserContext) -> [&mut u64; 11] {
    let r = &mut thread.registers;
    [
        &mut r.rdx, &mut r.r8, &mut r.r9, &mut r.r10, &mut r.r12, &mut r.r13, &mut r.r14,
        &mut r.r15, &mut r.rbx, &mut r.rbp, &mut r.r11,
    ]
}

fn check_keeper(space: &Space, base: u64, seed: u8, thread: &mut UserContext) -> Outcome {
    let width = if hal::cpu::features().avx { 32 } else { 16 };
    for register in LOOKED_AT {
        let found: [u8; 32] = space.read(base + VECTORS_OUT + 32 * register)?;
        if found[..width] != pattern(seed, register)[..width] {
            ::log::error!(target: "selftest", "user: vector register {register} became {found:x?}");
            return Err("preemption changes vector registers");
        }
    }
    for register in 0..8 {
        let found: [u8; 10] = space.read(base + X87_OUT + 10 * u64::from(register))?;
        if found != x87_pattern(seed, register) {
            ::log::error!(target: "selftest", "user: st{register} became {found:x?}");
            return Err("preemption changes x87 registers");
        }
    }
    if space.read(base + MXCSR_OUT)? != MXCSR.to_le_bytes() {
        return Err("preemption changes MXCSR");
    }
    if space.read(base + FCW_OUT)? != FCW.to_le_bytes() {
        return Err("preemption changes the x87 control word");
    }
    // The last call took RCX and R11.
    for (index, register) in thread_registers(thread).into_iter().enumerate().take(10) {
        if *register != u64::from(seed) << 32 | index as u64 {
            return Err("preemption changes general registers");
        }
    }
    Ok(())
}

fn preempted_after(space: &Space, thread: &mut UserContext, ns: u64) -> Outcome {
    let until = hal::time::now_ticks() + hal::time::ns_to_ticks(ns);
    match space.stay(thread, Some(until)) {
        Exit::Interrupt => Ok(()),
        _ => Err("a thread stopped that should wait"),
    }
}

/// Two threads preempt each other, and the kernel uses vector registers in between.
pub fn kept() -> Outcome {
    const SEEDS: [u8; 2] = [0x5a, 0xc3];
    let space = Space::new()?;
    let mut threads = [
        keeper(&space, 0, SEEDS[0])?,
        keeper(&space, HALF, SEEDS[1])?,
    ];
    for _ in 0..ROUNDS {
        for thread in &mut threads {
            preempted_after(&space, thread, 100_000)?;
            if snippets::flags_and_mxcsr().1 != 0x1f80 {
                return Err("ring 3's MXCSR reaches ring 0");
            }
            snippets::dirty_vector_registers();
        }
    }
    for (index, thread) in threads.iter_mut().enumerate() {
        let base = index as u64 * HALF;
        space.write(base + FLAG, &[1])?;
        fine(space.run(thread), thread)?;
        check_keeper(&space, base, SEEDS[index], thread)?;
        if thread.extended_area_bytes() != extended::size_bytes() {
            return Err("a preempted thread has no area");
        }
        thread.shed_extended_area();
        if thread.extended_area_bytes() != 0 {
            return Err("an area that is not needed stays");
        }
    }
    set_state(&space)?;
    no_memory(&space)
}

/// State that a driver sets is what the thread finds; what the CPU would refuse is refused.
fn set_state(space: &Space) -> Outcome {
    const MXCSR_AT: usize = 24;
    const XMM3_AT: usize = 160 + 3 * 16;
    const XSTATE_BV_AT: usize = 512;
    let mut thread = space.thread("look_at_state")?;
    let mut state = [0u8; 4096];
    let state = state
        .get_mut(..extended::size_bytes())
        .ok_or("the area is larger than the test thinks possible")?;
    let initial = thread.extended_state();
    state[..initial.len()].copy_from_slice(initial);
    state[XMM3_AT..XMM3_AT + 4].copy_from_slice(b"Mine");
    state[MXCSR_AT..MXCSR_AT + 4].copy_from_slice(&MXCSR.to_le_bytes());
    if hal::cpu::features().xsave {
        state[XSTATE_BV_AT] = 0b11;
        for (at, bad) in [
            (XSTATE_BV_AT + 7, 0x80),
            (XSTATE_BV_AT + 15, 0x80),
            (575, 1),
        ] {
            let good = state[at];
            state[at] = bad;
            if thread.set_extended_state(state) != Err(ExtendedError::Malformed) {
                return Err("a header that the CPU refuses is accepted");
            }
            state[at] = good;
        }
    }
    state[MXCSR_AT + 3] = 0x80;
    if thread.set_extended_state(state) != Err(ExtendedError::Malformed) {
        return Err("an MXCSR that the CPU refuses is accepted");
    }
    state[MXCSR_AT + 3] = 0;
    if thread.set_extended_state(&state[1..]) != Err(ExtendedError::WrongLength) {
        return Err("state of the wrong length is accepted");
    }
    thread
        .set_extended_state(state)
        .map_err(|_| "good state is refused")?;
    fine(space.run(&mut thread), &thread)?;
    let found: [u8; 512] = space.read(0)?;
    if found[XMM3_AT..XMM3_AT + 4] != *b"Mine"
        || found[MXCSR_AT..MXCSR_AT + 4] != MXCSR.to_le_bytes()
    {
        return Err("state that was set does not arrive");
    }
    Ok(())
}

/// Without memory for a place to save its state to, a thread is not entered; and is when there is some again.
fn no_memory(space: &Space) -> Outcome {
    // Takes the core's spare area.
    let mut first = space.thread("spin")?;
    preempted_after(space, &mut first, 100_000)?;
    let mut second = space.thread("look_at_state")?;
    heap::refuse_all(true);
    let refused = space.run(&mut second);
    // The one that has an area needs no more.
    let entered = preempted_after(space, &mut first, 100_000);
    heap::refuse_all(false);
    entered?;
    if refused != Exit::OutOfMemory {
        return Err("a thread is entered without a place for its state");
    }
    fine(space.run(&mut second), &second)
}

/// Neither the kernel's nor another thread's state shows in a thread that never loaded any.
pub fn not_leaked() -> Outcome {
    const SEED: u8 = 0x77;
    let space = Space::new()?;
    let mut other = keeper(&space, HALF, SEED)?;
    preempted_after(&space, &mut other, 200_000)?;
    snippets::dirty_vector_registers();
    let mut thread = space.thread("look_at_state")?;
    fine(space.run(&mut thread), &thread)?;
    let found: [u8; 512] = space.read(0)?;
    let mut expected = [0u8; 512];
    expected[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    expected[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    // The mask of MXCSR bits is the CPU's.
    expected[28..32].copy_from_slice(&found[28..32]);
    // From 416 on the CPU stores nothing.
    if found[..416] != expected[..416] {
        ::log::error!(target: "selftest", "user: found {:x?}", &found[..416]);
        return Err("a new thread does not start with the initial state");
    }
    // Over a slow call, and over fast ones whose functions leave secrets: zeroes.
    for number in [super::gate::FINE, 3, 0] {
        space.write(0, &[0xee; 516])?;
        let mut thread = space.thread("vectors_over_call")?;
        thread.registers.rsi = number;
        let mut exit = space.run(&mut thread);
        if number == super::gate::FINE {
            fine(exit, &thread)?;
            snippets::dirty_vector_registers();
            exit = space.run(&mut thread);
        }
        fine(exit, &thread)?;
        let found: [u8; 256] = space.read(0)?;
        if found != [0; 256] {
            return Err("vector registers are not zero behind a system call");
        }
        if space.read(512)? != 0x1f80_u32.to_le_bytes() {
            return Err("MXCSR is not the initial one behind a system call");
        }
    }
    space.write(HALF + FLAG, &[1])?;
    fine(space.run(&mut other), &other)?;
    check_keeper(&space, HALF, SEED, &mut other)
}

/// FS and GS bases follow the thread, whatever others do to the registers; selectors do not leak.
pub fn bases() -> Outcome {
    let space = Space::new()?;
    for word in 0..8u64 {
        space.write(1024 + 8 * word, &(0xf00 + word).to_le_bytes())?;
    }
    let place = |word: u64| DATA + 1024 + 8 * word;
    let mut threads = [space.thread("read_bases")?, space.thread("read_bases")?];
    for (index, thread) in threads.iter_mut().enumerate() {
        let word = 2 * index as u64;
        thread.set_fs_base(place(word)).map_err(|_| "refused")?;
        thread.set_gs_base(place(word + 1)).map_err(|_| "refused")?;
    }
    let check = |thread: &mut UserContext, word: u64| {
        fine(space.run(thread), thread)?;
        if [thread.registers.rbx, thread.registers.rbp] == [0xf00 + word, 0xf00 + word + 1] {
            Ok(())
        } else {
            Err("a thread finds another's FS or GS base")
        }
    };
    let [first, second] = &mut threads;
    for _ in 0..3 {
        check(first, 0)?;
        check(first, 0)?;
        check(second, 2)?;
    }
    // A thread of the same bases as the one that is loaded, after one that emptied the registers.
    for stops in 1..=2 {
        check(first, 0)?;
        let mut vandal = space.thread("clear_bases")?;
        vandal.set_fs_base(place(0)).map_err(|_| "refused")?;
        vandal.set_gs_base(place(1)).map_err(|_| "refused")?;
        for _ in 0..stops {
            fine(space.run(&mut vandal), &vandal)?;
        }
        check(first, 0)?;
        let mut nosy = space.thread("look_at_selectors")?;
        for _ in 0..stops {
            fine(space.run(&mut vandal), &vandal).ok();
        }
        fine(space.run(&mut nosy), &nosy)?;
        if nosy.registers.rbx != 0 {
            return Err("a thread sees another's segment selectors");
        }
    }
    // Bases of zero after others.
    check(second, 2)?;
    let mut zero = space.thread("read_bases")?;
    if !matches!(
        space.run(&mut zero),
        Exit::Exception {
            vector: 14,
            address: 0,
            ..
        }
    ) {
        return Err("a thread without FS base finds another's");
    }
    second.set_fs_base(place(4)).map_err(|_| "refused")?;
    second.set_gs_base(place(5)).map_err(|_| "refused")?;
    check(second, 4)
}
