//! When frames begin, and how late.

use proto::window::Late;

/// The grid of times at which frames begin: a frame that is missed is left out, the grid stays.
#[derive(Clone, Copy, Debug)]
pub struct FrameClock {
    first_ns: u64,
    frame_ns: u64,
}

impl FrameClock {
    /// A grid from now on, with so many frames a second.
    #[must_use]
    pub const fn new(now_ns: u64, rate_hz: u16) -> Self {
        let rate_hz = if rate_hz == 0 { 1 } else { rate_hz };
        Self {
            first_ns: now_ns,
            frame_ns: 1_000_000_000 / rate_hz as u64,
        }
    }

    /// Time between frames.
    #[must_use]
    pub const fn frame_ns(&self) -> u64 {
        self.frame_ns
    }

    /// The first frame that begins after `now_ns`.
    #[must_use]
    pub const fn next_after(&self, now_ns: u64) -> u64 {
        let passed = now_ns.saturating_sub(self.first_ns) / self.frame_ns;
        self.first_ns + (passed + 1) * self.frame_ns
    }
}

/// Frames whose times are kept for the overlay's graph.
pub const KEPT: usize = 120;

/// What one frame took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameTimes {
    /// When it was to begin.
    pub due_ns: u64,
    /// When it began.
    pub begun_ns: u64,
    /// When all was composed.
    pub composed_ns: u64,
    /// When it was on the screen.
    pub shown_ns: u64,
    /// Pixels composed.
    pub pixels: u64,
}

impl FrameTimes {
    /// How late it began.
    #[must_use]
    pub const fn start_lateness_ns(&self) -> u64 {
        self.begun_ns.saturating_sub(self.due_ns)
    }

    /// Why it was on the screen later than one frame after it was due; `None` if it was not.
    #[must_use]
    pub const fn late(&self, frame_ns: u64) -> Option<Late> {
        if self.shown_ns.saturating_sub(self.due_ns) <= frame_ns {
            return None;
        }
        let start = self.start_lateness_ns();
        let compose = self.composed_ns.saturating_sub(self.begun_ns);
        let show = self.shown_ns.saturating_sub(self.composed_ns);
        Some(if start >= compose && start >= show {
            Late::Started
        } else if compose >= show {
            Late::Composed
        } else {
            Late::Shown
        })
    }
}

/// The last frames, and counts of all.
#[derive(Clone, Debug)]
pub struct FrameLog {
    last: [FrameTimes; KEPT],
    /// Frames composed since the start.
    pub frames: u64,
    /// Of them, on the screen after more than a frame.
    pub late: u64,
    /// Because of what, in order of [`Late`]'s variants.
    pub late_by: [u64; 4],
    /// From an input's tick to the frame that showed its effect, in ns: the last one.
    pub input_to_shown_ns: u64,
}

impl Default for FrameLog {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameLog {
    /// No frame yet.
    #[must_use]
    pub const fn new() -> Self {
        const NONE: FrameTimes = FrameTimes {
            due_ns: 0,
            begun_ns: 0,
            composed_ns: 0,
            shown_ns: 0,
            pixels: 0,
        };
        Self {
            last: [NONE; KEPT],
            frames: 0,
            late: 0,
            late_by: [0; 4],
            input_to_shown_ns: 0,
        }
    }

    /// Adds a frame. Gives why it was late.
    pub fn add(&mut self, times: FrameTimes, frame_ns: u64) -> Option<Late> {
        if let Some(place) = self.last.get_mut((self.frames % KEPT as u64) as usize) {
            *place = times;
        }
        self.frames += 1;
        let late = times.late(frame_ns);
        if let Some(why) = late {
            self.late += 1;
            if let Some(count) = self.late_by.get_mut(why as usize) {
                *count += 1;
            }
        }
        late
    }

    /// The last frames, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &FrameTimes> {
        let count = self.frames.min(KEPT as u64) as usize;
        let start = (self.frames % KEPT as u64) as usize + KEPT - count;
        (start..start + count).filter_map(|at| self.last.get(at % KEPT))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_grid_stays() {
        let clock = FrameClock::new(1000, 60);
        let second = clock.next_after(1000);
        assert_eq!(second, 1000 + 16_666_666);
        assert_eq!(clock.next_after(second - 1), second);
        assert_eq!(clock.next_after(second), second + 16_666_666);
        // After a long pause the next place on the grid, not one of the missed.
        let next = clock.next_after(1000 + 10 * 16_666_666 + 5);
        assert_eq!(next, 1000 + 11 * 16_666_666);
    }

    #[test]
    fn late_frames_say_why() {
        let times = |begun_ns, composed_ns, shown_ns| FrameTimes {
            due_ns: 100,
            begun_ns,
            composed_ns,
            shown_ns,
            pixels: 0,
        };
        assert_eq!(times(100, 105, 110).late(10), None);
        assert_eq!(times(150, 155, 160).late(10), Some(Late::Started));
        assert_eq!(times(101, 155, 160).late(10), Some(Late::Composed));
        assert_eq!(times(101, 105, 160).late(10), Some(Late::Shown));
        let mut log = FrameLog::new();
        for number in 0..KEPT as u64 + 5 {
            log.add(
                FrameTimes {
                    due_ns: number,
                    ..FrameTimes::default()
                },
                10,
            );
        }
        let due: Vec<_> = log.recent().map(|times| times.due_ns).collect();
        assert_eq!(due, (5..KEPT as u64 + 5).collect::<Vec<_>>());
    }
}
