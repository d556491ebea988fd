//! Random task sets: what runs on the cores, from a seed.

mod worst;

use executor::CoreConfig;

use crate::{
    platform::{VARIANTS, config},
    rng::Rng,
    trace::{Class, Terms},
};

const MICROS: u64 = 1000;

/// What starts a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The task sleeps until the next release.
    Timer,
    /// An interrupt on its own core.
    Interrupt,
    /// A thread that is no core.
    Foreign,
    /// The end of another task's job, if a period has passed.
    Task,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Jobs at least a period apart, each of some execution time, in polls.
    Jobs {
        /// What starts them.
        trigger: Trigger,
        /// Least time between releases.
        period: u64,
        /// Most time added to it at random.
        jitter: u64,
        /// Least execution time of a job.
        least: u64,
        /// Most execution time of a job.
        most: u64,
    },
    /// Always ready.
    Busy,
    /// Ready at fixed times, and then for so long that its budget ends one tick into a poll of full length.
    Overshoots {
        /// The budget.
        budget: u64,
        /// Time from one such burst to the next: enough to pay for it.
        every: u64,
    },
    /// Works for a while, sleeps for a while.
    Naps {
        /// Most time asleep.
        sleep: u64,
        /// Most work at a time.
        most: u64,
    },
}

/// A task to be.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// Its core.
    pub core: u32,
    /// How it gets its time; [`Class::In`] counts the set's reservations.
    pub class: Class,
    /// What it does.
    pub work: Work,
    /// Its longest poll.
    pub longest_poll: u64,
    /// Looks for something more urgent during its polls, and yields to it.
    pub checks: bool,
    /// When it is spawned; 0: before the cores run.
    pub start: u64,
    /// It ends with the first job or nap after this.
    pub stop: u64,
    /// Whom it wakes at the end of a job.
    pub wakes: Vec<u32>,
    /// Changes the terms of its reservation now and then.
    pub changes: bool,
    /// Whether all its jobs must end within the reservation's deadline.
    pub guaranteed: bool,
}

impl TaskSpec {
    /// A task of core 0 with nothing to do, there from beginning to end.
    pub fn idle() -> TaskSpec {
        TaskSpec {
            core: 0,
            class: Class::Fair(1024),
            work: Work::Busy,
            longest_poll: 1,
            checks: false,
            start: 0,
            stop: u64::MAX,
            wakes: Vec::new(),
            changes: false,
            guaranteed: false,
        }
    }
}

/// A task set.
#[derive(Clone, Debug)]
pub struct TaskSet {
    /// Its seed.
    pub seed: u64,
    /// How its cores are configured.
    pub variant: usize,
    /// With the executor's statistics.
    pub stats: bool,
    /// How many cores.
    pub cores: u32,
    /// How long it runs (ticks).
    pub horizon: u64,
    /// Reservations asked for: core, terms, when.
    pub reservations: Vec<(u32, Terms)>,
    /// Its tasks.
    pub tasks: Vec<TaskSpec>,
}

/// Who breaks his word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Nobody.
    #[default]
    Kept,
    /// Some tasks overrun what they declared.
    Overload,
    /// Many reservations use a poll more than their budget at the same time, which is all that is allowed to them.
    Overshoot,
}

/// What kind of sets to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Who breaks his word.
    pub kind: Kind,
    /// So many cores; chosen at random if `None`.
    pub cores: Option<u32>,
}

/// Times are multiples of the set's quantum, so that some sets are full of ties.
struct Maker {
    rng: Rng,
    quantum: u64,
    kind: Kind,
    config: CoreConfig,
    set: TaskSet,
}

impl TaskSet {
    /// The task set of this seed.
    pub fn random(seed: u64, options: Options) -> TaskSet {
        let mut rng = Rng::new(seed);
        let variant = rng.up_to(VARIANTS as u64 - 1) as usize;
        let quantum = [1, 100, 10_000][rng.up_to(2) as usize];
        let drawn = match rng.up_to(999) {
            0..700 => 1,
            700..900 => rng.between(2, 3),
            900..995 => rng.between(4, 12),
            _ => rng.between(13, 40),
        } as u32;
        let cores = if options.kind.is_alone() {
            1
        } else {
            options.cores.unwrap_or(drawn).clamp(1, 256)
        };
        let set = TaskSet {
            seed,
            variant,
            stats: rng.percent(50),
            cores,
            horizon: 0,
            reservations: Vec::new(),
            tasks: Vec::new(),
        };
        let mut maker = Maker {
            rng,
            quantum,
            kind: options.kind,
            config: config(variant),
            set,
        };
        if options.kind.is_alone() {
            maker.worst();
            return maker.set;
        }
        for core in 0..cores {
            maker.core(core);
        }
        maker.connect();
        maker.set
    }
}

impl Maker {
    fn overloads(&self) -> bool {
        self.kind == Kind::Overload
    }

    fn round(&self, ticks: u64) -> u64 {
        (ticks / self.quantum).max(1) * self.quantum
    }

    fn core(&mut self, core: u32) {
        let base = [200, 400, 1000][self.rng.up_to(2) as usize] * MICROS;
        let longest = base * [10, 40, 100][self.rng.up_to(2) as usize];
        let horizon = (2 * longest).clamp(15_000 * MICROS, 60_000 * MICROS);
        self.set.horizon = self.set.horizon.max(horizon);
        let count = self.rng.between(1, 8) as usize;
        let mut left = 0.05 + 0.9 * self.rng.unit();
        let first = self.set.reservations.len();
        let mut shortest = u64::MAX;
        for index in 0..count {
            // UUniFast: E. Bini, G. Buttazzo, "Measuring the performance of schedulability tests", RTS 2005.
            let rest = left * self.rng.unit().powf(1.0 / (count - index) as f64);
            let utilisation = if index + 1 == count {
                left
            } else {
                left - rest
            };
            left = rest;
            let period = self.rng.log_uniform(base, longest);
            let period = self.round(period);
            let budget = self.round((period as f64 * utilisation) as u64).min(period);
            let constrained = self.rng.percent(35);
            let drawn = self.rng.between(budget, period);
            let deadline = if constrained {
                self.round(drawn).clamp(budget, period)
            } else {
                period
            };
            shortest = shortest.min(deadline);
            let terms = Terms {
                budget,
                period,
                deadline,
                p_max: 0,
                hard: self.rng.percent(50),
                reclaims: self.rng.percent(10),
                overruns: self.overloads() && self.rng.percent(25),
            };
            self.set.reservations.push((core, terms));
        }
        if self.overloads()
            && self.set.reservations[first..]
                .iter()
                .all(|(_, terms)| !terms.overruns)
        {
            self.set.reservations[first].1.overruns = true;
        }
        for index in first..self.set.reservations.len() {
            let budget = self.set.reservations[index].1.budget;
            let most = (shortest / 4).min(budget).max(1);
            let p_max = self.rng.between((budget / 12).min(most), most);
            self.set.reservations[index].1.p_max = self.round(p_max).min(budget);
            self.members(index as u32);
        }
        self.others(core, base);
    }

    /// The tasks of a reservation.
    fn members(&mut self, res: u32) {
        let (core, terms) = self.set.reservations[res as usize];
        let shared = self.rng.percent(12);
        let tasks = if shared { self.rng.between(2, 4) } else { 1 };
        for _ in 0..tasks {
            let budget = terms.budget / tasks;
            let (least, most) = match self.rng.up_to(3) {
                0 => (budget.max(1), budget.max(1)),
                1 => (1, budget.max(1)),
                _ => ((budget / 4).max(1), budget.max(1)),
            };
            let trigger = match self.rng.up_to(9) {
                0..6 => Trigger::Timer,
                6..8 => Trigger::Interrupt,
                8 => Trigger::Foreign,
                _ => Trigger::Task,
            };
            let jitter = if self.rng.percent(50) {
                0
            } else {
                self.rng.up_to(terms.period)
            };
            let mut work = Work::Jobs {
                trigger,
                period: terms.period,
                jitter,
                least,
                most,
            };
            let mut longest_poll = terms.p_max;
            if terms.overruns {
                let factor = self.rng.between(2, 20);
                if self.rng.percent(80) {
                    work = if self.rng.percent(20) {
                        Work::Busy
                    } else {
                        Work::Jobs {
                            trigger,
                            period: terms.period,
                            jitter,
                            least: most,
                            most: most * factor,
                        }
                    };
                }
                if self.rng.percent(30) {
                    longest_poll *= self.rng.between(2, 5);
                }
            }
            let late = self.rng.percent(15);
            let start = if late {
                self.rng.between(1, self.set.horizon / 2)
            } else {
                0
            };
            let stop = if self.rng.percent(15) {
                self.rng.between(start, self.set.horizon)
            } else {
                u64::MAX
            };
            // New terms put a job in progress off to where the old ones have paid for it.
            let changes = self.rng.percent(12);
            self.set.tasks.push(TaskSpec {
                core,
                class: Class::In(res),
                work,
                longest_poll,
                checks: self.rng.percent(15),
                start,
                stop,
                wakes: Vec::new(),
                changes,
                guaranteed: !shared && !terms.overruns && !changes,
            });
        }
    }

    /// Tasks without a reservation.
    fn others(&mut self, core: u32, base: u64) {
        let allowed = self.config.longest_poll.as_nanos() as u64;
        let rude = self.overloads() && self.rng.percent(10);
        let most_poll = if rude { allowed * 3 } else { allowed };
        let open = if self.rng.percent(50) {
            0
        } else {
            self.rng.between(1, 4)
        };
        let fair = if self.rng.percent(30) {
            0
        } else {
            self.rng.between(1, 5)
        };
        for index in 0..open + fair {
            let class = if index < open {
                let relative = self.rng.log_uniform(base / 4, base * 40);
                Class::Open(Some(self.round(relative)))
            } else {
                let weight = match self.rng.up_to(4) {
                    0 => 1024,
                    1 => self.rng.log_uniform(1, 1024) as u32,
                    2 => self.rng.log_uniform(64, 16_384) as u32,
                    _ => [512, 1024, 2048, 4096][self.rng.up_to(3) as usize],
                };
                Class::Fair(weight)
            };
            let period = self.rng.log_uniform(base, base * 40);
            let period = self.round(period);
            let work = match self.rng.up_to(9) {
                0..3 => Work::Busy,
                3..6 => Work::Naps {
                    sleep: period,
                    most: period / 2 + 1,
                },
                _ => Work::Jobs {
                    trigger: Trigger::Timer,
                    period,
                    jitter: 0,
                    least: 1,
                    most: period / 4 + 1,
                },
            };
            let work = match (work, self.rng.up_to(3)) {
                (
                    Work::Jobs {
                        period,
                        jitter,
                        least,
                        most,
                        ..
                    },
                    0,
                ) => Work::Jobs {
                    trigger: Trigger::Foreign,
                    period,
                    jitter,
                    least,
                    most,
                },
                (
                    Work::Jobs {
                        period,
                        jitter,
                        least,
                        most,
                        ..
                    },
                    1,
                ) => Work::Jobs {
                    trigger: Trigger::Task,
                    period,
                    jitter,
                    least,
                    most,
                },
                (other, _) => other,
            };
            let poll = self.rng.between(most_poll / 4, most_poll);
            let longest_poll = self.round(poll).min(most_poll);
            let start = if self.rng.percent(20) {
                self.rng.between(1, self.set.horizon / 2)
            } else {
                0
            };
            let stop = if self.rng.percent(10) {
                self.rng.between(start, self.set.horizon)
            } else {
                u64::MAX
            };
            let checks = self.rng.percent(15);
            self.set.tasks.push(TaskSpec {
                core,
                class,
                work,
                longest_poll,
                checks,
                start,
                stop,
                wakes: Vec::new(),
                changes: false,
                guaranteed: false,
            });
        }
    }

    /// Decides who wakes whom, across cores too.
    fn connect(&mut self) {
        let wakers: Vec<u32> = (0..self.set.tasks.len() as u32)
            .filter(|&task| matches!(self.set.tasks[task as usize].work, Work::Jobs { .. }))
            .collect();
        for task in 0..self.set.tasks.len() as u32 {
            if !matches!(
                self.set.tasks[task as usize].work,
                Work::Jobs {
                    trigger: Trigger::Task,
                    ..
                }
            ) {
                continue;
            }
            for _ in 0..self.rng.between(1, 3) {
                let waker = wakers[self.rng.up_to(wakers.len() as u64 - 1) as usize];
                if waker != task && !self.set.tasks[waker as usize].wakes.contains(&task) {
                    self.set.tasks[waker as usize].wakes.push(task);
                }
            }
        }
    }
}
