//! The desk with programs that behave and programs that do not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use compositor::compose::strips;
use compositor::{ClientId, Desk, Effect, Painter, PictureKey, Pictures, Scene, Wanted};
use draw::{Canvas, Pixel, Rect, rgb};
use proptest::prelude::*;
use proto::input::{self, Button, KeyChange, What};
use proto::key::{Key, KeyPress, Modifiers};
use proto::window::{
    Demand, Event, Extent, Keepsake, Kind, Late, Look, Part, PointerWhat, Rate, Request, Size,
    Theme, Title, WindowId,
};

const SCREEN: Size = Size {
    width: 640,
    height: 480,
};

fn keepsake() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Relaxed))
}

/// Pictures of one colour, which says window and buffer.
#[derive(Default)]
struct Memory {
    pictures: BTreeMap<PictureKey, [Pixel; 2]>,
}

impl Pictures for Memory {
    fn row(&self, pictures: PictureKey, buffer: u8, _: Size, _: u16, _: u16, to: &mut [Pixel]) {
        to.fill(self.pictures[&pictures][usize::from(buffer)]);
    }
}

/// A program that paints each picture it is given at once.
#[derive(Default)]
struct Program {
    configurations: BTreeMap<WindowId, (u32, Size, PictureKey, Keepsake)>,
    serial: u32,
    events: Vec<Event>,
}

struct Bench {
    desk: Desk,
    memory: Memory,
    programs: BTreeMap<ClientId, Program>,
    screen: Vec<Pixel>,
    paints: bool,
    ticks: u64,
}

impl Bench {
    fn new() -> Self {
        Self::after(Vec::new())
    }

    fn after(kept: Vec<compositor::keep::Kept>) -> Self {
        Self {
            desk: Desk::new(SCREEN, 16_666_666, kept, keepsake),
            memory: Memory::default(),
            programs: BTreeMap::new(),
            screen: vec![0; usize::from(SCREEN.width) * usize::from(SCREEN.height)],
            paints: true,
            ticks: 0,
        }
    }

    fn program(&mut self, is_desktop: bool) -> ClientId {
        let client = self.desk.connect(is_desktop);
        self.programs.insert(client, Program::default());
        self.work();
        client
    }

    fn ask(&mut self, client: ClientId, request: Request) {
        self.desk.request(client, request);
        self.work();
    }

    /// Does what the desk wants, and the programs what it tells them.
    fn work(&mut self) {
        loop {
            let effects = self.desk.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.carry_out(effect);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { client, event } => {
                if let Some(program) = self.programs.get_mut(&client) {
                    program.events.push(event);
                }
            }
            Effect::MakePictures {
                client,
                pictures,
                size,
                event,
                ..
            } => {
                assert!(
                    self.memory.pictures.insert(pictures, [0; 2]).is_none(),
                    "keys are new"
                );
                let Event::Configured {
                    window,
                    configuration,
                    size: told,
                    keepsake,
                    ..
                } = event
                else {
                    panic!("{event:?}");
                };
                assert_eq!(size, told);
                if let Some(program) = self.programs.get_mut(&client) {
                    program
                        .configurations
                        .insert(window, (configuration, size, pictures, keepsake));
                    program.events.push(event);
                }
                if self.paints {
                    self.paint(client, window, 0);
                }
            }
            Effect::DropPictures(pictures) => {
                assert!(
                    self.memory.pictures.remove(&pictures).is_some(),
                    "dropped once"
                );
            }
            Effect::SetKeymap(_) | Effect::SetRate(_) | Effect::Measure { .. } => {}
        }
    }

    fn paint(&mut self, client: ClientId, window: WindowId, buffer: u8) {
        let program = self.programs.get_mut(&client).expect("there");
        let Some((configuration, size, pictures, _)) = program.configurations.get(&window).copied()
        else {
            return;
        };
        program.serial += 1;
        let serial = program.serial;
        let request = Request::Present {
            window,
            serial,
            configuration,
            buffer,
            damage: size.whole(),
            target_ns: 0,
        };
        self.desk.request(client, request);
        // Who behaves does not paint what is on the screen.
        let effects = self.desk.take_effects();
        let is_refused = effects.iter().any(|effect| {
            matches!(
                effect,
                Effect::Send {
                    event: Event::Refused { .. },
                    ..
                }
            )
        });
        if !is_refused && let Some(colours) = self.memory.pictures.get_mut(&pictures) {
            colours[usize::from(buffer)] =
                rgb((client * 0x31_00 + window * 0x20_0000 + serial * 0x11) & 0xff_ffff);
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    /// A frame; only what changed is composed.
    fn frame(&mut self) {
        let (parts, memory, screen) = (
            self.desk.frame(u64::MAX, |_| false).parts,
            &self.memory,
            &mut self.screen,
        );
        for part in parts {
            let composed = compose(&mut self.desk, memory, &part);
            let rows = composed.chunks(part.width() as usize);
            for (row, y) in rows.zip(part.top..) {
                let start = y as usize * usize::from(SCREEN.width) + part.left as usize;
                screen[start..start + row.len()].copy_from_slice(row);
            }
        }
        self.desk.shown(5, 10, None, |ticks| 1000 - ticks.min(1000));
        self.work();
    }

    fn at(&self, x: i32, y: i32) -> Pixel {
        self.screen[y as usize * usize::from(SCREEN.width) + x as usize]
    }

    fn input(&mut self, what: What) {
        self.ticks += 1_000_000;
        self.desk.input(&input::Event {
            time_ticks: self.ticks,
            device: 0,
            what,
        });
        self.work();
    }

    fn point(&mut self, x: i32, y: i32) {
        let scaled =
            |part: i32, side: u16| (part * 0x7fff / (i32::from(side) - 1) + 1).min(0x7fff) as u16;
        self.input(What::Position {
            x: scaled(x, SCREEN.width),
            y: scaled(y, SCREEN.height),
        });
    }

    fn click(&mut self, x: i32, y: i32) {
        self.point(x, y);
        self.input(What::Button {
            button: Button::Left,
            pressed: true,
        });
        self.input(What::Button {
            button: Button::Left,
            pressed: false,
        });
    }

    fn drag(&mut self, from: (i32, i32), to: (i32, i32)) {
        self.point(from.0, from.1);
        self.input(What::Button {
            button: Button::Left,
            pressed: true,
        });
        self.point((from.0 + to.0) / 2, (from.1 + to.1) / 2);
        self.point(to.0, to.1);
        self.input(What::Button {
            button: Button::Left,
            pressed: false,
        });
    }

    fn key(&mut self, code: u16, modifiers: Modifiers) {
        let press = Some(KeyPress {
            key: Key::Char('k'),
            modifiers,
        });
        self.input(What::Key {
            code,
            change: KeyChange::Down,
            press,
            modifiers,
        });
        self.input(What::Key {
            code,
            change: KeyChange::Up,
            press: None,
            modifiers,
        });
    }

    fn events(&mut self, client: ClientId) -> Vec<Event> {
        core::mem::take(&mut self.programs.get_mut(&client).expect("there").events)
    }

    fn size(&self, client: ClientId, window: WindowId) -> Size {
        self.programs[&client].configurations[&window].1
    }

    /// The part of the screen that has a window's colour.
    fn place(&self, client: ClientId, window: WindowId) -> Rect {
        let (_, _, pictures, _) = self.programs[&client].configurations[&window];
        let colours = self.memory.pictures[&pictures];
        let mut found = Rect::EMPTY;
        for y in 0..i32::from(SCREEN.height) {
            for x in 0..i32::from(SCREEN.width) {
                if colours.contains(&self.at(x, y)) {
                    found = found.hull(&Rect::new(x, y, 1, 1));
                }
            }
        }
        found
    }
}

thread_local! {
    static PAINTER: RefCell<Painter> = RefCell::new(Painter::new());
}

fn compose(desk: &mut Desk, memory: &Memory, part: &Rect) -> Vec<Pixel> {
    let mut pixels = vec![rgb(0x00ff_00ff); part.area() as usize];
    let (width, height) = (part.width() as u32, part.height() as u32);
    let mut canvas = Canvas::new(&mut pixels, width, height).with_origin(part.left, part.top);
    let mut scene = Scene::default();
    desk.scene(&[*part], &mut scene);
    PAINTER.with_borrow_mut(|painter| {
        for strip in strips(part) {
            painter.compose(&scene, &strip, &mut canvas.clipped(&strip), memory);
        }
    });
    pixels
}

fn open(window: WindowId, width: u16, height: u16) -> Request {
    Request::Open {
        window,
        title: Title::from_start("a window"),
        size: Size { width, height },
        look: Look::default(),
        keepsake: Keepsake::default(),
    }
}

const NONE: Modifiers = Modifiers {
    shift: false,
    alt: false,
    control: false,
    logo: false,
};
const ALT: Modifiers = Modifiers { alt: true, ..NONE };
const LOGO: Modifiers = Modifiers { logo: true, ..NONE };

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
    bench.key(103, LOGO);
    bench.frame();
    assert_eq!(
        bench.size(program, 1),
        Size {
            width: 638,
            height: 480 - 40 - 32
        }
    );
    bench.key(105, LOGO);
    bench.frame();
    assert_eq!(
        bench.size(program, 1),
        Size {
            width: 318,
            height: 480 - 40 - 32
        }
    );
    bench.key(105, LOGO);
    bench.frame();
    assert_eq!(
        bench.size(program, 1),
        Size {
            width: 200,
            height: 100
        }
    );
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

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, Request),
    Input(What),
    Paint(u8, WindowId, u8),
    Frame,
    Leave(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let window = 0..4_u32;
    let size = (1..700_u16, 1..500_u16).prop_map(|(width, height)| Size { width, height });
    let extent = prop_oneof![
        Just(Extent::Floating),
        Just(Extent::Maximised),
        Just(Extent::LeftHalf),
        Just(Extent::RightHalf),
        Just(Extent::FullScreen)
    ];
    let kind = prop_oneof![6 => Just(Kind::Normal), 1 => Just(Kind::Panel), 1 => Just(Kind::Background), 1 => Just(Kind::Menu)];
    let look = (kind, any::<bool>(), any::<bool>()).prop_map(|(kind, alpha, fixed)| Look {
        kind,
        alpha,
        fixed,
        smallest: Size::default(),
    });
    let request = prop_oneof![
        4 => (window.clone(), size, look).prop_map(|(window, size, look)| Request::Open { window, title: Title::from_start("xyz"), size, look, keepsake: Keepsake::default() }),
        1 => window.clone().prop_map(|window| Request::Close { window }),
        1 => window.clone().prop_map(|window| Request::Minimise { window }),
        1 => window.clone().prop_map(|window| Request::SetTitle { window, title: Title::from_start("another") }),
        2 => (window.clone(), extent).prop_map(|(window, extent)| Request::SetExtent { window, extent }),
        1 => (0..9_u32, prop_oneof![Just(Demand::Raise), Just(Demand::Minimise), Just(Demand::Close)]).prop_map(|(window, demand)| Request::Demand { window, demand }),
        1 => Just(Request::SetTheme(Theme::Light)),
        1 => Just(Request::ToggleOverlay),
    ];
    let modifiers = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(shift, alt, control, logo)| Modifiers {
            shift,
            alt,
            control,
            logo,
        },
    );
    let change = prop_oneof![
        Just(KeyChange::Down),
        Just(KeyChange::Up),
        Just(KeyChange::Repeat),
        Just(KeyChange::Held)
    ];
    let code = prop_oneof![
        Just(15_u16),
        Just(62),
        Just(88),
        Just(103),
        Just(105),
        Just(106),
        Just(108),
        Just(125),
        Just(30)
    ];
    let what = prop_oneof![
        4 => (0..0x8000_u16, 0..0x8000_u16).prop_map(|(x, y)| What::Position { x, y }),
        2 => (-90..90_i16, -90..90_i16).prop_map(|(dx, dy)| What::Motion { dx, dy }),
        4 => any::<bool>().prop_map(|pressed| What::Button { button: Button::Left, pressed }),
        1 => any::<bool>().prop_map(|pressed| What::Button { button: Button::Right, pressed }),
        3 => (code, change, modifiers).prop_map(|(code, change, modifiers)| What::Key { code, change, press: None, modifiers }),
        1 => Just(What::Wheel { down: 1, right: 0 }),
    ];
    prop_oneof![
        5 => (0..3_u8, request).prop_map(|(program, request)| Step::Ask(program, request)),
        8 => what.prop_map(Step::Input),
        3 => (0..3_u8, window, 0..2_u8).prop_map(|(program, window, buffer)| Step::Paint(program, window, buffer)),
        4 => Just(Step::Frame),
        1 => (0..3_u8).prop_map(Step::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever programs and people do, composing what changed gives the same picture as composing everything.
    #[test]
    fn the_damage_is_all_that_changed(steps in proptest::collection::vec(any_step(), 1..60), paints: bool) {
        let mut bench = Bench::new();
        bench.paints = paints;
        let mut programs = [bench.program(true), bench.program(false), bench.program(false)];
        for step in steps {
            match step {
                Step::Ask(program, request) => bench.ask(programs[usize::from(program)], request),
                Step::Input(what) => bench.input(what),
                Step::Paint(program, window, buffer) => {
                    bench.paint(programs[usize::from(program)], window, buffer);
                    bench.work();
                }
                Step::Frame => {
                    bench.frame();
                    let whole = Rect::new(0, 0, 640, 480);
                    let expected = compose(&mut bench.desk, &bench.memory, &whole);
                    let first = bench.screen.iter().zip(&expected).position(|(one, other)| one != other);
                    prop_assert_eq!(first.map(|at| (at % 640, at / 640)), None);
                }
                Step::Leave(program) => {
                    let program = usize::from(program);
                    bench.desk.disconnect(programs[program]);
                    bench.programs.remove(&programs[program]);
                    bench.work();
                    programs[program] = bench.program(program == 0);
                }
            }
        }
        for program in programs {
            bench.desk.disconnect(program);
            bench.work();
        }
        bench.frame();
        prop_assert!(bench.memory.pictures.is_empty());
    }
}
