//! Events on their way to the listener.
//!
//! They wait here only while its channel is full. Motion that waits is merged with what comes; if there is no more room, the
//! oldest goes. Keys and buttons never do: where only those are left, there is no room, and the devices are read no further.

use heapless::Vec;
use proto::input::{Event, What};

/// Most that wait: all keys that can be held at once, and as much again for what comes meanwhile.
const CAPACITY: usize = 512;
/// Most events that come of one packet of a device.
pub const MOST_AT_ONCE: usize = 8;

/// The events.
#[derive(Default)]
pub struct Outbox {
    waiting: Vec<Event, CAPACITY>,
    dropped: u64,
}

const fn may_go(what: What) -> bool {
    matches!(
        what,
        What::Motion { .. } | What::Position { .. } | What::Wheel { .. }
    )
}

/// Both motions as one, if they are of a kind and it can be said.
fn merged(before: What, after: What) -> Option<What> {
    Some(match (before, after) {
        (What::Motion { dx, dy }, What::Motion { dx: x, dy: y }) => What::Motion {
            dx: dx.checked_add(x)?,
            dy: dy.checked_add(y)?,
        },
        (What::Position { .. }, What::Position { .. }) => after,
        (What::Wheel { down, right }, What::Wheel { down: d, right: r }) => What::Wheel {
            down: down.checked_add(d)?,
            right: right.checked_add(r)?,
        },
        _ => return None,
    })
}

impl Outbox {
    /// Whether what comes of one packet fits, whatever it is.
    pub fn has_room(&self) -> bool {
        let free = CAPACITY - self.waiting.len();
        free >= MOST_AT_ONCE
            || free
                + self
                    .waiting
                    .iter()
                    .filter(|event| may_go(event.what))
                    .count()
                >= MOST_AT_ONCE
    }

    /// Adds one. Without [room](Self::has_room) it is lost.
    pub fn push(&mut self, event: Event) {
        if let Some(last) = self.waiting.last_mut()
            && last.device == event.device
            && let Some(what) = merged(last.what, event.what)
        {
            // Its time stays that of the first: so long has the listener not seen it.
            last.what = what;
            self.dropped += 1;
            return;
        }
        if self.waiting.is_full() {
            let oldest = self.waiting.iter().position(|event| may_go(event.what));
            if let Some(oldest) = oldest {
                self.waiting.remove(oldest);
                self.dropped += 1;
            }
        }
        if self.waiting.push(event).is_err() {
            self.dropped += 1;
        }
    }

    /// The next one to be sent.
    pub fn next(&self) -> Option<&Event> {
        self.waiting.first()
    }

    /// It was sent.
    pub fn sent(&mut self) {
        if !self.waiting.is_empty() {
            self.waiting.remove(0);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Events that were merged into another or dropped, so far.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}
