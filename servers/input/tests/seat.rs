//! The seat: from bytes and events of devices to those of the listener.

use i8042::{Buttons, Mouse, Packet, Port};
use input::evdev::{Device, Range, RawEvent};
use input::{Key, Keymap, Modifiers, Ps2, RepeatTicks, SAVED_BYTES, Saved, Seat};
use proptest::prelude::*;
use proto::input::{Button, Event, KeyChange, MAX_POSITION, What};

const REPEAT: RepeatTicks = RepeatTicks {
    delay: 400,
    interval: 33,
};
const A: u16 = 30;
const SHIFT: u16 = 42;

fn seat() -> Seat {
    let mut seat = Seat::new(Keymap::Us, REPEAT);
    seat.listen(0);
    seat
}

fn take(seat: &mut Seat) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = seat.next() {
        events.push(*event);
        seat.sent();
    }
    events
}

/// Code, change and character of key events.
fn keys(events: &[Event]) -> Vec<(u16, KeyChange, Option<Key>)> {
    let key = |event: &Event| match event.what {
        What::Key {
            code,
            change,
            press,
            ..
        } => (code, change, press.map(|press| press.key)),
        other => panic!("no key: {other:?}"),
    };
    events.iter().map(key).collect()
}

#[test]
fn scan_codes_become_numbers_changes_and_meanings() {
    let mut seat = seat();
    let mut ps2 = Ps2::new(None, 100);
    // A with shift, which the keyboard repeats; Pause; Print Screen with its false shift; arrow up.
    let bytes = [
        0x2a, 0x1e, 0x1e, 0x1e, 0x9e, 0xaa, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5, 0xe0, 0x2a, 0xe0,
        0x37, 0xe0, 0xb7, 0xe0, 0xaa, 0xe0, 0x48, 0xe0, 0xc8,
    ];
    for (at, byte) in (0..).zip(bytes) {
        ps2.byte(&mut seat, Port::First, byte, at);
    }
    let events = take(&mut seat);
    use KeyChange::{Down, Up};
    let expected = [
        (SHIFT, Down, None),
        (A, Down, Some(Key::Char('A'))),
        (A, Up, None),
        (SHIFT, Up, None),
        (119, Down, None),
        (119, Up, None),
        (99, Down, None),
        (99, Up, None),
        (103, Down, Some(Key::Up)),
        (103, Up, None),
    ];
    assert_eq!(keys(&events), expected);
    assert_eq!((events[0].time_ticks, events[1].time_ticks), (0, 1));
    let shift = Modifiers {
        shift: true,
        ..Modifiers::default()
    };
    assert!(matches!(events[2].what, What::Key { modifiers, .. } if modifiers == shift));
}

#[test]
fn the_last_key_repeats_until_it_is_released() {
    let mut seat = seat();
    seat.key(0, SHIFT, true, 0);
    assert_eq!(seat.repeats_at(), None);
    seat.key(0, A, true, 10);
    seat.key(0, 31, true, 20);
    take(&mut seat);
    assert_eq!(seat.repeats_at(), Some(420));
    seat.repeat(419);
    assert_eq!(take(&mut seat), []);
    seat.repeat(420);
    assert_eq!(seat.repeats_at(), Some(453));
    let repeated = (31, KeyChange::Repeat, Some(Key::Char('S')));
    assert_eq!(keys(&take(&mut seat)), [repeated]);
    // Much too late: one, not many.
    seat.repeat(1000);
    assert_eq!(seat.repeats_at(), Some(1033));
    // Nor any more while the last one waits for the listener.
    seat.repeat(1033);
    assert_eq!(keys(&take(&mut seat)), [repeated]);
    // Another key's release stops nothing, its own does.
    seat.key(0, A, false, 1034);
    assert_eq!(seat.repeats_at(), Some(1066));
    seat.key(0, 31, false, 1035);
    assert_eq!(seat.repeats_at(), None);
    seat.set_repeat(RepeatTicks {
        interval: 0,
        ..REPEAT
    });
    seat.key(0, A, true, 1010);
    assert_eq!(seat.repeats_at(), None);
}

#[test]
fn the_layout_changes_while_keys_are_down() {
    let mut seat = seat();
    seat.key(0, SHIFT, true, 0);
    for (keymap, character) in [
        (Keymap::Us, 'Y'),
        (Keymap::De, 'Z'),
        (Keymap::Us, 'Y'),
        (Keymap::Dvorak, 'F'),
    ] {
        seat.set_keymap(keymap);
        take(&mut seat);
        seat.key(0, 21, true, 0);
        seat.key(0, 21, false, 0);
        let expected = (21, KeyChange::Down, Some(Key::Char(character)));
        assert_eq!(keys(&take(&mut seat))[0], expected);
    }
}

#[test]
fn what_is_down_survives_an_instance() {
    let mut first = seat();
    first.key(0, 58, true, 1);
    first.key(0, 58, false, 2);
    first.key(0, A, true, 3);
    first.button(1, Button::Right, true, 4);
    let mut saved = Saved::new(Keymap::De);
    saved.controller = Some(Some(Mouse::Wheel));
    saved.repeat_ms = (250, 40);
    assert!(first.save(&mut saved));
    assert!(!first.save(&mut saved));
    let read = Saved::from_bytes(&saved.to_bytes());
    assert_eq!(read, Some(saved));
    assert_eq!(Saved::from_bytes(&[0; SAVED_BYTES]), None);

    let mut next = Seat::new(Keymap::De, REPEAT);
    next.restore(&saved, 1000);
    assert_eq!(next.repeats_at(), Some(1400));
    next.listen(1001);
    let events = take(&mut next);
    assert_eq!(keys(&events[..1]), [(A, KeyChange::Held, None)]);
    let (button, pressed) = (Button::Right, true);
    assert_eq!(events[1].what, What::Button { button, pressed });
    assert_eq!(events.len(), 2);
    // The keyboard's own repetition of the held key says nothing, its release does; Caps Lock is on.
    next.key(0, A, true, 1002);
    next.key(0, A, false, 1003);
    next.key(0, 31, true, 1004);
    let expected = [
        (A, KeyChange::Up, None),
        (31, KeyChange::Down, Some(Key::Char('S'))),
    ];
    assert_eq!(keys(&take(&mut next)), expected);
}

#[test]
fn a_device_that_goes_releases_what_was_held_on_it() {
    let mut seat = seat();
    seat.key(3, A, true, 0);
    seat.key(0, 31, true, 0);
    seat.button(3, Button::Left, true, 0);
    take(&mut seat);
    assert!(seat.release(3, 9));
    let events = take(&mut seat);
    assert_eq!(keys(&events[..1]), [(A, KeyChange::Up, None)]);
    let (button, pressed) = (Button::Left, false);
    assert_eq!(events[1].what, What::Button { button, pressed });
    assert_eq!(events.len(), 2);
}

#[test]
fn a_mouse_packet_is_motion_buttons_and_wheel() {
    let mut seat = seat();
    let packet = Packet {
        stamp_ticks: 7,
        right: 3,
        down: -2,
        wheel_down: 1,
        buttons: Buttons {
            left: true,
            fourth: true,
            ..Buttons::default()
        },
    };
    seat.packet(1, &packet);
    seat.packet(1, &Packet::default());
    let what: Vec<What> = take(&mut seat)
        .into_iter()
        .map(|event| event.what)
        .collect();
    let button = |button, pressed| What::Button { button, pressed };
    let expected = [
        What::Motion { dx: 3, dy: -2 },
        button(Button::Left, true),
        button(Button::Back, true),
        What::Wheel { down: 1, right: 0 },
        button(Button::Left, false),
        button(Button::Back, false),
    ];
    assert_eq!(what, expected);
}

#[test]
fn a_tablet_says_where_and_then_what() {
    let mut seat = seat();
    let axis = Range { min: 0, max: 1000 };
    let mut tablet = Device::new(4, [axis; 2]);
    let raw = [
        (3, 0, 500),
        (3, 1, 5000),
        (1, 0x110, 1),
        (0, 0, 0),
        (2, 8, 1),
        (2, 0, u32::MAX),
        (0, 0, 0),
        (77, 1, 1),
        (1, 0xffff, 1),
    ];
    for (kind, code, value) in raw {
        tablet.event(&mut seat, RawEvent { kind, code, value }, 5);
    }
    let what: Vec<What> = take(&mut seat)
        .into_iter()
        .map(|event| event.what)
        .collect();
    let middle = MAX_POSITION / 2;
    let expected = [
        What::Position {
            x: middle,
            y: MAX_POSITION,
        },
        What::Button {
            button: Button::Left,
            pressed: true,
        },
        What::Motion { dx: -1, dy: 0 },
        What::Wheel { down: -1, right: 0 },
    ];
    assert_eq!(what, expected);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Key(u16, bool),
    Button(bool),
    Motion(i16),
    Position(u16),
    Wheel(i8),
    /// So many events are taken by the listener.
    Take(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u16..200, any::<bool>()).prop_map(|(code, down)| Step::Key(code, down)),
        any::<bool>().prop_map(Step::Button),
        any::<i16>().prop_map(Step::Motion),
        any::<u16>().prop_map(Step::Position),
        any::<i8>().prop_map(Step::Wheel),
        (0_usize..4).prop_map(Step::Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn keys_and_buttons_are_never_lost_or_reordered(steps in proptest::collection::vec(any_step(), 0..1500)) {
        let mut seat = seat();
        let mut got = Vec::new();
        let mut sent = Vec::new();
        let mut down = [false; 256];
        let mut pressed = false;
        for step in steps {
            // A device is not read while there is no room.
            if !seat.has_room() && !matches!(step, Step::Take(_)) {
                continue;
            }
            match step {
                Step::Key(code, is_down) => {
                    seat.key(0, code, is_down, 0);
                    if down[usize::from(code)] != is_down {
                        down[usize::from(code)] = is_down;
                        sent.push((code, is_down));
                    }
                }
                Step::Button(is_down) => {
                    seat.button(1, Button::Left, is_down, 0);
                    if pressed != is_down {
                        pressed = is_down;
                        sent.push((0, is_down));
                    }
                }
                Step::Motion(dx) => seat.motion(1, dx, 1, 0),
                Step::Position(x) => seat.position(2, x, 0, 0),
                Step::Wheel(down) => seat.wheel(1, down, 0, 0),
                Step::Take(count) => {
                    for _ in 0..count {
                        got.extend(seat.next().copied());
                        seat.sent();
                    }
                }
            }
        }
        got.extend(take(&mut seat));
        let got: Vec<(u16, bool)> = got.iter().filter_map(|event| match event.what {
            What::Key { code, change, .. } => Some((code, change == KeyChange::Down)),
            What::Button { pressed, .. } => Some((0, pressed)),
            _ => None,
        }).collect();
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn any_bytes_and_events_are_harmless(
        bytes in proptest::collection::vec(any::<(bool, u8, u32)>(), 0..300),
        events in proptest::collection::vec((0_u16..5, any::<u16>(), any::<u32>()), 0..300),
        range in any::<(u32, u32)>(),
    ) {
        let mut seat = seat();
        let mut ps2 = Ps2::new(Some(Mouse::FiveButtons), 100);
        for (first, byte, at) in bytes {
            let port = if first { Port::First } else { Port::Second };
            ps2.byte(&mut seat, port, byte, at.into());
            seat.repeat(at.into());
        }
        let axis = Range { min: range.0, max: range.1 };
        let mut device = Device::new(15, [axis; 2]);
        for (kind, code, value) in events {
            device.event(&mut seat, RawEvent { kind, code, value }, 0);
        }
        for event in take(&mut seat) {
            if let What::Position { x, y } = event.what {
                prop_assert!(x <= MAX_POSITION && y <= MAX_POSITION);
            }
        }
    }
}
