//! What frames took, and how late they were.

use proto::frames::{FrameFigures, STAGES};
use proto::window::Late;

use crate::times::Times;

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
    measured: Measured,
}

/// What is measured from when it was begun anew.
#[derive(Clone, Debug, Default)]
struct Measured {
    frames: u32,
    late: u32,
    late_by: [u32; 4],
    direct: u32,
    start: Times,
    compose: Times,
    show: Times,
    stages: [Times; STAGES.len()],
    input: Times,
}

/// When an input took which step, by the monotonic clock in ns: the interrupt, the program was told, its picture came; then the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// The interrupt.
    pub input_ns: u64,
    /// The program was told.
    pub told_ns: u64,
    /// Its picture came.
    pub presented_ns: u64,
}

impl Default for FrameLog {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameLog {
    /// No frame yet.
    #[must_use]
    pub fn new() -> Self {
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
            measured: Measured::default(),
        }
    }

    /// Adds a frame. Gives why it was late.
    pub fn add(&mut self, times: FrameTimes, frame_ns: u64) -> Option<Late> {
        if let Some(place) = self.last.get_mut((self.frames % KEPT as u64) as usize) {
            *place = times;
        }
        self.frames += 1;
        let late = times.late(frame_ns);
        let measured = &mut self.measured;
        measured.frames = measured.frames.saturating_add(1);
        measured.start.add(times.start_lateness_ns());
        measured
            .compose
            .add(times.composed_ns.saturating_sub(times.begun_ns));
        measured
            .show
            .add(times.shown_ns.saturating_sub(times.composed_ns));
        measured.direct += u32::from(times.pixels == 0);
        if let Some(why) = late {
            measured.late = measured.late.saturating_add(1);
            if let Some(count) = measured.late_by.get_mut(why as usize) {
                *count = count.saturating_add(1);
            }
        }
        if let Some(why) = late {
            self.late += 1;
            if let Some(count) = self.late_by.get_mut(why as usize) {
                *count += 1;
            }
        }
        late
    }

    /// Adds an input whose effect a frame shows.
    pub fn add_input(&mut self, moments: Moments, times: &FrameTimes) {
        let at = [
            moments.input_ns,
            moments.told_ns,
            moments.presented_ns,
            times.begun_ns,
            times.composed_ns,
            times.shown_ns,
        ];
        let measured = &mut self.measured;
        for (stage, pair) in measured.stages.iter_mut().zip(at.windows(2)) {
            if let [from, to] = pair {
                stage.add(to.saturating_sub(*from));
            }
        }
        let whole_ns = times.shown_ns.saturating_sub(moments.input_ns);
        measured.input.add(whole_ns);
        self.input_to_shown_ns = whole_ns;
    }

    /// What was measured, in short.
    #[must_use]
    pub fn figures(&self) -> FrameFigures {
        let measured = &self.measured;
        FrameFigures {
            frames: measured.frames,
            late: measured.late,
            late_by: measured.late_by,
            direct: measured.direct,
            start: measured.start.spread(),
            compose: measured.compose.spread(),
            show: measured.show.spread(),
            inputs: u32::try_from(measured.input.count()).unwrap_or(u32::MAX),
            stages: measured.stages.each_ref().map(Times::spread),
            input: measured.input.spread(),
            start_counts: measured.start.coarse(),
            input_counts: measured.input.coarse(),
        }
    }

    /// Begins to measure anew.
    pub fn measure_anew(&mut self) {
        self.measured = Measured::default();
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
