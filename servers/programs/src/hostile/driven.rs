//! Driven threads with registers, vector state and arguments that no kernel should swallow.

use alloc::vec::Vec;

use abi::memory::{MapArgs, MapFlags, PAGE_BYTES, USER_END};
use abi::process::{Registers, ThreadArgs};
use abi::{Call, Error, FOREVER, Handle, ObjectType, Rights};
use personality::raw_code::{ASK, driven};
use rt::sys::driven::{DrivenThread, Why};
use rt::sys::memory::map_at;
use rt::sys::object::{Object, Owned, Pager, Vmo};
use rt::sys::process::this_job;
use rt::sys::{clock, thread};

use crate::races::pause;
use crate::{Attack, Outcome, call, holds};

const BAD_ADDRESS: &[Error] = &[Error::BadAddress];
const BAD_ARGUMENT: &[Error] = &[Error::BadArgument];

/// RFLAGS: IF is on; IOPL, VM, VIF and VIP are off, whatever was set (Intel SDM vol. 1 §3.4.3).
const FLAGS_SEEN: u64 = 1 << 9 | 3 << 12 | 1 << 17 | 3 << 19;
const FLAGS_EXPECTED: u64 = 1 << 9;
const TRAP_FLAG: u64 = 1 << 8;

/// Places in the XSAVE area (Intel SDM vol. 1 §13.4).
const FCW: usize = 0;
const FSW: usize = 2;
const MXCSR: usize = 24;
const XSTATE_BV: usize = 512;
const XCOMP_BV: usize = 520;
const HEADER_END: usize = 576;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::refused("drive-what-runs-by-itself", &[Error::BadState], || {
        let other = thread::spawn(|| {})?;
        let rights = Rights::of_new(ObjectType::Thread);
        let driven = DrivenThread::from_thread(other.thread().duplicate(rights)?);
        let mut wrong = 0;
        for refused in [
            driven.registers().map(drop),
            driven.kick(),
            driven.extended_bytes().map(drop),
            driven.set_registers(&Registers::default()),
        ] {
            wrong += u64::from(refused != Err(Error::BadState));
        }
        other.join_blocking(FOREVER)?;
        match wrong {
            0 => driven.run_blocking(FOREVER).map(|_| 0),
            wrong => Ok(wrong),
        }
    }),
    Attack::refused("drive-without-the-right", &[Error::NoRight], || {
        let (_process, thread) = driven(&this_job(), ASK)?;
        let weak = thread
            .thread()
            .duplicate(Rights::of_new(ObjectType::Thread) - Rights::DRIVE)?;
        DrivenThread::from_thread(weak)
            .run_blocking(FOREVER)
            .map(|_| 0)
    }),
    Attack::refused("driven-rip-not-canonical", BAD_ADDRESS, || {
        with_registers(|r| r.rip = 1 << 47)
    }),
    Attack::refused("driven-rip-of-the-kernel", BAD_ADDRESS, || {
        with_registers(|r| r.rip = u64::MAX << 31)
    }),
    Attack::refused("driven-rip-at-the-end", BAD_ADDRESS, || {
        with_registers(|r| r.rip = USER_END)
    }),
    Attack::refused("driven-fs-of-the-kernel", BAD_ADDRESS, || {
        with_registers(|r| r.fs_base = 1 << 63)
    }),
    Attack::refused("driven-gs-of-the-kernel", BAD_ADDRESS, || {
        with_registers(|r| r.gs_base = 1 << 47)
    }),
    Attack::holds("driven-system-flags", || {
        let (_process, thread) = driven(&this_job(), ASK)?;
        let mut registers = thread.registers()?;
        registers.rflags = !TRAP_FLAG;
        thread.set_registers(&registers)?;
        let stop = thread.run_blocking(FOREVER)?;
        let flags = stop.registers().rflags & FLAGS_SEEN;
        holds(stop.why() == Why::SystemCall && flags == FLAGS_EXPECTED)
    }),
    Attack::holds("driven-single-steps", || {
        let (_process, thread) = driven(&this_job(), ASK)?;
        let mut stop = thread.run_blocking(FOREVER)?;
        stop.registers_mut().rflags |= TRAP_FLAG;
        // The jump back, the number, and the call itself, whose trap flag the processor clears.
        let mut steps = 0;
        for _ in 0..8 {
            thread.resume_blocking(&mut stop, FOREVER)?;
            match stop.why() {
                Why::Exception { vector: 1, .. } => steps += 1,
                _ => break,
            }
        }
        holds(steps == 2 && stop.why() == Why::SystemCall)
    }),
    Attack::holds("driven-wild-stack", || {
        // push rax
        let (_process, thread) = driven(&this_job(), &[0x50])?;
        let mut registers = thread.registers()?;
        registers.rsp = 1 << 63;
        thread.set_registers(&registers)?;
        let stop = thread.run_blocking(FOREVER)?;
        // A stack fault, or in QEMU a general protection fault.
        holds(matches!(
            stop.why(),
            Why::Exception {
                vector: 12 | 13,
                ..
            }
        ))
    }),
    Attack::holds("driven-hostile-vector-state", hostile_vector_state),
    Attack::holds("driven-random-vector-state", random_vector_state),
    Attack::holds("driven-pending-x87-exception", || {
        // fwait
        let (_process, thread) = driven(&this_job(), &[0x9b, 0x0f, 0x05])?;
        let mut state = state_of(&thread)?;
        put(&mut state, FCW, &0_u16.to_le_bytes());
        // Zero divide, and the summary of unmasked exceptions.
        put(&mut state, FSW, &0x84_u16.to_le_bytes());
        load_all(&mut state);
        thread.set_extended(&state)?;
        let stop = thread.run_blocking(FOREVER)?;
        holds(matches!(stop.why(), Why::Exception { vector: 16, .. }))
    }),
    Attack::holds("driven-vector-state-of-bad-length", || {
        let (_process, thread) = driven(&this_job(), ASK)?;
        let state = state_of(&thread)?;
        let mut wrong = 0;
        for len in [0, 1, state.len() - 1] {
            let part = state.get(..len).unwrap_or_default();
            wrong += u64::from(thread.set_extended(part) != Err(Error::OutOfRange));
            let mut room = alloc::vec![0; len];
            wrong += u64::from(thread.extended(&mut room) != Err(Error::BufferTooSmall));
        }
        let number = thread.thread().handle().0;
        let huge = call(Call::ThreadExtended, [number, 0, u64::MAX, 1]);
        wrong += u64::from(huge != Err(Error::OutOfRange));
        let nowhere = call(Call::ThreadExtended, [number, 1 << 63, u64::MAX, 0]);
        wrong += u64::from(nowhere != Err(Error::BadAddress));
        Ok(wrong)
    }),
    Attack::holds("driven-report-nowhere", || {
        let (_process, thread) = driven(&this_job(), ASK)?;
        let number = thread.thread().handle().0;
        let read_only = ASK.as_ptr() as u64;
        let mut wrong = 0;
        let refused = |place, set| {
            let answer = call(Call::ThreadRun, [number, place, FOREVER, set]);
            u64::from(answer != Err(Error::BadAddress))
        };
        for place in [0, 8, USER_END - 8, 1 << 47, 1 << 63, u64::MAX - 7] {
            wrong += refused(place, 0) + refused(place, 1);
        }
        wrong += refused(read_only, 0);
        // None of that did it any harm.
        let stop = thread.run_blocking(FOREVER)?;
        Ok(wrong + u64::from(stop.why() != Why::SystemCall))
    }),
    Attack::refused("driven-unknown-run-flags", BAD_ARGUMENT, || {
        raw(Call::ThreadRun, [0, FOREVER, 2])
    }),
    Attack::refused("driven-unknown-operation", BAD_ARGUMENT, || {
        raw(Call::ThreadRegisters, [0, 2, 0])
    }),
    Attack::refused("driven-unknown-state-operation", BAD_ARGUMENT, || {
        raw(Call::ThreadExtended, [0, 0, u64::MAX])
    }),
    Attack::refused(
        "driven-bomb",
        &[Error::LimitReached, Error::NoMemory],
        || {
            let (process, thread) = driven(&this_job(), ASK)?;
            let entry = thread.registers()?.rip;
            let mut kept = Vec::new();
            loop {
                let arguments = ThreadArgs {
                    entry,
                    ..ThreadArgs::default()
                };
                kept.try_reserve(1).map_err(|_| Error::NoMemory)?;
                kept.push(DrivenThread::create(&process, &arguments)?);
            }
        },
    ),
    Attack::holds("driven-pager-that-never-answers", silent_pager),
];

/// What setting registers that are changed like this comes to.
fn with_registers(change: fn(&mut Registers)) -> Outcome {
    let (_process, thread) = driven(&this_job(), ASK)?;
    let mut registers = thread.registers()?;
    let before = registers;
    registers.rax = 1;
    change(&mut registers);
    let refused = thread.set_registers(&registers);
    // None was set, not only the bad one.
    if thread.registers()? != before {
        return Ok(1);
    }
    refused.map(|()| 0)
}

/// A call on a driven thread with these arguments after its handle.
fn raw(number: Call, [second, third, fourth]: [u64; 3]) -> Outcome {
    let (_process, thread) = driven(&this_job(), ASK)?;
    let handle = thread.thread().handle().0;
    call(number, [handle, second, third, fourth])
}

fn state_of(thread: &DrivenThread) -> Result<Vec<u8>, Error> {
    let mut state = alloc::vec![0; thread.extended_bytes()?];
    thread.extended(&mut state)?;
    Ok(state)
}

fn put(state: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = state.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Says that x87 and SSE state are in the area, where there is a header.
fn load_all(state: &mut [u8]) {
    put(state, XSTATE_BV, &3_u64.to_le_bytes());
}

/// Whatever the processor would refuse is refused before it gets there, and changes nothing.
fn hostile_vector_state() -> Outcome {
    let (_process, thread) = driven(&this_job(), ASK)?;
    let good = state_of(&thread)?;
    let mut bad: Vec<(usize, u8)> = Vec::new();
    // MXCSR's reserved bits; where there is a header, components nobody has, the compact format, and the reserved bytes.
    bad.extend([(MXCSR + 2, 1), (MXCSR + 3, 0x80)]);
    if good.len() >= HEADER_END {
        bad.extend([
            (XSTATE_BV + 7, 0x80),
            (XSTATE_BV + 7, 0x40),
            (XSTATE_BV + 1, 1),
        ]);
        bad.extend([(XSTATE_BV, 0x18), (XCOMP_BV + 7, 0x80), (XCOMP_BV, 3)]);
        bad.extend((XCOMP_BV..HEADER_END).map(|at| (at, 0xff)));
    }
    let mut wrong = 0;
    for (at, byte) in bad {
        let mut state = good.clone();
        put(&mut state, at, &[byte]);
        if thread.set_extended(&state) != Err(Error::BadArgument) {
            log::error!("byte {at} may be {byte:#x}");
            wrong += 1;
        }
    }
    let kept = state_of(&thread)? == good;
    let stop = thread.run_blocking(FOREVER)?;
    Ok(wrong + u64::from(!kept) + u64::from(stop.why() != Why::SystemCall))
}

/// Any bytes at all, with a header that is allowed: they come back as they were, after system calls too.
fn random_vector_state() -> Outcome {
    let (_process, thread) = driven(&this_job(), ASK)?;
    let mut state = state_of(&thread)?;
    let mut word = 0x9e37_79b9_u32;
    for byte in state.iter_mut() {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (word >> 24) as u8;
    }
    put(&mut state, MXCSR, &0x1f80_u32.to_le_bytes());
    put(&mut state, XSTATE_BV, &[0; HEADER_END - XSTATE_BV]);
    load_all(&mut state);
    thread.set_extended(&state)?;
    for _ in 0..100 {
        let stop = thread.run_blocking(FOREVER)?;
        if stop.why() != Why::SystemCall {
            return Ok(1);
        }
    }
    // XMM registers: all of their bytes are kept by every processor.
    const XMM: core::ops::Range<usize> = 160..416;
    let after = state_of(&thread)?;
    holds(after.get(XMM) == state.get(XMM))
}

/// A page that never comes: the run has its deadline and can be kicked, and once the pager is gone the fault comes out.
fn silent_pager() -> Outcome {
    // mov al, [rbx]
    let (process, thread) = driven(&this_job(), &[0x8a, 0x03, 0x0f, 0x05])?;
    let made = |number| Owned::from_raw(Handle(number)).ok_or(Error::BadHandle);
    let pager = Pager::from_owned(made(call(Call::PagerCreate, [])?)?);
    let vmo = call(Call::PagerVmo, [pager.handle().0, PAGE_BYTES])?;
    let vmo = Vmo::from_owned(made(vmo)?);
    let arguments = MapArgs {
        len: PAGE_BYTES,
        flags: MapFlags::empty().bits(),
        ..MapArgs::default()
    };
    let mut registers = thread.registers()?;
    registers.rbx = map_at(&process, &vmo, &arguments)?;
    thread.set_registers(&registers)?;
    let first = thread.run_blocking(clock::now_ns() + 5_000_000)?;
    let handle = thread.thread().duplicate(Rights::DRIVE)?;
    let kicker = thread::spawn(move || {
        pause();
        let _ = DrivenThread::from_thread(handle).kick();
    })?;
    let second = thread.run_blocking(FOREVER)?;
    kicker.join_blocking(FOREVER)?;
    drop(pager);
    let third = thread.run_blocking(FOREVER)?;
    let failed = Why::Exception {
        vector: 14,
        error_code: 4,
        address: registers.rbx,
        refusal: Some(Error::PagerFailed),
    };
    log::info!("{:?}, {:?}, {:?}", first.why(), second.why(), third.why());
    holds(first.why() == Why::Deadline && second.why() == Why::Kicked && third.why() == failed)
}
