//! What is looked at while the program runs.

use abi::memory::{MapArgs, MapFlags, PAGE_BYTES};
use abi::{Error, FOREVER, Rights};
use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

use rt::sys::clock;
use rt::sys::driven::{DrivenThread, Why};
use rt::sys::memory::{lookup_in, map_at, read_in, write_in};
use rt::sys::object::{Object, Process, Vmo};
use rt::sys::process::this_job;
use rt::{Watched, sleep, spawn};

use crate::linux::Foreign;

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
const PAUSE: Duration = Duration::from_millis(20);

/// Looks at one thing with the program's file.
type Check = for<'a> fn(&'a [u8]) -> Pin<Box<dyn Future<Output = Result<bool, Error>> + Send + 'a>>;

const CHECKS: [(&str, Check); 5] = [
    ("the whole program", |file| Box::pin(whole(file))),
    ("a wild write", |file| Box::pin(wild(file))),
    ("exceptions", |file| Box::pin(exceptions(file))),
    ("a loop that never ends", |file| Box::pin(endless(file))),
    ("keys of futexes", |file| Box::pin(futex_keys(file))),
];

/// Makes all of them; how many failed.
pub async fn all(file: &[u8]) -> i32 {
    let mut failures = 0;
    for (name, check) in CHECKS {
        match check(file).await {
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

/// Whether `seen` is `expected`; says so if not.
fn same<T: PartialEq + core::fmt::Debug>(what: &str, seen: T, expected: T) -> bool {
    let same = seen == expected;
    if !same {
        log::error!("{what}: {seen:?} instead of {expected:?}");
    }
    same
}

/// From the first instruction to the exit: calls, registers, memory, vector registers across calls and interruptions, a fork.
async fn whole(file: &[u8]) -> Result<bool, Error> {
    let life = Foreign::load(file, "")?.live().await?;
    log::info!("the program exited: {life:?}");
    Ok(same("exit code", life.code, ALL_HELD) && same("interrupted", life.slices > 0, true))
}

/// It comes out to the driver, and neither ends nor harms anything by itself.
async fn wild(file: &[u8]) -> Result<bool, Error> {
    let foreign = Foreign::load(file, "w")?;
    let expected = Why::Exception {
        vector: PAGE_FAULT,
        error_code: USER_WRITE,
        address: WILD_ADDRESS,
        refusal: Some(Error::BadAddress),
    };
    let stop = foreign.thread.run(FOREVER).await?;
    // It stands before the write, and meets the same again.
    let again = foreign.thread.run(FOREVER).await?;
    Ok(same("a wild write", stop.why(), expected)
        && same("the same again", again, stop)
        && same("ended", foreign.process.status()?.ended, 0))
}

/// Each comes out with its vector; the driver steps over the instruction.
async fn exceptions(file: &[u8]) -> Result<bool, Error> {
    let foreign = Foreign::load(file, "t")?;
    let mut stop = foreign.thread.run(FOREVER).await?;
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
        foreign.thread.resume(&mut stop, FOREVER).await?;
    }
    Ok(good && same("the exit after all of them", stop.why(), Why::SystemCall))
}

/// It can be kicked out of ring 3, has a deadline, and is killed.
async fn endless(file: &[u8]) -> Result<bool, Error> {
    let foreign = Foreign::load(file, "s")?;
    let end_ns = clock::now_ns() + PAUSE.as_nanos() as u64;
    let stop = foreign.thread.run(end_ns).await?;
    let mut good = same("a deadline", stop.why(), Why::Deadline)
        && same("not before", clock::now_ns() >= end_ns, true);
    let rights = Rights::DRIVE | Rights::KILL;
    for (kill, expected) in [(false, Why::Kicked), (true, Why::Ended)] {
        let other = foreign.thread.thread().duplicate(rights)?;
        let other = DrivenThread::from_thread(other);
        let helper = async move {
            sleep(PAUSE).await;
            let done = if kill { other.kill() } else { other.kick() };
            if let Err(error) = done {
                log::error!("kill {kill}: {error}");
            }
        };
        spawn("helper", helper).map_err(|_| Error::NoMemory)?;
        let stop = foreign.thread.run(FOREVER).await?;
        good &= same("stopped from outside", stop.why(), expected);
    }
    ended(foreign.process).await?;
    Ok(good)
}

/// Waits for a process's end; its exit code.
pub async fn ended(process: Process) -> Result<i32, Error> {
    Watched::process(process)?.ended().await
}

/// Shared memory has the same key in parent and child, private memory another one; what is written to it says the same.
async fn futex_keys(file: &[u8]) -> Result<bool, Error> {
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
