//! A client that has its server fail in every way there is, over and over, while other calls go on.
//!
//! Arguments: the service, and how often each way (3 times unless said). It exits with 0 if no idempotent call ended with an error, and
//! afterwards as much of the kernel's memory is free as before. Its last line says how long it took from a death until the next
//! instance answered.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use abi::FOREVER;
use abi::system::Table;
use proto::MemoryInfo;
use proto::contract::CallError;
use proto::manager::{Answer, MAX_REQUEST_BYTES, Request};
use proto::trial::{Client, Failure};
use rt::service::{Connection, Reconnect};
use rt::sys::clock::now_ns;
use rt::sys::message::Handles;
use rt::sys::object::{Endpoint, System};
use rt::{Env, sleep, spawn, yield_now};

rt::entry!(async main);

/// Deaths before memory is looked at: what is made once and kept is made then.
const WARM_UP_ROUNDS: u32 = 1;
/// How long the kernel may take to clear away what the dead left.
const CLEARED_WITHIN: Duration = Duration::from_secs(10);
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

impl Reconnect for Manager {
    async fn reconnect(&self) -> Option<Endpoint> {
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

type Server = Client<Connection<Manager>>;

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
        .unwrap_or(3);
    let system: System = env.take("system").map_err(|_| "no handle system")?;
    let endpoint: Endpoint = env.take(service).map_err(|_| "no handle of the service")?;
    let manager: Endpoint = env.take("manager").map_err(|_| "no manager")?;
    let manager = Manager {
        endpoint: manager,
        service: String::from(service),
    };
    let server = Arc::new(Client(Connection::new(endpoint, manager)));
    let mut times_ns = Vec::new();
    for _ in 0..WARM_UP_ROUNDS {
        all_failures(&server, &mut times_ns).await?;
    }
    times_ns.clear();
    let before = settled(&system).await;
    for _ in 0..CALLERS {
        let server = Arc::clone(&server);
        spawn("caller", async move { calls(&server).await }).map_err(|_| "no task")?;
    }
    for _ in 0..rounds {
        all_failures(&server, &mut times_ns).await?;
    }
    STOP.store(true, Ordering::Relaxed);
    while ENDED.load(Ordering::Relaxed) < CALLERS as u64 {
        sleep(Duration::from_millis(1)).await;
    }
    if ERRORS.load(Ordering::Relaxed) != 0 {
        return Err("idempotent calls failed");
    }
    let lost = lost_since(&system, &before).await;
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

async fn all_failures(server: &Server, times_ns: &mut Vec<u64>) -> Result<(), &'static str> {
    for how in Failure::ALL {
        // One call is under way when the server dies.
        let before_ns = now_ns();
        match server.fail(how).await {
            Err(CallError::Lost | CallError::Malformed) => {}
            other => {
                log::error!("{how:?} ended with {other:?}");
                return Err("the server did not fail as it was told to");
            }
        }
        let value = before_ns;
        if server.number(value).await != Ok(value) {
            return Err("the next instance does not answer");
        }
        times_ns.push(now_ns() - before_ns);
    }
    Ok(())
}

fn memory(system: &System) -> Option<MemoryInfo> {
    let mut bytes = [0; 1024];
    let mut cursor = 0;
    let len = system.query(Table::Memory, &mut cursor, &mut bytes).ok()?;
    proto::table::Reader::new(bytes.get(..len)?).next()?.ok()
}

/// What the kernel has once nothing changes any more.
async fn settled(system: &System) -> MemoryInfo {
    let mut last = memory(system).unwrap_or_default();
    for _ in 0..100 {
        sleep(Duration::from_millis(20)).await;
        let now = memory(system).unwrap_or_default();
        if now.free_frames == last.free_frames && now.heap.used == last.heap.used {
            break;
        }
        last = now;
    }
    last
}

/// Frames and bytes of heap that are used now and were not before, beyond what is tolerated. The kernel clears away in its own time.
async fn lost_since(system: &System, before: &MemoryInfo) -> Option<(u64, u64)> {
    let end_ns = now_ns() + CLEARED_WITHIN.as_nanos() as u64;
    loop {
        let now = memory(system).unwrap_or_default();
        let frames = before.free_frames.saturating_sub(now.free_frames);
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
