//! Frames: pictures that wait are shown.

use super::*;
use crate::clock::Wanted;

impl Desk {
    /// What the next frame is wanted for; `None`: nothing changes. `ns_at`: the monotonic clock at a tick.
    #[must_use]
    pub fn wanted(&self, ns_at: impl Fn(u64) -> u64) -> Option<Wanted> {
        let waiting = |window: &Window| window.waiting.map(|waiting| waiting.target_ns);
        let from_ns = match self.damage.is_empty() {
            false => 0,
            true => self.windows.iter().filter_map(waiting).min()?,
        };
        let focused = self.focus.and_then(|key| self.index(key));
        let leading = focused
            .and_then(|at| self.windows.get(at)?.waiting)
            .map(|waiting| waiting.target_ns.max(ns_at(waiting.presented_ticks)));
        Some(Wanted {
            from_ns,
            leading_ns: leading,
        })
    }

    /// Whether anything changes.
    #[must_use]
    pub fn wants_frame(&self) -> bool {
        self.wanted(|_| 0).is_some()
    }

    /// Begins the frame that is on the screen at `shown_ns`: takes the pictures that are due. Gives what is to be composed, and what the screen
    /// is to take as it is, of the pictures that it `reaches`.
    pub fn frame(&mut self, shown_ns: u64, reaches: impl Fn(PictureKey) -> bool) -> Frame {
        for at in 0..self.windows.len() {
            self.latch(at, shown_ns);
        }
        self.divide(reaches)
    }

    pub(super) fn latch(&mut self, at: usize, shown_ns: u64) {
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
            answered: waiting.input.map(|input| Answered {
                input_ticks: input.ticks,
                told_ticks: input.told_ticks,
                presented_ticks: waiting.presented_ticks,
            }),
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

    /// The frame is on the screen. `late`: why it came later than it should have. Gives the earliest input that it shows the effect of. `since`: ns
    /// from a tick to that.
    pub fn shown(
        &mut self,
        shown_ns: u64,
        next_ns: u64,
        late: Option<Late>,
        since: impl Fn(u64) -> u64,
    ) -> Option<Answered> {
        let mut earliest: Option<Answered> = None;
        for latched in core::mem::take(&mut self.latched) {
            let answered = latched.answered;
            let since_input_ns = answered.map_or(0, |answered| since(answered.input_ticks));
            earliest = earliest
                .into_iter()
                .chain(answered)
                .min_by_key(|answered| answered.input_ticks);
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
        earliest
    }
}
