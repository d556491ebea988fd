//! A desk with programs, their memory, and a hand at keyboard and pointer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use compositor::compose::strips;
use compositor::{ClientId, Desk, Effect, Painter, PictureKey, Pictures, Scene};
use draw::{Canvas, Pixel, Rect, rgb};
use proto::input::{self, Button, KeyChange, What};
use proto::key::{Key, KeyPress, Modifiers};
use proto::window::{Event, Keepsake, Look, Request, Size, Title, WindowId};

pub const SCREEN: Size = Size {
    width: 640,
    height: 480,
};

pub fn keepsake() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Relaxed))
}

/// Pictures of one colour, which says window and buffer.
#[derive(Default)]
pub struct Memory {
    pub pictures: BTreeMap<PictureKey, [Pixel; 2]>,
}

impl Pictures for Memory {
    fn row(&self, pictures: PictureKey, buffer: u8, _: Size, _: u16, _: u16, to: &mut [Pixel]) {
        to.fill(self.pictures[&pictures][usize::from(buffer)]);
    }
}

/// A program that paints each picture it is given at once.
#[derive(Default)]
pub struct Program {
    pub configurations: BTreeMap<WindowId, (u32, Size, PictureKey, Keepsake)>,
    pub serial: u32,
    pub events: Vec<Event>,
}

pub struct Bench {
    pub desk: Desk,
    pub memory: Memory,
    pub programs: BTreeMap<ClientId, Program>,
    pub screen: Vec<Pixel>,
    pub paints: bool,
    pub ticks: u64,
}

impl Bench {
    pub fn new() -> Self {
        Self::after(Vec::new())
    }

    pub fn after(kept: Vec<compositor::keep::Kept>) -> Self {
        Self {
            desk: Desk::new(SCREEN, 16_666_666, kept, keepsake),
            memory: Memory::default(),
            programs: BTreeMap::new(),
            screen: vec![0; usize::from(SCREEN.width) * usize::from(SCREEN.height)],
            paints: true,
            ticks: 0,
        }
    }

    pub fn program(&mut self, is_desktop: bool) -> ClientId {
        let client = self.desk.connect(is_desktop);
        self.programs.insert(client, Program::default());
        self.work();
        client
    }

    pub fn ask(&mut self, client: ClientId, request: Request) {
        self.desk.request(client, request);
        self.work();
    }

    /// Does what the desk wants, and the programs what it tells them.
    pub fn work(&mut self) {
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

    pub fn carry_out(&mut self, effect: Effect) {
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

    pub fn paint(&mut self, client: ClientId, window: WindowId, buffer: u8) {
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
    pub fn frame(&mut self) {
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

    pub fn at(&self, x: i32, y: i32) -> Pixel {
        self.screen[y as usize * usize::from(SCREEN.width) + x as usize]
    }

    pub fn input(&mut self, what: What) {
        self.ticks += 1_000_000;
        self.desk.input(&input::Event {
            time_ticks: self.ticks,
            device: 0,
            what,
        });
        self.work();
    }

    pub fn point(&mut self, x: i32, y: i32) {
        let scaled =
            |part: i32, side: u16| (part * 0x7fff / (i32::from(side) - 1) + 1).min(0x7fff) as u16;
        self.input(What::Position {
            x: scaled(x, SCREEN.width),
            y: scaled(y, SCREEN.height),
        });
    }

    pub fn click(&mut self, x: i32, y: i32) {
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

    pub fn drag(&mut self, from: (i32, i32), to: (i32, i32)) {
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

    pub fn key(&mut self, code: u16, modifiers: Modifiers) {
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

    pub fn events(&mut self, client: ClientId) -> Vec<Event> {
        core::mem::take(&mut self.programs.get_mut(&client).expect("there").events)
    }

    pub fn size(&self, client: ClientId, window: WindowId) -> Size {
        self.programs[&client].configurations[&window].1
    }

    /// The part of the screen that has a window's colour.
    pub fn place(&self, client: ClientId, window: WindowId) -> Rect {
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

pub fn compose(desk: &mut Desk, memory: &Memory, part: &Rect) -> Vec<Pixel> {
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

pub fn open(window: WindowId, width: u16, height: u16) -> Request {
    Request::Open {
        window,
        title: Title::from_start("a window"),
        size: Size { width, height },
        look: Look::default(),
        keepsake: Keepsake::default(),
    }
}

pub const NONE: Modifiers = Modifiers {
    shift: false,
    alt: false,
    control: false,
    logo: false,
};
pub const ALT: Modifiers = Modifiers { alt: true, ..NONE };
pub const LOGO: Modifiers = Modifiers { logo: true, ..NONE };
