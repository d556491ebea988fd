//! Bounds on the time that somebody gets over every window, by leaky buckets: what a whole history of windows would say,
//! in a few numbers.

/// No more than `burst + rate · L` in any window of length L.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ceiling {
    level: f64,
    last: u64,
}

impl Ceiling {
    /// `used` ticks of service ended at `now`: by how much the bound is exceeded, if it is.
    pub fn serve(&mut self, used: u64, now: u64, rate: f64, burst: f64) -> Option<f64> {
        let passed = now.saturating_sub(self.last) as f64;
        self.last = now;
        // The service itself took time, in which the bucket leaked too.
        self.level = (self.level - rate * (passed - used as f64).max(0.0)).max(0.0)
            + used as f64 * (1.0 - rate);
        (self.level > burst + 1.0).then_some(self.level - burst)
    }
}

/// No less than `rate · L − slack` in any window of length L throughout which it was wanted. With `lends`, what was had
/// beyond the rate counts against later, until it is paid for at that rate: so it is with a soft reservation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    lack: f64,
    last: u64,
    wanted: bool,
    lends: bool,
}

impl Floor {
    /// A floor under somebody whose use of idle time counts.
    pub fn lending() -> Floor {
        Floor {
            lends: true,
            ..Floor::default()
        }
    }

    /// Wanted from `now` on, or not.
    pub fn wanted(&mut self, wanted: bool, now: u64, rate: f64) {
        if wanted && !self.wanted {
            let paid = rate * now.saturating_sub(self.last) as f64;
            self.lack = if self.lends {
                (self.lack + paid).min(0.0)
            } else {
                0.0
            };
            self.last = now;
        }
        self.wanted = wanted;
    }

    /// Time passed up to `now`, of which `served` was service: by how much the bound is missed, if it is.
    pub fn pass(&mut self, served: u64, now: u64, rate: f64, slack: f64) -> Option<f64> {
        if !self.wanted {
            return None;
        }
        self.lack += rate * now.saturating_sub(self.last) as f64 - served as f64;
        self.last = now;
        if !self.lends {
            self.lack = self.lack.max(0.0);
        }
        (self.lack > slack + 1.0).then_some(self.lack - slack)
    }
}

/// Whether two best-effort tasks that are ready all the time get time by their weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair {
    difference: f64,
    least: f64,
    most: f64,
}

impl Pair {
    /// One of them got `virtual_ticks` (time ÷ weight) more, the second if negative; the bound on the range of
    /// the difference is exceeded by what is returned.
    pub fn serve(&mut self, virtual_ticks: f64, bound: f64) -> Option<f64> {
        self.difference += virtual_ticks;
        self.least = self.least.min(self.difference);
        self.most = self.most.max(self.difference);
        let range = self.most - self.least;
        (range > bound + 1.0).then_some(range - bound)
    }
}
