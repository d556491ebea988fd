//! The net server is killed over and over while others use it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{FIRST_ADDRESS, Outcome, World, machine_at, wait_address};
use crate::http::{LIMIT, ask, whole};
use crate::json;
use crate::peer::{BULK_PORT, text};
use crate::scenario::Verdict;
use crate::session::Session;

const FEW: usize = 5;
const MANY: usize = 100;
/// For one answer: what asks a server that dies is not answered.
const PATIENCE: Duration = Duration::from_millis(300);
/// Bytes of a transfer that the load is made of, and what lies between its datagrams.
const LOAD_BYTES: usize = 300_000;
const DATAGRAM_EVERY: Duration = Duration::from_millis(2);

/// As many deaths as the usual suite has time for.
pub fn few(session: &mut Session, world: &World) -> Verdict {
    deaths(session, world, FEW)
}

/// As many as it takes to believe it.
pub fn many(session: &mut Session, world: &World) -> Verdict {
    deaths(session, world, MANY)
}

/// How often a unit was started.
fn generation(session: &mut Session, unit: &str) -> Outcome<u64> {
    Ok(json::count(&session.unit(unit)?, "generation")?)
}

fn deaths(session: &mut Session, world: &World, count: usize) -> Verdict {
    wait_address(session, FIRST_ADDRESS)?;
    let listening = ["httpd", "test.peer"];
    let mut before = Vec::new();
    for unit in listening {
        before.push(generation(session, unit)?);
    }
    let net = generation(session, "net")?;
    let (page, bulk) = (
        machine_at(FIRST_ADDRESS, 80)?,
        machine_at(FIRST_ADDRESS, BULK_PORT)?,
    );
    let over = AtomicBool::new(false);
    let mut times = thread::scope(|scope| {
        let load = scope.spawn(|| text(world.namespace.within(|| load(bulk, &over))));
        let times = kill(session, world, page, count);
        over.store(true, Ordering::Relaxed);
        let loaded = load.join().map_err(|_| "a thread of this test panicked")?;
        let transfers = loaded??;
        if transfers == 0 {
            return Err("no transfer came to its end".into());
        }
        times
    })?;
    for (unit, before) in listening.into_iter().zip(before) {
        let now = generation(session, unit)?;
        if now != before {
            return Err(format!("{unit} was started anew: {before}, {now}").into());
        }
    }
    let now = generation(session, "net")?;
    if now < net + count as u64 {
        return Err(format!("the server died {} times of {count}", now - net).into());
    }
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_millis();
    Ok(format!(
        "{count} deaths under load; the page is back after {} ms (p50), {} ms (max)",
        at(50),
        at(100)
    ))
}

/// Kills the server, and looks how long the page is away.
fn kill(
    session: &mut Session,
    world: &World,
    page: SocketAddr,
    count: usize,
) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..count {
        session.ok("svc kill net")?;
        let start = Instant::now();
        world.namespace.within(|| {
            while !answers(page) {
                if start.elapsed() > LIMIT {
                    return Err(format!("no page any more after {number} deaths"));
                }
            }
            Ok(())
        })??;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Whether the page is served.
fn answers(page: SocketAddr) -> bool {
    let asked = || -> Outcome<String> {
        let mut stream = TcpStream::connect_timeout(&page, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        ask(&mut stream, "/", "close")?;
        Ok(whole(stream, "/")?.0)
    };
    asked().is_ok_and(|head| head.starts_with("HTTP/1.1 200 "))
}

/// Transfers and datagrams until it is over; how many transfers came to their end.
fn load(bulk: SocketAddr, over: &AtomicBool) -> Result<usize, String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|error| error.to_string())?;
    let echo = SocketAddr::new(bulk.ip(), 7);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Lost, when there is nobody.
                let _ = socket.send_to(&[0; 512], echo);
                thread::sleep(DATAGRAM_EVERY);
            }
        });
        let mut whole = 0;
        while !over.load(Ordering::Relaxed) {
            // It ends with its server.
            if transfer(bulk).is_ok_and(|bytes| bytes > LOAD_BYTES) {
                whole += 1;
            }
        }
        Ok(whole)
    })
}

/// Fetches bytes until there are no more, or the server has died over it; how many came with their head.
fn transfer(bulk: SocketAddr) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect_timeout(&bulk, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{LOAD_BYTES} HTTP/1.1\r\n\r\n")?;
    let mut came = Vec::new();
    stream.read_to_end(&mut came)
}
