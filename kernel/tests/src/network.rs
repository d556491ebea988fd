//! Network cards that processes drive: frames through them, links that go away, drivers that die. The unit is `programs/frames`, which
//! answers by itself; on the wire is [`Peer`].

use crate::lab::Lab;
use crate::scenario::{Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, KERNEL_BOOT_LIMIT};
use crate::wire::{CARD_IP, CARD_MAC, HEADER, PEER_IP, PEER_MAC, SHORTEST, Wire, arp, datagram};
use serde_json::json;
use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use xtask::qemu::{Machine, Vm};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A card: QEMU's name for it, the unit that drives it, and its place on the bus. The unit names it by that, so that the net server,
/// which names all cards by their kinds, leaves it alone.
#[derive(Clone, Copy)]
struct Card {
    model: &'static str,
    unit: &'static str,
    slot: &'static str,
}

const VIRTIO: Card = Card {
    model: "virtio-net-pci",
    unit: "test.frames-virtio",
    slot: "10",
};
const E1000E: Card = Card {
    model: "e1000e",
    unit: "test.frames-e1000e",
    slot: "11",
};

/// The type of frames that come back, and addresses for those that ask for more.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
const LONGEST: usize = 1514;
/// Frames on the way at a time: fewer than a card's ring holds, and than a datagram socket queues.
const WINDOW: u32 = 8;
const FRAMES: u32 = 2000;
const PINGS: usize = 500;
/// From an interrupt to the answer at least: four times what was measured. The mean has in it what else the processor does.
const MOST_INSTRUCTIONS: u64 = 25_000;
/// How long a driver may take to come back on a busy host.
const BACK_LIMIT: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.network.virtio", |lab| frames(lab, VIRTIO)),
        Scenario::alone("qemu.network.e1000e", |lab| frames(lab, E1000E)),
        Scenario::alone("qemu.network.icount", icount),
    ]
}

/// The other end of the wire.
struct Peer {
    wire: Wire,
    /// Each frame has another one.
    sequence: u32,
}

/// A machine with this card, a unit that drives it, and the peer.
fn machine(lab: &Lab, card: Card) -> Outcome<(Machine, Peer)> {
    let mut machine = lab.machine(&format!(
        "init=\"servers/manager {}\" loglevel=info",
        card.unit
    ));
    let wire = Wire::new()?;
    let device = format!("{},id=card,addr={}", card.model, card.slot);
    machine.extra.extend(wire.arguments("wire", &device));
    let peer = Peer { wire, sequence: 0 };
    Ok((machine, peer))
}

impl Peer {
    /// A frame of this length that no other is like.
    fn next(&mut self, len: usize) -> Vec<u8> {
        self.sequence += 1;
        let mut frame = [&CARD_MAC[..], &PEER_MAC, &EXPERIMENT].concat();
        frame.extend(self.sequence.to_be_bytes());
        let mut random = u64::from(self.sequence) | 1 << 40;
        frame.resize_with(len, || {
            // xorshift (Marsaglia 2003).
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as u8
        });
        frame
    }

    fn receive(&self) -> Outcome<Vec<u8>> {
        let mut frame = vec![0; 2048];
        let len = self
            .wire
            .socket
            .recv(&mut frame)
            .map_err(|error| format!("no frame comes back: {error}"))?;
        frame.truncate(len);
        Ok(frame)
    }

    /// Frames there and back, so many at a time, each compared with what comes back.
    fn exchange(&mut self, count: u32, window: u32, len: impl Fn(u32) -> usize) -> Outcome<()> {
        let mut awaited = std::collections::VecDeque::new();
        for number in 0..count {
            let frame = self.next(len(number));
            self.wire.socket.send(&frame)?;
            awaited.push_back(frame);
            while awaited.len() as u32 >= window || (number + 1 == count && !awaited.is_empty()) {
                let sent = awaited.pop_front().unwrap_or_default();
                expect(&sent, &self.receive()?, number)?;
            }
        }
        Ok(())
    }

    /// How long one frame takes there and back, each time.
    fn pings(&mut self, count: usize) -> Outcome<Vec<Duration>> {
        let mut times = Vec::new();
        for number in 0..count {
            let frame = self.next(SHORTEST);
            let begun = Instant::now();
            self.wire.socket.send(&frame)?;
            let back = self.receive()?;
            times.push(begun.elapsed());
            expect(&frame, &back, number as u32)?;
        }
        times.sort();
        Ok(times)
    }

    /// Sends until one comes back that was sent from now on. Frames get lost meanwhile.
    fn until_back(&mut self) -> Outcome<()> {
        let first = self.sequence + 1;
        let end = Instant::now() + BACK_LIMIT;
        self.wire.socket.set_nonblocking(true)?;
        loop {
            let frame = self.next(SHORTEST);
            would_wait(self.wire.socket.send(&frame))?;
            let mut back = [0; 2048];
            while let Some(len) = would_wait(self.wire.socket.recv(&mut back))? {
                let sequence = back[..len].get(HEADER..HEADER + 4);
                let sequence = sequence.and_then(|bytes| bytes.try_into().ok());
                if sequence.map(u32::from_be_bytes) >= Some(first) {
                    self.wire.socket.set_nonblocking(false)?;
                    return self.drain();
                }
            }
            if Instant::now() > end {
                return Err("no frame comes back any more".into());
            }
            std::thread::sleep(PROBE_EVERY);
        }
    }

    /// Takes what is still on its way: frames come in order, so all before the next one.
    fn drain(&mut self) -> Outcome<()> {
        let last = self.next(SHORTEST);
        self.wire.socket.send(&last)?;
        while self.receive()?[HEADER..] != last[HEADER..] {}
        Ok(())
    }

    /// Has the unit say its figures.
    fn ask(&self, word: &str) -> Outcome<()> {
        let mut frame = [&CARD_MAC[..], &PEER_MAC, &EXPERIMENT, word.as_bytes()].concat();
        frame.resize(SHORTEST, 0);
        self.wire.socket.send(&frame)?;
        Ok(())
    }

    /// Asks for the card's address, and sends a datagram there and back with a right checksum.
    fn arp_and_udp(&mut self) -> Outcome<()> {
        let head = [0, 1, 8, 0, 6, 4, 0];
        self.wire.socket.send(&arp(false))?;
        let mut reply = [&PEER_MAC[..], &CARD_MAC, &[8, 6], &head, &[2]].concat();
        reply.extend([&CARD_MAC[..], &CARD_IP, &PEER_MAC, &PEER_IP].concat());
        if !self.receive()?.starts_with(&reply) {
            return Err("the answer to ARP is wrong".into());
        }
        let text = b"a datagram, there and back again";
        let (ours, theirs) = ((&PEER_IP, 4000), (&CARD_IP, 7));
        self.wire
            .socket
            .send(&datagram(ours, theirs, [&CARD_MAC, &PEER_MAC], text))?;
        let back = self.receive()?;
        if !back.starts_with(&datagram(theirs, ours, [&PEER_MAC, &CARD_MAC], text)) {
            return Err(format!("the datagram came back as {back:?}").into());
        }
        Ok(())
    }
}

/// A frame came back as it was sent, but for its addresses.
fn expect(sent: &[u8], back: &[u8], number: u32) -> Outcome<()> {
    let answer = [&PEER_MAC[..], &CARD_MAC, &sent[12..]].concat();
    if back == answer {
        return Ok(());
    }
    Err(format!(
        "frame {number} of {} bytes came back as {} others",
        sent.len(),
        back.len()
    )
    .into())
}

/// Nothing, where it would have to be waited for; or where QEMU has nobody to give it to.
fn would_wait<T>(result: std::io::Result<T>) -> Outcome<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn set_link(vm: &mut Vm, card: Card, is_up: bool) -> Outcome<()> {
    vm.qmp
        .execute("set_link", json!({ "name": "card", "up": is_up }))?;
    let state = if is_up { "up" } else { "down" };
    let line = format!("{}: the link is {state}", card.unit);
    vm.serial.wait_line(&line, COMMAND_LIMIT)?;
    Ok(())
}

/// Frames of all lengths come back as they were; a link that goes and comes is told; a driver that is killed under traffic comes back.
fn frames(lab: &Lab, card: Card) -> Verdict {
    let (machine, mut peer) = machine(lab, card)?;
    let mut vm = machine.spawn()?;
    let up = format!("{}: the link is up", card.unit);
    vm.serial.wait_line(&up, KERNEL_BOOT_LIMIT)?;
    peer.wire.connect()?;

    let lengths = |number: u32| SHORTEST + (number as usize * 7919) % (LONGEST - SHORTEST + 1);
    let begun = Instant::now();
    peer.exchange(FRAMES, WINDOW, lengths)?;
    let rate = f64::from(FRAMES) / begun.elapsed().as_secs_f64();
    peer.arp_and_udp()?;
    let times = peer.pings(PINGS)?;
    let (p50, p99) = (times[PINGS / 2], times[PINGS * 99 / 100]);

    set_link(&mut vm, card, false)?;
    set_link(&mut vm, card, true)?;
    // The card may lose frames for a moment while its link comes up.
    peer.until_back()?;
    peer.exchange(FRAMES / 10, WINDOW, lengths)?;

    let kill = format!("svc kill {}\n", card.unit);
    for _ in 0..WINDOW {
        let frame = peer.next(LONGEST);
        peer.wire.socket.send(&frame)?;
    }
    vm.serial.send(&kill)?;
    let killed = Instant::now();
    let ended = format!("{} 1: ended with exit code", card.unit);
    vm.serial.wait_for(&ended, COMMAND_LIMIT)?;
    peer.until_back()?;
    let back = killed.elapsed();
    peer.exchange(FRAMES / 10, WINDOW, lengths)?;
    Ok(format!(
        "{rate:.0} frames/s of any length; 60 bytes there and back p50 {} us, p99 {} us; after a kill back in {} ms",
        p50.as_micros(),
        p99.as_micros(),
        back.as_millis()
    ))
}

/// Instructions for a frame that is answered: from the interrupt to the answer for one that comes alone, and all that the processor
/// does for one of a burst.
fn icount(lab: &Lab) -> Verdict {
    let mut figures = Vec::new();
    for (name, card) in [("virtio-net", VIRTIO), ("e1000e", E1000E)] {
        let (mut machine, mut peer) = machine(lab, card)?;
        machine.icount = true;
        machine.cpus = 1;
        let mut vm = machine.spawn()?;
        let up = format!("{}: the link is up", card.unit);
        vm.serial.wait_line(&up, KERNEL_BOOT_LIMIT)?;
        peer.wire.connect()?;
        Figures::ask(&mut vm, &peer)?;
        peer.exchange(FRAMES / 4, 1, |_| SHORTEST)?;
        let alone = Figures::ask(&mut vm, &peer)?;
        // What is said costs as well: twice the frames, and the difference counts.
        let mut busy = [0; 2];
        for (sum, count) in busy.iter_mut().zip([FRAMES / 2, FRAMES]) {
            peer.exchange(count, WINDOW, |_| SHORTEST)?;
            *sum = Figures::ask(&mut vm, &peer)?.busy;
        }
        let [half, whole] = busy;
        figures.push(format!(
            "{name}: {} from the interrupt to the answer, {} on average; {} for each of a burst",
            alone.least,
            alone.mean,
            whole.saturating_sub(half) / u64::from(FRAMES / 2),
        ));
        if !(1..=MOST_INSTRUCTIONS).contains(&alone.least) {
            return Err(format!("that is not so much work: {}", figures.join("; ")).into());
        }
    }
    Ok(format!("instructions: {}", figures.join("; ")))
}

/// What the unit says of itself, in ns: instructions, where those are counted.
struct Figures {
    /// The processor was not halted for so long since the last time.
    busy: u64,
    /// From an interrupt to the answer, on average and at least.
    mean: u64,
    least: u64,
}

impl Figures {
    fn ask(vm: &mut Vm, peer: &Peer) -> Outcome<Figures> {
        peer.ask("figures")?;
        let line = vm.serial.wait_line("figures: busy ", COMMAND_LIMIT)?;
        let behind = |words: &str| -> Outcome<u64> {
            let rest = line.split(words).nth(1).unwrap_or_default();
            let digits = rest.split(' ').next().unwrap_or_default();
            Ok(digits
                .parse()
                .map_err(|_| format!("no figure in {line:?}"))?)
        };
        Ok(Figures {
            busy: behind("busy ")?,
            mean: behind("answered ")?,
            least: behind("at least ")?,
        })
    }
}
