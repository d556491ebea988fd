//! Connections over a cable that loses, doubles, swaps and damages frames: what goes in comes out.

mod common;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use common::{Socket, World, address};
use net::pump::Over;
use nic::cable::{Faults, Options};
use proto::net::NetError;
use ring::{ReceiveError, SendError};

const PORT: u16 = 7000;
const RING: u32 = 16 << 10;

/// A connection from the first machine to the second.
fn connection(world: &mut World) -> (Socket, Socket) {
    let (listener, _) = world.stacks[1].listen(1, PORT, 4, RING).expect("free");
    let to = SocketAddr::new(address(2), PORT);
    let (key, _, _) = world.stacks[0].connect(1, to, RING).expect("a route");
    let mut client = Socket::new(key, RING, false);
    let waker = client.waker();
    loop {
        let due = world.turns();
        client.pump(&mut world.stacks[0], world.now);
        assert_eq!(client.over, None, "it stands in the end");
        if client.connected
            && let Some((key, remote, local)) = world.stacks[1].accept(listener, &waker)
        {
            assert_eq!((remote.ip(), local), (address(1), to));
            world.stacks[1].unlisten(listener);
            return (client, Socket::new(key, RING, true));
        }
        world.pass(due);
    }
}

/// Sends pseudo-random bytes both ways at once, ends both, and compares what came out.
fn exchange(world: &mut World, bytes: u64) -> u64 {
    let (client, server) = connection(world);
    let mut ends = [client, server];
    let mut sent = [0_u64; 2];
    let mut hashes = [(); 4].map(|()| DefaultHasher::new());
    let mut ended = [false; 4];
    let start = world.now;
    let mut buffer = [0; 3000];
    while ends.iter().any(|end| end.over.is_none()) || ended != [true; 4] {
        let due = world.turns();
        for side in 0..2 {
            let end = &mut ends[side];
            while sent[side] < bytes {
                let len = (sent[side] % 2777 + 1).min(bytes - sent[side]) as usize;
                let piece: Vec<u8> = (0..len)
                    .map(|at| (sent[side] as usize * 31 + at * 7) as u8)
                    .collect();
                match end.sender.try_send(&piece) {
                    Ok(_) => {
                        piece.iter().for_each(|byte| byte.hash(&mut hashes[side]));
                        sent[side] += len as u64;
                    }
                    Err(SendError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            if sent[side] == bytes && !ended[side] && end.sender.try_send(&[]).is_ok() {
                ended[side] = true;
            }
            loop {
                match end.receiver.try_take(&mut buffer) {
                    Ok(taken) if taken.bytes == 0 => ended[2 + side] = true,
                    Ok(taken) => buffer[..taken.bytes]
                        .iter()
                        .for_each(|byte| byte.hash(&mut hashes[2 + (1 - side)])),
                    Err(ReceiveError::Empty) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            if end.over.is_none() {
                end.pump(&mut world.stacks[side], world.now);
            }
        }
        world.pass(due);
        assert!(
            world.now - start < smoltcp::time::Duration::from_secs(3600),
            "it goes on"
        );
    }
    for end in &ends {
        assert_eq!(end.over, Some(Over::Done));
    }
    assert_eq!(ended, [true; 4], "both ends were heard of");
    let [one, two, three, four] = hashes.map(|hash| hash.finish());
    assert_eq!((one, two), (three, four));
    for (stack, end) in world.stacks.iter_mut().zip(&ends) {
        stack.close(end.key);
    }
    (world.now - start).total_millis()
}

#[test]
fn a_good_cable() {
    let mut world = World::new(&Options::default());
    exchange(&mut world, 300_000);
    exchange(&mut world, 0);
}

#[test]
fn checksums_by_the_card() {
    let all = nic::Sums {
        ipv4: true,
        tcp: true,
        udp: true,
    };
    let checksums = nic::Checksums {
        transmit: all,
        receive: all,
    };
    let faults = Faults {
        damage: 50,
        ..Faults::default()
    };
    let mut world = World::new(&Options {
        checksums,
        faults,
        ..Options::default()
    });
    exchange(&mut world, 100_000);
}

#[test]
fn a_bad_cable() {
    for seed in 1..4 {
        let faults = Faults {
            lose: 20,
            double: 20,
            swap: 20,
            damage: 50,
        };
        let mut world = World::new(&Options {
            seed,
            faults,
            ..Options::default()
        });
        exchange(&mut world, 100_000);
    }
}

#[test]
fn a_cable_that_is_out_for_ten_seconds() {
    let mut world = World::new(&Options::default());
    let (mut client, mut server) = connection(&mut world);
    world.cable.set_link(false);
    client.sender.try_send(b"hello").expect("room");
    let start = world.now;
    let mut buffer = [0; 16];
    loop {
        let due = world.turns();
        client.pump(&mut world.stacks[0], world.now);
        server.pump(&mut world.stacks[1], world.now);
        if world.now - start > smoltcp::time::Duration::from_secs(10) {
            world.cable.set_link(true);
        }
        if let Ok(taken) = server.receiver.try_take(&mut buffer) {
            assert_eq!(&buffer[..taken.bytes], b"hello");
            break;
        }
        world.pass(due);
    }
}

#[test]
fn silence_is_no_end_and_no_answer_is() {
    let mut world = World::new(&Options::default());
    let (mut client, mut server) = connection(&mut world);
    let start = world.now;
    while world.now - start < smoltcp::time::Duration::from_secs(600) {
        let due = world.turns();
        client.pump(&mut world.stacks[0], world.now);
        server.pump(&mut world.stacks[1], world.now);
        world.pass(due);
    }
    assert_eq!((client.over, server.over), (None, None));
    world.cable.set_link(false);
    client.sender.try_send(b"hello").expect("room");
    let over = end_of(&mut world, &mut client, 0);
    assert_eq!(over, Over::Failed(NetError::TimedOut));
}

#[test]
fn an_address_that_changes_ends_connections() {
    let mut world = World::new(&Options::default());
    let (mut client, _server) = connection(&mut world);
    world.stacks[0]
        .set_up("eth0", common::fixed(9))
        .expect("fits");
    let over = end_of(&mut world, &mut client, 0);
    assert_eq!(over, Over::Failed(NetError::NetworkDown));
}

fn end_of(world: &mut World, end: &mut Socket, side: usize) -> Over {
    for _ in 0..1000 {
        let due = world.turns();
        end.pump(&mut world.stacks[side], world.now);
        if let Some(over) = end.over {
            return over;
        }
        world.pass(due);
    }
    panic!("it goes on for ever");
}

#[test]
fn a_port_that_nobody_listens_to_refuses() {
    let mut world = World::new(&Options::default());
    let to = SocketAddr::new(address(2), 9);
    let (key, _, _) = world.stacks[0].connect(1, to, RING).expect("a route");
    let mut client = Socket::new(key, RING, false);
    let over = end_of(&mut world, &mut client, 0);
    assert_eq!(over, Over::Failed(NetError::ConnectionRefused));
    let nowhere = SocketAddr::new(address(77), 9);
    let (key, _, _) = world.stacks[0].connect(1, nowhere, RING).expect("a route");
    let mut client = Socket::new(key, RING, false);
    let over = end_of(&mut world, &mut client, 0);
    assert_eq!(over, Over::Failed(NetError::TimedOut));
    let far = SocketAddr::new([192, 0, 2, 1].into(), 9);
    let error = world.stacks[0].connect(1, far, RING).err();
    assert_eq!(error, Some(NetError::NoRoute(far.ip())));
}

#[test]
fn a_reset_is_told() {
    let mut world = World::new(&Options::default());
    let (mut client, server) = connection(&mut world);
    world.stacks[1].reset(server.key);
    let over = end_of(&mut world, &mut client, 0);
    assert_eq!(over, Over::Failed(NetError::Reset));
}

#[test]
fn a_backlog_is_kept() {
    let mut world = World::new(&Options::default());
    let (listener, _) = world.stacks[1].listen(1, PORT, 2, 4096).expect("free");
    let to = SocketAddr::new(address(2), PORT);
    let mut clients: Vec<Socket> = (0..5)
        .map(|_| {
            let (key, _, _) = world.stacks[0].connect(1, to, 4096).expect("a route");
            Socket::new(key, 4096, false)
        })
        .collect();
    let waker = clients[0].waker();
    let mut accepted = 0;
    for _ in 0..2000 {
        let due = world.turns();
        for client in &mut clients {
            client.pump(&mut world.stacks[0], world.now);
            assert_eq!(client.over, None, "nobody is turned away");
        }
        if world.now > smoltcp::time::Instant::from_secs(3)
            && world.stacks[1].accept(listener, &waker).is_some()
        {
            accepted += 1;
        } else if accepted == 0 {
            let connected = clients.iter().filter(|client| client.connected).count();
            assert!(connected <= 2);
        }
        if accepted == 5 {
            return;
        }
        world.pass(due);
    }
    panic!("{accepted} were accepted");
}

#[test]
fn to_ourselves() {
    let mut world = World::new(&Options::default());
    let stack = &mut world.stacks[0];
    let now = world.now;
    for own in [
        address(1),
        [127, 0, 0, 1].into(),
        "::1".parse().expect("one"),
    ] {
        let (listener, _) = stack.listen(1, PORT, 2, 4096).expect("free");
        let (key, _, _) = stack
            .connect(1, SocketAddr::new(own, PORT), 4096)
            .expect("a route");
        let mut client = Socket::new(key, 4096, false);
        let waker = client.waker();
        for _ in 0..10 {
            stack.push(0, now);
            client.pump(stack, now);
        }
        assert!(client.connected, "{own}");
        let (key, remote, _) = stack.accept(listener, &waker).expect("one");
        assert_eq!(remote.ip(), own);
        stack.reset(key);
        stack.unlisten(listener);
    }
}
