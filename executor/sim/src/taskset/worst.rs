//! The worst case for admission: everybody else overshoots, at the same time.
//!
//! A poll cannot be stopped, so a reservation can use up to a poll more than its budget, with one tick left when
//! the poll begins. Here several reservations do so in every period, their deadlines just before those of the victims, which
//! ask for exactly what they were promised; and so many victims apply that hardly anything stays free.

use super::{Kind, Maker, TaskSpec, Trigger, Work};
use crate::trace::{Class, Terms};

const MICROS: u64 = 1000;

impl Maker {
    /// The only core of a set.
    pub(super) fn worst(&mut self) {
        let base = self.rng.log_uniform(1000 * MICROS, 20_000 * MICROS);
        self.set.horizon = (20 * base).clamp(20_000 * MICROS, 200_000 * MICROS);
        let longer = self.rng.between(0, base / 3);
        let period = self.round(base + longer);
        let culprits = self.rng.between(2, 12);
        for _ in 0..culprits {
            let shorter = self.rng.between(0, base / 10);
            let own = self.round(base - shorter);
            let part = self.rng.between(culprits + 2, 5 * culprits);
            let budget = self.round(own / part);
            let p_max = if self.rng.percent(70) {
                budget
            } else {
                self.rng.between(budget / 3, budget).max(1)
            };
            // In step with the victims, or not.
            let every = if self.rng.percent(80) {
                3 * period
            } else {
                4 * own
            };
            let work = Work::Overshoots { budget, every };
            self.reserve(budget, own, own, p_max, work, true);
        }
        let mut budget = period * 6 / 10;
        for _ in 0..12 {
            let asked = self.round(budget).min(period);
            let (part, hurried) = (self.rng.between(10, 40), self.rng.percent(30));
            let deadline = if hurried {
                self.round(self.rng.clone().between(period * 9 / 10, period))
                    .max(asked)
            } else {
                period
            };
            let work = Work::Jobs {
                trigger: if self.rng.percent(50) {
                    Trigger::Timer
                } else {
                    Trigger::Interrupt
                },
                period,
                jitter: if self.rng.percent(50) { 0 } else { period / 7 },
                least: asked,
                most: asked,
            };
            self.reserve(
                asked,
                period,
                deadline.min(period),
                (asked / part).max(1),
                work,
                false,
            );
            budget = budget * 6 / 10;
        }
        if self.rng.percent(60) {
            let longest_poll = self.config.longest_poll.as_nanos() as u64;
            for class in [Class::Fair(1024), Class::Open(Some(base))] {
                self.set.tasks.push(TaskSpec {
                    core: 0,
                    class,
                    work: Work::Busy,
                    longest_poll,
                    ..TaskSpec::idle()
                });
            }
        }
    }

    fn reserve(
        &mut self,
        budget: u64,
        period: u64,
        deadline: u64,
        p_max: u64,
        work: Work,
        overruns: bool,
    ) {
        let terms = Terms {
            budget,
            period,
            deadline,
            p_max,
            hard: self.rng.percent(50),
            reclaims: false,
            overruns,
        };
        self.set.reservations.push((0, terms));
        self.set.tasks.push(TaskSpec {
            class: Class::In(self.set.reservations.len() as u32 - 1),
            work,
            longest_poll: p_max,
            guaranteed: !overruns,
            ..TaskSpec::idle()
        });
    }
}

impl Kind {
    /// Whether sets of this kind have one core only.
    pub(super) fn is_alone(self) -> bool {
        self == Kind::Overshoot
    }
}
