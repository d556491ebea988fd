//! Keys: who is told, and which combinations are the desk's.

use super::*;

impl Desk {
    pub(super) fn key(&mut self, key: Key) {
        self.steering.modifiers = key.modifiers;
        let is_logo = matches!(key.code, code::LEFT_LOGO | code::RIGHT_LOGO);
        match key.change {
            KeyChange::Held => {
                if self.steering.keys.len() < MOST_KEYS {
                    self.steering.keys.push((key.code, None));
                }
            }
            KeyChange::Up => {
                let told = self
                    .steering
                    .keys
                    .iter()
                    .position(|(code, _)| *code == key.code);
                let told = told
                    .map(|at| self.steering.keys.swap_remove(at))
                    .and_then(|(_, told)| told);
                if let Some(window) = told {
                    self.tell_key(window, key);
                }
                if is_logo && core::mem::take(&mut self.steering.logo_alone) {
                    self.ask_for_menu();
                }
            }
            KeyChange::Down => {
                self.steering.logo_alone = is_logo;
                // One whose release was lost is down anew.
                self.steering.keys.retain(|(code, _)| *code != key.code);
                let told = if is_logo || self.command(key) {
                    None
                } else {
                    self.focus
                };
                if self.steering.keys.len() < MOST_KEYS {
                    self.steering.keys.push((key.code, told));
                    if let Some(window) = told {
                        self.tell_key(window, key);
                    }
                }
            }
            KeyChange::Repeat => {
                let told = self
                    .steering
                    .keys
                    .iter()
                    .find(|(code, _)| *code == key.code);
                match told.map(|(_, told)| *told) {
                    Some(Some(window)) if self.focus == Some(window) => self.tell_key(window, key),
                    Some(None) if key.modifiers.logo => {
                        self.command(key);
                    }
                    _ => {}
                }
            }
        }
    }

    pub(super) fn tell_key(&mut self, window: WindowId, key: Key) {
        let told_ticks = self.now_ticks;
        let Some(window) = self.window(window) else {
            return;
        };
        window.input = Some(Input {
            ticks: key.time_ticks,
            told_ticks,
        });
        let client = window.client;
        let event = Event::Key {
            window: window.id,
            time_ticks: key.time_ticks,
            code: key.code,
            change: key.change,
            press: key.press,
            modifiers: key.modifiers,
        };
        self.send(client, event);
    }

    /// Does what a key combination of the desk's means; `false` if it is none.
    pub(super) fn command(&mut self, key: Key) -> bool {
        let Modifiers {
            shift,
            alt,
            control,
            logo,
        } = key.modifiers;
        let at = self.focus.and_then(|window| self.index(window));
        match (key.code, logo, alt) {
            (code::TAB, false, true) => self.next_window(shift),
            (code::F12, true, _) => self.toggle_overlay(),
            (code::F12, _, true) if control => self.toggle_overlay(),
            (code::F4, false, true) => {
                if let Some(at) = at {
                    self.demand(at, Demand::Close);
                }
            }
            (arrow @ (code::UP | code::DOWN | code::LEFT | code::RIGHT), true, _) => {
                if let Some(at) = at {
                    self.arrow(at, arrow, shift, control);
                }
            }
            _ => return false,
        }
        true
    }

    pub(super) fn arrow(&mut self, at: usize, arrow: u16, shift: bool, control: bool) {
        let Some((place, look)) = self
            .windows
            .get(at)
            .map(|window| (window.place, window.look))
        else {
            return;
        };
        if look.kind != Kind::Normal {
            return;
        }
        let (dx, dy) = match arrow {
            code::LEFT => (-KEY_STEP_PX, 0),
            code::RIGHT => (KEY_STEP_PX, 0),
            code::UP => (0, -KEY_STEP_PX),
            _ => (0, KEY_STEP_PX),
        };
        if shift && place.extent == Extent::Floating {
            let content = place.content.moved(dx, dy);
            let content = place::reachable(&content, &self.area(&look, &content));
            return self.move_to(at, content, Extent::Floating);
        }
        if control && place.extent == Extent::Floating && !look.fixed {
            let edges = Edges {
                right: true,
                bottom: true,
                ..Edges::default()
            };
            let content = place::resized(&place.content, edges, dx, dy, &look);
            self.move_to(at, content, Extent::Floating);
            return self.after_move(at);
        }
        match (arrow, place.extent) {
            (code::UP, _) => self.set_extent(at, Extent::Maximised),
            (code::DOWN, Extent::Floating) => self.demand(at, Demand::Minimise),
            (code::LEFT, Extent::LeftHalf) | (code::RIGHT, Extent::RightHalf) | (code::DOWN, _) => {
                self.set_extent(at, Extent::Floating);
            }
            (code::LEFT, _) => self.set_extent(at, Extent::LeftHalf),
            _ => self.set_extent(at, Extent::RightHalf),
        }
    }

    /// The focus goes round: to the window furthest back, or with `backwards` the one in front goes there.
    pub(super) fn next_window(&mut self, backwards: bool) {
        let normal = |desk: &Self| -> Vec<WindowId> {
            let windows = desk
                .windows
                .iter()
                .filter(|window| window.look.kind == Kind::Normal);
            windows.map(|window| window.key).collect()
        };
        let order = normal(self);
        let Some((first, last)) = order.first().copied().zip(order.last().copied()) else {
            return;
        };
        if backwards {
            // The front one goes behind all of its layer.
            if order.len() > 1
                && let Some(from) = self.index(last)
            {
                let window = self.windows.remove(from);
                let to = self.index(first).unwrap_or(0);
                let part = window.place.touched(&window.look);
                self.windows.insert(to, window);
                self.damage_part(&part);
            }
            let before = normal(self).last().copied();
            if let Some(at) = before.and_then(|window| self.index(window)) {
                self.demand(at, Demand::Raise);
            }
            return;
        }
        if let Some(at) = self.index(first) {
            self.demand(at, Demand::Raise);
        }
    }
}
