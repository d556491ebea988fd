//! Frames and rings of whoever means harm: no panic, and nobody else's connection suffers.

mod common;

use std::net::SocketAddr;

use common::{Shared, Socket, World, address};
use net::{Instant, Stack};
use nic::cable::{Cable, Options};
use nic::{Card, Transmit};
use proptest::prelude::*;
use proto::net::NetError;

const RING: u32 = 4096;
const PORT: u16 = 7000;

/// A connection that stands, both of its ends.
fn connection(world: &mut World) -> (Socket, Socket) {
    let (listener, _) = world.stacks[1].listen(1, PORT, 4, RING).expect("free");
    let to = SocketAddr::new(address(2), PORT);
    let (key, _, _) = world.stacks[0].connect(1, to, RING).expect("a route");
    let mut client = Socket::new(key, RING, false);
    let waker = client.waker();
    for _ in 0..100 {
        let due = world.turns();
        client.pump(&mut world.stacks[0], world.now);
        if let Some((key, ..)) = world.stacks[1].accept(listener, &waker) {
            world.stacks[1].unlisten(listener);
            return (client, Socket::new(key, RING, true));
        }
        world.pass(due);
    }
    panic!("no connection");
}

/// What a frame may begin with, so that it gets further than the first look.
fn skeletons() -> Vec<Vec<u8>> {
    let to = [2, 0, 0, 0, 0, 2];
    let from = [2, 0, 0, 0, 0, 1];
    let ethernet = |kind: [u8; 2], rest: &[u8]| {
        let mut frame = [&to[..], &from, &kind].concat();
        frame.extend(rest);
        frame.resize(90, 0);
        frame
    };
    let ipv4 = |protocol: u8| {
        let mut packet = vec![0x45, 0, 0, 60, 1, 2, 0, 0, 64, protocol, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend([
            0x12, 0x34, 0x1b, 0x58, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 16, 0, 0, 0, 0, 0,
        ]);
        packet
    };
    let ipv6 = |next: u8, first: u8| {
        let mut packet = vec![0x60, 0, 0, 0, 0, 36, next, 255];
        packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1]);
        packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 2]);
        packet.extend([first, 0, 0, 0, 64, 0, 7, 8]);
        packet
    };
    vec![
        ethernet([8, 0], &ipv4(6)),
        ethernet([8, 0], &ipv4(17)),
        ethernet([8, 0], &ipv4(1)),
        ethernet([8, 0], &ipv4(2)),
        ethernet(
            [8, 6],
            &[
                0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0,
                2,
            ],
        ),
        ethernet([0x86, 0xdd], &ipv6(58, 134)),
        ethernet([0x86, 0xdd], &ipv6(58, 135)),
        ethernet([0x86, 0xdd], &ipv6(58, 136)),
        ethernet([0x86, 0xdd], &ipv6(58, 128)),
        ethernet([0x86, 0xdd], &ipv6(6, 0x12)),
        ethernet([0x86, 0xdd], &ipv6(0, 58)),
        ethernet([0x86, 0xdd], &ipv6(44, 6)),
        ethernet([0x12, 0x34], &[]),
    ]
}

/// A generator that tells nothing about itself but that it is always the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

fn fuzz(frames: usize) {
    // All checksums are taken for right by half of the machines: damage gets further there.
    for trusts in [false, true] {
        let sums = nic::Sums {
            ipv4: true,
            tcp: trusts,
            udp: trusts,
        };
        let checksums = nic::Checksums {
            transmit: sums,
            receive: sums,
        };
        let (cable, mut attacker, card) = Cable::new(&Options {
            checksums,
            ..Options::default()
        });
        let mut now = Instant::from_millis(1);
        let mut stack = Stack::new([3; 32], now);
        stack
            .add("eth0", card, common::fixed(2), now)
            .expect("room");
        stack.listen(1, PORT, 8, RING).expect("free");
        stack.bind(1, PORT, RING).expect("free");
        let skeletons = skeletons();
        let mut dice = Dice(7);
        for number in 0..frames / 2 {
            let mut frame = skeletons[dice.roll(skeletons.len())].clone();
            for _ in 0..dice.roll(8) {
                let at = 12 + dice.roll(frame.len() - 12);
                frame[at] = dice.roll(256) as u8;
            }
            frame.truncate(14 + dice.roll(frame.len() - 13));
            if trusts {
                nic::checksum::fill(&mut frame);
            }
            let (_, transmitter) = attacker.halves();
            transmitter
                .send(frame.len(), |room| room.copy_from_slice(&frame))
                .expect("room");
            attacker.flush();
            if number % 16 == 0 {
                now += smoltcp::time::Duration::from_millis(dice.roll(50) as u64);
                stack.turn(1, now);
                let (receiver, _) = attacker.halves();
                while nic::Receive::next(receiver).is_some() {}
            }
        }
        drop(cable);
        // It still answers.
        assert_eq!(stack.interfaces(), 2);
        stack.turn(1, now);
    }
}

#[test]
fn malformed_frames() {
    let is_long = std::env::var_os("RAEDE_TEST_LONG").is_some();
    fuzz(if is_long { 1_000_000 } else { 100_000 });
}

/// Who takes all sockets it may have is told so, and others have theirs.
#[test]
fn too_many_sockets() {
    let mut stack = Stack::new([3; 32], Instant::from_millis(1));
    let mut count = 0;
    let refused = loop {
        match stack.bind(1, 0, RING) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(count, net::sockets::MAX_SOCKETS);
    assert_eq!(refused, NetError::TooManySockets(net::sockets::MAX_SOCKETS));
    assert!(stack.bind(2, 0, RING).is_ok());
    // By bytes, too.
    let big = 1 << 20;
    let refused = loop {
        if let Err(error) = stack.listen(3, 0, 1, big) {
            break error;
        }
    };
    assert!(
        matches!(refused, NetError::TooManyRingBytes(_)),
        "{refused}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What a program writes into its rings ends its own socket at worst; another one of the same server goes on.
    #[test]
    fn hostile_rings(
        steps in prop::collection::vec((0_u8..6, 0_usize..100, any::<u32>()), 1..60),
        which in 0_u8..3,
    ) {
        let mut world = World::new(&Options::default());
        let (mut good, mut peer) = connection(&mut world);
        let to = SocketAddr::new(address(2), PORT);
        let key = match which {
            0 => world.stacks[0].connect(2, to, RING).expect("a route").0,
            1 => world.stacks[0].bind(2, 0, RING).expect("free").0,
            _ => world.stacks[0].echo(2, address(2), RING).expect("a route"),
        };
        let mut evil = Socket::new(key, RING, which > 0);
        for (step, place, value) in steps {
            let memory: &Shared = if step % 2 == 0 { &evil.to_server } else { &evil.to_program };
            match step {
                0 | 1 => memory.poke(place % 24 * 16, value),
                2 | 3 => memory.poke(4096 + place * 4, value % 6000),
                _ => {
                    let _ = evil.sender.try_send(&vec![place as u8; value as usize % 3000]);
                }
            }
            let due = world.turns();
            good.pump(&mut world.stacks[0], world.now);
            peer.pump(&mut world.stacks[1], world.now);
            if evil.over.is_none() {
                match which {
                    0 => drop(evil.pump(&mut world.stacks[0], world.now)),
                    1 => evil.pump_udp(&mut world.stacks[0], world.now),
                    _ => evil.pump_echo(&mut world.stacks[0], world.now),
                }
                if evil.over.is_some() {
                    world.stacks[0].reset(evil.key);
                }
            }
            world.pass(due);
        }
        // The good one's bytes come through as ever.
        good.sender.try_send(b"still here").expect("room");
        let mut buffer = [0; 32];
        let mut came = None;
        for _ in 0..100 {
            let due = world.turns();
            good.pump(&mut world.stacks[0], world.now);
            peer.pump(&mut world.stacks[1], world.now);
            if let Ok(taken) = peer.receiver.try_take(&mut buffer) {
                came = Some(buffer[..taken.bytes].to_vec());
                break;
            }
            world.pass(due);
        }
        prop_assert_eq!(came.as_deref(), Some(&b"still here"[..]), "{:?} {:?}", good.over, peer.over);
        prop_assert_eq!((good.over, peer.over), (None, None));
    }
}
