//! What the host does for a measuring machine that asks: it presses keys, and sees when the reader tells; it talks to sockets ([`Ports`]).

use super::{Results, wall};
use crate::error::{Doing, Error, Result};
use crate::host;
use crate::qemu::Vm;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Of a datagram, and of what goes to and fro through a connection.
const BYTES: usize = 64;
/// How often, after so many that do not count.
const ROUNDS: usize = 1000;
const WARM_UP: usize = 20;
/// Each way through a connection.
const BULK_BYTES: usize = 16 << 20;
/// A datagram that is not back by then is lost; so many may be, as the first ones before the machine has an address.
const LOST: Duration = Duration::from_millis(500);
const MOST_LOST: u64 = 60;
/// How long the machine records itself.
const RECORDED_MS: u32 = 200;
/// A key arrives sooner, on any host.
const KEY_LIMIT: Duration = Duration::from_secs(60);
/// After the machine's rest, once more for each of a handful of keys: no period of the machine's is met each time.
const MORE: Duration = Duration::from_micros(370);

/// Ports of the host that are the machine's, for datagrams and for connections; 0 where there are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The machine's port 7.
    pub udp: u16,
    /// The machine's port 5001.
    pub tcp: u16,
    /// The machine's status page.
    pub page: u16,
}

/// Does what a machine is `ready` for.
pub fn phase(vm: &mut Vm, ready: &Value, ports: Ports, results: &mut Results) -> Result<()> {
    let phase = ready["phase"].as_str().unwrap_or_default();
    let events = ready["events"].as_u64().unwrap_or(0);
    let parts: Vec<&str> = phase.split('.').collect();
    match parts[..] {
        ["input", keyboard, load] => {
            let metric = format!("input.{keyboard}.qmp_to_user.{load}");
            results
                .add(wall::summed(&metric, keys(vm, events)?))
                .map_err(Error::Qemu)?;
        }
        ["udp_echo", load] => {
            if load == "load" {
                // Before the samples are taken: whoever records has less time for others.
                record(ports).doing(|| "recording the machine".into())?;
            }
            let samples = datagrams(ports.udp).doing(|| "talking to the machine".into())?;
            let metric = format!("net.udp_echo64.{load}");
            results
                .add(wall::summed(&metric, samples))
                .map_err(Error::Qemu)?;
        }
        ["tcp"] => connections(ports.tcp, results)?,
        _ => {
            return Err(Error::Qemu(format!(
                "the guest is ready for {phase:?}, which this host does not know"
            )));
        }
    }
    let com2 = vm.com2.as_mut();
    com2.ok_or_else(|| Error::Qemu("the machine has no COM2".into()))?
        .send("go\n")
}

/// Where the recording of a measuring machine is.
pub fn recording() -> PathBuf {
    host::target_dir().join("bench/trace.pftrace")
}

/// Has the machine record itself while it echoes datagrams, and keeps that for <https://ui.perfetto.dev>.
fn record(ports: Ports) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, ports.udp))?;
    socket.set_read_timeout(Some(LOST))?;
    let recorder = thread::spawn(move || -> io::Result<Vec<u8>> {
        let mut page = TcpStream::connect((Ipv4Addr::LOCALHOST, ports.page))?;
        page.set_read_timeout(Some(KEY_LIMIT))?;
        write!(
            page,
            "GET /trace.pftrace?ms={RECORDED_MS} HTTP/1.1\r\nHost: raede\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        page.read_to_end(&mut answer)?;
        Ok(answer)
    });
    let mut back = [0; 2 * BYTES];
    while !recorder.is_finished() {
        socket.send(&[b'x'; BYTES])?;
        // Lost or not: there is something to see.
        let _: io::Result<usize> = socket.recv(&mut back);
    }
    let answer = recorder
        .join()
        .map_err(|_| io::Error::other("the recorder's thread panicked"))??;
    let head = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        let said = String::from_utf8_lossy(&answer[..head]).into_owned();
        return Err(io::Error::other(format!("the page has no trace: {said}")));
    }
    let file = recording();
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, &answer[head + 4..])
}

/// 64 bytes there and back, one datagram in flight; those that get lost are sent again and do not count.
fn datagrams(port: u16) -> io::Result<Vec<u64>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(LOST))?;
    let mut samples = Vec::new();
    let (mut lost, mut back) = (0, [0; 2 * BYTES]);
    while samples.len() < ROUNDS + WARM_UP {
        let mut sent = [b'x'; BYTES];
        sent[1..9].copy_from_slice(&(samples.len() as u64 + (lost << 32)).to_le_bytes());
        let began = Instant::now();
        socket.send(&sent)?;
        let answered = loop {
            match socket.recv(&mut back) {
                Ok(count) if back[..count] == sent => break true,
                // Of one that was thought lost.
                Ok(_) => {}
                Err(_) if lost < MOST_LOST => break false,
                Err(error) => return Err(error),
            }
        };
        if answered {
            samples.push(began.elapsed().as_nanos() as u64);
        } else {
            lost += 1;
        }
    }
    // The last one; it may get lost too.
    for _ in 0..MOST_LOST {
        socket.send(&[b'Q'; BYTES])?;
        if socket.recv(&mut back).is_ok_and(|_| back[0] == b'Q') {
            break;
        }
    }
    Ok(samples.split_off(WARM_UP))
}

/// 64 bytes there and back through a connection; megabytes each way.
fn connections(port: u16, results: &mut Results) -> Result<()> {
    let talked = || -> io::Result<(Vec<u64>, f64, f64)> {
        let connect = |what: u8| -> io::Result<TcpStream> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(KEY_LIMIT))?;
            stream.write_all(&[what])?;
            Ok(stream)
        };
        let mut echo = connect(b'E')?;
        let (mut samples, mut back) = (Vec::new(), [0; BYTES]);
        for round in 0..ROUNDS + WARM_UP {
            let began = Instant::now();
            echo.write_all(&[b'x'; BYTES])?;
            echo.read_exact(&mut back)?;
            if round >= WARM_UP {
                samples.push(began.elapsed().as_nanos() as u64);
            }
        }
        drop(echo);
        let piece = vec![b'x'; 64 << 10];
        let rate = |began: Instant, bytes: usize| bytes as f64 / began.elapsed().as_nanos() as f64;
        let mut take = connect(b'R')?;
        let began = Instant::now();
        for _ in 0..BULK_BYTES / piece.len() {
            take.write_all(&piece)?;
        }
        take.shutdown(std::net::Shutdown::Write)?;
        take.read_exact(&mut [0])?;
        let to_guest = rate(began, BULK_BYTES);
        let mut give = connect(b'T')?;
        let (began, mut got, mut buffer) = (Instant::now(), 0, piece);
        while got < BULK_BYTES {
            match give.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => got += count,
            }
        }
        let from_guest = rate(began, got);
        drop(give);
        connect(b'Q')?;
        Ok((samples, to_guest, from_guest))
    };
    let (samples, to_guest, from_guest) = talked().doing(|| "talking to the machine".into())?;
    results
        .add(wall::summed("net.tcp_echo64", samples))
        .map_err(Error::Qemu)?;
    for (metric, rate) in [
        ("net.tcp_bulk.guest_rx", to_guest),
        ("net.tcp_bulk.guest_tx", from_guest),
    ] {
        let value = json!({"metric": metric, "unit": "GB/s", "better": "higher", "value": rate});
        results.add(value).map_err(Error::Qemu)?;
    }
    Ok(())
}

/// Presses and releases a key in turns; how long until the reader told of each, in nanoseconds.
fn keys(vm: &mut Vm, events: u64) -> Result<Vec<u64>> {
    let mut samples = Vec::new();
    for number in 0..events {
        if number > 0 {
            console(vm, number, b'r', "the reader's rest")?;
        }
        thread::sleep(MORE * (number % 7) as u32);
        let began = Instant::now();
        vm.qmp.input_keys(&[("a", number % 2 == 0)])?;
        console(vm, number, b'k', "a key at its reader")?;
        samples.push(began.elapsed().as_nanos() as u64);
    }
    Ok(samples)
}

/// Waits for a byte on the debug console.
fn console(vm: &mut Vm, number: u64, byte: u8, what: &'static str) -> Result<()> {
    let debug = vm.debug_console.as_mut();
    let debug = debug.ok_or_else(|| Error::Qemu("the machine has no debug console".into()))?;
    let told = debug.wait_until(what, KEY_LIMIT, |unread| {
        let place = unread.iter().position(|&other| other == byte)?;
        Some((place + 1, ()))
    });
    told.map_err(|error| Error::Qemu(format!("key event {number}: {error}")))
}
