//! The network of a namespace with peers that others wrote: dnsmasq gives addresses, names and routes; `ping`, `curl` and `nc` ask the machine, and
//! the machine asks them; Linux's TCP is at the other end of every connection.
//!
//! The machine has a card for the net server at `tap0` (10.66.0.0/24, fd66::/64), and one with two pairs of queues for `programs/frames` at `tap1`
//! (10.77.0.0/24).

mod browser;
mod deaths;

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::host::RunDir;
use xtask::qemu::Machine;

use crate::http::{LIMIT, ask, get, wait};
use crate::lab::Lab;
use crate::netns::{Daemon, Namespace};
use crate::peer::{BULK_PORT, connect, download, text, upload};
use crate::scenario::{Check, Scenario, Verdict};
use crate::session::Session;

type Outcome<T> = Result<T, Box<dyn Error>>;

const MAC: &str = "52:54:00:00:00:42";
const FIRST_ADDRESS: &str = "10.66.0.50";
const NEXT_ADDRESS: &str = "10.66.0.77";
/// By the router's prefix and the card's address (RFC 4291, appendix A).
const ADDRESS_6: &str = "fd66::5054:ff:fe00:42";
const LINK_ADDRESS_6: &str = "fe80::5054:ff:fe00:42";
const HOST: &str = "10.66.0.1";
const HOST_6: &str = "fd66::1";
/// The card that `programs/frames` has.
const FRAMES_ADDRESS: &str = "10.77.0.2";
/// When a lease is to be renewed, and when anybody may renew it.
const RENEW_S: u32 = 4;
const REBIND_S: u32 = 60;
const BULK_BYTES: usize = 8_000_000;
/// What is on its way when the link goes.
const CUT_BYTES: usize = 3_000_000;
const LINK_AWAY: Duration = Duration::from_secs(10);
const IN_TURN: usize = 200;
const MANY_IN_TURN: usize = 1000;
const AT_ONCE: usize = 200;
/// Flows to a card with several queues: that all of them go to one queue happens once in 2⁶³ times.
const FLOWS: usize = 64;

/// What is around the machine that was booted last.
#[derive(Clone, Default)]
struct Around(Arc<Mutex<Option<World>>>);

struct World {
    // Dropped first: what runs in the namespace.
    dnsmasq: Daemon,
    namespace: Namespace,
    folder: RunDir,
}

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    let around = Around::default();
    let with = |check: fn(&mut Session, &World) -> Verdict| {
        let around = around.clone();
        move |session: &mut Session| match &*around.world() {
            Some(world) => check(session, world),
            None => Err("there is nothing around the machine".into()),
        }
    };
    let of_machine = around.clone();
    vec![Scenario::shared(
        move |lab| of_machine.machine(lab),
        vec![
            Check::new("qemu.tap.address", with(address)),
            Check::new("qemu.tap.ping", with(ping)),
            Check::new("qemu.tap.offloads", with(offloads)),
            Check::new("qemu.tap.page", with(page)),
            Check::new("qemu.tap.nc", with(nc)),
            Check::new("qemu.tap.bulk", with(bulk)),
            Check::new(
                "qemu.tap.connections",
                with(|session, world| connections(session, world, IN_TURN)),
            ),
            Check::long(
                "qemu.tap.connections_many",
                with(|session, world| connections(session, world, MANY_IN_TURN)),
            ),
            Check::new("qemu.tap.link_away", with(link_away)),
            Check::new("qemu.tap.deaths", with(deaths::few)),
            Check::long("qemu.tap.deaths_many", with(deaths::many)),
            Check::long("qemu.tap.browser", with(browser::page)),
            Check::new("qemu.tap.renewal", with(renewal)),
        ],
    )]
}

impl Around {
    fn world(&self) -> MutexGuard<'_, Option<World>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a new world, and a machine in it.
    fn machine(&self, lab: &Lab) -> Outcome<Machine> {
        let mut held = self.world();
        *held = None;
        let world = World::new()?;
        let mut machine =
            lab.script_machine("init=\"servers/manager test.peer test.frames-virtio\"");
        machine.namespace = Some(world.namespace.name().to_owned());
        let tap = |id: &str, device: &str, queues: &str| {
            format!("tap,id={id},ifname={device},script=no,downscript=no{queues}")
        };
        machine.extra.extend(
            [
                "-netdev",
                &tap("net", "tap0", ""),
                "-device",
                &format!("virtio-net-pci,id=card,netdev=net,mac={MAC},romfile="),
                "-netdev",
                &tap("wire", "tap1", ",queues=2"),
                "-device",
                // A message for each queue, for that of commands, and for the configuration.
                "virtio-net-pci,id=pairs,netdev=wire,addr=10,mac=52:54:00:00:00:07,romfile=,mq=on,vectors=6",
            ]
            .map(str::to_owned),
        );
        *held = Some(world);
        Ok(machine)
    }
}

impl World {
    fn new() -> Outcome<Self> {
        let namespace = Namespace::new()?;
        let (host, host_6) = (format!("{HOST}/24"), format!("{HOST_6}/64"));
        namespace.tap("tap0", 1, &[&host, &host_6])?;
        namespace.tap("tap1", 2, &["10.77.0.1/24"])?;
        let folder = RunDir::new()?;
        lease(&folder, FIRST_ADDRESS)?;
        let mut command = namespace.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
            "--pid-file=",
            "--log-facility=-",
            "--log-dhcp",
            "--interface=tap0",
            "--except-interface=lo",
            "--bind-dynamic",
            "--no-hosts",
            "--no-resolv",
            "--no-ping",
            "--dhcp-authoritative",
            // Two minutes are the shortest lease there is; it is renewed earlier.
            "--dhcp-range=10.66.0.50,10.66.0.99,255.255.255.0,2m",
            "--dhcp-range=fd66::,ra-only",
            "--enable-ra",
            "--ra-param=tap0,5,120",
            "--local=/raede.test/",
        ]);
        let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
        command.args([
            file("dhcp-leasefile", "leases"),
            file("dhcp-hostsfile", "hosts"),
            format!("--dhcp-option=option:T1,{RENEW_S}"),
            format!("--dhcp-option=option:T2,{REBIND_S}"),
            format!("--host-record=peer.raede.test,{HOST},{HOST_6}"),
        ]);
        let dnsmasq = namespace.start(command, &folder.join("dnsmasq.log"))?;
        Ok(Self {
            dnsmasq,
            namespace,
            folder,
        })
    }

    /// What dnsmasq said.
    fn log(&self) -> Outcome<String> {
        Ok(fs::read_to_string(self.folder.join("dnsmasq.log"))?)
    }
}

/// Says which address the machine's card shall have.
fn lease(folder: &RunDir, address: &str) -> Outcome<()> {
    Ok(fs::write(
        folder.join("hosts"),
        format!("{MAC},{address}\n"),
    )?)
}

/// Rows of a table that `ip` shows.
fn table(session: &mut Session, name: &str) -> Outcome<Vec<Value>> {
    let rows = session.rows("ip --json")?;
    Ok(rows
        .into_iter()
        .filter(|row| row["table"] == name)
        .collect())
}

fn has_address(session: &mut Session, address: &str) -> Outcome<bool> {
    let rows = table(session, "address")?;
    Ok(rows
        .iter()
        .any(|row| row["interface"] == "eth0" && row["address"] == address))
}

fn wait_address(session: &mut Session, address: &str) -> Outcome<()> {
    wait(address, || Ok(has_address(session, address)?.then_some(())))
}

/// Addresses by DHCP and by a router, a gateway for each version, and names.
fn address(session: &mut Session, world: &World) -> Verdict {
    wait_address(session, FIRST_ADDRESS)?;
    wait_address(session, ADDRESS_6)?;
    let routes = table(session, "route")?;
    let gateways = routes.iter().filter(|row| row["bits"] == 0).count();
    if gateways != 2 {
        return Err(format!("there should be two gateways: {routes:?}").into());
    }
    let names = session.ok("dns peer.raede.test")?;
    if names != format!("{HOST}\n{HOST_6}\n") {
        return Err(format!("peer.raede.test is {names:?}").into());
    }
    let none = session.refused("dns nothere.raede.test")?;
    if !none.contains("name") {
        return Err(format!("nothere.raede.test: {none}").into());
    }
    let log = world.log()?;
    if !log.contains(&format!("DHCPACK(tap0) {FIRST_ADDRESS}")) || !log.contains("RTR-ADVERT(tap0)")
    {
        return Err(format!("dnsmasq knows nothing of it: {log}").into());
    }
    Ok(format!("{FIRST_ADDRESS} and {ADDRESS_6}"))
}

/// Echoes go both ways, over both versions.
fn ping(session: &mut Session, world: &World) -> Verdict {
    let own = format!("{LINK_ADDRESS_6}%tap0");
    for to in [FIRST_ADDRESS, ADDRESS_6, &own] {
        // The first ones may be lost while the machine asks who they are from (RFC 4861 §7.2.2).
        wait("echo", || {
            Ok(world.namespace.run(&format!("ping -q -c 1 -W 1 {to}")).ok())
        })?;
        let said = world
            .namespace
            .run(&format!("ping -q -c 3 -i 0.2 -W 10 {to}"))?;
        if !said.contains("3 received") {
            return Err(said.into());
        }
    }
    for to in [HOST, HOST_6, "peer.raede.test"] {
        let said = session.ok(&format!("ping --count=2 {to}"))?;
        if !said.contains("2 sent, 2 answered") {
            return Err(said.into());
        }
    }
    Ok(String::new())
}

/// What was agreed on with the cards, and that each pair of queues carries frames.
fn offloads(session: &mut Session, world: &World) -> Verdict {
    let qmp = &mut session.vm.qmp;
    let devices = qmp.execute("x-query-virtio", json!({}))?;
    let mut agreed = Vec::new();
    for device in devices.as_array().into_iter().flatten() {
        let path = json!({ "path": device["path"] });
        let status = qmp.execute("x-query-virtio-status", path)?;
        if status["name"] == "virtio-net" {
            agreed.push(status["guest-features"].to_string());
        }
    }
    let count = |feature: &str| {
        let named = format!("VIRTIO_NET_F_{feature}:");
        agreed
            .iter()
            .filter(|features| features.contains(&named))
            .count()
    };
    let counts = ["CSUM", "GUEST_CSUM", "MQ"].map(count);
    if agreed.len() != 2 || counts != [2, 2, 1] {
        return Err(format!("{counts:?} of two cards: {agreed:?}").into());
    }
    let answered = world.namespace.within(|| -> std::io::Result<usize> {
        let mut answered = 0;
        for flow in 0..FLOWS {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_read_timeout(Some(LIMIT))?;
            socket.connect((FRAMES_ADDRESS, 7))?;
            let text = format!("flow {flow}");
            socket.send(text.as_bytes())?;
            let mut buffer = [0; 64];
            let len = socket.recv(&mut buffer)?;
            answered += usize::from(buffer.get(..len) == Some(text.as_bytes()));
        }
        Ok(answered)
    })??;
    if answered != FLOWS {
        return Err(format!("{answered} of {FLOWS} datagrams came back as they were").into());
    }
    let said = session.ok("svc logs test.frames-virtio")?;
    for pair in 0..2 {
        if !said.contains(&format!("pair {pair} has its first frame")) {
            return Err(format!("pair {pair} has no frame: {said}").into());
        }
    }
    Ok(format!(
        "checksums both ways; {FLOWS} flows over 2 pairs of queues"
    ))
}

/// curl sees the status page by both versions.
fn page(_: &mut Session, world: &World) -> Verdict {
    let curl = |rest: &str| world.namespace.run(&format!("curl -sS -g -m 60 {rest}"));
    let text = curl(&format!("http://{FIRST_ADDRESS}/"))?;
    if !text.contains("/status.json") {
        return Err(format!("this is not the status page: {text}").into());
    }
    let figures: Value =
        serde_json::from_str(&curl(&format!("http://[{ADDRESS_6}]/status.json"))?)?;
    if figures["uptime_ns"].as_u64().unwrap_or(0) == 0 {
        return Err(format!("no figures: {figures}").into());
    }
    let code = curl(&format!(
        "-o /dev/null -w %{{http_code}} http://{FIRST_ADDRESS}/nothere"
    ))?;
    if code != "404" {
        return Err(format!("a page that is not there: {code}").into());
    }
    Ok(String::new())
}

/// `nc` talks to `nc`, whichever of them listens.
fn nc(session: &mut Session, world: &World) -> Verdict {
    const PORT: u16 = 7777;
    let port = PORT.to_string();
    let mut command = world.namespace.command("nc");
    let listening = command
        .args(["-N", "-l", HOST, &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut listening = listening?;
    if let Some(mut stdin) = listening.stdin.take() {
        stdin.write_all(b"from there\n")?;
    }
    // It is refused until the other one listens.
    let said = wait("listener", || {
        let reply = session.run(&format!("nc {HOST} {port} from here"))?;
        Ok((reply.status == 0).then_some(reply.output))
    })?;
    let heard = listening.wait_with_output()?;
    if said != "from there\n" || heard.stdout != b"from here\n" {
        return Err(format!("{said:?} and {heard:?}").into());
    }
    let (said, heard) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            wait("answer", || {
                let mut command = world.namespace.command("nc");
                command
                    .args(["-N", FIRST_ADDRESS, &port])
                    .stdin(Stdio::null());
                let output = command.output()?;
                Ok(output.status.success().then_some(output.stdout))
            })
            .map_err(|error| error.to_string())
        });
        let said = session.ok(&format!("nc --listen {port} from here"));
        (said, asking.join())
    });
    let heard = heard.map_err(|_| "a thread of this test panicked")??;
    if !said?.is_empty() || heard != b"from here\n" {
        return Err(format!("nc heard {heard:?}").into());
    }
    Ok(String::new())
}

fn machine_at(address: &str, port: u16) -> Outcome<SocketAddr> {
    Ok(SocketAddr::new(address.parse()?, port))
}

/// Much goes both ways, and is the same at the other end.
fn bulk(_: &mut Session, world: &World) -> Verdict {
    let mut figures = Vec::new();
    for address in [FIRST_ADDRESS, ADDRESS_6] {
        let at = machine_at(address, BULK_PORT)?;
        let (down, up) = world.namespace.within(|| {
            let down = text(download(at, BULK_BYTES, || ()));
            (down, text(upload(at, BULK_BYTES)))
        })?;
        let rate = |took: Duration| BULK_BYTES as f64 / took.as_secs_f64() / 1e6;
        figures.push(format!(
            "{address}: {:.1} MB/s out, {:.1} MB/s in",
            rate(down?),
            rate(up?)
        ));
    }
    Ok(figures.join("; "))
}

/// Many connections, one after the other and at once.
fn connections(session: &mut Session, world: &World, in_turn: usize) -> Verdict {
    let at = machine_at(FIRST_ADDRESS, 80)?;
    let start = Instant::now();
    world.namespace.within(|| -> Result<(), String> {
        for number in 0..in_turn {
            get(at, "/nothere", LIMIT).map_err(|error| format!("connection {number}: {error}"))?;
        }
        Ok(())
    })??;
    let took = start.elapsed();
    let before = memory(session)?;
    let start = Instant::now();
    let mut open = world.namespace.within(|| {
        let open = (0..AT_ONCE).map(|_| connect(at));
        open.collect::<std::io::Result<Vec<TcpStream>>>()
    })??;
    // All of them are asked before any answer is read.
    for stream in &mut open {
        ask(stream, "/nothere", "keep-alive")?;
    }
    for (number, stream) in open.iter_mut().enumerate() {
        let mut first = [0; 12];
        stream
            .read_exact(&mut first)
            .map_err(|error| format!("open connection {number}: {error}"))?;
    }
    let listed = session.rows("netstat --json")?;
    let standing = listed.iter().filter(|row| row["state"] == "established");
    let standing = standing.count();
    if standing < AT_ONCE {
        return Err(format!("{standing} connections of {AT_ONCE} stand").into());
    }
    let each = memory(session)?.saturating_sub(before) / AT_ONCE as u64;
    for (number, mut stream) in open.into_iter().enumerate() {
        ask(&mut stream, "/nothere", "close")?;
        let mut rest = String::new();
        stream
            .read_to_string(&mut rest)
            .map_err(|error| format!("the end of connection {number}: {error}"))?;
    }
    let at_once = start.elapsed();
    session.alive()?;
    Ok(format!(
        "{in_turn} in turn in {} ms, {AT_ONCE} at once in {} ms; each takes {} KiB of the machine's memory",
        took.as_millis(),
        at_once.as_millis(),
        each >> 10
    ))
}

/// Bytes of memory that are in use in the machine.
fn memory(session: &mut Session) -> Outcome<u64> {
    let figures = session.object("mem --json")?;
    let frames = |name: &str| {
        figures[name]
            .as_u64()
            .ok_or_else(|| format!("no {name}: {figures}"))
    };
    Ok((frames("total_frames")? - frames("free_frames")?) * 4096)
}

/// The link goes away in the middle of transfers both ways, which are whole in the end.
fn link_away(session: &mut Session, world: &World) -> Verdict {
    let at = machine_at(FIRST_ADDRESS, BULK_PORT)?;
    let (begun, wait_begun) = std::sync::mpsc::channel();
    let (down, up) = thread::scope(|scope| -> Outcome<_> {
        let transfers = scope.spawn(|| {
            let both = world.namespace.within(|| {
                thread::scope(|scope| {
                    let up = scope.spawn(|| text(upload(at, CUT_BYTES)));
                    let down = text(download(at, CUT_BYTES, || {
                        // The test may be over by then.
                        let _ = begun.send(());
                    }));
                    (down, up.join())
                })
            });
            text(both)
        });
        wait_begun.recv_timeout(LIMIT)?;
        let mut link = |up: bool| {
            let arguments = json!({ "name": "card", "up": up });
            session.vm.qmp.execute("set_link", arguments)
        };
        link(false)?;
        // That long: it is what is tested, and nothing happens meanwhile.
        thread::sleep(LINK_AWAY);
        link(true)?;
        let both = transfers
            .join()
            .map_err(|_| "a thread of this test panicked")?;
        Ok(both?)
    })?;
    let (down, up) = (down?, up.map_err(|_| "a thread of this test panicked")??);
    if down < LINK_AWAY && up < LINK_AWAY {
        return Err("both transfers were over before the link went away".into());
    }
    wait_address(session, FIRST_ADDRESS)?;
    Ok(format!(
        "{CUT_BYTES} bytes out in {} ms, in in {} ms, with the link away for {} s",
        down.as_millis(),
        up.as_millis(),
        LINK_AWAY.as_secs()
    ))
}

/// The lease is renewed; then there is another address for it.
fn renewal(session: &mut Session, world: &World) -> Verdict {
    let renewals = |log: &str| {
        log.matches(&format!("DHCPREQUEST(tap0) {FIRST_ADDRESS}"))
            .count()
    };
    let found = |log: &str| log.matches("DHCPDISCOVER(tap0)").count();
    let before = world.log()?;
    wait("renewal", || {
        let log = world.log()?;
        let is_renewed = renewals(&log) > renewals(&before) && found(&log) == found(&before);
        Ok(is_renewed.then_some(()))
    })?;
    lease(&world.folder, NEXT_ADDRESS)?;
    world.dnsmasq.hang_up()?;
    wait_address(session, NEXT_ADDRESS)?;
    if has_address(session, FIRST_ADDRESS)? {
        return Err(format!("the machine still has {FIRST_ADDRESS}").into());
    }
    let log = world.log()?;
    if !log.contains("DHCPNAK(tap0)") {
        return Err(format!("the address changed without a refusal: {log}").into());
    }
    let at = machine_at(NEXT_ADDRESS, 80)?;
    let (head, _) = world.namespace.within(|| text(get(at, "/", LIMIT)))??;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.into());
    }
    Ok(format!(
        "renewed after {RENEW_S} s; {FIRST_ADDRESS} became {NEXT_ADDRESS}"
    ))
}
