//! The mouse's packets, whole and damaged.

use i8042::{Buttons, Mouse, Packet, Packets};
use proptest::prelude::*;

const PAUSE: u64 = 1000;

fn motion(right: i16, down: i16) -> [u8; 3] {
    let (x, y) = (right, -down);
    let signs = u8::from(x < 0) << 4 | u8::from(y < 0) << 5;
    [0b1000 | signs, x as u8, y as u8]
}

fn bytes_of(mouse: Mouse, packet: &Packet) -> Vec<u8> {
    let mut bytes = motion(packet.right, packet.down).to_vec();
    let buttons = packet.buttons;
    bytes[0] |=
        u8::from(buttons.left) | u8::from(buttons.right) << 1 | u8::from(buttons.middle) << 2;
    match mouse {
        Mouse::Plain => {}
        Mouse::Wheel => bytes.push(packet.wheel_down as u8),
        Mouse::FiveButtons => bytes.push(
            packet.wheel_down as u8 & 0xf
                | u8::from(buttons.fourth) << 4
                | u8::from(buttons.fifth) << 5,
        ),
    }
    bytes
}

#[test]
fn overflows_are_as_far_as_it_goes() {
    let mut packets = Packets::new(Mouse::Plain, PAUSE);
    let mut last = None;
    for byte in [0b1101_1000, 3, 3] {
        last = packets.decode(byte, 0).or(last);
    }
    let packet = last.expect("whole");
    assert_eq!((packet.right, packet.down), (-256, -255));
}

#[test]
fn a_pause_begins_anew() {
    let mut packets = Packets::new(Mouse::Wheel, PAUSE);
    for byte in [0x08, 9] {
        assert_eq!(packets.decode(byte, 5), None);
    }
    let mut whole = None;
    for (byte, at) in [(0x09, 5 + PAUSE + 1), (1, 2000), (2, 2001), (0xff, 2002)] {
        assert_eq!(whole, None);
        whole = packets.decode(byte, at);
    }
    let expected = Packet {
        stamp_ticks: 5 + PAUSE + 1,
        right: 1,
        down: -2,
        wheel_down: -1,
        buttons: Buttons {
            left: true,
            ..Buttons::default()
        },
    };
    assert_eq!(whole, Some(expected));
    assert_eq!(packets.skipped(), 2);
}

prop_compose! {
    fn any_packet()(
        right in -256_i16..=255,
        up in -256_i16..=255,
        wheel_down in -8_i8..=7,
        bits in 0_u8..32,
    ) -> Packet {
        let bit = |index: u8| bits >> index & 1 != 0;
        Packet {
            stamp_ticks: 0,
            right,
            down: -up,
            wheel_down,
            buttons: Buttons { left: bit(0), right: bit(1), middle: bit(2), fourth: bit(3), fifth: bit(4) },
        }
    }
}

proptest! {
    #[test]
    fn packets_are_read_as_they_were_written(packets in proptest::collection::vec(any_packet(), 1..20)) {
        for mouse in Mouse::ALL {
            let mut decoder = Packets::new(mouse, PAUSE);
            for packet in &packets {
                let mut expected = *packet;
                if mouse == Mouse::Plain {
                    expected.wheel_down = 0;
                }
                if mouse != Mouse::FiveButtons {
                    expected.buttons.fourth = false;
                    expected.buttons.fifth = false;
                }
                let read: Vec<Packet> =
                    bytes_of(mouse, packet).into_iter().filter_map(|byte| decoder.decode(byte, 0)).collect();
                prop_assert_eq!(read, vec![expected]);
            }
            prop_assert_eq!(decoder.skipped(), 0);
        }
    }

    #[test]
    fn after_any_noise_and_a_pause_it_is_in_step(noise in proptest::collection::vec(any::<u8>(), 0..40), packet in any_packet()) {
        for mouse in Mouse::ALL {
            let mut decoder = Packets::new(mouse, PAUSE);
            for byte in &noise {
                decoder.decode(*byte, 7);
            }
            let mut read = None;
            for byte in bytes_of(mouse, &packet) {
                prop_assert_eq!(read, None);
                read = decoder.decode(byte, 8 + PAUSE);
            }
            let read = read.expect("whole");
            prop_assert_eq!((read.stamp_ticks, read.right, read.down), (8 + PAUSE, packet.right, packet.down));
        }
    }
}
