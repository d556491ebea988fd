//! What goes in comes out, in order; and whatever the other side writes into the memory, an end gives an error at most.
#![cfg(not(loom))]

mod common;

use std::collections::VecDeque;

use common::Shared;
use proptest::prelude::*;
use ring::layout::MAX_CAPACITY;
use ring::{Counters, OpenError, ReceiveError, Receiver, SendError, Sender, Taken, format};

#[test]
fn capacities_are_checked() {
    let memory = Shared::ring(4096);
    for bad in [0, 1, 2048, 4097, 6000, MAX_CAPACITY * 2, u32::MAX] {
        assert_eq!(format(&memory, bad), Err(OpenError::Capacity(bad)));
    }
    assert_eq!(
        format(&memory, 8192),
        Err(OpenError::TooSmall {
            needed: 4096 + 8192
        })
    );
}

#[test]
fn what_is_no_ring_is_refused() {
    for (offset, value, error) in [
        (0, 0, OpenError::NotARing),
        (4, 2, OpenError::NotARing),
        (8, 5000, OpenError::Capacity(5000)),
        (
            8,
            1 << 20,
            OpenError::TooSmall {
                needed: 4096 + (1 << 20),
            },
        ),
        (64, 4100, OpenError::Corrupt),
        (128, 4, OpenError::Corrupt),
        (64, 6, OpenError::Corrupt),
    ] {
        let memory = Shared::ring(4096);
        memory.poke(offset, value);
        assert_eq!(Sender::new(memory.clone()).err(), Some(error), "{offset}");
        assert_eq!(Receiver::new(memory).err(), Some(error), "{offset}");
    }
}

#[test]
fn a_full_ring_says_so_and_counts() {
    let memory = Shared::ring(4096);
    let mut sender = Sender::new(memory.clone()).unwrap();
    let mut receiver = Receiver::new(memory.clone()).unwrap();
    let most = sender.most_bytes();
    assert_eq!(
        sender.try_send(&vec![0; most + 1]),
        Err(SendError::TooLong { most })
    );
    assert_eq!(sender.try_send(&vec![7; most]), Ok(false));
    assert_eq!(sender.try_send(&[]), Err(SendError::Full));
    assert_eq!(sender.sleep(0), Ok(true));
    let mut buffer = vec![0; most];
    assert_eq!(
        receiver.try_receive(&mut buffer[..10]),
        Err(ReceiveError::TooSmall { len: most })
    );
    assert_eq!(receiver.try_receive(&mut buffer), Ok((most, true)));
    assert!(buffer.iter().all(|&byte| byte == 7));
    assert_eq!(receiver.try_receive(&mut buffer), Err(ReceiveError::Empty));
    assert_eq!(receiver.sleep(), Ok(true));
    assert_eq!(sender.try_send(b"abc"), Ok(true), "the receiver slept");
    assert_eq!(receiver.sleep(), Ok(false), "there is a record");
    assert_eq!(
        Counters::of(&memory),
        Counters {
            sent: 2,
            refused: 0,
            sender_slept: 1,
            received: 1,
            receiver_slept: 1
        }
    );
}

#[test]
fn an_end_goes_on_where_it_was_left() {
    let memory = Shared::ring(4096);
    Sender::new(memory.clone())
        .unwrap()
        .try_send(b"one")
        .unwrap();
    Sender::new(memory.clone())
        .unwrap()
        .try_send(b"two")
        .unwrap();
    let mut buffer = [0; 8];
    let mut receive = || {
        let (len, _) = Receiver::new(memory.clone())
            .unwrap()
            .try_receive(&mut buffer)
            .unwrap();
        buffer[..len].to_vec()
    };
    assert_eq!(receive(), b"one");
    assert_eq!(receive(), b"two");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_come_out_in_order(
        steps in proptest::collection::vec((any::<bool>(), 0_usize..1500), 1..300),
        start in any::<u32>(),
    ) {
        let memory = Shared::ring(4096);
        // Positions wrap.
        let start = start & !3;
        memory.poke(64, start);
        memory.poke(128, start);
        let mut sender = Sender::new(memory.clone()).unwrap();
        let mut receiver = Receiver::new(memory).unwrap();
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        let mut buffer = vec![0; 2000];
        for (number, (send, len)) in steps.into_iter().enumerate() {
            if send {
                let record: Vec<u8> = (0..len).map(|index| (index * 7 + number) as u8).collect();
                let used: usize = model.iter().map(|record| record.len().next_multiple_of(4) + 4).sum();
                let fits = used + len.next_multiple_of(4) + 4 <= 4096;
                match sender.try_send(&record) {
                    Ok(_) => {
                        prop_assert!(fits);
                        model.push_back(record);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, SendError::Full);
                        prop_assert!(!fits);
                    }
                }
            } else {
                match receiver.try_receive(&mut buffer) {
                    Ok((len, _)) => {
                        let expected = model.pop_front();
                        prop_assert_eq!(Some(&buffer[..len]), expected.as_deref());
                    }
                    Err(error) => {
                        prop_assert_eq!(error, ReceiveError::Empty);
                        prop_assert!(model.is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn a_hostile_peer_is_an_error_at_most(
        steps in proptest::collection::vec((0_u8..6, 0_usize..70, any::<u32>()), 1..200),
    ) {
        let memory = Shared::ring(4096);
        let mut sender = Sender::new(memory.clone()).unwrap();
        let mut receiver = Receiver::new(memory.clone()).unwrap();
        let mut buffer = vec![0; 5000];
        for (step, place, value) in steps {
            match step {
                0 => memory.poke(place * 4, value),
                1 => memory.poke(4096 + place * 4, value),
                2 => {
                    let _ = sender.try_send(&buffer[..value as usize % 5000]);
                }
                3 => {
                    if let Ok((len, _)) = receiver.try_receive(&mut buffer) {
                        prop_assert!(len <= 4092);
                    }
                }
                4 => {
                    let _ = sender.sleep(value as usize % 5000);
                }
                _ => {
                    let _ = receiver.sleep();
                }
            }
        }
    }
}

#[test]
fn records_can_be_taken_in_parts() {
    let memory = Shared::ring(4096);
    let mut sender = Sender::new(memory.clone()).unwrap();
    let mut receiver = Receiver::new(memory.clone()).unwrap();
    assert_eq!(sender.room(), Ok(Some(4092)));
    assert_eq!(sender.try_send_parts(&[b"ab", b"", b"cdefg"]), Ok(false));
    assert_eq!(sender.try_send(&[]), Ok(false));
    assert_eq!(sender.try_send(b"hi"), Ok(false));
    let mut buffer = [0; 3];
    let taken = |bytes, left| {
        Ok(Taken {
            bytes,
            left,
            wake: false,
        })
    };
    assert_eq!(receiver.try_take(&mut buffer), taken(3, 4));
    assert_eq!(&buffer, b"abc");
    assert_eq!(receiver.try_take(&mut buffer), taken(3, 1));
    assert_eq!(&buffer, b"def");
    assert_eq!(
        receiver.try_receive(&mut []),
        Err(ReceiveError::TooSmall { len: 1 })
    );
    assert_eq!(receiver.try_receive(&mut buffer), Ok((1, false)));
    assert_eq!(buffer.first(), Some(&b'g'));
    assert_eq!(receiver.try_take(&mut []), taken(0, 0), "an empty record");
    assert_eq!(receiver.try_take(&mut buffer[..1]), taken(1, 1));
    assert_eq!(receiver.skip(), Ok(false));
    assert_eq!(receiver.try_take(&mut buffer), Err(ReceiveError::Empty));
    assert_eq!(receiver.skip(), Err(ReceiveError::Empty));

    // A length that shrinks between two parts.
    assert_eq!(sender.try_send(b"abcdef"), Ok(false));
    assert_eq!(receiver.try_take(&mut buffer), taken(3, 3));
    for offset in (4096..8192).step_by(4) {
        memory.poke(offset, 2);
    }
    assert_eq!(receiver.try_take(&mut buffer), Err(ReceiveError::Corrupt));
}
