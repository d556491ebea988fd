//! Has a network card for itself, without the net server: answers raw frames, ARP for 10.77.0.2, and UDP sent to there, at once and
//! in the task that drives the card. For tests and measurements, and as an example of how short that way is.
//!
//! `frames virtio-net` or `frames e1000e`: the first such card, opened by `system`. A frame of type 0x88b5 (for local experiments, IEEE 802) comes back to
//! its sender, unless it begins with a word: `figures` has the counters and what the processors did since the last time logged, `end`
//! ends the program.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::ToString;

use abi::device::pci_address;
use abi::system::Table;
use nic::{Card, Frame, HEADER_BYTES, Mac, Receive, SendError, Transmit};
use pci::Ring3;
use proto::table::{MAX_ROW_BYTES, Reader};
use proto::{CoreRow, PciRow};
use rt::sys::object::{Device, System};
use rt::{Env, MonotonicClock, tables};
use virtio::kind_of;

rt::entry!(async main);

/// Its interrupts are taken by the first core.
const CORE: u32 = 0;

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
        log::error!("devices are given out to who manages the system");
        return 2;
    };
    let name = env.arguments().nth(1).unwrap_or("virtio-net");
    let ended = match name {
        "e1000e" => e1000e(&system).await.map_err(|fault| fault.to_string()),
        _ => virtio(&system).await.map_err(|fault| fault.to_string()),
    };
    match ended {
        Ok(()) => 0,
        Err(fault) => {
            log::error!("{name}: {fault}");
            1
        }
    }
}

async fn virtio(system: &System) -> Result<(), virtio::Fault> {
    let is_wanted = |row: &PciRow| kind_of(row.vendor, row.device) == Some(virtio::kind::NETWORK);
    let function = Ring3::new(find(system, is_wanted)?, CORE)?;
    let mut cards = virtio::net::start(function, 1, &MonotonicClock).await?;
    match cards.pop() {
        Some(card) => serve(system, card).await,
        None => Err(virtio::Fault::NoQueue(0)),
    }
}

async fn e1000e(system: &System) -> Result<(), e1000e::Fault> {
    let is_wanted = |row: &PciRow| e1000e::CARDS.contains(&(row.vendor, row.device));
    let function = Ring3::new(find(system, is_wanted)?, CORE)?;
    serve(system, e1000e::start(function, &MonotonicClock).await?).await
}

/// The first device that is wanted.
fn find(system: &System, is_wanted: impl Fn(&PciRow) -> bool) -> Result<Device, pci::Fault> {
    let (mut cursor, mut bytes) = (0, [0; 2 * MAX_ROW_BYTES]);
    while let Ok(len @ 1..) = system.query(Table::Pci, &mut cursor, &mut bytes) {
        for row in Reader::<PciRow>::new(bytes.get(..len).unwrap_or_default()).flatten() {
            if is_wanted(&row) {
                let at = row.address;
                let number = pci_address(at.segment, at.bus, at.device, at.function);
                return Device::open(system, number)
                    .map_err(|error| pci::Fault::Refused("opening it", error));
            }
        }
    }
    Err(pci::Fault::NoRegisters("there is no such card"))
}

/// What becomes of a frame.
enum Answer {
    Echo,
    Drop,
    Figures,
    End,
}

async fn serve<C: Card>(system: &System, mut card: C) -> Result<(), C::Fault> {
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
    let mut busy_before_ns = busy_ns(system);
    loop {
        card.flush();
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
                "figures: busy {} ns, {:?}",
                busy - busy_before_ns,
                card.counters()
            );
            busy_before_ns = busy;
        }
        if end {
            card.flush();
            return Ok(());
        }
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
