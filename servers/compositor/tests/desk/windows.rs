//! Windows are shown, moved, resized, maximised, and found again by the next compositor.

use std::cell::RefCell;
use std::collections::BTreeSet;

use compositor::{Painter, PictureKey, Pictures, Scene};
use draw::{Canvas, Pixel, Rect};
use proto::key::Modifiers;
use proto::window::{Demand, Event, Extent, Keepsake, Kind, Look, Request, Size, Title};

use crate::bench::*;

#[test]
fn a_window_is_shown_moved_resized_and_closed() {
    let mut bench = Bench::new();
    let program = bench.program(false);
    bench.ask(program, open(1, 200, 100));
    bench.frame();
    let place = bench.place(program, 1);
    assert_eq!((place.width(), place.height()), (200, 100));
    let title = (place.left + 20, place.top - 10);
    bench.drag(title, (title.0 + 40, title.1 + 30));
    bench.frame();
    let moved = bench.place(program, 1);
    assert!(
        (moved.left - place.left - 40).abs() <= 1 && (moved.top - place.top - 30).abs() <= 1,
        "{moved:?}"
    );
    bench.drag(
        (moved.right + 2, moved.bottom + 2),
        (moved.right + 52, moved.bottom + 22),
    );
    bench.frame();
    let size = bench.size(program, 1);
    assert!(
        (248..=252).contains(&size.width) && (118..=122).contains(&size.height),
        "{size:?}"
    );
    bench.events(program);
    bench.click(moved.right + 30, moved.top - 15);
    assert!(
        bench
            .events(program)
            .contains(&Event::CloseAsked { window: 1 })
    );
    bench.ask(program, Request::Close { window: 1 });
    bench.frame();
    assert!(bench.memory.pictures.is_empty());
}

#[test]
fn maximising_snapping_and_minimising() {
    let mut bench = Bench::new();
    let desktop = bench.program(true);
    let panel = Look {
        kind: Kind::Panel,
        ..Look::default()
    };
    let panel = Request::Open {
        window: 1,
        title: Title::new(),
        size: Size {
            width: 1,
            height: 40,
        },
        look: panel,
        keepsake: Keepsake::default(),
    };
    bench.ask(desktop, panel);
    let program = bench.program(false);
    bench.ask(program, open(1, 200, 100));
    bench.frame();
    assert_eq!(
        bench.size(desktop, 1),
        Size {
            width: 640,
            height: 40
        }
    );
    // To all of the screen, to its half, and back.
    for (code, width, height) in [
        (103, 638, 480 - 40 - 32),
        (105, 318, 480 - 40 - 32),
        (105, 200, 100),
    ] {
        bench.key(code, LOGO);
        bench.frame();
        assert_eq!(bench.size(program, 1), Size { width, height });
    }
    let place = bench.place(program, 1);
    bench.drag((place.left + 20, place.top - 10), (639, 200));
    bench.frame();
    assert_eq!(bench.size(program, 1).width, 318);
    bench.ask(
        program,
        Request::SetExtent {
            window: 1,
            extent: Extent::FullScreen,
        },
    );
    bench.frame();
    assert_eq!(bench.size(program, 1), SCREEN);
    assert_eq!(bench.place(program, 1), Rect::new(0, 0, 640, 480));
    bench.ask(
        program,
        Request::SetExtent {
            window: 1,
            extent: Extent::Floating,
        },
    );
    bench.frame();
    bench.events(program);
    bench.key(108, LOGO);
    bench.frame();
    assert!(bench.events(program).contains(&Event::Visible {
        window: 1,
        visible: false
    }));
    assert!(bench.place(program, 1).is_empty());
    // The desktop brings it back.
    bench.ask(desktop, Request::List);
    let listed = bench
        .events(desktop)
        .into_iter()
        .find_map(|event| match event {
            Event::Listed {
                window,
                minimised: true,
                ..
            } => Some(window),
            _ => None,
        });
    bench.ask(
        desktop,
        Request::Demand {
            window: listed.expect("listed"),
            demand: Demand::Raise,
        },
    );
    bench.frame();
    assert!(!bench.place(program, 1).is_empty());
}

#[test]
fn the_next_compositor_puts_windows_where_they_were() {
    let mut bench = Bench::new();
    let program = bench.program(false);
    for window in 1..=3 {
        bench.ask(program, open(window, 150, 100));
    }
    bench.frame();
    bench.drag((300, 1), (301, 1));
    bench.key(
        105,
        Modifiers {
            logo: true,
            shift: true,
            ..NONE
        },
    );
    bench.key(15, ALT);
    bench.frame();
    let keepsakes: Vec<_> = (1..=3)
        .map(|window| bench.programs[&program].configurations[&window].3)
        .collect();
    let places: Vec<_> = (1..=3).map(|window| bench.place(program, window)).collect();
    let mut record = Vec::new();
    let start = bench.desk.keep(4, &mut record).expect("changed");
    assert_eq!(bench.desk.keep(5, &mut Vec::new()), None);
    let mut state = vec![0; compositor::keep::STATE_BYTES];
    state[start..start + record.len()].copy_from_slice(&record);
    let (number, kept) = compositor::keep::read(&state);
    assert_eq!((number, kept.len()), (5, 3));

    let mut next = Bench::after(kept);
    let program = next.program(false);
    // In another order than before.
    for window in [3, 1, 2] {
        let Request::Open {
            title, size, look, ..
        } = open(window, 150, 100)
        else {
            unreachable!()
        };
        let keepsake = keepsakes[window as usize - 1];
        next.ask(
            program,
            Request::Open {
                window,
                title,
                size,
                look,
                keepsake,
            },
        );
    }
    next.frame();
    let again: Vec<_> = (1..=3).map(|window| next.place(program, window)).collect();
    assert_eq!(again, places);
    next.events(program);
    next.key(30, NONE);
    assert!(matches!(
        next.events(program)[..],
        [Event::Key { window: 1, .. }, ..]
    ));
}

/// Notes which pictures are looked at.
struct Noting<'a>(&'a Memory, RefCell<BTreeSet<PictureKey>>);

impl Pictures for Noting<'_> {
    fn row(&self, key: PictureKey, buffer: u8, size: Size, x: u16, y: u16, to: &mut [Pixel]) {
        self.1.borrow_mut().insert(key);
        self.0.row(key, buffer, size, x, y, to);
    }
}

#[test]
fn what_is_covered_is_not_looked_at() {
    let mut bench = Bench::new();
    let program = bench.program(false);
    for window in 1..=3 {
        bench.ask(program, open(window, 200, 150));
    }
    bench.frame();
    let looked_at = |bench: &Bench| {
        let whole = Rect::new(0, 0, 640, 480);
        let mut scene = Scene::default();
        bench.desk.scene(&[whole], &mut scene);
        let noting = Noting(&bench.memory, RefCell::default());
        let mut pixels = vec![0; 640 * 480];
        let mut canvas = Canvas::new(&mut pixels, 640, 480);
        Painter::new().compose(&scene, &whole, &mut canvas, &noting);
        noting.1.into_inner()
    };
    assert_eq!(looked_at(&bench).len(), 3);
    let extent = Extent::FullScreen;
    bench.ask(program, Request::SetExtent { window: 3, extent });
    bench.frame();
    let (_, _, whole, _) = bench.programs[&program].configurations[&3];
    assert_eq!(looked_at(&bench), BTreeSet::from([whole]));
}
