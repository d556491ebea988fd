//! A client that has its server fail in every way there is, over and over, while other calls go on.
//!
//! It calls from tasks, and from a thread on each core: a resident server may answer the latter, and then fail, in the caller's poll.
//!
//! Arguments: the service, and how often each way (twice unless said). It exits with 0 if no idempotent call ended with an error, and
//! afterwards as much of the kernel's memory is free as before. Its last line says how long it took from a death until the next
//! instance answered.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use abi::{Error, FOREVER};
use proto::MemoryInfo;
use proto::contract::CallError;
use proto::manager::{Answer, MAX_REQUEST_BYTES, Request};
use proto::trial::{Client, Failure};
use rt::service::{Blocking, Connection, Reconnect};
use rt::sys::clock;
use rt::sys::clock::now_ns;
use rt::sys::message::Handles;
use rt::sys::object::{Endpoint, Notification, System};
use rt::sys::thread::{self, Joinable};
use rt::{Env, sleep, spawn, yield_now};
use spin::Mutex;

rt::entry!(async main);

/// Deaths before memory is looked at: what is made once and kept is made then.
const WARM_UP_ROUNDS: u32 = 1;
/// How long the kernel may take to clear away what the dead left.
const CLEARED_WITHIN: Duration = Duration::from_secs(10);
/// Between two calls of a thread.
const PAUSE_NS: u64 = 100_000;
/// Tasks that call all the time.
const CALLERS: usize = 3;
/// Frames and bytes of heap that come and go by themselves: queues and caches that grow, other tasks.
const FRAMES_TOLERATED: u64 = 24;
const HEAP_TOLERATED: u64 = 24 << 10;

/// The way to the next instance: the manager knows it.
struct Manager {
    endpoint: Endpoint,
    service: String,
}

impl Manager {
    fn connect(&self) -> Option<Endpoint> {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let request = Request::Connect {
            service: &self.service,
        };
        let request = request.encode(&mut buffer).ok()?;
        let mut answer = [0; 512];
        let (mut send, mut receive) = (Handles::new(), Handles::new());
        // With the whole thread: nobody here has anything else to do until there is a server.
        let lengths = self
            .endpoint
            .call_long_blocking(FOREVER, request, &mut send, &mut answer, &mut receive)
            .inspect_err(|error| log::error!("connecting: {}", error.error))
            .ok()?;
        let (answer, _) = Answer::decode(answer.get(..lengths.bytes as usize)?).ok()?;
        if answer != Answer::Done {
            log::error!("connecting: {answer:?}");
            return None;
        }
        receive.pop_front()?.cast().ok()
    }
}

/// The tasks' way to it.
struct Way(Arc<Manager>);

impl Reconnect for Way {
    async fn reconnect(&self) -> Option<Endpoint> {
        self.0.connect()
    }
}

type Server = Client<Connection<Way>>;

/// What is tried.
struct Trial {
    server: Arc<Server>,
    manager: Arc<Manager>,
    times_ns: Vec<u64>,
}

static STOP: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static ERRORS: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

async fn main(mut env: Env) -> i32 {
    match run(&mut env).await {
        Ok(()) => 0,
        Err(what) => {
            log::error!("{what}");
            1
        }
    }
}

async fn run(env: &mut Env) -> Result<(), &'static str> {
    let service = env.argument(1).ok_or("which service?")?;
    let rounds: u32 = env
        .argument(2)
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    let system: System = env.take("system").map_err(|_| "no handle system")?;
    let endpoint: Endpoint = env.take(service).map_err(|_| "no handle of the service")?;
    let manager: Endpoint = env.take("manager").map_err(|_| "no manager")?;
    let manager = Arc::new(Manager {
        endpoint: manager,
        service: String::from(service),
    });
    let way = Way(Arc::clone(&manager));
    let mut trial = Trial {
        server: Arc::new(Client(Connection::new(endpoint, way))),
        manager,
        times_ns: Vec::new(),
    };
    for _ in 0..WARM_UP_ROUNDS {
        trial.all_failures().await?;
    }
    trial.times_ns.clear();
    let before = settled(&system).await;
    for _ in 0..CALLERS {
        let server = Arc::clone(&trial.server);
        spawn("caller", async move { calls(&server).await }).map_err(|_| "no task")?;
    }
    let mut threads = Vec::new();
    for core in 0..clock::page().cores {
        threads.push(trial.caller(core).map_err(|_| "no thread")?);
    }
    for _ in 0..rounds {
        trial.all_failures().await?;
    }
    STOP.store(true, Ordering::Relaxed);
    for thread in threads {
        thread
            .join_blocking(FOREVER)
            .map_err(|_| "no thread's end")?;
    }
    while ENDED.load(Ordering::Relaxed) < CALLERS as u64 {
        sleep(Duration::from_millis(1)).await;
    }
    if ERRORS.load(Ordering::Relaxed) != 0 {
        return Err("idempotent calls failed");
    }
    let lost = lost_since(&system, &before).await;
    let mut times_ns = trial.times_ns;
    times_ns.sort_unstable();
    let at = |part: usize| {
        let index = (times_ns.len() * part / 100).min(times_ns.len().saturating_sub(1));
        times_ns.get(index).copied().unwrap_or(0) / 1000
    };
    log::info!(
        "{service}: {} deaths, {} calls without an error, {} us from a death to the next answer (p50), {} us (p99)",
        times_ns.len(),
        CALLS.load(Ordering::Relaxed),
        at(50),
        at(99),
    );
    match lost {
        None => Ok(()),
        Some((frames, bytes)) => {
            log::error!("{frames} frames and {bytes} bytes of the kernel's heap are lost");
            Err("memory is lost")
        }
    }
}

/// Calls until it is told to stop.
async fn calls(server: &Server) {
    let mut value = 0;
    while !STOP.load(Ordering::Relaxed) {
        value += 1;
        if server.number(value).await == Ok(value) {
            CALLS.fetch_add(1, Ordering::Relaxed);
        } else {
            ERRORS.fetch_add(1, Ordering::Relaxed);
        }
        yield_now().await;
    }
    ENDED.fetch_add(1, Ordering::Relaxed);
}

impl Trial {
    async fn all_failures(&mut self) -> Result<(), &'static str> {
        for how in Failure::ALL {
            // One call is under way when the server dies.
            let before_ns = now_ns();
            let ended = self.server.fail(how).await;
            self.died(how, ended, before_ns).await?;
            for core in 0..clock::page().cores {
                let before_ns = now_ns();
                let ended = self.fail_on(core, how)?;
                self.died(how, ended, before_ns).await?;
            }
        }
        Ok(())
    }

    /// Sees that the server died and the next one answers.
    async fn died(
        &mut self,
        how: Failure,
        ended: Result<(), CallError>,
        before_ns: u64,
    ) -> Result<(), &'static str> {
        if !matches!(ended, Err(CallError::Lost | CallError::Malformed)) {
            log::error!("{how:?} ended with {ended:?}");
            return Err("the server did not fail as it was told to");
        }
        let value = before_ns;
        if self.server.number(value).await != Ok(value) {
            return Err("the next instance does not answer");
        }
        self.times_ns.push(now_ns() - before_ns);
        Ok(())
    }

    /// Has the server fail over the second call of a thread on `core`.
    fn fail_on(&self, core: u32, how: Failure) -> Result<Result<(), CallError>, &'static str> {
        let manager = Arc::clone(&self.manager);
        let outcome = Arc::new(Mutex::new(Err(CallError::TooLong)));
        let place = Arc::clone(&outcome);
        let thread = thread::spawn_with(thread::STACK_BYTES, core, move || {
            if let Some(endpoint) = manager.connect() {
                let client = Client(Blocking(endpoint));
                let ended = match finish(client.number(1)) {
                    Ok(_) => finish(client.fail(how)),
                    Err(error) => Err(error),
                };
                *place.lock() = ended;
            }
        });
        let ended = thread.and_then(|thread| thread.join_blocking(FOREVER));
        ended.map_err(|_| "no thread")?;
        let outcome = *outcome.lock();
        Ok(outcome)
    }

    /// A thread on `core` that calls until it is told to stop.
    fn caller(&self, core: u32) -> Result<Joinable, Error> {
        let manager = Arc::clone(&self.manager);
        let never = Notification::create()?;
        thread::spawn_with(thread::STACK_BYTES, core, move || {
            let mut client = None;
            let mut value = 0;
            while !STOP.load(Ordering::Relaxed) {
                let Some(server) = client
                    .take()
                    .or_else(|| Some(Client(Blocking(manager.connect()?))))
                else {
                    ERRORS.fetch_add(1, Ordering::Relaxed);
                    return;
                };
                value += 1;
                match finish(server.number(value)) {
                    Ok(answer) if answer == value => {
                        CALLS.fetch_add(1, Ordering::Relaxed);
                        client = Some(server);
                    }
                    // It died over the call, which is made again at the next one.
                    Err(CallError::Lost) => {}
                    wrong => {
                        log::error!("a call on core {core} came to {wrong:?}");
                        ERRORS.fetch_add(1, Ordering::Relaxed);
                    }
                }
                // So that it does not keep the core from those who start the next one.
                let _ = never.take_blocking(now_ns() + PAUSE_NS);
            }
        })
    }
}

/// The outcome of a call that waits with the whole thread.
fn finish<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(CallError::Malformed),
    }
}

fn memory(system: &System) -> MemoryInfo {
    rt::tables::only(system).unwrap_or_default()
}

/// What the kernel has once nothing changes any more.
async fn settled(system: &System) -> MemoryInfo {
    let mut last = memory(system);
    for _ in 0..100 {
        sleep(Duration::from_millis(20)).await;
        let now = memory(system);
        if now.free_frames == last.free_frames && now.heap.used == last.heap.used {
            break;
        }
        last = now;
    }
    last
}

/// Free frames. The heap keeps those it grew by, and is counted by its bytes.
const fn free(memory: &MemoryInfo) -> u64 {
    memory.free_frames + memory.heap.taken / memory.frame_bytes as u64
}

/// Frames and bytes of heap that are used now and were not before, beyond what is tolerated. The kernel clears away in its own time.
async fn lost_since(system: &System, before: &MemoryInfo) -> Option<(u64, u64)> {
    let end_ns = now_ns() + CLEARED_WITHIN.as_nanos() as u64;
    loop {
        let now = memory(system);
        let frames = free(before).saturating_sub(free(&now));
        let bytes = now.heap.used.saturating_sub(before.heap.used);
        if frames <= FRAMES_TOLERATED && bytes <= HEAP_TOLERATED {
            log::info!(
                "memory: {frames} frames and {bytes} bytes of heap more than before; {} frames are free, {} bytes of heap used",
                now.free_frames,
                now.heap.used
            );
            return None;
        }
        if now_ns() > end_ns {
            return Some((frames, bytes));
        }
        sleep(Duration::from_millis(20)).await;
    }
}
