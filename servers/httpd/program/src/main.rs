//! The status page's server: what the machine does, live, for a browser, and as text for Prometheus.
//!
//! Handles: `net`, by which it listens; `system`, whose tables it shows; `manager`. Argument: the port, 80 unless said.
//!
//! Each connection is a future in one task ([`rt::Crowd`]); beyond [`MOST_CONNECTIONS`] they wait to be accepted. The net server may die: the
//! port is asked of the next one, and connections begin anew.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;

use httpd::answer::{self, NoTrace, Page};
use httpd::figures::{Figures, Histogram};
use httpd::request::{self, MAX_HEAD_BYTES, Method, Request};
use net_client::{NetError, Network, TcpStream};
use proto::net::Table;
use proto::{ProcessRow, TaskRow, TraceRow};
use rt::sys::clock::now_ns;
use rt::sys::object::{Endpoint, System};
use rt::tables;
use rt::unit::Manager;
use rt::{Crowd, Either, Env, first, sleep};
use spin::Mutex;

rt::entry!(async main);

/// Where it listens.
const PORT: u16 = 80;
/// Connections at once.
const MOST_CONNECTIONS: usize = 256;
/// Connections that wait to be accepted.
const BACKLOG: u16 = 128;
/// How long a connection may be silent, and how long it has for one request and its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The timer whose lateness is shown.
const TIMER: Duration = Duration::from_millis(1);
/// Exit codes.
const CANNOT_BEGIN: i32 = 1;
const NO_PORT: i32 = 2;

struct Site {
    system: System,
    network: Network,
    requests: Mutex<Histogram>,
    lateness: Mutex<Histogram>,
    connections: AtomicUsize,
    /// A trace is being recorded.
    recording: AtomicBool,
    /// A connection has ended.
    ended: executor::sync::Notify,
}

async fn main(mut env: Env) -> i32 {
    let port = match env.argument(1).map(str::parse) {
        None => PORT,
        Some(Ok(port)) => port,
        Some(Err(_)) => {
            log::error!("the first argument must be a port");
            return CANNOT_BEGIN;
        }
    };
    let (system, manager) = match (
        env.take::<System>("system"),
        env.take::<Endpoint>("manager"),
    ) {
        (Ok(system), Ok(manager)) => (system, Arc::new(Manager::new(manager))),
        _ => {
            log::error!("the handles system and manager are needed");
            return CANNOT_BEGIN;
        }
    };
    let network = Network::new(Arc::clone(&manager));
    let mut listener = match network.listen(port, BACKLOG).await {
        Ok(listener) => listener,
        Err(error) => {
            log::error!("port {port}: {error}");
            return NO_PORT;
        }
    };
    let crowd = Arc::new(Crowd::default());
    let members = Arc::clone(&crowd);
    let site = Arc::new(Site {
        system,
        network,
        requests: Mutex::default(),
        lateness: Mutex::default(),
        connections: AtomicUsize::new(0),
        recording: AtomicBool::new(false),
        ended: executor::sync::Notify::new(),
    });
    let started = rt::spawn("connections", async move { members.run().await });
    if started.is_err() || manager.say_ready().is_err() {
        log::error!("no room for its tasks, or no manager");
        return CANNOT_BEGIN;
    }
    loop {
        while site.connections.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
            site.ended.notified().await;
        }
        match listener.accept().await {
            Ok(stream) => {
                site.connections.fetch_add(1, Ordering::Relaxed);
                let connection = Connection(Arc::clone(&site));
                // Without memory the connection is closed with its future.
                let _ = crowd.join(async move { connection.serve(stream).await });
            }
            Err(error) => {
                log::error!("port {port}: {error}");
                return NO_PORT;
            }
        }
    }
}

/// One of the connections there are, until this is dropped.
struct Connection(Arc<Site>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

impl Connection {
    /// Answers requests until the other side has no more, or says nonsense, or is silent for too long.
    async fn serve(&self, mut stream: TcpStream) {
        let mut bytes = vec![0; MAX_HEAD_BYTES];
        let mut len = 0;
        loop {
            let Either::A(more) =
                first(self.one(&mut stream, &mut bytes, &mut len), sleep(PATIENCE)).await
            else {
                return;
            };
            match more {
                Ok(true) => {}
                Ok(false) => {
                    // What was sent goes out; an error is the other side's.
                    let _ = stream.finish().await;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Answers one request; whether there may be another.
    async fn one(
        &self,
        stream: &mut TcpStream,
        bytes: &mut [u8],
        len: &mut usize,
    ) -> Result<bool, NetError> {
        let request = loop {
            match request::parse(bytes.get(..*len).unwrap_or_default()) {
                Ok(Some(request)) => break request,
                Ok(None) => {}
                Err(refused) => {
                    stream.write_all(&answer::refusal(refused)).await?;
                    return Ok(false);
                }
            }
            let count = stream
                .read(bytes.get_mut(*len..).unwrap_or_default())
                .await?;
            if count == 0 {
                return Ok(false);
            }
            *len += count;
        };
        let start = now_ns();
        let answer = if answer::is_for_trace(&request) {
            let trace = self.0.trace(&request).await;
            answer::trace(&request, trace.as_deref().map_err(|why| *why))
        } else {
            let figures = self.0.figures(&request).await;
            answer::page(&request, figures.as_ref())
        };
        stream.write_all(&answer).await?;
        self.0.requests.lock().add(now_ns().saturating_sub(start));
        bytes.copy_within(request.bytes..*len, 0);
        *len -= request.bytes;
        Ok(request.keep_alive)
    }
}

/// The recorder, until this is dropped.
struct Recorder<'a>(&'a Site);

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        // It was started with the same right.
        let _ = self.0.system.record(false);
        self.0.recording.store(false, Ordering::Release);
    }
}

impl Site {
    /// What the cores do from now on, for as long as the request says.
    async fn trace(&self, request: &Request) -> Result<Vec<u8>, NoTrace> {
        let length = answer::trace_length(request).ok_or(NoTrace::BadLength)?;
        if request.method == Method::Head {
            return Ok(Vec::new());
        }
        if self.recording.swap(true, Ordering::Acquire) {
            return Err(NoTrace::Busy);
        }
        let recorder = Recorder(self);
        self.system.record(true).map_err(|_| NoTrace::NoMemory)?;
        sleep(length).await;
        // The rows are read before the next one may begin.
        self.system.record(false).map_err(|_| NoTrace::NoMemory)?;
        let rows: Vec<TraceRow> = all(&self.system);
        drop(recorder);
        let mut names = trace::Names::default();
        for process in all::<ProcessRow>(&self.system) {
            names.processes.insert(process.id, process.name.to_string());
        }
        for task in all::<TaskRow>(&self.system) {
            names.tasks.insert(task.id, task.name.to_string());
        }
        Ok(trace::encode(rows, &names))
    }

    /// What a request's page shows; `None` if that is nothing of the kind.
    async fn figures(&self, request: &Request) -> Option<Figures> {
        match Page::of(&request.path) {
            Some(Page::Json | Page::Metrics) => {}
            _ => return None,
        }
        let start = now_ns();
        sleep(TIMER).await;
        let late = now_ns().saturating_sub(start + TIMER.as_nanos() as u64);
        self.lateness.lock().add(late);
        let mut figures = Figures {
            requests: self.requests.lock().clone(),
            lateness: self.lateness.lock().clone(),
            ..Figures::default()
        };
        let system = &self.system;
        figures.info = tables::only(system).unwrap_or_default();
        figures.time = tables::only(system).unwrap_or_default();
        figures.memory = tables::only(system).unwrap_or_default();
        figures.cores = all(system);
        figures.processes = all(system);
        figures.tasks = all(system);
        let mut index = 0;
        while let Ok(Some((row, next))) = self.network.row(Table::Interfaces, index).await {
            index = next;
            figures.interfaces.push(row);
        }
        Some(figures)
    }
}

/// All rows of a table that can be read.
fn all<R: proto::table::Row>(system: &System) -> Vec<R> {
    let mut rows = Vec::new();
    // What could be read is shown.
    let _ = tables::for_each(system, |row: R| rows.push(row));
    rows
}
