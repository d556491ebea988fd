//! Many processes at once: `crowd COUNT [stay]` starts so many copies of itself, logs what each costs, and ends them all.
//!
//! With `stay` they and it stay until the machine is switched off, for those who look at it from outside. Exits with 0 if all ran
//! and nothing is left of them.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use abi::process::JobLimits;
use abi::{Error, FOREVER, Rights, Signals};
use loader::Archive;
use rt::Env;
use rt::launch::{Code, Launch, read_all, time_page};
use rt::sys::clock;
use rt::sys::object::{Job, Notification, Object, Port, Vmo};
use rt::sys::port::Packet;
use rt::sys::process::this_job;

rt::entry!(main);

/// What the heap of this program itself may grow by meanwhile: less than one process of the crowd takes.
const HEAP_BYTES: u64 = 100 << 10;
/// How long one process may take to start, and all of them to be gone.
const PATIENCE_NS: u64 = 60_000_000_000;

fn main(mut env: Env) -> i32 {
    if env.argument(1) == Some("member") {
        return member(&mut env);
    }
    let count = env
        .argument(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1000);
    let stay = env.argument(2) == Some("stay");
    match crowd(&mut env, count, stay) {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

/// Says that it runs, and waits for its end.
fn member(env: &mut Env) -> i32 {
    let (Ok(here), Ok(end)) = (env.take::<Port>("here"), env.take::<Notification>("end")) else {
        return 1;
    };
    if here.post(1, &[0; abi::message::WORDS]).is_err() {
        return 1;
    }
    drop(here);
    match end.take_blocking(FOREVER) {
        Ok(_) => 0,
        Err(_) => 1,
    }
}

fn crowd(env: &mut Env, count: u64, stay: bool) -> Result<(), Error> {
    let programs = env
        .take::<Vmo>("archive")
        .map_err(|_| Error::BadHandle)
        .inspect_err(|_| log::error!("this program starts from the archive of programs"))?;
    let archive = read_all(&programs)?;
    let file = Archive::new(&archive)
        .ok()
        .and_then(|archive| archive.file("programs/crowd"))
        .ok_or(Error::BadArgument)?;
    let time = time_page()?;
    let job = this_job().create(&JobLimits::NONE)?;
    let before = this_job().usage()?.used;
    let here = Port::create()?;
    let end = Notification::create()?;
    let start_ns = clock::now_ns();
    for number in 0..count {
        if let Err(error) = start(file, &time, &job, &here, &end) {
            log::error!("{number} of {count} processes run, the next does not: {error}");
            return Err(error);
        }
    }
    let each_ns = (clock::now_ns() - start_ns) / count.max(1);
    let after = this_job().usage()?.used;
    let each = |after: u64, before: u64| after.saturating_sub(before) / count.max(1);
    log::info!(
        "{count} processes run: kernel bytes each {}, memory bytes each {}, from launch to running {each_ns} ns each",
        each(after.kernel_bytes, before.kernel_bytes),
        each(after.memory_bytes, before.memory_bytes),
    );
    if stay {
        let never = Notification::create()?;
        return never.take_blocking(FOREVER).map(drop);
    }
    let start_ns = clock::now_ns();
    job.kill(0)?;
    job.wait_blocking(Signals::ENDED, start_ns + PATIENCE_NS)?;
    loop {
        let left = this_job().usage()?.used;
        if left.processes <= before.processes
            && left.memory_bytes <= before.memory_bytes + HEAP_BYTES
        {
            break;
        }
        if clock::now_ns() > start_ns + PATIENCE_NS {
            log::error!("left over: {left:?} after {before:?}");
            return Err(Error::TimedOut);
        }
        pause(1_000_000)?;
    }
    log::info!("all ended after {} ns", clock::now_ns() - start_ns);
    Ok(())
}

/// Starts one and waits until it runs.
fn start(file: &[u8], time: &Vmo, job: &Job, here: &Port, end: &Notification) -> Result<(), Error> {
    let handles = alloc::vec![
        (
            "here",
            here.duplicate(Rights::SIGNAL | Rights::TRANSFER)?
                .into_owned(),
            Rights::SIGNAL
        ),
        (
            "end",
            end.duplicate(Rights::READ | Rights::TRANSFER)?.into_owned(),
            Rights::READ
        ),
    ];
    Launch {
        name: "member",
        code: Code::File(file),
        arguments: &["crowd", "member"],
        handles,
        time_page: Some(time),
        generation: 0,
        core: u32::MAX,
        reservation: None,
    }
    .start(job)
    .map_err(|error| {
        log::error!("{error}");
        Error::NoMemory
    })?;
    match here.wait_packet_blocking(clock::now_ns() + PATIENCE_NS)? {
        Packet::Posted { .. } => Ok(()),
        _ => Err(Error::BadState),
    }
}

/// Sleeps with the whole thread.
fn pause(ns: u64) -> Result<(), Error> {
    let nothing = Notification::create()?;
    match nothing.wait_blocking(Signals::READABLE, clock::now_ns() + ns) {
        Ok(_) | Err(Error::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}
