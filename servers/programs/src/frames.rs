//! Has a network card for itself, without the net server: answers raw frames, ARP for 10.77.0.2, and UDP sent to there, at once and
//! in the task that drives the card. For tests and measurements, and as an example of how short that way is.
//!
//! The card is the one whose place the manifest has among `devices`: virtio-net or e1000e. Each pair of queues of a virtio-net card has a task
//! of its own, which answers over the pair that a frame came by: so the card goes on giving that pair what belongs to the same flow (virtio 1.2
//! §5.1.6.5.6). A frame of type 0x88b5 (for local
//! experiments, IEEE 802) comes back to its sender, unless it begins with a word: `figures` has the counters and what the processors did since
//! the last time logged, by the handle `system`; `end` ends the program.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;

use nic::{Card, Frame, HEADER_BYTES, Mac, Receive, SendError, Transmit};
use pci::Ring3;
use proto::CoreRow;
use rt::sys::object::{Device, System};
use rt::sys::{clock, gate};
use rt::{Env, MonotonicClock, tables};

rt::entry!(async main);

/// Its interrupts are taken by the first core.
const CORE: u32 = 0;
/// Pairs of queues that are used where a card has them.
const MOST_PAIRS: u16 = 2;
/// Exit code when a card cannot be driven any more.
const CARD_FAILED: i32 = 1;

const EXPERIMENT: u16 = 0x88b5;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const ADDRESS: [u8; 4] = [10, 77, 0, 2];
/// Of ARP for IPv4 over Ethernet (RFC 826): kind of hardware, protocol and lengths.
const ARP_KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_BYTES: usize = HEADER_BYTES + 28;
/// IPv4 without options, and UDP.
const UDP_START: usize = HEADER_BYTES + 20;
const UDP_HEADER_BYTES: usize = 8;

async fn main(mut env: Env) -> i32 {
    let Ok(system) = env.take::<System>("system") else {
        log::error!("figures need the handle system");
        return 2;
    };
    // The only name with colons is the card's place.
    let card = env.names().find(|name| name.contains(':'));
    let Some(Ok(device)) = card.map(|name| env.take::<Device>(name)) else {
        log::error!("there is no card");
        return 1;
    };
    let is_virtio = device
        .describe()
        .is_ok_and(|info| info.vendor == virtio::VENDOR);
    let system = Arc::new(system);
    let ended = if is_virtio {
        virtio(&system, device)
            .await
            .map_err(|fault| fault.to_string())
    } else {
        e1000e(&system, device)
            .await
            .map_err(|fault| fault.to_string())
    };
    exit_code(ended)
}

fn exit_code(ended: Result<(), impl fmt::Display>) -> i32 {
    match ended {
        Ok(()) => 0,
        Err(fault) => {
            log::error!("{fault}");
            CARD_FAILED
        }
    }
}

async fn virtio(system: &Arc<System>, device: Device) -> Result<(), virtio::Fault> {
    let function = Ring3::new(device, CORE)?;
    let pairs = virtio::net::start(function, MOST_PAIRS, &MonotonicClock).await?;
    let mut pairs = pairs.into_iter().enumerate();
    let first = pairs.next();
    for (number, card) in pairs {
        let system = Arc::clone(system);
        let spawned = rt::spawn("pair", async move {
            gate::exit(exit_code(serve(&system, number, card).await))
        });
        spawned.map_err(|_| virtio::Fault::NoMemory)?;
    }
    match first {
        Some((number, card)) => serve(system, number, card).await,
        None => Err(virtio::Fault::NoQueue(0)),
    }
}

async fn e1000e(system: &Arc<System>, device: Device) -> Result<(), e1000e::Fault> {
    let function = Ring3::new(device, CORE)?;
    serve(system, 0, e1000e::start(function, &MonotonicClock).await?).await
}

/// What becomes of a frame.
enum Answer {
    Echo,
    Drop,
    Figures,
    End,
}

/// Answers what comes by one pair of queues.
async fn serve<C: Card>(system: &System, pair: usize, mut card: C) -> Result<(), C::Fault> {
    let about = *card.about();
    let mut link_is_up = card.link_is_up();
    let up = |is_up| if is_up { "up" } else { "down" };
    log::info!(
        "{} {} with an MTU of {}, {:?}",
        about.driver,
        about.mac,
        about.mtu_bytes,
        about.checksums
    );
    log::info!("the link is {}", up(link_is_up));
    let mut is_used = false;
    let mut busy_before_ns = busy_ns(system);
    let mut answered = Answered::default();
    loop {
        card.flush();
        answered.flushed();
        card.ready().await?;
        if card.link_is_up() != link_is_up {
            link_is_up = !link_is_up;
            log::info!("the link is {}", up(link_is_up));
        }
        let (from, to) = card.halves();
        let (mut figures, mut end) = (false, false);
        // Without room the frames wait where they are.
        while to.has_room()
            && let Some(mut frame) = from.next()
        {
            answered.round_ticks.get_or_insert(frame.stamp_ticks());
            if !core::mem::replace(&mut is_used, true) {
                log::info!("pair {pair} has its first frame");
            }
            let bytes = frame.bytes_mut();
            match answer(bytes, about.mac) {
                Answer::Echo => {
                    let sent: Result<(), SendError> =
                        to.send(bytes.len(), |to| to.copy_from_slice(bytes));
                    debug_assert!(sent.is_ok());
                }
                Answer::Drop => {}
                Answer::Figures => figures = true,
                Answer::End => end = true,
            }
        }
        if figures {
            let busy = busy_ns(system);
            log::info!(
                "figures: busy {} ns, {answered}, {:?}",
                busy - busy_before_ns,
                card.counters()
            );
            busy_before_ns = busy;
            answered = Answered::default();
        }
        if end {
            card.flush();
            return Ok(());
        }
    }
}

/// Times from an interrupt to the flush that follows its first frame.
#[derive(Default)]
struct Answered {
    /// When the interrupt came of the round that is under way.
    round_ticks: Option<u64>,
    last_ticks: u64,
    rounds: u64,
    total_ticks: u64,
    least_ticks: Option<u64>,
}

impl Answered {
    fn flushed(&mut self) {
        let Some(stamp_ticks) = self.round_ticks.take() else {
            return;
        };
        // A round without an interrupt of its own has the stamp of the one before.
        if stamp_ticks == core::mem::replace(&mut self.last_ticks, stamp_ticks) {
            return;
        }
        let took_ticks = clock::now_ticks().saturating_sub(stamp_ticks);
        self.rounds += 1;
        self.total_ticks += took_ticks;
        let least_ticks = self.least_ticks.unwrap_or(took_ticks).min(took_ticks);
        self.least_ticks = Some(least_ticks);
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = clock::page();
        let ns = |ticks: u64| {
            clock::ns_at(page, page.base_ticks + ticks) - clock::ns_at(page, page.base_ticks)
        };
        write!(
            f,
            "answered {} ns after the interrupt, at least {} ns, {} times",
            ns(self.total_ticks / self.rounds.max(1)),
            ns(self.least_ticks.unwrap_or(0)),
            self.rounds
        )
    }
}

/// How long the processors were not halted.
fn busy_ns(system: &System) -> u64 {
    let mut busy_ns = 0;
    let read = tables::for_each(system, |row: CoreRow| {
        busy_ns += row.up_ns.saturating_sub(row.idle_ns);
    });
    read.map_or(0, |()| busy_ns)
}

/// Turns a frame into its answer.
fn answer(frame: &mut [u8], own: Mac) -> Answer {
    let Some(&[high, low]) = frame.get(12..HEADER_BYTES) else {
        return Answer::Drop;
    };
    let content = frame.get(HEADER_BYTES..).unwrap_or_default();
    let is_answered = match u16::from_be_bytes([high, low]) {
        EXPERIMENT if content.starts_with(b"figures") => return Answer::Figures,
        EXPERIMENT if content.starts_with(b"end") => return Answer::End,
        EXPERIMENT => true,
        ARP => arp(frame, own),
        IPV4 => udp(frame),
        _ => false,
    };
    if !is_answered {
        return Answer::Drop;
    }
    // Back to its sender, from here.
    frame.copy_within(6..12, 0);
    if let Some(from) = frame.get_mut(6..12) {
        from.copy_from_slice(&own.0);
    }
    Answer::Echo
}

/// A request for our address becomes the reply (RFC 826).
fn arp(frame: &mut [u8], own: Mac) -> bool {
    let Some(arp) = frame.get_mut(HEADER_BYTES..ARP_BYTES) else {
        return false;
    };
    if !arp.starts_with(&ARP_KIND)
        || arp.get(6..8) != Some(&[0, 1])
        || arp.get(24..28) != Some(&ADDRESS)
    {
        return false;
    }
    // The sender becomes the target.
    arp.copy_within(8..18, 18);
    let reply = [0, 2].into_iter().chain(own.0).chain(ADDRESS);
    for (to, from) in arp.iter_mut().skip(6).zip(reply) {
        *to = from;
    }
    true
}

/// A datagram to our address goes back to its sender. Swapped, addresses and ports have the same sums: so the checksums stay right.
fn udp(frame: &mut [u8]) -> bool {
    let Some(packet) = frame.get_mut(HEADER_BYTES..) else {
        return false;
    };
    let is_ours = packet.first() == Some(&0x45)
        && packet.get(9) == Some(&17)
        && packet.get(16..20) == Some(&ADDRESS)
        && packet.len() >= UDP_START - HEADER_BYTES + UDP_HEADER_BYTES;
    if is_ours {
        swap(packet, 12, 4);
        swap(packet, 20, 2);
    }
    is_ours
}

/// Swaps two neighbours of `len` bytes.
fn swap(bytes: &mut [u8], start: usize, len: usize) {
    if let Some(both) = bytes.get_mut(start..start + 2 * len) {
        both.rotate_left(len);
    }
}
