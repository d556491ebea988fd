//! A wire of which QEMU has one end and this process the other: whole frames in datagrams. What runs over it is said by [`datagram`] and
//! [`echoes`], whoever is at the other end: the net server, or a program that has the card for itself.

use std::error::Error;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xtask::host::RunDir;

use crate::session::COMMAND_LIMIT;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The machine's card and address, and ours.
pub const CARD_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 7];
/// See [`CARD_MAC`].
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// See [`CARD_MAC`].
pub const CARD_IP: [u8; 4] = [10, 77, 0, 2];
/// See [`CARD_MAC`].
pub const PEER_IP: [u8; 4] = [10, 77, 0, 1];
/// Of an Ethernet frame; of that, IPv4 and UDP.
pub const HEADER: usize = 14;
const UDP_HEADERS: usize = HEADER + 28;
/// Frames shorter than that are none.
pub const SHORTEST: usize = 60;
/// Ports of echoes: ours, and RFC 862's.
const OWN_PORT: u16 = 4000;
const ECHO_PORT: u16 = 7;
/// How long the last echoes may take that are waited for.
const LAST_ECHOES: Duration = Duration::from_secs(10);
/// Sends again where nothing has come back.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// One end of a wire.
#[derive(Debug)]
pub struct Wire {
    /// Frames.
    pub socket: UnixDatagram,
    ours: PathBuf,
    qemu: PathBuf,
    _folder: RunDir,
}

impl Wire {
    /// A wire that leads nowhere yet.
    pub fn new() -> Outcome<Self> {
        let folder = RunDir::new()?;
        let (qemu, ours) = (folder.join("qemu"), folder.join("peer"));
        let socket = UnixDatagram::bind(&ours)?;
        socket.set_read_timeout(Some(COMMAND_LIMIT))?;
        socket.set_write_timeout(Some(COMMAND_LIMIT))?;
        Ok(Self {
            socket,
            ours,
            qemu,
            _folder: folder,
        })
    }

    /// QEMU's arguments for a card at the other end: its model with its options, and the wire's name there.
    pub fn arguments(&self, name: &str, card: &str) -> [String; 4] {
        [
            "-netdev".to_owned(),
            format!(
                "dgram,id={name},local.type=unix,local.path={},remote.type=unix,remote.path={}",
                self.qemu.display(),
                self.ours.display()
            ),
            "-device".to_owned(),
            format!("{card},netdev={name},mac=52:54:00:00:00:07,romfile="),
        ]
    }

    /// The machine is there: its socket is, too.
    pub fn connect(&self) -> Outcome<()> {
        Ok(self.socket.connect(&self.qemu)?)
    }
}

/// A UDP datagram in its frame, with a right checksum.
pub fn datagram(
    from: (&[u8; 4], u16),
    to: (&[u8; 4], u16),
    macs: [&[u8; 6]; 2],
    text: &[u8],
) -> Vec<u8> {
    let [to_mac, from_mac] = macs;
    let bytes = text.len() as u16 + 8;
    let mut frame = [&to_mac[..], from_mac, &[8, 0, 0x45, 0]].concat();
    frame.extend((20 + bytes).to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([&from.0[..], to.0].concat());
    frame.extend([from.1, to.1, bytes, 0].map(u16::to_be_bytes).concat());
    frame.extend(text);
    nic::checksum::fill(&mut frame);
    frame
}

/// A request for the card's address, or the reply to one for ours (RFC 826).
pub fn arp(is_reply: bool) -> Vec<u8> {
    let to: &[u8; 6] = if is_reply { &CARD_MAC } else { &[0xff; 6] };
    let operation = if is_reply { 2 } else { 1 };
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    let mut frame = [&to[..], &PEER_MAC, &[8, 6], &head].concat();
    let target: &[u8; 6] = if is_reply { &CARD_MAC } else { &[0; 6] };
    frame.extend([&PEER_MAC[..], &PEER_IP, target, &CARD_IP].concat());
    frame.resize(SHORTEST, 0);
    frame
}

/// An echo request with this number, of as many bytes of text as have room in the shortest frame.
fn echo_request(number: u32) -> Vec<u8> {
    let mut text = number.to_be_bytes().to_vec();
    text.resize(SHORTEST - UDP_HEADERS, 0);
    datagram(
        (&PEER_IP, OWN_PORT),
        (&CARD_IP, ECHO_PORT),
        [&CARD_MAC, &PEER_MAC],
        &text,
    )
}

/// The number of an echo that came back.
fn echo_number(frame: &[u8]) -> Option<u32> {
    let is_echo = frame.get(12..HEADER)? == [8, 0]
        && frame.get(HEADER + 9) == Some(&17)
        && frame.get(HEADER + 20..HEADER + 22)? == ECHO_PORT.to_be_bytes();
    let number = frame.get(UDP_HEADERS..UDP_HEADERS + 4)?;
    is_echo.then(|| u32::from_be_bytes([number[0], number[1], number[2], number[3]]))
}

/// A reply, if it is our address that is asked for.
fn answer(wire: &Wire, frame: &[u8]) {
    let is_request = frame.get(12..HEADER) == Some(&[8, 6]) && frame.get(21) == Some(&1);
    if is_request && frame.get(38..42) == Some(&PEER_IP) {
        // It is asked for again, if this is lost.
        let _ = wire.socket.send(&arp(true));
    }
}

/// What echoes took.
#[derive(Debug)]
pub struct Echoes {
    /// How many were sent.
    pub sent: usize,
    /// Those that came back, the fastest first, each from when it was to be sent.
    times: Vec<Duration>,
    /// How late they were sent, the least late first.
    lateness: Vec<Duration>,
}

impl Echoes {
    /// How many came back.
    pub fn back(&self) -> usize {
        self.times.len()
    }

    /// So many of a hundred took no longer.
    pub fn percentile(&self, percent: usize) -> Duration {
        of_sorted(&self.times, percent)
    }

    /// Its figures, in words.
    pub fn line(&self) -> String {
        format!(
            "p50 {} us, p99 {} us, {} of {} back (sent p50 {} us late)",
            self.percentile(50).as_micros(),
            self.percentile(99).as_micros(),
            self.back(),
            self.sent,
            of_sorted(&self.lateness, 50).as_micros()
        )
    }
}

fn of_sorted(times: &[Duration], percent: usize) -> Duration {
    let at = times.len().saturating_sub(1) * percent / 100;
    times.get(at).copied().unwrap_or(Duration::MAX)
}

impl Wire {
    /// Waits until echoes come back.
    pub fn until_echo(&self, limit: Duration) -> Outcome<()> {
        let end = Instant::now() + limit;
        self.socket.set_read_timeout(Some(AGAIN_AFTER))?;
        let mut frame = [0; 2048];
        loop {
            self.socket.send(&arp(false))?;
            self.socket.send(&echo_request(u32::MAX))?;
            let asked_again = Instant::now() + AGAIN_AFTER;
            while Instant::now() < asked_again {
                match self.socket.recv(&mut frame) {
                    Ok(len) if echo_number(&frame[..len]).is_some() => return Ok(()),
                    Ok(len) => answer(self, &frame[..len]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            if Instant::now() > end {
                return Err("no echo comes back".into());
            }
        }
    }

    /// Sends `count` echo requests, `rate_hz` of them a second, whether or not any comes back (an open loop): so a machine that stands still makes all
    /// those late that were due meanwhile.
    pub fn echoes(&self, rate_hz: u32, count: u32) -> Outcome<Echoes> {
        let period = Duration::from_secs(1) / rate_hz;
        self.socket.set_read_timeout(Some(AGAIN_AFTER))?;
        let over = AtomicBool::new(false);
        // A moment for the other thread to be there.
        let start = Instant::now() + AGAIN_AFTER;
        let (times, lateness) = thread::scope(|scope| {
            let receiving = scope.spawn(|| self.receive_echoes(start, period, count, &over));
            let mut lateness = Vec::new();
            for number in 0..count {
                let due = start + period * number;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if let Err(error) = self.socket.send(&echo_request(number)) {
                    over.store(true, Ordering::Relaxed);
                    return (Err(error.to_string()), lateness);
                }
                lateness.push(due.elapsed());
            }
            let last = Instant::now() + LAST_ECHOES;
            while !receiving.is_finished() && Instant::now() < last {
                thread::sleep(Duration::from_millis(5));
            }
            over.store(true, Ordering::Relaxed);
            let times = receiving.join();
            (
                times.unwrap_or(Err("a thread of this test panicked".into())),
                lateness,
            )
        });
        let (mut times, mut lateness) = (times?, lateness);
        times.sort();
        lateness.sort();
        Ok(Echoes {
            sent: count as usize,
            times,
            lateness,
        })
    }

    fn receive_echoes(
        &self,
        start: Instant,
        period: Duration,
        count: u32,
        over: &AtomicBool,
    ) -> Result<Vec<Duration>, String> {
        let mut times = Vec::new();
        let mut frame = [0; 2048];
        while times.len() < count as usize && !over.load(Ordering::Relaxed) {
            match self.socket.recv(&mut frame) {
                Ok(len) => match echo_number(&frame[..len]) {
                    Some(number) if number < count => {
                        times.push((start + period * number).elapsed())
                    }
                    _ => answer(self, &frame[..len]),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(times)
    }

    /// Echoes there and back, so many at a time.
    pub fn bounce(&self, count: u32, window: u32) -> Outcome<()> {
        self.socket.set_read_timeout(Some(COMMAND_LIMIT))?;
        let mut frame = [0; 2048];
        let (mut sent, mut back) = (0, 0);
        while back < count {
            while sent < count && sent - back < window {
                self.socket.send(&echo_request(sent))?;
                sent += 1;
            }
            let len = self.socket.recv(&mut frame)?;
            match echo_number(&frame[..len]) {
                Some(_) => back += 1,
                None => answer(self, &frame[..len]),
            }
        }
        Ok(())
    }

    /// Sends the shortest frames there are to a port that nobody listens to, as fast as they are taken, until it is over; how many.
    pub fn flood(&self, over: &AtomicBool) -> Outcome<u64> {
        let (ours, theirs) = ((&PEER_IP, OWN_PORT), (&CARD_IP, 9));
        let text = [0; SHORTEST - UDP_HEADERS];
        let frame = datagram(ours, theirs, [&CARD_MAC, &PEER_MAC], &text);
        let mut sent = 0;
        let mut back = [0; 2048];
        self.socket.set_nonblocking(true)?;
        while !over.load(Ordering::Relaxed) {
            match self.socket.send(&frame) {
                Ok(_) => sent += 1,
                Err(error) if is_full(&error) => thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
            // What is said about it is of no interest, but must not fill the socket.
            while self.socket.recv(&mut back).is_ok() {}
        }
        self.socket.set_nonblocking(false)?;
        Ok(sent)
    }
}

/// Whether there is no room for another datagram.
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock) || error.raw_os_error() == Some(105)
}
