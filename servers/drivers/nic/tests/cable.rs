//! The cards that exist in memory alone, and the checksums.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use nic::cable::{Cable, End, Faults, Options};
use nic::{Card, Checksums, Frame, Receive, SendError, Sums, Transmit, checksum};
use proptest::prelude::*;

fn is_ready(card: &mut End) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(pin!(card.ready()).poll(&mut cx), Poll::Ready(Ok(())))
}

fn send(card: &mut End, content: &[u8]) -> Result<(), SendError> {
    let (_, to) = card.halves();
    to.send(content.len(), |bytes| bytes.copy_from_slice(content))
}

fn all(card: &mut End) -> Vec<Vec<u8>> {
    let (from, _) = card.halves();
    std::iter::from_fn(|| from.next().map(|frame| frame.bytes().to_vec())).collect()
}

#[test]
fn frames_go_both_ways_in_order_when_flushed() {
    let (_, mut a, mut b) = Cable::new(&Options::default());
    assert!(!is_ready(&mut a) && !is_ready(&mut b));
    for n in 0..10u8 {
        send(&mut a, &[n; 60]).expect("room");
    }
    assert!(!is_ready(&mut b), "not before the flush");
    a.flush();
    assert!(is_ready(&mut b) && !is_ready(&mut a));
    // An answer is sent while what it answers is still being read.
    let (from, to) = b.halves();
    while let Some(frame) = from.next() {
        to.send(frame.bytes().len(), |bytes| {
            bytes.copy_from_slice(frame.bytes())
        })
        .expect("room");
    }
    b.flush();
    let back: Vec<_> = (0..10u8).map(|n| vec![n; 60]).collect();
    assert_eq!(all(&mut a), back);
    assert_eq!(b.counters().received_frames, 10);
    assert_eq!(a.counters().received_bytes, 600);
}

#[test]
fn a_full_ring_refuses_and_says_when_there_is_room() {
    let (_, mut a, mut b) = Cable::new(&Options {
        ring_frames: 2,
        ..Options::default()
    });
    let frame = [0; 60];
    assert_eq!(send(&mut a, &[0; 13]), Err(SendError::Length));
    assert_eq!(send(&mut a, &[0; 1515]), Err(SendError::Length));
    assert_eq!(send(&mut a, &frame), Ok(()));
    assert_eq!(send(&mut a, &frame), Ok(()));
    assert_eq!(send(&mut a, &frame), Err(SendError::Full));
    assert!(!is_ready(&mut a));
    a.flush();
    assert!(is_ready(&mut a) && !is_ready(&mut a), "once");
    assert_eq!(send(&mut a, &frame), Ok(()));
    a.flush();
    assert_eq!(all(&mut b).len(), 2);
    assert_eq!(b.counters().dropped_no_buffer, 1);
    assert_eq!(a.counters().refused_full, 1);
}

#[test]
fn a_pulled_cable_is_told_and_loses_frames() {
    let (cable, mut a, mut b) = Cable::new(&Options::default());
    cable.set_link(false);
    assert!(is_ready(&mut a) && !a.link_is_up() && !b.link_is_up());
    send(&mut a, &[1; 60]).expect("room");
    a.flush();
    assert!(is_ready(&mut b) && all(&mut b).is_empty());
    cable.set_link(true);
    assert!(is_ready(&mut b) && b.link_is_up());
    send(&mut a, &[2; 60]).expect("room");
    a.flush();
    assert_eq!(all(&mut b), [vec![2; 60]]);
}

#[test]
fn faults_hit_as_often_as_told_and_the_same_each_time() {
    let faults = Faults {
        lose: 20,
        double: 20,
        swap: 20,
        damage: 20,
    };
    let run = || {
        let (cable, mut a, mut b) = Cable::new(&Options {
            seed: 7,
            faults,
            ..Options::default()
        });
        let mut got = Vec::new();
        for n in 0..4000u16 {
            let mut frame = [0; 60];
            frame[14..16].copy_from_slice(&n.to_be_bytes());
            send(&mut a, &frame).expect("room");
            a.flush();
            got.extend(all(&mut b));
        }
        cable.settle();
        got.extend(all(&mut b));
        (got, cable.done())
    };
    let (got, done) = run();
    assert!(
        done.iter().all(|count| (100..300).contains(count)),
        "{done:?}"
    );
    let [lost, doubled, ..] = done;
    // One that is swapped is not doubled as well.
    assert!(got.len() as u64 + lost >= 4000 && got.len() as u64 + lost <= 4000 + doubled);
    let orders = got.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(orders > 100);
    assert_eq!((got, done), run());
}

/// A frame of UDP or TCP, with those checksums zero.
fn packet(is_ipv4: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02; 12];
    let header = if protocol == 6 { 20 } else { 8 };
    let len = (header + payload.len()) as u16;
    if is_ipv4 {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + len).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]);
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(len.to_be_bytes());
        frame.extend([protocol, 64]);
        frame.extend((0..32).map(|n| n * 7));
    }
    let start = frame.len();
    frame.resize(start + header, 0x11);
    let field = start + if protocol == 6 { 16 } else { 6 };
    frame[field..field + 2].fill(0);
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0xee);
    frame
}

/// Word by word, as RFC 1071 says it.
fn plain(bytes: &[u8], start: u16) -> u16 {
    let mut total = u64::from(start);
    for pair in bytes.chunks(2) {
        total += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[test]
fn checksums_of_known_packets() {
    // RFC 1071 §3.
    assert_eq!(
        checksum::sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0),
        0xddf2
    );
    // A DNS query's IPv4 header.
    let header = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];
    assert_eq!(checksum::sum(&header, 0), 0xffff);
}

#[test]
fn cards_that_compute_checksums() {
    let sums = Sums {
        ipv4: true,
        tcp: true,
        udp: true,
    };
    let (_, mut a, mut b) = Cable::new(&Options {
        checksums: Checksums {
            transmit: sums,
            receive: sums,
        },
        ..Options::default()
    });
    send(&mut a, &packet(true, 17, b"hello")).expect("room");
    a.flush();
    let frame = b.halves().0.next().expect("a frame");
    assert!(frame.checked().ipv4 && frame.checked().payload);
    assert!(checksum::is_right(frame.bytes()));
}

proptest! {
    #[test]
    fn sums_agree_with_the_plain_way(bytes in proptest::collection::vec(any::<u8>(), 0..200), start in any::<u16>()) {
        let (fast, plain) = (checksum::sum(&bytes, start), plain(&bytes, start));
        prop_assert_eq!(fast, plain);
    }

    #[test]
    fn what_is_filled_in_is_right_and_one_bit_makes_it_wrong(
        is_ipv4 in any::<bool>(), is_tcp in any::<bool>(),
        payload in proptest::collection::vec(any::<u8>(), 0..100), bit in any::<proptest::sample::Index>(),
    ) {
        let protocol = if is_tcp { 6 } else { 17 };
        let mut frame = packet(is_ipv4, protocol, &payload);
        checksum::fill(&mut frame);
        prop_assert!(checksum::is_right(&frame));
        let found = checksum::Payload::find(&frame).expect("TCP or UDP");
        let start = usize::from(found.start);
        prop_assert_eq!(usize::from(found.end) - start, payload.len() + if is_tcp { 20 } else { 8 });
        // Anywhere in the payload; a flip of UDP's length or ports counts too.
        let at = bit.index(8 * (usize::from(found.end) - start));
        frame[start + at / 8] ^= 1 << (at % 8);
        prop_assert!(!checksum::is_right(&frame) || (!is_tcp && is_ipv4 && frame[start + 6..start + 8] == [0, 0]));
    }

    #[test]
    fn any_bytes_can_be_looked_at(mut frame in proptest::collection::vec(any::<u8>(), 0..120), kind in 0..3u8, first in any::<u8>()) {
        if let Some(place) = frame.get_mut(12..15) {
            place.copy_from_slice(&match kind { 0 => [8, 0, 0x45], 1 => [0x86, 0xdd, 0x60], _ => [8, 0, first] });
        }
        let _ = checksum::is_right(&frame);
        checksum::fill(&mut frame);
        if let Some(found) = checksum::Payload::find(&frame) {
            found.prepare(&mut frame);
            prop_assert!(usize::from(found.end) <= frame.len());
        }
    }
}
