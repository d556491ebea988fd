//! The network on QEMU's own, which leads to this host: addresses, names, connections both ways, and a net server that dies.
//!
//! There the machine is 10.0.2.15, this host 10.0.2.2, and a server of names 10.0.2.3.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use xtask::qemu::{Forward, Machine, Network, Nic, Protocol};

use crate::http::{LIMIT, ask, get, wait};
use crate::lab::{Lab, MANAGER};
use crate::scenario::{Check, Scenario, Verdict};
use crate::session::Session;
use crate::{tls, trace};

/// For one answer, where it is asked for again: what QEMU had on its way to a server that died is late.
const PATIENCE: Duration = Duration::from_secs(2);
/// The status page's port in the machine.
const PAGE: u16 = 80;
/// What is fetched by the machine.
const BODY_BYTES: usize = 2_000_000;
/// Connections to the status page, one after the other and at once.
const IN_TURN: usize = 100;
const AT_ONCE: usize = 32;
/// The manager, with the net server in the kernel.
const RESIDENT: &str = "init=\"servers/manager net=resident\"";
/// How often the server is killed.
const KILLS: usize = 3;

/// The host's port that leads to the page, of the machine that was booted last.
#[derive(Clone, Default)]
struct Port(Arc<Mutex<u16>>);

impl Port {
    fn get(&self) -> u16 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A machine with a card whose page is reached by this port.
    fn machine(&self, lab: &Lab, nic: Nic) -> xtask::error::Result<Machine> {
        self.machine_of(lab, nic, MANAGER)
    }

    /// The same with these words of the manager's.
    fn machine_of(&self, lab: &Lab, nic: Nic, init: &str) -> xtask::error::Result<Machine> {
        let forward = Forward {
            protocol: Protocol::Tcp,
            host: 0,
            guest: PAGE,
        }
        .settled()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = forward.host;
        let mut machine = lab.script_machine(init);
        machine.network = Some(Network {
            nic,
            forwards: vec![forward],
        });
        Ok(machine)
    }
}

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    let port = Port::default();
    let with = |check: fn(&mut Session, u16) -> Verdict| {
        let port = port.clone();
        move |session: &mut Session| check(session, port.get())
    };
    let of_machine = port.clone();
    vec![
        Scenario::shared(
            move |lab| Ok(of_machine.machine(lab, Nic::Virtio)?),
            vec![
                Check::new("qemu.net.address", |session| address(session, "virtio-net")),
                Check::new("qemu.net.ping", ping),
                Check::new("qemu.net.errors", errors),
                Check::new("qemu.net.fetch", fetch),
                Check::new("qemu.net.https", tls::https),
                Check::new("qemu.net.page", with(page)),
                Check::new("qemu.net.connections", with(connections)),
                Check::new("qemu.net.trace", with(|_, port| trace::recorded(port))),
                Check::long(
                    "qemu.net.trace_perfetto",
                    with(|_, port| trace::by_perfetto(port)),
                ),
                Check::new("qemu.net.by_hand", by_hand),
                Check::new("qemu.net.server_dies", with(server_dies)),
            ],
        ),
        Scenario::alone("qemu.net.e1000e", |lab| {
            let port = Port::default();
            let mut session = Session::boot(&port.machine(lab, Nic::E1000e)?)?;
            address(&mut session, "e1000e")?;
            fetch(&mut session)?;
            page(&mut session, port.get())
        }),
        Scenario::alone("qemu.net.resident", resident),
    ]
}

/// The server in the kernel: all that it does in ring 3, also for a server of pages in ring 3; it dies, and comes back.
fn resident(lab: &Lab) -> Verdict {
    let port = Port::default();
    let machine = port.machine_of(lab, Nic::Virtio, RESIDENT)?;
    let mut session = Session::boot(&machine)?;
    let unit = session.unit("net")?;
    if unit["placement"] != "resident" {
        return Err(format!("the net server is not resident: {unit}").into());
    }
    address(&mut session, "virtio-net")?;
    let mut found = vec![fetch(&mut session)?];
    for check in [page, connections, server_dies] {
        found.push(check(&mut session, port.get())?);
    }
    session.alive()?;
    Ok(found.join("; "))
}

/// Rows of a table that `ip` shows.
fn table(session: &mut Session, name: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let rows = session.rows("ip --json")?;
    Ok(rows
        .into_iter()
        .filter(|row| row["table"] == name)
        .collect())
}

/// An address, a route and a server of names come by themselves.
fn address(session: &mut Session, driver: &str) -> Verdict {
    let row = wait("address", || {
        let rows = table(session, "address")?;
        let mut rows = rows.into_iter();
        Ok(rows.find(|row| row["interface"] == "eth0" && row["address"] == "10.0.2.15"))
    })?;
    let interfaces = table(session, "interface")?;
    let eth0 = interfaces.iter().find(|row| row["name"] == "eth0");
    let eth0 = eth0.ok_or("there is no interface eth0")?;
    let gateway = table(session, "route")?
        .into_iter()
        .any(|row| row["gateway"] == "10.0.2.2" && row["bits"] == 0);
    let names = table(session, "nameserver")?;
    let by_router = wait("IPv6 address", || {
        let rows = table(session, "address")?;
        let is_global = |row: &&Value| {
            let address = row["address"].as_str().unwrap_or_default();
            row["interface"] == "eth0" && address.starts_with("fec0:")
        };
        Ok(rows
            .iter()
            .find(is_global)
            .map(|row| row["address"].clone()))
    })?;
    if row["bits"] == 24
        && gateway
        && eth0["driver"] == driver
        && eth0["link"] == true
        && names.iter().any(|row| row["address"] == "10.0.2.3")
    {
        return Ok(format!("10.0.2.15/24 and {by_router} by {driver}"));
    }
    Err(format!("the interface is not set up as it should be: {row} {eth0} {names:?}").into())
}

/// Echoes come from the gateway, over both versions, and from the machine itself.
fn ping(session: &mut Session) -> Verdict {
    for host in ["10.0.2.2", "127.0.0.1", "::1", "fe80::2"] {
        let text = session.ok(&format!("ping --count=1 {host}"))?;
        if !text.contains("1 sent, 1 answered") {
            return Err(format!("{host} does not answer: {text}").into());
        }
    }
    let names = session.ok("dns LOCALHOST")?;
    if names != "127.0.0.1\n::1\n" {
        return Err(format!("localhost is {names:?}").into());
    }
    Ok(String::new())
}

/// A port of this host that nobody listens to.
fn closed_port() -> Result<u16, Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// What cannot be done says why.
fn errors(session: &mut Session) -> Verdict {
    let closed = closed_port()?;
    let cases = [
        (format!("nc 10.0.2.2 {closed}"), "connection refused"),
        (
            format!("curl http://10.0.2.2:{closed}/"),
            "connection refused",
        ),
        (
            format!("curl https://10.0.2.2:{closed}/"),
            "connection refused",
        ),
        ("curl gopher://x/".into(), "gopher is not known"),
        (
            "curl http://10.0.2.2:99999/".into(),
            "the port must be 1 to 65535",
        ),
        ("curl http://-bad-/".into(), "cannot be the name of a host"),
        ("ping nothere.invalid".into(), "name"),
        ("nc 10.0.2.2 0".into(), "no port: 1 to 65535"),
        ("nc --listen 80".into(), "tcp port 80 is in use"),
        (
            "ip set eth7 10.0.0.1/24".into(),
            "no interface of this name",
        ),
        (
            "ip set eth0 10.0.0.1/33".into(),
            "cannot have such an address",
        ),
        ("ip set eth0 10.0.0.1".into(), "no address with its bits"),
        (
            "ip set eth0 224.0.0.1/4".into(),
            "cannot have such an address",
        ),
    ];
    for (command, wanted) in &cases {
        let said = session.refused(command)?;
        if !said.contains(wanted) {
            return Err(format!("`{command}` should say {wanted:?}: {said}").into());
        }
    }
    session.alive()?;
    Ok(format!("{} of them", cases.len()))
}

/// The machine fetches a file from this host, whole.
fn fetch(session: &mut Session) -> Verdict {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let mut state = 1_u64;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        // SplitMix64's step and one of its mixes: what is alike would hide what is swapped.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as u8
    })
    .take(BODY_BYTES)
    .collect();
    let digits: String = Sha256::digest(&body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let server = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request)?;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\nConnection: close\r\n\r\n"
        )?;
        stream.write_all(&body)
    });
    let start = Instant::now();
    let said = session.ok(&format!("curl --sha256 http://10.0.2.2:{port}/file"))?;
    let seconds = start.elapsed().as_secs_f64();
    server
        .join()
        .map_err(|_| "the server of this test panicked")??;
    if said.trim() != format!("{digits} {BODY_BYTES} bytes") {
        return Err(format!("it should be {digits}: {said}").into());
    }
    let rate = BODY_BYTES as f64 / seconds / 1e6;
    Ok(format!("{BODY_BYTES} bytes, {rate:.1} MB/s"))
}

/// The page, once it is served; QEMU takes connections before that and ends them.
fn page_of(port: u16, path: &str) -> Result<(String, String), Box<dyn Error>> {
    wait("page", || {
        match get((Ipv4Addr::LOCALHOST, port), path, PATIENCE) {
            Ok(page) if page.0.starts_with("HTTP/1.1 200 ") => Ok(Some(page)),
            _ => Ok(None),
        }
    })
}

/// This host sees the status page, and its figures move.
fn page(_: &mut Session, port: u16) -> Verdict {
    let (head, body) = page_of(port, "/")?;
    if !head.contains("text/html") || !body.contains("/status.json") {
        return Err(format!("this is not the status page: {head}").into());
    }
    let figures = || -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&page_of(port, "/status.json")?.1)?)
    };
    let (one, other) = (figures()?, figures()?);
    let uptime = |figures: &Value| figures["uptime_ns"].as_u64().unwrap_or(0);
    let requests = |figures: &Value| figures["requests"]["count"].as_u64().unwrap_or(0);
    let cores = one["cores"].as_array().map_or(0, Vec::len);
    let has_httpd = one["processes"]
        .as_array()
        .is_some_and(|rows| rows.iter().any(|row| row["name"] == "httpd"));
    if uptime(&other) <= uptime(&one) || requests(&other) <= requests(&one) || !has_httpd {
        return Err(format!("the figures do not move: {one} {other}").into());
    }
    let (_, metrics) = page_of(port, "/metrics")?;
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    for line in lines.clone() {
        let value = line.rsplit(' ').next().unwrap_or_default();
        if value.parse::<f64>().is_err() {
            return Err(format!("no metric: {line:?}").into());
        }
    }
    let (missing, _) = get((Ipv4Addr::LOCALHOST, port), "/nothere", LIMIT)?;
    if !missing.starts_with("HTTP/1.1 404 ") {
        return Err(format!("a page that is not there: {missing}").into());
    }
    Ok(format!("{cores} cores, {} metrics", lines.count()))
}

/// Many connections, one after the other and at once.
fn connections(session: &mut Session, port: u16) -> Verdict {
    let start = Instant::now();
    for number in 0..IN_TURN {
        get((Ipv4Addr::LOCALHOST, port), "/", LIMIT)
            .map_err(|error| format!("connection {number}: {error}"))?;
    }
    let in_turn = start.elapsed();
    let start = Instant::now();
    // Each is served once before the next one begins: QEMU lets only one connection wait.
    let mut open = Vec::new();
    for number in 0..AT_ONCE {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        ask(&mut stream, "/nothere", "keep-alive")?;
        let mut first = [0; 12];
        stream
            .read_exact(&mut first)
            .map_err(|error| format!("open connection {number}: {error}"))?;
        open.push(stream);
    }
    let listed = session.rows("netstat --json")?;
    let standing = listed.iter().filter(|row| row["state"] == "established");
    let standing = standing.count();
    if standing < AT_ONCE {
        return Err(format!("{standing} connections of {AT_ONCE} stand").into());
    }
    for stream in &mut open {
        ask(stream, "/status.json", "close")?;
    }
    for mut stream in open {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if !text.ends_with("}\n") {
            return Err(format!("an answer ends in {text:?}").into());
        }
    }
    let at_once = start.elapsed();
    session.alive()?;
    Ok(format!(
        "{IN_TURN} in turn in {} ms, {AT_ONCE} at once in {} ms",
        in_turn.as_millis(),
        at_once.as_millis()
    ))
}

/// An interface is set up by hand, and by itself again.
fn by_hand(session: &mut Session) -> Verdict {
    session.ok("ip set eth0 10.0.2.77/24 10.0.2.2 10.0.2.3")?;
    let rows = table(session, "address")?;
    let addresses: Vec<&Value> = rows
        .iter()
        .filter(|row| row["interface"] == "eth0")
        .map(|row| &row["address"])
        .collect();
    if !addresses.contains(&&Value::from("10.0.2.77"))
        || addresses.contains(&&Value::from("10.0.2.15"))
    {
        return Err(format!("the addresses are {addresses:?}").into());
    }
    session.ok("ping --count=1 10.0.2.2")?;
    session.ok("ip dhcp eth0")?;
    address(session, "virtio-net")
}

/// The net server is killed again and again: the page is served again, by the same instance of its server.
fn server_dies(session: &mut Session, port: u16) -> Verdict {
    let instance = |session: &mut Session| -> Result<Value, Box<dyn Error>> {
        Ok(session.unit("httpd")?["generation"].clone())
    };
    page_of(port, "/")?;
    let before = instance(session)?;
    let mut longest = Duration::ZERO;
    for _ in 0..KILLS {
        session.ok("svc kill net")?;
        let start = Instant::now();
        page_of(port, "/")?;
        longest = longest.max(start.elapsed());
    }
    let after = instance(session)?;
    if before != after {
        return Err(format!("httpd was started anew: {before}, {after}").into());
    }
    address(session, "virtio-net")?;
    Ok(format!(
        "{KILLS} deaths, the page is back after {} ms at most",
        longest.as_millis()
    ))
}
