//! The desk: windows and their programs. What these ask is in `request` and `open`, where windows go in `stack`, frames in `present`, what they
//! are seen on in `outputs`.

mod open;
mod outputs;
mod present;
mod request;
mod stack;

use alloc::vec::Vec;
use core::fmt;

use draw::{Palette, Rect};
use proto::Text;
use proto::window::{
    BUFFERS, Demand, Event, Extent, FASTEST_HZ, Keepsake, Kind, Late, Look, MAX_PICTURE_BYTES,
    MAX_WINDOWS, Part, Pointer, Rate, Request, SLOWEST_HZ, Size, Theme, Title, WindowId,
};

use crate::damage::Damage;
use crate::keep::Kept;
use crate::place::{self, Area, Place};
use crate::steer::Steering;
pub use outputs::{Direct, Frame};

/// A program that is connected.
pub type ClientId = u32;

/// The pictures of one configuration of a window; never used again for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PictureKey(pub u64);

/// What the program around the desk is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send an event.
    Send {
        /// To whom.
        client: ClientId,
        /// What.
        event: Event,
    },
    /// Make memory for pictures, then send the event with it. If that fails, say [`Desk::no_memory`].
    MakePictures {
        /// To whom.
        client: ClientId,
        /// Their key.
        pictures: PictureKey,
        /// Of one.
        size: Size,
        /// Whether the screen might take them as they are: see [`Direct`].
        whole: bool,
        /// [`Event::Configured`].
        event: Event,
    },
    /// These are needed no more.
    DropPictures(PictureKey),
    /// Another keyboard layout.
    SetKeymap(Text<12>),
    /// Frames begin at other times.
    SetRate(Rate),
    /// Somebody wants to know how frames went; `anew`: and to begin anew.
    Measure {
        /// Who.
        client: ClientId,
        /// Whether.
        anew: bool,
    },
}

/// What is on the screen of a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub pictures: PictureKey,
    pub size: Size,
    pub buffer: u8,
}

/// A picture that the next frame shows.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    serial: u32,
    buffer: u8,
    damage: Part,
    target_ns: u64,
    /// It came when the frame it was for had begun.
    missed: bool,
    /// It answers this.
    input: Option<Input>,
    presented_ticks: u64,
}

/// An input that a program was told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub ticks: u64,
    pub told_ticks: u64,
}

/// An input whose effect is on the screen: ticks of the interrupt, of when the program was told, of when its picture came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The interrupt.
    pub input_ticks: u64,
    /// The program was told.
    pub told_ticks: u64,
    /// Its picture came.
    pub presented_ticks: u64,
}

/// A window.
#[derive(Debug)]
pub(crate) struct Window {
    pub key: WindowId,
    pub client: ClientId,
    pub id: WindowId,
    pub title: Title,
    pub look: Look,
    pub place: Place,
    pub keepsake: Keepsake,
    pub pointer: Pointer,
    /// `None` until its first picture.
    pub shown: Option<Shown>,
    waiting: Option<Waiting>,
    /// The newest configuration, and its pictures.
    configuration: u32,
    size: Size,
    pictures: PictureKey,
    /// Its size was changed again before the program painted the last one.
    wants_size: Option<Size>,
    /// The last input the program was told of and did not answer by a picture.
    pub input: Option<Input>,
    /// Where among others it was under the compositor before.
    pub kept_order: Option<u32>,
}

#[derive(Debug)]
struct Client {
    id: ClientId,
    is_desktop: bool,
    lists: bool,
    picture_bytes: u64,
}

/// A picture that is being shown by this frame.
#[derive(Debug)]
struct Latched {
    client: ClientId,
    window: WindowId,
    serial: u32,
    answered: Option<Answered>,
    missed: bool,
}

/// The screen and all windows.
#[derive(Debug)]
pub struct Desk {
    /// All outputs and what lies between them.
    pub(crate) screen: Size,
    pub(crate) outputs: Vec<Rect>,
    /// By output, the window's pictures that it shows alone.
    directs: Vec<Option<PictureKey>>,
    /// The pointer is part of what is composed.
    pub(crate) draws_pointer: bool,
    /// It moved or looks different.
    pub(crate) pointer_changed: bool,
    /// Now, for what is told and what comes.
    pub(crate) now_ticks: u64,
    pub(crate) theme: Theme,
    pub(crate) palette: Palette,
    frame_ns: u64,
    clients: Vec<Client>,
    /// From the back to the front.
    pub(crate) windows: Vec<Window>,
    pub(crate) focus: Option<WindowId>,
    pub(crate) damage: Damage,
    pub(crate) steering: Steering,
    pub(crate) overlay: Option<crate::overlay::Overlay>,
    latched: Vec<Latched>,
    effects: Vec<Effect>,
    kept: Vec<Kept>,
    next_client: ClientId,
    next_key: WindowId,
    next_pictures: u64,
    next_keepsake: fn() -> u128,
    /// Something that [`Desk::kept`] tells changed.
    pub(crate) keep_changed: bool,
    cascade: i32,
}

impl Desk {
    /// An empty desk. `next_keepsake` gives numbers that nobody can guess; `kept` is what the compositor before left.
    #[must_use]
    pub fn new(screen: Size, frame_ns: u64, kept: Vec<Kept>, next_keepsake: fn() -> u128) -> Self {
        let mut desk = Self {
            screen,
            outputs: [Rect::new(0, 0, screen.width.into(), screen.height.into())].to_vec(),
            directs: [None].to_vec(),
            draws_pointer: true,
            pointer_changed: false,
            now_ticks: 0,
            theme: Theme::default(),
            palette: Palette::of(Theme::default()),
            frame_ns,
            clients: Vec::new(),
            windows: Vec::new(),
            focus: None,
            damage: Damage::new(),
            steering: Steering::new(screen),
            overlay: None,
            latched: Vec::new(),
            effects: Vec::new(),
            kept,
            next_client: 1,
            next_key: 1,
            next_pictures: 1,
            next_keepsake,
            keep_changed: false,
            cascade: 0,
        };
        desk.damage_all();
        desk
    }

    /// What is to be done, in this order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.effects)
    }

    /// The size of all outputs together.
    #[must_use]
    pub const fn screen(&self) -> Size {
        self.screen
    }

    /// What time it is, by the time stamp counter: before anything else is done.
    pub const fn set_now(&mut self, ticks: u64) {
        self.now_ticks = ticks;
    }

    /// All of the screen.
    pub(crate) const fn screen_rect(&self) -> Rect {
        Rect::new(0, 0, self.screen.width as i32, self.screen.height as i32)
    }

    pub(crate) fn damage_all(&mut self) {
        let screen = self.screen_rect();
        self.damage.add(&screen, &screen);
    }

    pub(crate) fn damage_part(&mut self, part: &Rect) {
        let screen = self.screen_rect();
        self.damage.add(part, &screen);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn send(&mut self, client: ClientId, event: Event) {
        self.effects.push(Effect::Send { client, event });
    }

    /// Rows of the panel, if there is one.
    pub(crate) fn panel_px(&self) -> i32 {
        self.windows
            .iter()
            .find(|window| window.look.kind == Kind::Panel)
            .map_or(0, |window| window.place.content.height())
    }

    /// A program connected; `is_desktop`: through the service for the desktop.
    pub fn connect(&mut self, is_desktop: bool) -> ClientId {
        let id = self.next_client;
        self.next_client = self.next_client.wrapping_add(1);
        self.clients.push(Client {
            id,
            is_desktop,
            lists: false,
            picture_bytes: 0,
        });
        self.send(id, self.screen_event());
        id
    }

    fn screen_event(&self) -> Event {
        Event::Screen {
            size: self.screen,
            frame_ns: self.frame_ns,
            theme: self.theme,
        }
    }

    fn tell_all_of_the_screen(&mut self) {
        let event = self.screen_event();
        for at in 0..self.clients.len() {
            if let Some(client) = self.clients.get(at).map(|client| client.id) {
                self.send(client, event.clone());
            }
        }
    }

    /// A program is gone: its windows go.
    pub fn disconnect(&mut self, client: ClientId) {
        while let Some(at) = self
            .windows
            .iter()
            .position(|window| window.client == client)
        {
            self.remove(at);
        }
        self.clients.retain(|other| other.id != client);
    }

    fn client(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.id == id)
    }

    /// Whether a program may see or set the clipboard now: one of its windows has the focus.
    #[must_use]
    pub fn has_focus(&self, client: ClientId) -> bool {
        self.focus
            .and_then(|key| self.windows.iter().find(|window| window.key == key))
            .is_some_and(|window| window.client == client)
    }

    pub(crate) fn index(&self, key: WindowId) -> Option<usize> {
        self.windows.iter().position(|window| window.key == key)
    }

    pub(crate) fn window(&mut self, key: WindowId) -> Option<&mut Window> {
        self.windows.iter_mut().find(|window| window.key == key)
    }

    fn refuse(&mut self, client: ClientId, window: WindowId, why: fmt::Arguments<'_>) {
        let why = Text::format(why);
        self.send(client, Event::Refused { window, why });
    }
}
