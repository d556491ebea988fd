//! What is refused.

use proto::window::{Demand, Event, Keepsake, Kind, Look, Part, Rate, Request, Size, Theme, Title};

use crate::bench::*;

#[test]
fn what_only_the_desktop_may_is_refused_to_others() {
    let mut bench = Bench::new();
    let program = bench.program(false);
    bench.ask(program, open(1, 100, 100));
    let with = |kind| Look {
        kind,
        ..Look::default()
    };
    let open_as = |kind| Request::Open {
        window: 2,
        title: Title::new(),
        size: Size {
            width: 9,
            height: 9,
        },
        look: with(kind),
        keepsake: Keepsake::default(),
    };
    let present = |configuration, buffer| Request::Present {
        window: 1,
        serial: 0,
        configuration,
        buffer,
        damage: Part::default(),
        target_ns: 0,
    };
    let refused = [
        Request::List,
        Request::Demand {
            window: 1,
            demand: Demand::Close,
        },
        Request::SetTheme(Theme::Light),
        Request::SetRate(Rate::Fixed(120)),
        Request::ToggleOverlay,
        open_as(Kind::Panel),
        open_as(Kind::Background),
        open_as(Kind::Menu),
        open(1, 100, 100),
        open(2, 0, 5),
        Request::Close { window: 9 },
        present(1, 2),
    ];
    for request in refused {
        bench.events(program);
        bench.ask(program, request.clone());
        let events = bench.events(program);
        assert!(
            matches!(events[..], [Event::Refused { .. }]),
            "{request:?}: {events:?}"
        );
    }
    assert!(!bench.desk.has_overlay());
}

#[test]
fn sizes_and_numbers_have_limits() {
    let mut bench = Bench::new();
    let program = bench.program(false);
    bench.ask(program, open(1, 8192, 8192));
    let events = bench.events(program);
    assert!(
        matches!(events.last(), Some(Event::Refused { window: 1, .. })),
        "{events:?}"
    );
    let fixed = Look {
        fixed: true,
        ..Look::default()
    };
    bench.ask(
        program,
        Request::Open {
            window: 1,
            title: Title::new(),
            size: Size {
                width: 1,
                height: 1,
            },
            look: fixed,
            keepsake: Keepsake::default(),
        },
    );
    bench.frame();
    assert_eq!(
        bench.size(program, 1),
        Size {
            width: 1,
            height: 1
        }
    );
    bench.ask(program, open(2, u16::MAX, 40));
    assert_eq!(
        bench.size(program, 2),
        Size {
            width: 8192,
            height: 48
        }
    );
    for window in 3..300 {
        bench.ask(program, open(window, 90, 90));
    }
    assert_eq!(bench.programs[&program].configurations.len(), 256);
    bench.frame();
    bench.desk.disconnect(program);
    bench.work();
    bench.frame();
    assert!(bench.memory.pictures.is_empty());
}
