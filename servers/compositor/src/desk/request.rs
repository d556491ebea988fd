//! What a program asks.

use super::*;

impl Desk {
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
                | Request::Measure { .. }
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
            Request::SetRate(rate) => match frame_ns(rate) {
                Some(frame_ns) => {
                    self.frame_ns = frame_ns;
                    self.effect(Effect::SetRate(rate));
                    self.tell_all_of_the_screen();
                }
                None => self.refuse(
                    client,
                    0,
                    format_args!(
                        "frames a second are 60 or 120, or a range of {SLOWEST_HZ} to {FASTEST_HZ}"
                    ),
                ),
            },
            Request::ToggleOverlay => self.toggle_overlay(),
            Request::Measure { anew } => self.effect(Effect::Measure { client, anew }),
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
    pub(super) fn request_of(&mut self, at: usize, request: Request) {
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
                        input: window.input.take(),
                        presented_ticks: self.now_ticks,
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
}

/// Least time between two frames, if that is a rate to be had.
fn frame_ns(rate: Rate) -> Option<u64> {
    let most_hz = match rate {
        Rate::Fixed(rate_hz @ (60 | 120)) => rate_hz,
        Rate::Variable { least_hz, most_hz }
            if SLOWEST_HZ <= least_hz && least_hz <= most_hz && most_hz <= FASTEST_HZ =>
        {
            most_hz
        }
        _ => return None,
    };
    Some(1_000_000_000 / u64::from(most_hz))
}
