//! What system calls cost, in ticks of the time stamp counter: instructions, where the machine counts those instead of time.
//!
//! Each figure is one line of the log: `probe NAME min M p50 M p99 M p99.9 M ticks`. The partner of the calls between processes is
//! this same program, started from the archive `archive`; without that the figures between processes are left out.
//! `probes repeat NAME` measures up to that one, and then does what it measures for ever, for a profiler.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::message::WORDS;
use abi::{Error, FOREVER, Rights, Signals};
use loader::Archive;
use personality::raw_code::{ASK, driven};
use proto::contract::to_words;
use rt::Env;
use rt::launch::{Code, Launch, Launched, read_all, time_page};
use rt::sys::endpoint::Body;
use rt::sys::object::{Endpoint, Job, Notification, Object, Port, System, Vmo};
use rt::sys::process::{nop, this_job, yield_now};
use rt::sys::started::{self, Message};
use rt::sys::{clock, provoke, thread};
use spin::Once;

rt::entry!(main);

/// Samples of each figure, after as many to warm up as a tenth of them.
const SAMPLES: usize = 2000;
/// The method `number` of the contract `trial`.
const NUMBER: u8 = 0;
/// The core that everything on one core runs on.
const CORE: u32 = 0;

/// The figure that is measured for ever, for a profiler.
static REPEATED: Once<String> = Once::new();

fn main(mut env: Env) -> i32 {
    if let (Some("repeat"), Some(name)) = (env.argument(1), env.argument(2)) {
        REPEATED.call_once(|| String::from(name));
    }
    match env.argument(1) {
        Some("partner") => partner(&mut env),
        _ => match measure_on_core(env) {
            Ok(()) => 0,
            Err(error) => {
                log::error!("{error}");
                1
            }
        },
    }
}

/// The first thread may live anywhere; the figures are those of a thread on a core that is known.
fn measure_on_core(env: Env) -> Result<(), Error> {
    let thread = thread::spawn_with(thread::STACK_BYTES, CORE, move || {
        if let Err(error) = measure(env) {
            log::error!("{error}");
        }
    })?;
    thread.join_blocking(FOREVER)
}

fn measure(mut env: Env) -> Result<(), Error> {
    log::info!("{} ticks are a microsecond", clock::ticks_in(1000));
    probe("nothing", || Ok(()))?;
    probe("null_system_call", || {
        nop();
        Ok(())
    })?;
    probe("null_system_call_slow", || {
        black_box(provoke::call(u64::MAX, [0; 6]));
        Ok(())
    })?;
    probe("clock_read", || {
        black_box(clock::now_ns());
        Ok(())
    })?;
    probe("handle_duplicate_close", || {
        let job = this_job();
        job.duplicate(Rights::INSPECT).map(drop)
    })?;
    let notification = Notification::create()?;
    probe("signal_take_self", || {
        notification.signal(1)?;
        notification.take_blocking(abi::AT_ONCE).map(drop)
    })?;
    probe("yield_alone", || {
        yield_now();
        Ok(())
    })?;
    foreign_calls()?;
    for (name, core) in [("same_core", CORE), ("other_core", CORE + 1)] {
        if core < clock::page().cores {
            calls_to_a_thread(name, core)?;
            wakes_of_a_thread(name, core)?;
        }
    }
    if let Ok(system) = env.take::<System>("system") {
        calls_of_a_resident(&system)?;
        foreign_calls_of_a_resident(&system)?;
    }
    between_processes(&mut env)
}

/// Measures `step` and logs the figure.
fn probe(name: &str, mut step: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    let mut samples = Vec::new();
    samples
        .try_reserve_exact(SAMPLES)
        .map_err(|_| Error::NoMemory)?;
    for _ in 0..SAMPLES / 10 {
        step()?;
    }
    if REPEATED.get().is_some_and(|repeated| repeated == name) {
        log::info!("{name} for ever");
        loop {
            step()?;
        }
    }
    for _ in 0..SAMPLES {
        let start = clock::now_ticks();
        step()?;
        samples.push(clock::now_ticks() - start);
    }
    report(name, &mut samples);
    Ok(())
}

fn report(name: &str, samples: &mut [u64]) {
    samples.sort_unstable();
    let at = |permille: usize| {
        let index = samples.len().saturating_sub(1) * permille / 1000;
        samples.get(index).copied().unwrap_or(0)
    };
    log::info!(
        "probe {name} min {} p50 {} p99 {} p99.9 {} ticks",
        at(0),
        at(500),
        at(990),
        at(999)
    );
}

/// Answers calls with their own words until the first word says to stop.
fn answer(endpoint: &Endpoint) -> Result<(), Error> {
    let mut call = endpoint.receive_blocking(FOREVER)?;
    loop {
        call = match call.body {
            Body::Words(words @ [STOP, ..]) => return call.token.reply(&words),
            Body::Words(words) => call.token.reply_receive_blocking(&words, endpoint)?,
            Body::Long(_) => {
                drop(call);
                endpoint.receive_blocking(FOREVER)?
            }
        };
    }
}

/// A driven thread asks for its process id, and its driver answers: from one such call to the next.
fn foreign_calls() -> Result<(), Error> {
    let (process, thread) = driven(&this_job(), ASK)?;
    let mut stop = thread.run_blocking(FOREVER)?;
    probe("foreign_system_call", || {
        stop.registers_mut().rax = 1;
        thread.resume_blocking(&mut stop, FOREVER)
    })?;
    process.kill(0)
}

const STOP: u64 = u64::MAX - 1;

fn calls_to_a_thread(name: &str, core: u32) -> Result<(), Error> {
    let endpoint = Endpoint::create()?;
    let client = endpoint.mint(1, Rights::CALL)?;
    let server = thread::spawn_with(thread::STACK_BYTES, core, move || {
        if let Err(error) = answer(&endpoint) {
            log::error!("server: {error}");
        }
    })?;
    let port = Port::create()?;
    probe(&alloc::format!("started_call_{name}"), || {
        let message = Message::Words([1, 2, 3, 4, 5, 6, 7, 8]);
        started::start(&client, FOREVER, message, port.handle(), 1)?;
        port.wait_packet_blocking(FOREVER).map(|packet| {
            black_box(packet);
        })
    })?;
    calls(&alloc::format!("call_reply_thread_{name}"), &client)?;
    server.join_blocking(FOREVER)
}

fn calls(name: &str, client: &Endpoint) -> Result<(), Error> {
    probe(name, || {
        client
            .call_blocking(FOREVER, &[1, 2, 3, 4, 5, 6, 7, 8])
            .map(|words| {
                black_box(words);
            })
    })?;
    client.call_blocking(FOREVER, &[STOP; WORDS]).map(drop)
}

/// From the signal to the other thread's first instruction after its wait.
fn wakes_of_a_thread(name: &str, core: u32) -> Result<(), Error> {
    static SIGNALLED: AtomicU64 = AtomicU64::new(0);
    let there = Notification::create()?;
    let back = Notification::create()?;
    let (theirs, answer) = (
        there.duplicate(Rights::READ)?,
        back.duplicate(Rights::SIGNAL)?,
    );
    let sleeper = thread::spawn_with(thread::STACK_BYTES, core, move || {
        let mut samples: Vec<u64> = Vec::new();
        if samples.try_reserve_exact(SAMPLES).is_err() {
            return;
        }
        while samples.len() < SAMPLES {
            if theirs.take_blocking(FOREVER).is_err() {
                return;
            }
            samples.push(clock::now_ticks().saturating_sub(SIGNALLED.load(Ordering::Acquire)));
            if answer.signal(1).is_err() {
                return;
            }
        }
        report(
            if core == CORE {
                "wake_thread_same_core"
            } else {
                "wake_thread_other_core"
            },
            &mut samples,
        );
    })?;
    for _ in 0..SAMPLES {
        SIGNALLED.store(clock::now_ticks(), Ordering::Release);
        there.signal(1)?;
        back.take_blocking(FOREVER)?;
    }
    log::debug!("{name} done");
    sleeper.join_blocking(FOREVER)
}

fn between_processes(env: &mut Env) -> Result<(), Error> {
    let Ok(programs) = env.take::<Vmo>("archive") else {
        log::info!("no archive of programs: no figures between processes");
        return Ok(());
    };
    let time = time_page()?;
    let archive = read_all(&programs)?;
    let file = Archive::new(&archive)
        .ok()
        .and_then(|archive| archive.file("programs/probes"))
        .ok_or(Error::BadArgument)?;
    for (name, core) in [("same_core", CORE), ("other_core", CORE + 1)] {
        if core >= clock::page().cores {
            continue;
        }
        let start = |what: &str, handles| {
            start_partner(file, &time, what, core, handles).inspect_err(|error| {
                log::error!("no partner: {error}");
            })
        };
        let endpoint = Endpoint::create()?;
        let client = endpoint.mint(1, Rights::CALL)?;
        let handles = alloc::vec![("endpoint", endpoint.into_owned(), Rights::RECEIVE)];
        if start("answer", handles).is_err() {
            return Ok(());
        }
        calls(&alloc::format!("call_reply_process_{name}"), &client)?;
        if core == CORE && start("yield", Vec::new()).is_ok_and(|partner| yields(partner).is_err())
        {
            log::error!("the partner does not yield");
        }
        let there = Notification::create()?;
        let back = Notification::create()?;
        let handles = alloc::vec![
            (
                "there",
                there
                    .duplicate(Rights::READ | Rights::TRANSFER)?
                    .into_owned(),
                Rights::READ
            ),
            (
                "back",
                back.duplicate(Rights::SIGNAL | Rights::TRANSFER)?
                    .into_owned(),
                Rights::SIGNAL
            ),
        ];
        if let Ok(partner) = start("echo", handles) {
            probe(&alloc::format!("two_wakes_process_{name}"), || {
                there.signal(1)?;
                back.take_blocking(FOREVER).map(drop)
            })?;
            partner.process.kill(0)?;
        }
    }
    Ok(())
}

/// An isolated client and a server in the kernel: a contract's call in words, which is 64 bytes.
fn calls_of_a_resident(system: &System) -> Result<(), Error> {
    let endpoint = Endpoint::create()?;
    let client = endpoint.mint(1, Rights::CALL | Rights::DUPLICATE)?;
    let started = Launch {
        name: "resident",
        code: Code::Resident {
            server: "servers/echo",
            system,
        },
        arguments: &["echo"],
        handles: alloc::vec![(
            "echo",
            endpoint.into_owned(),
            Rights::of_new(Endpoint::TYPE)
        )],
        time_page: None,
        generation: 0,
        core: CORE,
        reservation: None,
    }
    .start(&this_job());
    let Launched { process, .. } = match started {
        Ok(launched) => launched,
        Err(error) => {
            log::warn!("no resident server: {error}");
            return Ok(());
        }
    };
    let request = [NUMBER, 7];
    let words = to_words(&request).ok_or(Error::OutOfRange)?;
    probe("call_reply_resident_same_core", || {
        client.call_blocking(FOREVER, &words).map(|words| {
            black_box(words);
        })
    })?;
    process.kill(0)
}

/// The same as for a driver in ring 3: the server says what it measured.
fn foreign_calls_of_a_resident(system: &System) -> Result<(), Error> {
    let rights = Rights::of_new(Job::TYPE);
    let started = Launch {
        name: "personality",
        code: Code::Resident {
            server: "servers/personality",
            system,
        },
        arguments: &["personality", "cost"],
        handles: alloc::vec![("job", this_job().duplicate(rights)?.into_owned(), rights)],
        time_page: None,
        generation: 0,
        core: CORE,
        reservation: None,
    }
    .start(&this_job());
    match started {
        Ok(started) => started
            .process
            .wait_blocking(Signals::ENDED, FOREVER)
            .map(drop),
        Err(error) => {
            log::warn!("no resident server: {error}");
            Ok(())
        }
    }
}

/// Two processes that yield to each other: two switches each time.
fn yields(partner: Launched) -> Result<(), Error> {
    probe("yield_two_processes", || {
        yield_now();
        Ok(())
    })?;
    partner.process.kill(0)
}

fn start_partner(
    file: &[u8],
    time: &Vmo,
    what: &str,
    core: u32,
    handles: Vec<(&str, rt::sys::Owned, Rights)>,
) -> Result<Launched, rt::launch::LaunchError> {
    Launch {
        name: "partner",
        code: Code::File(file),
        arguments: &["probes", "partner", what],
        handles,
        time_page: Some(time),
        generation: 0,
        core,
        reservation: None,
    }
    .start(&this_job())
}

fn partner(env: &mut Env) -> i32 {
    let result = match env.argument(2) {
        Some("answer") => env
            .take::<Endpoint>("endpoint")
            .map(|endpoint| answer(&endpoint)),
        Some("echo") => echo(env),
        _ => loop {
            yield_now();
        },
    };
    match result {
        Ok(Ok(())) => 0,
        Ok(Err(_)) | Err(_) => 1,
    }
}

fn echo(env: &mut Env) -> Result<Result<(), Error>, rt::sys::env::Missing> {
    let there = env.take::<Notification>("there")?;
    let back = env.take::<Notification>("back")?;
    loop {
        if let Err(error) = there.take_blocking(FOREVER).and_then(|_| back.signal(1)) {
            return Ok(Err(error));
        }
    }
}
