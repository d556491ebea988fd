//! When frames begin.

use proto::window::Rate;

/// When frames begin: at the times of a grid, or when the window with the focus has a new picture.
///
/// A frame of the grid that is missed is left out, the grid stays.
#[derive(Clone, Copy, Debug)]
pub struct FrameClock {
    rate: Rate,
    /// The grid's first time; or when the last frame was to begin.
    from_ns: u64,
    /// Between two frames: the least.
    frame_ns: u64,
    /// The most, if something has changed.
    longest_ns: u64,
}

/// What is to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// From when on, by the monotonic clock; 0: as soon as there is a frame.
    pub from_ns: u64,
    /// Of that a picture of the window with the focus: from when on, and when it came.
    pub leading_ns: Option<u64>,
}

impl FrameClock {
    /// From now on.
    #[must_use]
    pub fn new(now_ns: u64, rate: Rate) -> Self {
        let (least_hz, most_hz) = match rate {
            Rate::Fixed(rate_hz) => (rate_hz, rate_hz),
            Rate::Variable { least_hz, most_hz } => (least_hz, most_hz),
        };
        let between_ns = |rate_hz: u16| 1_000_000_000 / u64::from(rate_hz.max(1));
        Self {
            rate,
            from_ns: now_ns,
            frame_ns: between_ns(most_hz),
            longest_ns: between_ns(least_hz),
        }
    }

    /// As it was chosen.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Least time between frames.
    #[must_use]
    pub const fn frame_ns(&self) -> u64 {
        self.frame_ns
    }

    /// The earliest begin of a frame after `now_ns`.
    #[must_use]
    pub fn next_after(&self, now_ns: u64) -> u64 {
        match self.rate {
            Rate::Fixed(_) => {
                let passed = now_ns.saturating_sub(self.from_ns) / self.frame_ns;
                self.from_ns + (passed + 1) * self.frame_ns
            }
            Rate::Variable { .. } => now_ns.max(self.from_ns.saturating_add(self.frame_ns)),
        }
    }

    /// When the frame that shows this begins, as seen from `now_ns`. At a variable rate that may be past already: the frame is then due at once.
    #[must_use]
    pub fn due_ns(&self, wanted: Wanted, now_ns: u64) -> u64 {
        match self.rate {
            // At a time of the grid a frame can still begin.
            Rate::Fixed(_) => self.next_after(now_ns.max(wanted.from_ns.saturating_sub(1))),
            Rate::Variable { .. } => {
                let after = |between_ns| self.from_ns.saturating_add(between_ns);
                let others_ns = wanted.from_ns.max(after(self.longest_ns));
                match wanted.leading_ns {
                    Some(leading_ns) => leading_ns.max(after(self.frame_ns)).min(others_ns),
                    // Nobody leads: not due before now, or a frame after a pause would be late from the start.
                    None if others_ns < now_ns => now_ns,
                    None => others_ns,
                }
            }
        }
    }

    /// A frame begins that was due then.
    pub const fn begun(&mut self, due_ns: u64) {
        if let Rate::Variable { .. } = self.rate {
            self.from_ns = due_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_stays() {
        let clock = FrameClock::new(1000, Rate::Fixed(60));
        let second = clock.next_after(1000);
        assert_eq!(second, 1000 + 16_666_666);
        assert_eq!(clock.next_after(second - 1), second);
        assert_eq!(clock.next_after(second), second + 16_666_666);
        // After a long pause the next place on the grid, not one of the missed.
        let next = clock.next_after(1000 + 10 * 16_666_666 + 5);
        assert_eq!(next, 1000 + 11 * 16_666_666);
        // A picture for exactly a time of the grid is shown then.
        let wanted = Wanted {
            from_ns: second,
            leading_ns: None,
        };
        assert_eq!(clock.due_ns(wanted, 1500), second);
    }

    const MS: u64 = 1_000_000;

    fn variable() -> FrameClock {
        let mut clock = FrameClock::new(
            0,
            Rate::Variable {
                least_hz: 40,
                most_hz: 125,
            },
        );
        clock.begun(100 * MS);
        clock
    }

    fn leading(leading_ns: u64) -> Wanted {
        Wanted {
            from_ns: 0,
            leading_ns: Some(leading_ns),
        }
    }

    #[test]
    fn frames_follow_the_window_with_the_focus() {
        let clock = variable();
        assert_eq!(clock.due_ns(leading(113 * MS), 113 * MS), 113 * MS);
        // Noticed late it is late, not due later.
        assert_eq!(clock.due_ns(leading(113 * MS), 114 * MS), 113 * MS);
        // Not more often than the fastest.
        assert_eq!(clock.due_ns(leading(101 * MS), 101 * MS), 108 * MS);
        assert_eq!(clock.next_after(101 * MS), 108 * MS);
    }

    #[test]
    fn what_else_changes_waits_for_it_but_not_long() {
        let clock = variable();
        assert_eq!(clock.due_ns(Wanted::default(), 103 * MS), 125 * MS);
        // A picture for later does not hold up the rest.
        assert_eq!(clock.due_ns(leading(300 * MS), 103 * MS), 125 * MS);
        // After a pause nothing waits.
        assert_eq!(clock.due_ns(Wanted::default(), 900 * MS), 900 * MS);
    }
}
