//! Keys and pointer: who is told, and what they do to windows.
//!
//! | keys | |
//! |---|---|
//! | Alt-Tab, with shift backwards | the next window |
//! | Alt-F4 | closes |
//! | Logo-Up, Logo-Down | maximises; back, then out of sight |
//! | Logo-Left, Logo-Right | a half of the screen, and back |
//! | Logo-Shift-arrows, Logo-Control-arrows | moves; resizes |
//! | Logo | the desktop's menu |
//! | Logo-F12, Control-Alt-F12 | the overlay with figures |

mod keys;

use alloc::vec::Vec;

use draw::Rect;
use proto::input::{self, Button, KeyChange, MAX_POSITION, What};
use proto::key::{KeyPress, Modifiers};
use proto::window::{Demand, Event, Extent, Kind, Look, Pointer, PointerWhat, Size, WindowId};

use crate::decor::{POINTER_PX, Picture};
use crate::desk::{Desk, Input};
use crate::place::{self, Edges, Spot, TitleButton};

/// What a pressed button holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Grab {
    #[default]
    Nothing,
    /// A title bar: the window moves, its picture so far from the pointer.
    Title { window: WindowId, dx: i32, dy: i32 },
    /// Edges of a window that was there when the pointer was there.
    Edges {
        window: WindowId,
        edges: Edges,
        start: Rect,
        x: i32,
        y: i32,
    },
    /// A window's picture: it is told of the pointer until no button is pressed.
    Content { window: WindowId },
    /// A button of a title bar; it counts if it is released there.
    Button {
        window: WindowId,
        button: TitleButton,
    },
}

/// Keys and pointer as they are.
#[derive(Debug)]
pub(crate) struct Steering {
    pub x: i32,
    pub y: i32,
    pub picture: Picture,
    grab: Grab,
    /// The window that was last told of the pointer.
    over: Option<WindowId>,
    /// The button of a title bar that the pointer is over.
    pub hot: Option<(WindowId, TitleButton)>,
    buttons: Vec<Button>,
    /// Keys that are down, and the window that was told.
    keys: Vec<(u16, Option<WindowId>)>,
    modifiers: Modifiers,
    /// The key with the logo is down and nothing else was pressed since.
    logo_alone: bool,
    /// The last press in a title bar.
    title_press: Option<(WindowId, u64)>,
    pub ticks_per_ms: u64,
}

/// Two presses within so many ms are a double one.
const DOUBLE_MS: u64 = 400;
/// So near to an edge of the screen a window that is let go takes that half.
const SNAP_PX: i32 = 4;
/// Pixels that a key moves a window by.
const KEY_STEP_PX: i32 = 24;
/// Most keys that are down at once; others are not told to anybody.
const MOST_KEYS: usize = 32;

/// Linux's numbers of keys (input-event-codes.h).
mod code {
    pub const TAB: u16 = 15;
    pub const F4: u16 = 62;
    pub const F12: u16 = 88;
    pub const UP: u16 = 103;
    pub const LEFT: u16 = 105;
    pub const RIGHT: u16 = 106;
    pub const DOWN: u16 = 108;
    pub const LEFT_LOGO: u16 = 125;
    pub const RIGHT_LOGO: u16 = 126;
}

/// A key, as it comes in.
#[derive(Clone, Copy)]
struct Key {
    time_ticks: u64,
    code: u16,
    change: KeyChange,
    press: Option<KeyPress>,
    modifiers: Modifiers,
}

impl Steering {
    pub const fn new(screen: Size) -> Self {
        Self {
            x: screen.width as i32 / 2,
            y: screen.height as i32 / 2,
            picture: Picture::Arrow,
            grab: Grab::Nothing,
            over: None,
            hot: None,
            buttons: Vec::new(),
            keys: Vec::new(),
            modifiers: Modifiers {
                shift: false,
                alt: false,
                control: false,
                logo: false,
            },
            logo_alone: false,
            title_press: None,
            ticks_per_ms: 1_000_000,
        }
    }

    /// A window is gone.
    pub fn forget(&mut self, window: WindowId) {
        if self.over == Some(window) {
            self.over = None;
        }
        self.hot = self.hot.filter(|(other, _)| *other != window);
        self.title_press = self.title_press.filter(|(other, _)| *other != window);
        let held = match self.grab {
            Grab::Nothing => None,
            Grab::Title { window, .. }
            | Grab::Edges { window, .. }
            | Grab::Content { window }
            | Grab::Button { window, .. } => Some(window),
        };
        if held == Some(window) {
            self.grab = Grab::Nothing;
        }
        for (_, told) in &mut self.keys {
            *told = told.filter(|other| *other != window);
        }
    }

    /// Where the pointer's picture is.
    pub const fn pointer_rect(&self) -> Rect {
        Rect::new(self.x, self.y, POINTER_PX, POINTER_PX).moved(-POINTER_PX / 2, -POINTER_PX / 2)
    }
}

impl Desk {
    /// Ticks of the time stamp counter in a ms, by which presses are told from double ones.
    pub const fn set_ticks_per_ms(&mut self, ticks: u64) {
        self.steering.ticks_per_ms = ticks;
    }

    /// Does what an event means.
    pub fn input(&mut self, event: &input::Event) {
        let ticks = event.time_ticks;
        match event.what {
            What::Key {
                code,
                change,
                press,
                modifiers,
            } => {
                self.key(Key {
                    time_ticks: ticks,
                    code,
                    change,
                    press,
                    modifiers,
                });
            }
            What::Motion { dx, dy } => {
                let (x, y) = (
                    self.steering.x + i32::from(dx),
                    self.steering.y + i32::from(dy),
                );
                self.point_at(x, y, ticks);
            }
            What::Position { x, y } => {
                let scaled = |part: u16, side: u16| {
                    i64::from(part) * i64::from(side.max(1) - 1) / i64::from(MAX_POSITION)
                };
                let (x, y) = (scaled(x, self.screen.width), scaled(y, self.screen.height));
                self.point_at(x as i32, y as i32, ticks);
            }
            What::Button {
                button,
                pressed: true,
            } => self.press(button, ticks),
            What::Button {
                button,
                pressed: false,
            } => self.release(button, ticks),
            What::Wheel { down, right } => {
                if let Some((window, Spot::Content)) = self.at_pointer() {
                    self.tell(window, PointerWhat::Wheel { down, right }, ticks);
                }
            }
        }
    }

    /// The window at the pointer, and what of it.
    fn at_pointer(&self) -> Option<(WindowId, Spot)> {
        let (x, y) = (self.steering.x, self.steering.y);
        self.windows
            .iter()
            .rev()
            .filter(|window| window.shown.is_some() && !window.place.minimised)
            .find_map(|window| {
                window
                    .place
                    .spot(&window.look, x, y)
                    .map(|spot| (window.key, spot))
            })
    }

    /// Whether the pointer is composed, or shown by the screen itself: then [`pointer`](Self::pointer) says where.
    pub fn set_draws_pointer(&mut self, draws: bool) {
        self.draws_pointer = draws;
        self.pointer_changed = true;
        let part = self.steering.pointer_rect();
        self.damage_part(&part);
    }

    /// The tip of the pointer, and what it looks like.
    #[must_use]
    pub const fn pointer(&self) -> (i32, i32, Picture) {
        (self.steering.x, self.steering.y, self.steering.picture)
    }

    /// Whether the pointer moved or looks different since this was asked last.
    pub const fn take_pointer_changed(&mut self) -> bool {
        core::mem::replace(&mut self.pointer_changed, false)
    }

    fn damage_pointer(&mut self) {
        self.pointer_changed = true;
        if self.draws_pointer {
            let part = self.steering.pointer_rect();
            self.damage_part(&part);
        }
    }

    fn point_at(&mut self, x: i32, y: i32, ticks: u64) {
        let (x, y) = self.within_outputs(x, y);
        if (x, y) == (self.steering.x, self.steering.y) {
            return;
        }
        self.damage_pointer();
        (self.steering.x, self.steering.y) = (x, y);
        self.damage_pointer();
        match self.steering.grab {
            Grab::Title { window, dx, dy } => self.drag(window, x + dx, y + dy),
            Grab::Edges {
                window,
                edges,
                start,
                x: from_x,
                y: from_y,
            } => {
                if let Some(at) = self.index(window)
                    && let Some(look) = self.windows.get(at).map(|window| window.look)
                {
                    let content = place::resized(&start, edges, x - from_x, y - from_y, &look);
                    self.move_to(at, content, Extent::Floating);
                    self.after_move(at);
                }
            }
            Grab::Content { window } => self.tell(window, PointerWhat::Moved, ticks),
            Grab::Button { .. } => {}
            Grab::Nothing => self.hover(ticks),
        }
        self.update_pointer_picture();
    }

    /// Tells the window under the pointer, and the one it left.
    fn hover(&mut self, ticks: u64) {
        let over = match self.at_pointer() {
            Some((window, Spot::Content)) => Some(window),
            _ => None,
        };
        if self.steering.over != over
            && let Some(left) = self.steering.over.take()
        {
            self.tell(left, PointerWhat::Left, ticks);
        }
        self.steering.over = over;
        if let Some(window) = over {
            self.tell(window, PointerWhat::Moved, ticks);
        }
    }

    fn tell(&mut self, key: WindowId, what: PointerWhat, ticks: u64) {
        let (x, y, modifiers) = (self.steering.x, self.steering.y, self.steering.modifiers);
        let told_ticks = self.now_ticks;
        let Some(window) = self.window(key) else {
            return;
        };
        window.input = Some(Input { ticks, told_ticks });
        let from = |position: i32, start: i32| {
            (position - start).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
        };
        let content = window.place.content;
        let event = Event::Pointer {
            window: window.id,
            time_ticks: ticks,
            x: from(x, content.left),
            y: from(y, content.top),
            what,
            modifiers,
        };
        let client = window.client;
        self.send(client, event);
    }

    fn press(&mut self, button: Button, ticks: u64) {
        if self.steering.buttons.contains(&button) || self.steering.buttons.len() >= 8 {
            return;
        }
        self.steering.buttons.push(button);
        self.steering.logo_alone = false;
        if let Grab::Content { window } = self.steering.grab {
            return self.tell(
                window,
                PointerWhat::Button {
                    button,
                    pressed: true,
                },
                ticks,
            );
        }
        if self.steering.grab != Grab::Nothing {
            return;
        }
        let hit = self.at_pointer();
        self.close_menus_but(hit.map(|(window, _)| window));
        let Some((window, spot)) = hit else {
            return;
        };
        self.activate(window);
        let (x, y) = (self.steering.x, self.steering.y);
        let Some(at) = self.index(window) else {
            return;
        };
        let Some((content, look)) = self
            .windows
            .get(at)
            .map(|window| (window.place.content, window.look))
        else {
            return;
        };
        self.steering.grab = match spot {
            Spot::Content => {
                self.steering.over = Some(window);
                self.tell(
                    window,
                    PointerWhat::Button {
                        button,
                        pressed: true,
                    },
                    ticks,
                );
                Grab::Content { window }
            }
            _ if button != Button::Left => return,
            Spot::Title => {
                let before = self.steering.title_press.replace((window, ticks));
                let is_double = before.is_some_and(|(other, then)| {
                    other == window
                        && ticks.saturating_sub(then) < DOUBLE_MS * self.steering.ticks_per_ms
                });
                if is_double && !look.fixed {
                    self.steering.title_press = None;
                    return self.toggle_maximised(at);
                }
                Grab::Title {
                    window,
                    dx: content.left - x,
                    dy: content.top - y,
                }
            }
            Spot::Button(button) => Grab::Button { window, button },
            Spot::Edge(edges) => Grab::Edges {
                window,
                edges,
                start: content,
                x,
                y,
            },
        };
        self.update_pointer_picture();
    }

    fn release(&mut self, button: Button, ticks: u64) {
        self.steering.buttons.retain(|other| *other != button);
        match self.steering.grab {
            Grab::Content { window } => {
                self.tell(
                    window,
                    PointerWhat::Button {
                        button,
                        pressed: false,
                    },
                    ticks,
                );
                if !self.steering.buttons.is_empty() {
                    return;
                }
            }
            _ if button != Button::Left => return,
            Grab::Title { window, .. } => self.let_go(window),
            Grab::Button { window, button } => {
                if self.at_pointer() == Some((window, Spot::Button(button)))
                    && let Some(at) = self.index(window)
                {
                    match button {
                        TitleButton::Close => self.demand(at, Demand::Close),
                        TitleButton::Minimise => self.demand(at, Demand::Minimise),
                        TitleButton::Maximise => self.toggle_maximised(at),
                    }
                }
            }
            Grab::Edges { .. } | Grab::Nothing => {}
        }
        self.steering.grab = Grab::Nothing;
        self.hover(ticks);
        self.update_pointer_picture();
    }

    /// Brings a pressed window to the front and gives it the focus.
    fn activate(&mut self, window: WindowId) {
        let Some(at) = self.index(window) else {
            return;
        };
        let Some(kind) = self.windows.get(at).map(|window| window.look.kind) else {
            return;
        };
        match kind {
            Kind::Normal => {
                if self.focus != Some(window)
                    || self
                        .windows
                        .iter()
                        .skip(at + 1)
                        .any(|other| other.look.kind == Kind::Normal)
                {
                    self.demand(at, Demand::Raise);
                }
            }
            Kind::Menu => self.set_focus(Some(window)),
            Kind::Background | Kind::Panel => {}
        }
    }

    /// A press elsewhere closes menus.
    fn close_menus_but(&mut self, pressed: Option<WindowId>) {
        for at in 0..self.windows.len() {
            let is_menu = self.windows.get(at).is_some_and(|window| {
                window.look.kind == Kind::Menu && Some(window.key) != pressed
            });
            if is_menu {
                self.demand(at, Demand::Close);
            }
        }
    }

    fn drag(&mut self, window: WindowId, left: i32, top: i32) {
        let Some(at) = self.index(window) else {
            return;
        };
        let Some(place) = self.windows.get(at).map(|window| window.place) else {
            return;
        };
        if place.extent != Extent::Floating {
            // Pulled away from the edge: as large as it was, under the pointer.
            let floating = place.floating;
            let dx = -floating.width() / 2;
            let dy = top - self.steering.y;
            let content = Rect::new(
                self.steering.x + dx,
                self.steering.y + dy,
                floating.width(),
                floating.height(),
            );
            self.steering.grab = Grab::Title { window, dx, dy };
            self.move_to(at, content, Extent::Floating);
            return self.after_move(at);
        }
        let moved = place
            .content
            .moved(left - place.content.left, top - place.content.top);
        let Some(look) = self.windows.get(at).map(|window| window.look) else {
            return;
        };
        let content = place::reachable(&moved, &self.area(&look, &moved));
        self.move_to(at, content, Extent::Floating);
    }

    /// A dragged window is let go: at an edge of the screen it takes part of that.
    fn let_go(&mut self, window: WindowId) {
        let (x, y) = (self.steering.x, self.steering.y);
        let Some(at) = self.index(window) else {
            return;
        };
        let pointer = Rect::new(x, y, 1, 1);
        let output = self.area(&Look::default(), &pointer).output;
        let extent = if y < output.top + SNAP_PX {
            Extent::Maximised
        } else if x < output.left + SNAP_PX {
            Extent::LeftHalf
        } else if x >= output.right - SNAP_PX {
            Extent::RightHalf
        } else {
            return;
        };
        self.set_extent_near(at, extent, &pointer);
    }

    fn toggle_maximised(&mut self, at: usize) {
        let is_maximised = self
            .windows
            .get(at)
            .is_some_and(|window| window.place.extent == Extent::Maximised);
        self.set_extent(
            at,
            if is_maximised {
                Extent::Floating
            } else {
                Extent::Maximised
            },
        );
    }

    /// The pointer's picture by what is below it.
    pub(crate) fn update_pointer_picture(&mut self) {
        let hit = match self.steering.grab {
            Grab::Title { .. } => Picture::Arrow,
            Grab::Edges { edges, .. } => Picture::of_edges(edges),
            Grab::Content { window } => self.picture_of(window),
            Grab::Button { .. } => Picture::Arrow,
            Grab::Nothing => match self.at_pointer() {
                Some((window, Spot::Content)) => self.picture_of(window),
                Some((_, Spot::Edge(edges))) => Picture::of_edges(edges),
                _ => Picture::Arrow,
            },
        };
        if hit != self.steering.picture {
            self.steering.picture = hit;
            self.damage_pointer();
        }
        let hot = match self.at_pointer() {
            Some((window, Spot::Button(button))) => Some((window, button)),
            _ => None,
        };
        if hot != self.steering.hot {
            for (window, button) in [self.steering.hot, hot].into_iter().flatten() {
                if let Some(window) = self.window(window) {
                    let part = window.place.button(&window.look, button);
                    self.damage_part(&part);
                }
            }
            self.steering.hot = hot;
        }
    }

    fn picture_of(&self, key: WindowId) -> Picture {
        let pointer = self
            .windows
            .iter()
            .find(|window| window.key == key)
            .map(|window| window.pointer);
        match pointer.unwrap_or_default() {
            Pointer::Arrow => Picture::Arrow,
            Pointer::Text => Picture::Text,
            Pointer::Hand => Picture::Hand,
            Pointer::Hidden => Picture::Nothing,
        }
    }
}
