//! The desk: windows, their programs, and what these ask.

use alloc::vec::Vec;
use core::fmt;

use draw::{Palette, Rect};
use proto::Text;
use proto::window::{
    BUFFERS, Demand, Event, Extent, Keepsake, Kind, Late, Look, MAX_PICTURE_BYTES, MAX_WINDOWS,
    Part, Pointer, Request, Size, Theme, Title, WindowId,
};

use crate::damage::Damage;
use crate::decor::Fonts;
use crate::keep::Kept;
use crate::place::{self, Place};
use crate::steer::Steering;

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
        /// [`Event::Configured`].
        event: Event,
    },
    /// These are needed no more.
    DropPictures(PictureKey),
    /// Another keyboard layout.
    SetKeymap(Text<12>),
    /// Another frame rate, in frames a second.
    SetRate(u16),
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
    pub input_ticks: Option<u64>,
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
    input_ticks: Option<u64>,
    missed: bool,
}

/// The screen and all windows.
#[derive(Debug)]
pub struct Desk {
    pub(crate) screen: Size,
    pub(crate) theme: Theme,
    pub(crate) palette: Palette,
    frame_ns: u64,
    clients: Vec<Client>,
    /// From the back to the front.
    pub(crate) windows: Vec<Window>,
    pub(crate) focus: Option<WindowId>,
    pub(crate) damage: Damage,
    pub(crate) steering: Steering,
    pub(crate) fonts: Option<Fonts>,
    pub(crate) overlay: Option<crate::compose::Overlay>,
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
            theme: Theme::default(),
            palette: Palette::of(Theme::default()),
            frame_ns,
            clients: Vec::new(),
            windows: Vec::new(),
            focus: None,
            damage: Damage::new(),
            steering: Steering::new(screen),
            fonts: Fonts::new(),
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

    /// The screen's size.
    #[must_use]
    pub const fn screen(&self) -> Size {
        self.screen
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

    /// Does what a program asks. [`Request::Copy`] and [`Request::Paste`] are the caller's, who has the clipboard.
    pub fn request(&mut self, client: ClientId, request: Request) {
        let Some(is_desktop) = self.client(client).map(|client| client.is_desktop) else {
            return;
        };
        let of_desktop = matches!(
            request,
            Request::List
                | Request::Demand { .. }
                | Request::SetTheme(_)
                | Request::SetKeymap(_)
                | Request::SetRate(_)
                | Request::ToggleOverlay
        );
        if of_desktop && !is_desktop {
            return self.refuse(client, 0, format_args!("only the desktop may ask that"));
        }
        match request {
            Request::Open {
                window,
                title,
                size,
                look,
                keepsake,
            } => {
                if let Err(why) = self.open(client, window, title, size, look, keepsake) {
                    self.refuse(client, window, format_args!("{why}"));
                }
            }
            Request::List => {
                if let Some(client) = self.client(client) {
                    client.lists = true;
                }
                for at in 0..self.windows.len() {
                    self.list(at);
                }
            }
            Request::Demand { window, demand } => match self.index(window) {
                Some(at) => self.demand(at, demand),
                None => self.refuse(
                    client,
                    window,
                    format_args!("there is no such window any more"),
                ),
            },
            Request::SetTheme(theme) => self.set_theme(theme),
            Request::SetKeymap(word) => self.effect(Effect::SetKeymap(word)),
            Request::SetRate(rate_hz @ (60 | 120)) => {
                self.frame_ns = 1_000_000_000 / u64::from(rate_hz);
                self.effect(Effect::SetRate(rate_hz));
                self.tell_all_of_the_screen();
            }
            Request::SetRate(rate_hz) => {
                self.refuse(
                    client,
                    0,
                    format_args!("{rate_hz} frames a second: only 60 and 120 can be chosen"),
                );
            }
            Request::ToggleOverlay => self.toggle_overlay(),
            Request::Copy { .. } | Request::Paste => {}
            Request::Present { window, .. }
            | Request::SetTitle { window, .. }
            | Request::SetExtent { window, .. }
            | Request::SetPointer { window, .. }
            | Request::Minimise { window }
            | Request::Close { window } => {
                let found = self
                    .windows
                    .iter()
                    .position(|other| other.client == client && other.id == window);
                match found {
                    Some(at) => self.request_of(at, request),
                    None => self.refuse(
                        client,
                        window,
                        format_args!("there is no window of this number"),
                    ),
                }
            }
        }
    }

    /// Does what is asked about one's own window.
    fn request_of(&mut self, at: usize, request: Request) {
        let Some(window) = self.windows.get_mut(at) else {
            return;
        };
        let (client, id) = (window.client, window.id);
        match request {
            Request::Present {
                serial,
                configuration,
                buffer,
                damage,
                target_ns,
                ..
            } => {
                // For a size that it does not have any more: another configuration is on its way.
                if configuration != window.configuration {
                    return;
                }
                let is_shown = window.shown.is_some_and(|shown| {
                    shown.pictures == window.pictures && shown.buffer == buffer
                });
                let why = if u32::from(buffer) >= BUFFERS {
                    "there is no such picture"
                } else if is_shown {
                    "this picture is on the screen: present the other one"
                } else if window.waiting.is_some() {
                    "a picture waits already: wait until it is shown"
                } else {
                    window.waiting = Some(Waiting {
                        serial,
                        buffer,
                        damage,
                        target_ns,
                        missed: false,
                    });
                    return;
                };
                self.refuse(client, id, format_args!("{why}"));
            }
            Request::SetTitle { title, .. } => {
                window.title = title;
                let part = window.place.title(&window.look);
                self.damage_part(&part);
                self.list(at);
            }
            Request::SetExtent { extent, .. } => self.set_extent(at, extent),
            Request::SetPointer { pointer, .. } => {
                window.pointer = pointer;
                self.update_pointer_picture();
            }
            Request::Minimise { .. } => self.demand(at, Demand::Minimise),
            Request::Close { .. } => self.remove(at),
            _ => {}
        }
    }

    fn open(
        &mut self,
        client: ClientId,
        id: WindowId,
        title: Title,
        size: Size,
        look: Look,
        keepsake: Keepsake,
    ) -> Result<(), &'static str> {
        let is_desktop = self.client(client).is_some_and(|client| client.is_desktop);
        if look.kind != Kind::Normal && !is_desktop {
            return Err("only the desktop may have such a window");
        }
        if self
            .windows
            .iter()
            .any(|window| window.client == client && window.id == id)
        {
            return Err("there is a window of this number already");
        }
        if self
            .windows
            .iter()
            .filter(|window| window.client == client)
            .count()
            >= MAX_WINDOWS
        {
            return Err("this program has as many windows as a program may have");
        }
        if size.width == 0 || size.height == 0 {
            return Err("a window needs at least one pixel");
        }
        let kept = self
            .kept
            .iter()
            .position(|kept| kept.keepsake == keepsake && keepsake != Keepsake::default());
        let kept = kept.map(|at| self.kept.swap_remove(at));
        let size = place::allowed(size, &look);
        let panel_px = self.panel_px();
        let floating = match &kept {
            Some(kept) => kept.place.floating,
            None => self.first_place(size, &look),
        };
        let extent = kept
            .as_ref()
            .map_or(Extent::Floating, |kept| kept.place.extent);
        let mut place = Place {
            content: floating,
            floating,
            extent,
            minimised: kept.as_ref().is_some_and(|kept| kept.place.minimised),
        };
        place.content = place.content_for(&look, extent, self.screen, panel_px);
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1).max(1);
        let window = Window {
            key,
            client,
            id,
            title,
            look,
            place,
            keepsake: kept
                .as_ref()
                .map_or_else(|| Keepsake((self.next_keepsake)()), |kept| kept.keepsake),
            pointer: Pointer::Arrow,
            shown: None,
            waiting: None,
            configuration: 0,
            size: Size::default(),
            pictures: PictureKey(0),
            wants_size: None,
            input_ticks: None,
            kept_order: kept.as_ref().map(|kept| kept.order),
        };
        self.windows.push(window);
        let at = self.windows.len() - 1;
        let at = self.lift(at);
        let can_focus = matches!(look.kind, Kind::Normal | Kind::Menu) && !place.minimised;
        if can_focus && kept.as_ref().is_none_or(|kept| kept.focused) {
            self.set_focus(Some(key));
        }
        if look.kind == Kind::Panel {
            self.lay_out_again();
        }
        if let Err(why) = self.configure(at) {
            if let Some(at) = self.index(key) {
                self.remove(at);
            }
            return Err(why);
        }
        Ok(())
    }

    /// Where a new window goes: in the middle, each a little further down, and whole if there is room.
    fn first_place(&mut self, size: Size, look: &Look) -> Rect {
        let (width, height) = (i32::from(size.width), i32::from(size.height));
        if look.kind != Kind::Normal {
            return Rect::new(0, 0, width, height);
        }
        let work = place::work_area(self.screen, self.panel_px());
        let step = self.cascade * (place::TITLE_PX + 6);
        self.cascade = (self.cascade + 1) % 6;
        let fitting = |start: i32, room: i32| start.min(room - place::EDGE_PX).max(8);
        let left = fitting((work.width() - width) / 2 - 60 + step, work.width() - width);
        let top = fitting(
            (work.height() - height) / 2 - 60 + step,
            work.height() - height,
        );
        let rect = Rect::new(left, top.max(place::TITLE_PX + 1), width, height);
        place::reachable(&rect, self.screen, self.panel_px())
    }

    /// Tells a window its size, with new pictures, unless it still has to paint the last ones.
    pub(crate) fn configure(&mut self, at: usize) -> Result<(), &'static str> {
        let Some(window) = self.windows.get_mut(at) else {
            return Ok(());
        };
        let side = |length: i32| u16::try_from(length.max(1)).unwrap_or(u16::MAX);
        let size = Size {
            width: side(window.place.content.width()),
            height: side(window.place.content.height()),
        };
        let is_behind = window.configuration != 0
            && window
                .shown
                .is_none_or(|shown| shown.pictures != window.pictures);
        if is_behind {
            window.wants_size = Some(size);
            return Ok(());
        }
        window.wants_size = None;
        if window.configuration != 0 && window.size == size {
            return Ok(());
        }
        let client_id = window.client;
        let old_bytes = if window.configuration == 0 {
            0
        } else {
            window.size.picture_bytes()
        };
        let more = size.picture_bytes() * u64::from(BUFFERS);
        let Some(client) = self.client(client_id) else {
            return Ok(());
        };
        // The old pictures stay until the new ones are painted.
        if client.picture_bytes + more > MAX_PICTURE_BYTES + old_bytes * u64::from(BUFFERS) {
            return Err(
                "the pictures of this program's windows would take more memory than a program may have",
            );
        }
        client.picture_bytes += more;
        let pictures = PictureKey(self.next_pictures);
        self.next_pictures += 1;
        let Some(window) = self.windows.get_mut(at) else {
            return Ok(());
        };
        window.configuration = window.configuration.wrapping_add(1).max(1);
        window.size = size;
        window.pictures = pictures;
        window.waiting = None;
        let event = Event::Configured {
            window: window.id,
            configuration: window.configuration,
            size,
            extent: window.place.extent,
            keepsake: window.keepsake,
        };
        self.effects.push(Effect::MakePictures {
            client: client_id,
            pictures,
            size,
            event,
        });
        Ok(())
    }

    /// There is no memory for these pictures: their window is refused, or keeps its size.
    pub fn no_memory(&mut self, pictures: PictureKey) {
        let Some(at) = self
            .windows
            .iter()
            .position(|window| window.pictures == pictures)
        else {
            return;
        };
        let Some((client, id)) = self
            .windows
            .get(at)
            .map(|window| (window.client, window.id))
        else {
            return;
        };
        self.refuse(
            client,
            id,
            format_args!("there is not enough memory for the window's pictures"),
        );
        self.remove(at);
    }

    fn release_pictures(&mut self, client: ClientId, pictures: PictureKey, size: Size) {
        if let Some(client) = self.client(client) {
            client.picture_bytes = client
                .picture_bytes
                .saturating_sub(size.picture_bytes() * u64::from(BUFFERS));
        }
        self.effects.push(Effect::DropPictures(pictures));
    }

    pub(crate) fn remove(&mut self, at: usize) {
        if at >= self.windows.len() {
            return;
        }
        let window = self.windows.remove(at);
        if window.shown.is_some() && !window.place.minimised {
            self.damage_part(&window.place.touched(&window.look));
        }
        if window.configuration != 0 {
            self.release_pictures(window.client, window.pictures, window.size);
        }
        if let Some(shown) = window.shown
            && shown.pictures != window.pictures
        {
            self.release_pictures(window.client, shown.pictures, shown.size);
        }
        self.steering.forget(window.key);
        self.keep_changed = true;
        if self.focus == Some(window.key) {
            self.focus = None;
            self.focus_topmost();
        }
        self.tell_listeners(&Event::Unlisted { window: window.key });
        if window.look.kind == Kind::Panel {
            self.lay_out_again();
        }
        self.update_pointer_picture();
    }

    fn tell_listeners(&mut self, event: &Event) {
        for at in 0..self.clients.len() {
            if let Some(client) = self
                .clients
                .get(at)
                .filter(|client| client.lists)
                .map(|client| client.id)
            {
                self.send(client, event.clone());
            }
        }
    }

    pub(crate) fn list(&mut self, at: usize) {
        let Some(window) = self
            .windows
            .get(at)
            .filter(|window| window.look.kind == Kind::Normal)
        else {
            return;
        };
        let event = Event::Listed {
            window: window.key,
            title: window.title.clone(),
            focused: self.focus == Some(window.key),
            minimised: window.place.minimised,
        };
        self.tell_listeners(&event);
    }

    /// To the desktop: somebody wants its menu.
    pub(crate) fn ask_for_menu(&mut self) {
        self.tell_listeners(&Event::MenuAsked);
    }

    fn set_theme(&mut self, theme: Theme) {
        if self.theme != theme {
            self.theme = theme;
            self.palette = Palette::of(theme);
            self.damage_all();
            self.tell_all_of_the_screen();
        }
    }

    pub(crate) fn demand(&mut self, at: usize, demand: Demand) {
        let Some(window) = self.windows.get_mut(at) else {
            return;
        };
        let (key, client, id) = (window.key, window.client, window.id);
        match demand {
            Demand::Raise => {
                if window.place.minimised {
                    window.place.minimised = false;
                    self.keep_changed = true;
                    self.send(
                        client,
                        Event::Visible {
                            window: id,
                            visible: true,
                        },
                    );
                }
                let at = self.lift(at);
                if let Some(window) = self.windows.get(at) {
                    let part = window.place.touched(&window.look);
                    self.damage_part(&part);
                }
                self.set_focus(Some(key));
            }
            Demand::Minimise => {
                if window.look.kind != Kind::Normal || window.place.minimised {
                    return;
                }
                window.place.minimised = true;
                self.keep_changed = true;
                let part = window.place.touched(&window.look);
                self.damage_part(&part);
                self.send(
                    client,
                    Event::Visible {
                        window: id,
                        visible: false,
                    },
                );
                if self.focus == Some(key) {
                    self.set_focus(None);
                    self.focus_topmost();
                }
                if let Some(at) = self.index(key) {
                    self.list(at);
                }
            }
            Demand::Close => self.send(client, Event::CloseAsked { window: id }),
        }
    }

    /// Brings a window to the front of its layer, or where it was under the compositor before. Gives its new index.
    pub(crate) fn lift(&mut self, at: usize) -> usize {
        if at >= self.windows.len() {
            return at;
        }
        let window = self.windows.remove(at);
        let layer = place::layer(&window.look, window.place.extent);
        let order = window.kept_order;
        let to = self
            .windows
            .iter()
            .position(|other| {
                let other_layer = place::layer(&other.look, other.place.extent);
                other_layer > layer
                    || (other_layer == layer
                        && order.is_some_and(|order| {
                            other.kept_order.is_some_and(|other| other > order)
                        }))
            })
            .unwrap_or(self.windows.len());
        self.windows.insert(to, window);
        self.keep_changed = true;
        to
    }

    pub(crate) fn set_focus(&mut self, key: Option<WindowId>) {
        if self.focus == key {
            return;
        }
        let old = self.focus;
        self.focus = key;
        self.keep_changed = true;
        for (key, focused) in [(old, false), (key, true)] {
            let Some(at) = key.and_then(|key| self.index(key)) else {
                continue;
            };
            let Some(window) = self.windows.get_mut(at) else {
                continue;
            };
            if focused {
                // From now on it is where a person put it.
                window.kept_order = None;
            }
            let (client, id) = (window.client, window.id);
            if !window.place.minimised {
                for part in window
                    .place
                    .outer(&window.look)
                    .without(&window.place.content)
                {
                    self.damage_part(&part);
                }
            }
            self.send(
                client,
                Event::Focus {
                    window: id,
                    focused,
                },
            );
            self.list(at);
        }
    }

    /// Gives the focus to the front window that can have it.
    pub(crate) fn focus_topmost(&mut self) {
        let topmost = self
            .windows
            .iter()
            .rev()
            .find(|window| window.look.kind == Kind::Normal && !window.place.minimised)
            .map(|window| window.key);
        self.set_focus(topmost);
    }

    pub(crate) fn set_extent(&mut self, at: usize, extent: Extent) {
        let panel_px = self.panel_px();
        let screen = self.screen;
        let Some(window) = self.windows.get(at) else {
            return;
        };
        if window.look.kind != Kind::Normal || window.place.extent == extent {
            return;
        }
        // A window of fixed size has that, or all of the screen.
        if window.look.fixed && !matches!(extent, Extent::Floating | Extent::FullScreen) {
            return;
        }
        let content = window
            .place
            .content_for(&window.look, extent, screen, panel_px);
        self.move_to(at, content, extent);
        let at = self.lift(at);
        self.after_move(at);
    }

    /// Puts a window elsewhere, with another size or the same.
    pub(crate) fn move_to(&mut self, at: usize, content: Rect, extent: Extent) {
        let Some(window) = self.windows.get_mut(at) else {
            return;
        };
        if window.place.content == content && window.place.extent == extent {
            return;
        }
        let before = window.place.touched(&window.look);
        window.place.content = content;
        window.place.extent = extent;
        if extent == Extent::Floating {
            window.place.floating = content;
        }
        let after = window.place.touched(&window.look);
        if !window.place.minimised {
            self.damage_part(&before);
            self.damage_part(&after);
        }
        self.keep_changed = true;
    }

    /// The size may be another one: the program is told. If there is no memory for it, the window shows what it has.
    pub(crate) fn after_move(&mut self, at: usize) {
        if let Err(why) = self.configure(at)
            && let Some((client, id)) = self
                .windows
                .get(at)
                .map(|window| (window.client, window.id))
        {
            self.refuse(client, id, format_args!("{why}"));
        }
    }

    /// The panel came or went: what depends on it moves.
    fn lay_out_again(&mut self) {
        let panel_px = self.panel_px();
        for at in 0..self.windows.len() {
            let Some(window) = self.windows.get(at) else {
                continue;
            };
            let extent = window.place.extent;
            let content = window
                .place
                .content_for(&window.look, extent, self.screen, panel_px);
            if content != window.place.content {
                self.move_to(at, content, extent);
                self.after_move(at);
            }
        }
    }

    /// When the next frame is wanted, by the monotonic clock; 0: as soon as there is one. `None`: nothing changes.
    #[must_use]
    pub fn wanted_ns(&self) -> Option<u64> {
        if !self.damage.is_empty() {
            return Some(0);
        }
        self.windows
            .iter()
            .filter_map(|window| window.waiting.map(|waiting| waiting.target_ns))
            .min()
    }

    /// Begins the frame that is on the screen at `shown_ns`: takes the pictures that are due. Gives what is to be composed.
    pub fn frame(&mut self, shown_ns: u64) -> Vec<Rect> {
        for at in 0..self.windows.len() {
            self.latch(at, shown_ns);
        }
        self.damage.parts().to_vec()
    }

    fn latch(&mut self, at: usize, shown_ns: u64) {
        let Some(window) = self.windows.get_mut(at) else {
            return;
        };
        let Some(waiting) = window
            .waiting
            .take_if(|waiting| waiting.target_ns <= shown_ns)
        else {
            return;
        };
        let before = window.shown.replace(Shown {
            pictures: window.pictures,
            size: window.size,
            buffer: waiting.buffer,
        });
        let latched = Latched {
            client: window.client,
            window: window.id,
            serial: waiting.serial,
            input_ticks: window.input_ticks.take(),
            missed: waiting.missed,
        };
        let (client, content) = (window.client, window.place.content);
        let is_same = before.is_some_and(|before| before.pictures == window.pictures);
        let part = if is_same {
            let damage = waiting.damage;
            Rect::new(
                content.left + i32::from(damage.x),
                content.top + i32::from(damage.y),
                i32::from(damage.size.width),
                i32::from(damage.size.height),
            )
            .and(&content)
        } else {
            window.place.touched(&window.look)
        };
        let is_seen = !window.place.minimised;
        self.latched.push(latched);
        if is_seen {
            self.damage_part(&part);
        }
        match before {
            None => {
                self.list(at);
                self.update_pointer_picture();
            }
            Some(before) if !is_same => self.release_pictures(client, before.pictures, before.size),
            Some(_) => {}
        }
        if self
            .windows
            .get(at)
            .is_some_and(|window| window.wants_size.is_some())
        {
            self.after_move(at);
        }
    }

    /// The frame is on the screen. `late`: why it came later than it should have. Gives the earliest input that it shows the effect of.
    pub fn shown(
        &mut self,
        shown_ns: u64,
        next_ns: u64,
        late: Option<Late>,
        since: impl Fn(u64) -> u64,
    ) -> Option<u64> {
        self.damage.clear();
        let mut longest_ns = None;
        for latched in core::mem::take(&mut self.latched) {
            let since_input_ns = latched.input_ticks.map_or(0, &since);
            longest_ns = longest_ns.max(latched.input_ticks.map(|_| since_input_ns));
            let event = Event::Presented {
                window: latched.window,
                serial: latched.serial,
                shown_ns,
                next_ns,
                since_input_ns,
                late: late.or(latched.missed.then_some(Late::Presented)),
            };
            self.send(latched.client, event);
        }
        // What is still waiting came too late for this frame if it was meant for it.
        for window in &mut self.windows {
            if let Some(waiting) = &mut window.waiting {
                waiting.missed |= waiting.target_ns != 0 && waiting.target_ns <= shown_ns;
            }
        }
        longest_ns
    }
}
