//! Which window is over which, which has the focus, where they go.

use super::*;

impl Desk {
    pub(super) fn tell_listeners(&mut self, event: &Event) {
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

    pub(super) fn set_theme(&mut self, theme: Theme) {
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
        let Some(content) = self.windows.get(at).map(|window| window.place.content) else {
            return;
        };
        self.set_extent_near(at, extent, &content);
    }

    /// The same, on the output that has most of `near`.
    pub(crate) fn set_extent_near(&mut self, at: usize, extent: Extent, near: &Rect) {
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
        let area = self.area(&window.look, near);
        let content = window.place.content_for(&window.look, extent, &area);
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

    /// The panel or an output came or went: what depends on it moves.
    pub(super) fn lay_out_again(&mut self) {
        for at in 0..self.windows.len() {
            let Some(window) = self.windows.get(at) else {
                continue;
            };
            let extent = window.place.extent;
            let area = self.area(&window.look, &window.place.content);
            let content = window.place.content_for(&window.look, extent, &area);
            let content = match (window.look.kind, extent) {
                (Kind::Normal, Extent::Floating) => place::reachable(&content, &area),
                _ => content,
            };
            if content != window.place.content {
                self.move_to(at, content, extent);
                self.after_move(at);
            }
        }
    }
}
