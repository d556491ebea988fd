//! Datagrams, echoes and names over a cable.

mod common;

use std::net::{IpAddr, SocketAddr};

use common::{Socket, World, address};
use net::pump::Over;
use nic::cable::Options;
use proto::net::{DATAGRAM_HEADER_BYTES, NetError, Setup, datagram_address, datagram_header};
use ring::Taken;

const RING: u32 = 16 << 10;

/// A record that came to the program: who sent it, and what.
fn record(socket: &mut Socket) -> Option<(SocketAddr, Vec<u8>)> {
    let mut buffer = vec![0; RING as usize];
    let Taken { bytes, .. } = socket.receiver.try_take(&mut buffer).ok()?;
    let (header, data) = buffer[..bytes].split_at(DATAGRAM_HEADER_BYTES);
    let header = header.try_into().expect("as long as one");
    Some((datagram_address(header), data.to_vec()))
}

/// Lets both machines do what they do for a while.
fn run(world: &mut World, mut each: impl FnMut(&mut World)) {
    for _ in 0..300 {
        let due = world.turns();
        each(world);
        world.pass(due);
    }
}

#[test]
fn datagrams_go_both_ways() {
    let mut world = World::new(&Options::default());
    let (key, port) = world.stacks[1].bind(1, 5353, RING).expect("free");
    assert_eq!(port, 5353);
    assert_eq!(
        world.stacks[1].bind(1, 5353, RING).err(),
        Some(NetError::PortInUse(proto::net::Protocol::Udp, 5353))
    );
    let mut server = Socket::new(key, RING, true);
    let (key, from) = world.stacks[0].bind(1, 0, RING).expect("free");
    let mut client = Socket::new(key, RING, true);
    let to = datagram_header(SocketAddr::new(address(2), port));
    for len in [0_usize, 1, 1000, 1452] {
        let data = vec![7; len];
        client.sender.try_send_parts(&[&to, &data]).expect("room");
        let mut echoed = None;
        run(&mut world, |world| {
            client.pump_udp(&mut world.stacks[0], world.now);
            server.pump_udp(&mut world.stacks[1], world.now);
            if let Some((who, data)) = record(&mut server) {
                assert_eq!(who, SocketAddr::new(address(1), from));
                server
                    .sender
                    .try_send_parts(&[&datagram_header(who), &data])
                    .expect("room");
            }
            echoed = echoed.take().or_else(|| record(&mut client));
        });
        assert_eq!(
            echoed,
            Some((SocketAddr::new(address(2), port), data)),
            "{len}"
        );
    }
    // To nowhere, which is no error; and too long, which is.
    let far = datagram_header(SocketAddr::from(([192, 0, 2, 1], 9)));
    client.sender.try_send_parts(&[&far, b"x"]).expect("room");
    client.sender.try_send(b"short").expect("room");
    client.pump_udp(&mut world.stacks[0], world.now);
    assert_eq!(client.over, None);
    client
        .sender
        .try_send_parts(&[&to, &[0; 1453]])
        .expect("room");
    client.pump_udp(&mut world.stacks[0], world.now);
    assert_eq!(client.over, Some(Over::Failed(NetError::TooLong(1452))));
}

#[test]
fn echoes_over_both_versions_and_to_ourselves() {
    let mut world = World::new(&Options::default());
    let link_local: IpAddr = "fe80::ff:fe00:2".parse().expect("one");
    let own: IpAddr = "fe80::ff:fe00:1".parse().expect("one");
    for to in [
        address(2),
        link_local,
        address(1),
        own,
        "::1".parse().expect("one"),
    ] {
        let key = world.stacks[0].echo(1, to, RING).expect("a route");
        let mut socket = Socket::new(key, RING, true);
        for number in 0..3 {
            let data = vec![number as u8; 56];
            let header = datagram_header(SocketAddr::new(to, 0));
            socket
                .sender
                .try_send_parts(&[&header, &data])
                .expect("room");
            let mut answer = None;
            run(&mut world, |world| {
                socket.pump_echo(&mut world.stacks[0], world.now);
                answer = answer.take().or_else(|| record(&mut socket));
            });
            assert_eq!(answer, Some((SocketAddr::new(to, number), data)), "{to}");
        }
        world.stacks[0].close(key);
    }
}

/// A message's answer: one address for questions of its kind.
fn name_answer(question: &[u8], address: Option<IpAddr>) -> Vec<u8> {
    let kind = question[question.len() - 3];
    let data = match (address, kind) {
        (Some(IpAddr::V4(v4)), 1) => Some(v4.octets().to_vec()),
        (Some(IpAddr::V6(v6)), 28) => Some(v6.octets().to_vec()),
        _ => None,
    };
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    if address.is_none() {
        answer[3] |= 3;
    }
    if let Some(data) = data {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 5, 0, data.len() as u8]);
        answer.extend(data);
    }
    answer
}

#[test]
fn names_are_asked_for_remembered_and_forgotten() {
    let mut world = World::new(&Options::default());
    let setup = Setup::Static {
        address: address(1),
        prefix_bits: 24,
        gateway: None,
        name_server: Some(address(2)),
    };
    world.stacks[0].set_up("eth0", setup).expect("fits");
    let (key, _) = world.stacks[1].bind(1, 53, RING).expect("free");
    let mut server = Socket::new(key, RING, true);
    let mut asked = 0;
    let mut ports = Vec::new();
    let found: IpAddr = [192, 0, 2, 7].into();
    let waker = server.waker();
    let mut look = |world: &mut World, server: &mut Socket, name: &str, silent: bool| {
        let key = world.stacks[0].resolve(name, world.now).expect("room");
        let mut result = None;
        for _ in 0..5000 {
            world.turns();
            server.pump_udp(&mut world.stacks[1], world.now);
            while let Some((who, question)) = record(server) {
                asked += 1;
                ports.push(who.port());
                if silent {
                    continue;
                }
                let known = question[13..].starts_with(b"known");
                let answer = name_answer(&question, known.then_some(found));
                // One that is forged comes first: of another identifier.
                let mut forged = name_answer(&question, Some([6, 6, 6, 6].into()));
                forged[0] ^= 1;
                for answer in [forged, answer] {
                    let header = datagram_header(who);
                    server
                        .sender
                        .try_send_parts(&[&header, &answer])
                        .expect("room");
                }
                server.pump_udp(&mut world.stacks[1], world.now);
            }
            if let std::task::Poll::Ready(ready) = world.stacks[0].resolved(key, &waker) {
                result = Some(ready);
                break;
            }
            // In small steps: what is on the cable comes before any time-out.
            world.now += smoltcp::time::Duration::from_millis(5);
        }
        world.stacks[0].forget_query(key);
        (result.expect("it ends").map(|all| all.to_vec()), asked)
    };
    assert_eq!(
        look(&mut world, &mut server, "known.example", false),
        (Ok(vec![found]), 2)
    );
    assert_eq!(
        look(&mut world, &mut server, "KNOWN.example.", false),
        (Ok(vec![found]), 2)
    );
    let none = Err(NetError::NoSuchName);
    assert_eq!(
        look(&mut world, &mut server, "other.example", false),
        (none.clone(), 4)
    );
    assert_eq!(
        look(&mut world, &mut server, "other.example", false),
        (none, 4)
    );
    world.now += smoltcp::time::Duration::from_secs(6);
    assert_eq!(
        look(&mut world, &mut server, "known.example", false),
        (Ok(vec![found]), 6)
    );
    let (result, asked) = look(&mut world, &mut server, "silent.example", true);
    assert_eq!((result, asked), (Err(NetError::NamesTimedOut), 12));
    let (result, _) = look(&mut world, &mut server, "127.0.0.1", true);
    assert_eq!(result, Ok(vec!["127.0.0.1".parse().expect("one")]));
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 6, "each round has a port of its own");
    assert_eq!(
        world.stacks[0].resolve("-", world.now),
        Err(NetError::BadName)
    );
    assert_eq!(
        world.stacks[1].resolve("a.b", world.now),
        Err(NetError::NoNameServer)
    );
}
