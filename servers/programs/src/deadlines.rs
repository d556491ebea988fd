//! Two processes of one core, each with a reservation and an executor of its own: who goes first? By their budgets `busy` does, whose
//! period is shorter; but where the only task that is ready in it is due much later, `quick` does; unless the kernel cannot read that. Exits with 0 if all is so.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use abi::memory::{MapFlags, PAGE_BYTES};
use abi::process::ReservationArgs;
use abi::{Call, Error, Rights, Signals};
use loader::Archive;
use rt::launch::{Code, Launch, LaunchError, Launched, read_all, time_page};
use rt::sys::clock;
use rt::sys::log::this_log;
use rt::sys::object::{Job, Notification, Object, Owned, Reservation, Vmo};
use rt::sys::process::this_job;
use rt::sys::provoke;
use rt::{Env, Watched, spawn, spawn_due};

rt::entry!(async main);

const PATIENCE_NS: u64 = 20_000_000_000;
/// What `busy` works, from before `quick` comes until long after.
const WORK_NS: u64 = 30_000_000;
const BEFORE_NS: u64 = 10_000_000;
/// Until both wait for their time, and what they used by then is more than a period ago.
const SETUP_NS: u64 = 900_000_000;
/// Budget and period of each. The budgets are never used up, even where an emulator stands still for a while.
const BUSY_NS: [u64; 2] = [250_000_000, 500_000_000];
const QUICK_NS: [u64; 2] = [150_000_000, 800_000_000];
/// Rounds in which `busy` may begin too late.
const MOST_ROUNDS: u32 = 10;
// Words of the board.
const BEGIN: u64 = 0;
const BUSY_ENDED: u64 = 8;
const QUICK_CAME: u64 = 16;
const BUSY_BEGAN: u64 = 24;

async fn main(mut env: Env) -> i32 {
    let outcome = match env.argument(1) {
        Some("busy") => busy(&mut env).await.map(|()| true),
        Some("quick") => quick(&mut env).map(|()| true),
        _ => judge(&mut env).map_err(|error| {
            log::error!("{error}");
            Error::BadState
        }),
    };
    match outcome {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            log::error!("{error}");
            2
        }
    }
}

fn taken<T: Object>(env: &mut Env, name: &str) -> Result<T, Error> {
    env.take(name).map_err(|_| Error::BadHandle)
}

/// Says that it is there, and waits: when it is to begin, and where to write what happened.
fn begin(env: &mut Env) -> Result<(u64, Vmo), Error> {
    let board: Vmo = taken(env, "board")?;
    taken::<Notification>(env, "ready")?.signal(1)?;
    taken::<Notification>(env, "go")?.take_blocking(abi::FOREVER)?;
    Ok((read(&board, BEGIN)?, board))
}

/// Sleeps with the whole thread.
fn sleep_until(ns: u64) -> Result<(), Error> {
    match Notification::create()?.take_blocking(ns) {
        Ok(_) | Err(Error::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

fn note(board: &Vmo, at: u64, ns: u64) -> Result<(), Error> {
    board.write(at, &ns.to_le_bytes()).map(drop)
}

fn read(board: &Vmo, at: u64) -> Result<u64, Error> {
    let mut word = [0; 8];
    board.read(at, &mut word)?;
    Ok(u64::from_le_bytes(word))
}

async fn busy(env: &mut Env) -> Result<(), Error> {
    let is_calm = env.argument(2) != Some("plain");
    if env.argument(2) == Some("gone") {
        say_nowhere()?;
    }
    let (begin_ns, board) = begin(env)?;
    sleep_until(begin_ns - BEFORE_NS)?;
    let ended = Notification::create()?;
    let tell = ended.duplicate(Rights::SIGNAL)?;
    let work = async move {
        let began_ns = clock::now_ns();
        while clock::now_ns() < began_ns + WORK_NS {}
        // Who judges finds out.
        let _ = note(&board, BUSY_ENDED, clock::now_ns());
        let _ = note(&board, BUSY_BEGAN, began_ns);
        let _ = tell.signal(1);
    };
    if is_calm {
        spawn_due("work", Duration::from_secs(2), work)
    } else {
        spawn("work", work)
    }
    .map_err(|_| Error::NoMemory)?;
    Watched::new(ended, Signals::READABLE)?
        .take()
        .await
        .map(drop)
}

/// Has the kernel look for the deadline where nothing is any more.
fn say_nowhere() -> Result<(), Error> {
    let mapping =
        Vmo::create(PAGE_BYTES)?.map(0, PAGE_BYTES, MapFlags::WRITE | MapFlags::COMMIT)?;
    let (rax, _) = provoke::call(
        Call::ThreadDeadline as u64,
        [mapping.address(), 0, 0, 0, 0, 0],
    );
    Error::check(rax).map(drop)
}

fn quick(env: &mut Env) -> Result<(), Error> {
    let (begin_ns, board) = begin(env)?;
    sleep_until(begin_ns)?;
    note(&board, QUICK_CAME, clock::now_ns())
}

/// What both rounds need.
struct Stage<'a> {
    file: &'a [u8],
    time: Vmo,
    board: Vmo,
}

/// A child, and how to have it begin.
struct Child {
    launched: Launched,
    ready: Notification,
    go: Notification,
}

fn step(step: &'static str) -> impl Fn(Error) -> LaunchError {
    move |error| LaunchError::Step { step, error }
}

fn given<T: Object>(object: &T, rights: Rights) -> Result<Owned, Error> {
    let given = object.duplicate(rights | Rights::TRANSFER)?;
    Ok(given.into_owned())
}

/// The time of a round before is free once it would have been used up.
fn reserve(arguments: &ReservationArgs) -> Result<Reservation, Error> {
    let end_ns = clock::now_ns() + PATIENCE_NS;
    loop {
        match this_job().reserve(arguments) {
            Err((Error::NotAdmitted, _)) if clock::now_ns() < end_ns => {
                sleep_until(clock::now_ns() + arguments.period_ns / 10)?;
            }
            reserved => return reserved.map_err(|(error, _)| error),
        }
    }
}

impl Stage<'_> {
    fn launch(
        &self,
        arguments: &[&str],
        [budget_ns, period_ns]: [u64; 2],
    ) -> Result<Child, LaunchError> {
        let reservation = reserve(&ReservationArgs {
            budget_ns,
            period_ns,
            ..ReservationArgs::default()
        })
        .map_err(step("reserving its time"))?;
        let signal = || Notification::create().map_err(step("making its signals"));
        let (ready, go) = (signal()?, signal()?);
        let handles = || -> Result<Vec<(&'static str, Owned, Rights)>, Error> {
            let (both, job) = (Rights::READ | Rights::WRITE, Rights::of_new(Job::TYPE));
            Ok(alloc::vec![
                ("job", given(&*this_job(), job)?, job),
                ("log", given(&*this_log(), Rights::WRITE)?, Rights::WRITE),
                ("board", given(&self.board, both)?, both),
                ("ready", given(&ready, Rights::SIGNAL)?, Rights::SIGNAL),
                ("go", given(&go, Rights::READ)?, Rights::READ),
            ])
        };
        let launched = Launch {
            name: arguments.get(1).copied().unwrap_or("deadlines"),
            code: Code::File(self.file),
            arguments,
            handles: handles().map_err(step("making its handles"))?,
            time_page: Some(&self.time),
            generation: 0,
            core: u32::MAX,
            reservation: Some(&reservation),
        }
        .start(&this_job())?;
        Ok(Child {
            launched,
            ready,
            go,
        })
    }

    /// Whether `quick` came before `busy` ended.
    fn is_quick_first(&self, how: &str) -> Result<bool, LaunchError> {
        for _ in 0..MOST_ROUNDS {
            let busy = self.launch(&["deadlines", "busy", how], BUSY_NS)?;
            let quick = self.launch(&["deadlines", "quick"], QUICK_NS)?;
            let raced = self.race(&[busy, quick]).map_err(step("having them race"));
            if let Some(quick_first) = raced? {
                return Ok(quick_first);
            }
        }
        Err(step("having `busy` begin in time")(Error::TimedOut))
    }

    /// `None` if `busy` was not at work when `quick` came.
    fn race(&self, children: &[Child]) -> Result<Option<bool>, Error> {
        let end_ns = clock::now_ns() + PATIENCE_NS;
        for child in children {
            child.ready.take_blocking(end_ns)?;
        }
        let begin_ns = clock::now_ns() + SETUP_NS;
        note(&self.board, BEGIN, begin_ns)?;
        for child in children {
            child.go.signal(1)?;
        }
        for child in children {
            let process = &child.launched.process;
            process.wait_blocking(Signals::ENDED, end_ns)?;
            if process.status()?.exit_code != 0 {
                return Err(Error::BadState);
            }
        }
        let ended_ns = read(&self.board, BUSY_ENDED)?;
        let came_ns = read(&self.board, QUICK_CAME)?;
        log::info!(
            "quick came after {} us, busy ended after {} us",
            came_ns.saturating_sub(begin_ns) / 1000,
            ended_ns.saturating_sub(begin_ns) / 1000
        );
        let in_time = read(&self.board, BUSY_BEGAN)? + BEFORE_NS / 5 < begin_ns;
        Ok(in_time.then_some(came_ns < ended_ns))
    }
}

fn judge(env: &mut Env) -> Result<bool, LaunchError> {
    let archive = taken::<Vmo>(env, "archive")
        .and_then(|vmo| read_all(&vmo))
        .map_err(step("reading the archive"))?;
    let file = Archive::new(&archive)
        .ok()
        .and_then(|archive| archive.file("programs/deadlines"))
        .ok_or(Error::BadArgument)
        .map_err(step("finding itself"))?;
    let stage = Stage {
        file,
        time: time_page().map_err(step("making the time page"))?,
        board: Vmo::create(PAGE_BYTES).map_err(step("making the board"))?,
    };
    Ok(!stage.is_quick_first("plain")?
        && stage.is_quick_first("calm")?
        && !stage.is_quick_first("gone")?)
}
