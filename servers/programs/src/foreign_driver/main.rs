//! Runs the program `foreign` as Linux would, by driving its threads: the proof that another system's processes need nothing of
//! the kernel but that. Needs the archive of programs under the name `archive`.
//!
//! Exits with 0 if everything came out as it should; what did not is logged as an error.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod linux;

use abi::memory::{MapArgs, MapFlags, PAGE_BYTES};
use abi::{Error, FOREVER, Rights, Signals};
use loader::Archive;
use rt::Env;
use rt::launch::read_all;
use rt::sys::driven::Why;
use rt::sys::memory::{lookup_in, map_at, read_in, write_in};
use rt::sys::object::{Object, Vmo};
use rt::sys::process::this_job;
use rt::sys::{clock, thread};

use linux::Foreign;

rt::entry!(main);

/// What the program exits with if all is as it should be.
const ALL_HELD: i32 = 7;
/// Where its wild write goes.
const WILD_ADDRESS: u64 = 0x10;
/// Page-fault error bits: a write from ring 3 to a page that is not there (Intel SDM vol. 3A §5.7).
const USER_WRITE: u64 = 0b110;
const PAGE_FAULT: u32 = 14;
const GENERAL_PROTECTION: u32 = 13;
/// Bits of a selector's error code that say where it is from, and the interrupt table (§7.13). Which gate it was, QEMU says wrong.
const FROM: u64 = 0b111;
const FROM_IDT: u64 = 0b010;
/// How long a loop that never ends is watched.
const PAUSE_NS: u64 = 20_000_000;

fn main(mut env: Env) -> i32 {
    let Ok(programs) = env.take::<Vmo>("archive") else {
        log::error!("no archive of programs");
        return 2;
    };
    let mut failures = 0;
    for (name, check) in CHECKS {
        match read_all(&programs).and_then(|archive| with_program(&archive, *check)) {
            Ok(true) => log::info!("{name}: as it should be"),
            Ok(false) => failures += 1,
            Err(error) => {
                log::error!("{name}: {error}");
                failures += 1;
            }
        }
    }
    failures
}

/// Looks at one thing with the program's file.
type Check = fn(&[u8]) -> Result<bool, Error>;

const CHECKS: &[(&str, Check)] = &[
    ("the whole program", whole),
    ("a wild write", wild),
    ("exceptions", exceptions),
    ("a loop that never ends", endless),
    ("keys of futexes", futex_keys),
];

fn with_program(archive: &[u8], check: Check) -> Result<bool, Error> {
    let file = Archive::new(archive)
        .ok()
        .and_then(|archive| archive.file("programs/foreign"))
        .ok_or(Error::BadArgument)?;
    check(file)
}

/// Whether `seen` is `expected`; says so if not.
fn same<T: PartialEq + core::fmt::Debug>(what: &str, seen: T, expected: T) -> bool {
    let same = seen == expected;
    if !same {
        log::error!("{what}: {seen:?} instead of {expected:?}");
    }
    same
}

/// From the first instruction to the exit: calls, registers, memory, vector registers across calls and interruptions, a fork.
fn whole(file: &[u8]) -> Result<bool, Error> {
    let life = Foreign::load(file, "")?.live()?;
    log::info!("the program exited: {life:?}");
    Ok(same("exit code", life.code, ALL_HELD) && same("interrupted", life.slices > 0, true))
}

/// It comes out to the driver, and neither ends nor harms anything by itself.
fn wild(file: &[u8]) -> Result<bool, Error> {
    let foreign = Foreign::load(file, "w")?;
    let expected = Why::Exception {
        vector: PAGE_FAULT,
        error_code: USER_WRITE,
        address: WILD_ADDRESS,
        refusal: Some(Error::BadAddress),
    };
    let stop = foreign.thread.run_blocking(FOREVER)?;
    // It stands before the write, and meets the same again.
    let again = foreign.thread.run_blocking(FOREVER)?;
    Ok(same("a wild write", stop.why(), expected)
        && same("the same again", again, stop)
        && same("ended", foreign.process.status()?.ended, 0))
}

/// Each comes out with its vector; the driver steps over the instruction.
fn exceptions(file: &[u8]) -> Result<bool, Error> {
    let foreign = Foreign::load(file, "t")?;
    let mut stop = foreign.thread.run_blocking(FOREVER)?;
    // Vector, error code, and by how much the driver moves it on. `int3` is a trap: it stands behind it already.
    let expected = [
        ("int3", 3, 0, 0),
        ("int 0x80", GENERAL_PROTECTION, FROM_IDT, 2),
        ("ud2", 6, 0, 2),
        ("hlt", GENERAL_PROTECTION, 0, 1),
        ("sysenter", GENERAL_PROTECTION, 0, 2),
        ("div", 0, 0, 2),
        ("a non-canonical address", GENERAL_PROTECTION, 0, 2),
    ];
    let mut good = true;
    for (name, vector, code, skip) in expected {
        match stop.why() {
            // Some processors do not know `sysenter` in long mode.
            Why::Exception { vector: 6, .. } if name == "sysenter" => {}
            Why::Exception {
                vector: seen,
                error_code,
                ..
            } => good &= same(name, (seen, error_code & FROM), (vector, code)),
            why => {
                log::error!("{name}: {why:?}");
                return Ok(false);
            }
        }
        stop.registers_mut().rip += skip;
        foreign.thread.resume_blocking(&mut stop, FOREVER)?;
    }
    Ok(good && same("the exit after all of them", stop.why(), Why::SystemCall))
}

/// It can be kicked out of ring 3, has a deadline, and is killed.
fn endless(file: &[u8]) -> Result<bool, Error> {
    let foreign = Foreign::load(file, "s")?;
    let end_ns = clock::now_ns() + PAUSE_NS;
    let stop = foreign.thread.run_blocking(end_ns)?;
    let mut good = same("a deadline", stop.why(), Why::Deadline)
        && same("not before", clock::now_ns() >= end_ns, true);
    let rights = Rights::DRIVE | Rights::KILL;
    for (kill, expected) in [(false, Why::Kicked), (true, Why::Ended)] {
        let other = foreign.thread.thread().duplicate(rights)?;
        let other = rt::sys::driven::DrivenThread::from_thread(other);
        let helper = thread::spawn(move || {
            pause();
            let done = if kill { other.kill() } else { other.kick() };
            if let Err(error) = done {
                log::error!("kill {kill}: {error}");
            }
        })?;
        let stop = foreign.thread.run_blocking(FOREVER)?;
        good &= same("stopped from outside", stop.why(), expected);
        helper.join_blocking(FOREVER)?;
    }
    foreign.process.wait_blocking(Signals::ENDED, FOREVER)?;
    Ok(good)
}

fn pause() {
    let end_ns = clock::now_ns() + PAUSE_NS;
    while clock::now_ns() < end_ns {
        rt::sys::process::yield_now();
    }
}

/// Shared memory has the same key in parent and child, private memory another one; what is written to it says the same.
fn futex_keys(file: &[u8]) -> Result<bool, Error> {
    let foreign = Foreign::load(file, "g")?;
    let map = |flags: MapFlags| {
        let vmo = Vmo::create(PAGE_BYTES)?;
        let arguments = MapArgs {
            len: PAGE_BYTES,
            flags: (flags | MapFlags::WRITE).bits(),
            ..MapArgs::default()
        };
        map_at(&foreign.process, &vmo, &arguments)
    };
    let (private, shared) = (map(MapFlags::empty())?, map(MapFlags::SHARED)?);
    write_in(&foreign.process, private, b"before")?;
    let child = foreign.process.fork(&this_job(), "foreign-child")?;
    write_in(&child, private, b"child's")?;
    write_in(&child, shared, b"child's")?;
    let (mut in_private, mut in_shared) = ([0; 6], [0; 7]);
    read_in(&foreign.process, private, &mut in_private)?;
    read_in(&foreign.process, shared, &mut in_shared)?;
    let offset = 8;
    let key = |process, address| lookup_in(process, address + offset);
    Ok(same(
        "shared keys",
        key(&child, shared)?,
        key(&foreign.process, shared)?,
    ) && same("offset", key(&child, shared)?.1, offset)
        && same(
            "private keys differ",
            key(&child, private)? != key(&foreign.process, private)?,
            true,
        )
        && same("private memory", &in_private, b"before")
        && same("shared memory", &in_shared, b"child's"))
}
