//! When a poll ends: what did everybody get, and were jobs done in time?

use super::{Check, Oracle};
use crate::trace::{Class, Division, How};

impl Oracle {
    pub(super) fn end(&mut self, t: u64, core: u32, task: u32, how: How) -> Check {
        let record = *self.task(task)?;
        let home = self.core(core)?;
        let Some((_, since)) = home
            .running
            .take()
            .filter(|&(who, since)| who == task && since <= t)
        else {
            return Err(format!("a poll of task {task} ends that did not begin"));
        };
        let used = t - since;
        home.last = (since, t);
        home.longest_poll = home.longest_poll.max(used);
        let excess = used.saturating_sub(home.division.longest_poll);
        match record.class {
            Class::Open(_) => home.excess[0] = home.excess[0].max(excess),
            Class::Fair(_) => home.excess[1] = home.excess[1].max(excess),
            Class::In(_) => {}
        }
        if let Some((_, open, fair)) = &mut home.contended {
            match record.class {
                Class::Open(_) => *open += used,
                Class::Fair(_) => *fair += used,
                Class::In(_) => {}
            }
        }
        if how != How::Yield {
            self.task(task)?.ready = false;
        }
        match record.class {
            Class::In(res) => self.end_reserved(t, task, res, used, how)?,
            Class::Open(_) => {
                let turn = self.turn();
                self.task(task)?.turn = turn;
                if how != How::Yield {
                    self.core(core)?.open.retain(|&other| other != task);
                }
            }
            Class::Fair(weight) => self.end_fair(core, task, used, weight, how)?,
        }
        self.floors(t, core, record.class, used)
    }

    pub(super) fn end_reserved(
        &mut self,
        t: u64,
        task: u32,
        res: u32,
        used: u64,
        how: How,
    ) -> Check {
        let turn = self.turn();
        let core = self.server(res)?.core;
        let blocking = self.blocking(core, 0)? as f64;
        let server = self.server(res)?;
        let terms = server.terms;
        let excess = |longest: u64| longest.saturating_sub(terms.p_max);
        let before = excess(server.longest_poll);
        server.longest_poll = server.longest_poll.max(used);
        let more = excess(server.longest_poll) - before;
        server.members.retain(|&other| other != task);
        if how == How::Yield {
            server.members.push_back(task);
        }
        let mut throttled = 0;
        let goes_on = !server.members.is_empty();
        if !terms.reclaims && server.account.charge(&terms, used, goes_on, t) {
            server.turn = turn;
            throttled = u64::from(server.account.waits_until.is_some());
        }
        if !goes_on {
            server.account.give_up_waiting(&terms);
        }
        if terms.hard && !terms.reclaims {
            let rate = terms.budget as f64 / terms.period as f64;
            let burst = 2.0 * terms.budget as f64
                + server.longest_poll.max(terms.p_max) as f64
                + rate * blocking;
            if let Some(excess) = server.ceiling.serve(used, t, rate, burst) {
                return Err(format!(
                    "hard reservation {res} got {excess:.0} ticks more than {} in every {} allows",
                    terms.budget, terms.period
                ));
            }
        }
        self.counts.throttled += throttled;
        self.core(core)?.reserved_excess += more;
        Ok(())
    }

    pub(super) fn end_fair(
        &mut self,
        core: u32,
        task: u32,
        used: u64,
        weight: u32,
        how: How,
    ) -> Check {
        const DEFAULT_WEIGHT: u32 = 1024;
        let cost = |weight: u32| f64::from(DEFAULT_WEIGHT) / f64::from(weight);
        let home = self.core(core)?;
        let poll = home.longest_poll.max(home.division.longest_poll) as f64;
        // The executor cuts virtual time into bands of a quarter of the budget, rounded down to a power of two.
        let band = ((home.division.fair_budget / 4).max(16).ilog2() as f64).exp2();
        let timed = home.division.timed;
        let (tasks, ready) = (home.fair_tasks.clone(), home.fair.clone());
        let count = tasks.len();
        let at = tasks.iter().position(|&other| other == task).unwrap_or(0);
        for (index, &other) in tasks.iter().enumerate() {
            if other == task || !ready.contains(&other) {
                continue;
            }
            let Class::Fair(theirs) = self.task(other)?.class else {
                continue;
            };
            // One who slept lags by up to a band when it comes back.
            let mut bound = 3.0 * band + poll * (cost(weight) + cost(theirs));
            if !timed {
                if (weight, theirs) == (DEFAULT_WEIGHT, DEFAULT_WEIGHT) {
                    continue;
                }
                // A poll in which the first of other weight became ready began untimed.
                bound += poll * cost(weight).max(cost(theirs));
            }
            let virtual_ticks = used as f64 * cost(weight);
            let (pair, sign) = if at < index {
                (at * count + index, 1.0)
            } else {
                (index * count + at, -1.0)
            };
            if let Some(excess) = self.core(core)?.pairs[pair].serve(sign * virtual_ticks, bound) {
                return Err(format!(
                    "best-effort tasks {task} and {other} of weights {weight} and {theirs} differ by {excess:.0} virtual ticks more than {bound:.0}"
                ));
            }
        }
        if how != How::Yield {
            self.core(core)?.fair.retain(|&other| other != task);
        }
        Ok(())
    }

    /// Best effort and open tasks get at least their share. Called when a poll ended.
    pub(super) fn floors(&mut self, t: u64, core: u32, class: Class, used: u64) -> Check {
        let home = self.core(core)?;
        let blocking = home.blocking() as f64;
        let Division {
            fair_period,
            open_period,
            ..
        } = home.division;
        let rate = home.division.fair_rate();
        let served = if let Class::Fair(_) = class { used } else { 0 };
        if let Some(lack) = home.fair_floor.pass(
            served,
            t,
            rate,
            rate * (2.0 * fair_period as f64 + blocking) + blocking,
        ) {
            return Err(format!(
                "best effort lacks {lack:.0} ticks of its guaranteed share"
            ));
        }
        let rate = home.division.open_rate();
        let served = if let Class::Open(_) = class { used } else { 0 };
        if let Some(lack) = home.open_floor.pass(
            served,
            t,
            rate,
            rate * (2.0 * open_period as f64 + blocking) + blocking,
        ) {
            return Err(format!(
                "tasks with a deadline and no reservation lack {lack:.0} ticks of their least share"
            ));
        }
        let (fair, open) = (!home.fair.is_empty(), !home.open.is_empty());
        home.fair_floor.wanted(fair, t, home.division.fair_rate());
        home.open_floor.wanted(open, t, home.division.open_rate());
        Ok(())
    }

    /// How long polls can hold up others, if one of `poll` ticks is going on.
    pub(super) fn blocking(&mut self, core: u32, poll: u64) -> Result<u64, String> {
        let home = self.core(core)?;
        Ok(home.blocking().max(poll) + home.excess.iter().sum::<u64>() + home.reserved_excess)
    }

    pub(super) fn job(&mut self, t: u64, core: u32, task: u32, release: u64) -> Check {
        let record = *self.task(task)?;
        let took = t.saturating_sub(release);
        let deadline = match record.class {
            Class::In(res) => self.server(res)?.terms.deadline,
            Class::Open(Some(relative)) => relative,
            _ => return Ok(()),
        };
        if !record.guaranteed {
            self.counts.other_jobs += 1;
            self.counts.late_other_jobs += u64::from(took > deadline);
            return Ok(());
        }
        let poll = self.core(core)?.running.map_or(0, |(_, since)| t - since);
        let blocking = self.blocking(core, poll)?;
        self.counts.jobs += 1;
        self.counts.within_blocking += u64::from(took > deadline);
        if took > deadline.saturating_add(blocking) {
            return Err(format!(
                "a job of task {task} released at {release} took {took}: {} later than its deadline and the blocking term, {blocking}",
                took - deadline - blocking
            ));
        }
        Ok(())
    }
}
