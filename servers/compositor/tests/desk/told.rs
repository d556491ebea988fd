//! Who is told of what: keys, the pointer, frames.

use compositor::Wanted;
use proto::input::{KeyChange, What};
use proto::window::{Event, Late, PointerWhat, Request};

use crate::bench::*;

#[test]
fn keys_go_to_the_focus_alone() {
    let mut bench = Bench::new();
    let one = bench.program(false);
    let other = bench.program(false);
    bench.ask(one, open(1, 150, 100));
    bench.ask(other, open(1, 150, 100));
    bench.frame();
    for client in [one, other] {
        bench.events(client);
    }
    let keys = |events: Vec<Event>| {
        events
            .iter()
            .filter(|event| matches!(event, Event::Key { .. }))
            .count()
    };
    bench.key(30, NONE);
    assert_eq!((keys(bench.events(one)), keys(bench.events(other))), (0, 2));
    bench.key(15, ALT);
    bench.key(30, NONE);
    assert_eq!((keys(bench.events(one)), keys(bench.events(other))), (2, 0));
    // The release of a key goes where its press went.
    let down = What::Key {
        code: 31,
        change: KeyChange::Down,
        press: None,
        modifiers: NONE,
    };
    bench.input(down);
    bench.key(15, ALT);
    bench.input(What::Key {
        code: 31,
        change: KeyChange::Repeat,
        press: None,
        modifiers: NONE,
    });
    bench.input(What::Key {
        code: 31,
        change: KeyChange::Up,
        press: None,
        modifiers: NONE,
    });
    assert_eq!((keys(bench.events(one)), keys(bench.events(other))), (2, 0));
    assert!(bench.desk.has_focus(other) && !bench.desk.has_focus(one));
}

#[test]
fn a_pointer_is_told_to_who_is_under_it() {
    let mut bench = Bench::new();
    let program = bench.program(false);
    let spy = bench.program(false);
    bench.ask(spy, open(7, 100, 80));
    bench.ask(program, open(1, 200, 100));
    bench.frame();
    let place = bench.place(program, 1);
    bench.events(spy);
    bench.point(place.left + 10, place.top + 20);
    bench.input(What::Wheel { down: 1, right: 0 });
    let told = bench.events(program);
    let Some(Event::Pointer {
        x,
        y,
        what: PointerWhat::Moved,
        ..
    }) = told
        .iter()
        .find(|event| matches!(event, Event::Pointer { .. }))
    else {
        panic!("{told:?}");
    };
    assert!((9..=11).contains(x) && (19..=21).contains(y));
    assert!(matches!(
        told.last(),
        Some(Event::Pointer {
            what: PointerWhat::Wheel { down: 1, .. },
            ..
        })
    ));
    // Pressed in it, it is told of the pointer outside too, until it is released.
    bench.drag(
        (place.left + 10, place.top + 10),
        (place.left - 60, place.top - 60),
    );
    let told = bench.events(program);
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Pointer { x: ..-50, .. })),
        "{told:?}"
    );
    assert!(
        bench
            .events(spy)
            .iter()
            .all(|event| !matches!(event, Event::Pointer { .. } | Event::Key { .. }))
    );
}

#[test]
fn a_picture_on_the_screen_is_not_painted_over() {
    let mut bench = Bench::new();
    let program = bench.program(false);
    bench.ask(program, open(1, 100, 100));
    bench.frame();
    bench.events(program);
    bench.paint(program, 1, 0);
    bench.work();
    assert!(matches!(bench.events(program)[..], [Event::Refused { .. }]));
    bench.paint(program, 1, 1);
    bench.paint(program, 1, 1);
    bench.work();
    assert!(matches!(bench.events(program)[..], [Event::Refused { .. }]));
    bench.frame();
    assert!(matches!(
        bench.events(program)[..],
        [Event::Presented { .. }]
    ));
}

#[test]
fn lateness_and_input_are_told() {
    let mut bench = Bench::new();
    let program = bench.program(false);
    bench.ask(program, open(1, 100, 100));
    bench.frame();
    bench.events(program);
    bench.key(30, NONE);
    bench.paint(program, 1, 1);
    bench.desk.frame(u64::MAX, |_| false);
    let answered = bench.desk.shown(7, 8, Some(Late::Started), |_| 42);
    bench.work();
    assert!(answered.is_some());
    let events = bench.events(program);
    let Some(Event::Presented {
        since_input_ns: 42,
        shown_ns: 7,
        late: Some(Late::Started),
        ..
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    // A picture for later waits for its time.
    let (configuration, size, ..) = bench.programs[&program].configurations[&1];
    bench.ask(
        program,
        Request::Present {
            window: 1,
            serial: 9,
            configuration,
            buffer: 0,
            damage: size.whole(),
            target_ns: 500,
        },
    );
    let wanted = Wanted {
        from_ns: 500,
        leading_ns: Some(500),
    };
    assert_eq!(bench.desk.wanted(|_| 3), Some(wanted));
    bench.desk.frame(499, |_| false);
    bench.desk.shown(499, 0, None, |_| 0);
    bench.work();
    assert!(bench.events(program).is_empty());
    bench.desk.frame(500, |_| false);
    bench.desk.shown(500, 0, None, |_| 0);
    bench.work();
    assert!(matches!(
        bench.events(program)[..],
        [Event::Presented { serial: 9, .. }]
    ));
}
