//! The checks, event by event.

use super::{
    Check, MOST, Oracle,
    account::Account,
    admission,
    model::{Core, Server, Task},
    shares::{Ceiling, Pair},
};
use crate::trace::{Class, Division, Event, How, Terms};

fn entry<T>(table: &mut Vec<Option<T>>, index: u32) -> Result<&mut Option<T>, String> {
    if index >= MOST {
        return Err(format!("{index} is no number for a core, a reservation or a task"));
    }
    if table.len() <= index as usize {
        table.resize_with(index as usize + 1, || None);
    }
    Ok(&mut table[index as usize])
}

impl Oracle {
    pub(super) fn core(&mut self, core: u32) -> Result<&mut Core, String> {
        self.cores.get_mut(core as usize).and_then(Option::as_mut).ok_or_else(|| format!("core {core} was not introduced"))
    }

    fn task(&mut self, task: u32) -> Result<&mut Task, String> {
        self.tasks.get_mut(task as usize).and_then(Option::as_mut).ok_or_else(|| format!("task {task} was not introduced"))
    }

    fn server(&mut self, res: u32) -> Result<&mut Server, String> {
        self.servers.get_mut(res as usize).and_then(Option::as_mut).ok_or_else(|| format!("reservation {res} was not introduced"))
    }

    pub(super) fn check(&mut self, event: &Event) -> Check {
        match *event {
            Event::Core { core, division } => {
                *entry(&mut self.cores, core)? = Some(Core::new(division));
                Ok(())
            }
            Event::Reserve { t, res, core, terms } => self.reserve(t, res, core, terms),
            Event::Release { t, res } => {
                self.now = t;
                let server = self.server(res)?;
                server.released = true;
                let core = server.core;
                self.core(core)?.contended = None;
                Ok(())
            }
            Event::Task { task, core, class, guaranteed } => {
                let home = self.core(core)?;
                if let Class::Fair(_) = class
                    && !home.fair_tasks.contains(&task)
                {
                    home.fair_tasks.push(task);
                    let count = home.fair_tasks.len();
                    home.pairs = vec![Pair::default(); count * count];
                }
                if let Class::In(res) = class
                    && self.server(res)?.core != core
                {
                    return Err(format!("task {task} of core {core} is in reservation {res} of another"));
                }
                *entry(&mut self.tasks, task)? = Some(Task { core, class, guaranteed, ready: false, deadline: 0, turn: 0 });
                Ok(())
            }
            Event::Wake { t, core, task, stamp, deadline } => {
                self.now = t;
                self.wake(t, core, task, stamp, deadline)
            }
            Event::Run { t, core, task, deadline } => {
                self.now = t;
                self.run(t, core, task, deadline)
            }
            Event::End { t, core, task, how } => {
                self.now = t;
                self.end(t, core, task, how)
            }
            Event::Job { t, core, task, release } => {
                self.now = t;
                self.job(t, core, task, release)
            }
            Event::Idle { t, core } => {
                self.now = t;
                self.idle(t, core)
            }
        }
    }

    fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    fn reserve(&mut self, t: u64, res: u32, core: u32, terms: Terms) -> Check {
        self.now = t;
        let mut set = vec![terms];
        set.extend(self.servers.iter().flatten().filter(|server| server.core == core && !server.released).map(|server| server.terms));
        let home = self.core(core)?;
        if admission::clearly_too_much(&home.division, &set) {
            return Err(format!("core {core} admitted {terms:?}, which does not fit beside the others"));
        }
        home.declared = home.declared.max(terms.p_max);
        home.reservations.push(res);
        // What is left for others is divided anew.
        home.contended = None;
        *entry(&mut self.servers, res)? = Some(Server {
            terms,
            core,
            account: Account::default(),
            members: Default::default(),
            turn: 0,
            ceiling: Ceiling::default(),
            longest_poll: 0,
            released: false,
        });
        self.counts.admitted += 1;
        Ok(())
    }

    fn wake(&mut self, t: u64, core: u32, task: u32, stamp: u64, deadline: Option<u64>) -> Check {
        let record = *self.task(task)?;
        if record.core != core {
            return Err(format!("task {task} of core {} was woken on core {core}", record.core));
        }
        if record.ready {
            return Ok(());
        }
        let turn = self.turn();
        match record.class {
            Class::Fair(_) => {
                let home = self.core(core)?;
                home.fair.push(task);
                home.fair_floor.wanted(true, t, home.division.fair_rate());
                let (at, count) = (home.fair_tasks.iter().position(|&other| other == task).unwrap_or(0), home.fair_tasks.len());
                for other in 0..count {
                    home.pairs[at * count + other] = Pair::default();
                    home.pairs[other * count + at] = Pair::default();
                }
            }
            Class::Open(relative) => {
                let deadline = deadline.ok_or_else(|| format!("task {task} was woken without a deadline"))?;
                let home = self.core(core)?;
                home.open.push(task);
                home.open_floor.wanted(true, t, home.division.open_rate());
                // The executor may take the time of a wake from its last reading of the clock: when the poll began.
                let poll = home.running.map_or(home.last.0, |(_, since)| since);
                if let Some(relative) = relative
                    && !(stamp.min(poll).saturating_add(relative)..=t.saturating_add(relative)).contains(&deadline)
                {
                    return Err(format!("task {task}, woken at {stamp}, is due after {relative}, but the executor says at {deadline}"));
                }
                self.task(task)?.deadline = deadline;
            }
            Class::In(res) => {
                let server = self.server(res)?;
                server.members.push_back(task);
                if server.members.len() == 1 && !server.terms.reclaims {
                    let before = server.account.waits_until;
                    let terms = server.terms;
                    server.account.wake(&terms, stamp);
                    server.turn = turn;
                    if before.is_none() && server.account.waits_until.is_some() {
                        self.counts.throttled += 1;
                    }
                }
            }
        }
        let record = self.task(task)?;
        record.ready = true;
        record.turn = turn;
        Ok(())
    }

    /// Gives hard reservations whose time has come their budgets, in order of time.
    fn replenish(&mut self, t: u64, core: u32) -> Check {
        let now = i128::from(t);
        let waits = |server: &Server| server.account.waits_until;
        let mut due: Vec<(i128, u64, u32)> = Vec::new();
        for index in 0..self.core(core)?.reservations.len() {
            let res = self.core(core)?.reservations[index];
            let server = self.server(res)?;
            if let Some(until) = waits(server).filter(|&until| until <= now) {
                due.push((until, server.turn, res));
            }
        }
        due.sort_unstable();
        for (_, _, res) in due {
            let turn = self.turn();
            let server = self.server(res)?;
            server.account.waits_until = None;
            server.turn = turn;
        }
        Ok(())
    }

    fn run(&mut self, t: u64, core: u32, task: u32, deadline: Option<u64>) -> Check {
        self.replenish(t, core)?;
        let record = *self.task(task)?;
        let home = self.core(core)?;
        if let Some((other, _)) = home.running {
            return Err(format!("core {core} runs task {task} while it runs task {other}"));
        }
        if t < home.last.1 {
            return Err(format!("core {core} runs task {task} before its last poll ended, at {}", home.last.1));
        }
        home.running = Some((task, t));
        if !record.ready || record.core != core {
            return Err(format!("core {core} runs task {task}, which is not ready there"));
        }
        self.counts.polls += 1;
        match record.class {
            Class::In(res) => self.run_reserved(core, task, res, deadline)?,
            Class::Open(_) => {
                if deadline != Some(record.deadline) {
                    return Err(format!("task {task} is due at {}, but runs as if due at {deadline:?}", record.deadline));
                }
                for index in 0..self.core(core)?.open.len() {
                    let other = self.core(core)?.open[index];
                    let waiting = *self.task(other)?;
                    if (waiting.deadline, waiting.turn) < (record.deadline, record.turn) {
                        return Err(format!("task {task}, due at {}, runs before task {other}, due at {} (turns {} and {})", record.deadline, waiting.deadline, record.turn, waiting.turn));
                    }
                }
                if self.core(core)?.open.len() > 1 {
                    self.counts.choices += 1;
                }
            }
            Class::Fair(_) => {}
        }
        self.contention(t, core, record.class)
    }

    fn run_reserved(&mut self, core: u32, task: u32, res: u32, deadline: Option<u64>) -> Check {
        let server = self.server(res)?;
        if let Some(until) = server.account.waits_until {
            return Err(format!("reservation {res} runs task {task} though its budget is used up until {until}"));
        }
        if server.members.front() != Some(&task) {
            return Err(format!("reservation {res} runs task {task} before task {:?}, which came first", server.members.front()));
        }
        if server.terms.reclaims {
            return Ok(());
        }
        let (mine, turn) = (server.account.deadline, server.turn);
        if deadline.map(i128::from) != Some(mine) {
            return Err(format!("reservation {res} is due at {mine} (budget left {}), but the executor says at {deadline:?}", server.account.left));
        }
        let mut choice = false;
        for index in 0..self.core(core)?.reservations.len() {
            let other = self.core(core)?.reservations[index];
            let waiting = self.server(other)?;
            if other == res || !waiting.is_ready() || waiting.terms.reclaims {
                continue;
            }
            choice = true;
            let theirs = (waiting.account.deadline, waiting.turn);
            if theirs < (mine, turn) {
                return Err(format!("reservation {res}, due at {mine}, runs before reservation {other}, due at {} (turns {turn} and {})", theirs.0, theirs.1));
            }
        }
        self.counts.choices += u64::from(choice);
        Ok(())
    }

    /// Tasks without a reservation get no more than their bandwidth while reservations wait.
    fn contention(&mut self, t: u64, core: u32, class: Class) -> Check {
        let (mut earliest, mut reserved) = (i128::MAX, 0.0);
        for index in 0..self.core(core)?.reservations.len() {
            let res = self.core(core)?.reservations[index];
            let server = self.server(res)?;
            if !server.released {
                reserved += server.terms.budget as f64 / server.terms.period as f64;
            }
            if server.is_ready() && !server.terms.reclaims {
                earliest = earliest.min(server.account.deadline);
            }
        }
        let home = self.core(core)?;
        if earliest == i128::MAX {
            home.contended = None;
            return Ok(());
        }
        let blocking = home.blocking() as f64;
        let &mut (since, open, fair) = home.contended.get_or_insert((t, 0, 0));
        let window = (earliest - i128::from(since)).max(0) as f64;
        let Division { limit_permille, fair_budget, open_period, .. } = home.division;
        let fair_rate = home.division.fair_rate();
        let open_rate = (limit_permille as f64 / 1000.0 - fair_rate - reserved).max(home.division.open_rate());
        let (got, rate, budget, who) = match class {
            Class::In(_) => return Ok(()),
            Class::Open(_) => (open, open_rate, open_rate * open_period as f64, "tasks with deadlines"),
            Class::Fair(_) => (fair, fair_rate, fair_budget as f64, "best effort"),
        };
        let allowed = 2.0 * budget + rate * window + blocking;
        if got as f64 > allowed + 1.0 {
            return Err(format!("{who} got {got} since {since} while reservations waited, and run again; allowed were {allowed:.0}"));
        }
        Ok(())
    }

    fn end(&mut self, t: u64, core: u32, task: u32, how: How) -> Check {
        let record = *self.task(task)?;
        let home = self.core(core)?;
        let Some((_, since)) = home.running.take().filter(|&(who, since)| who == task && since <= t) else {
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

    fn end_reserved(&mut self, t: u64, task: u32, res: u32, used: u64, how: How) -> Check {
        let turn = self.turn();
        let core = self.server(res)?.core;
        let blocking = self.blocking(core, 0)? as f64;
        let server = self.server(res)?;
        let terms = server.terms;
        server.longest_poll = server.longest_poll.max(used);
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
        if terms.hard && !terms.reclaims {
            let rate = terms.budget as f64 / terms.period as f64;
            let burst = 2.0 * terms.budget as f64 + server.longest_poll.max(terms.p_max) as f64 + rate * blocking;
            if let Some(excess) = server.ceiling.serve(used, t, rate, burst) {
                return Err(format!("hard reservation {res} got {excess:.0} ticks more than {} in every {} allows", terms.budget, terms.period));
            }
        }
        self.counts.throttled += throttled;
        Ok(())
    }

    fn end_fair(&mut self, core: u32, task: u32, used: u64, weight: u32, how: How) -> Check {
        const DEFAULT_WEIGHT: f64 = 1024.0;
        let cost = |weight: u32| DEFAULT_WEIGHT / f64::from(weight);
        let home = self.core(core)?;
        let poll = home.longest_poll.max(home.division.longest_poll) as f64;
        // The executor cuts virtual time into bands of a quarter of the budget, rounded down to a power of two.
        let band = ((home.division.fair_budget / 4).max(16).ilog2() as f64).exp2();
        let timed = home.division.timed;
        let (tasks, ready) = (home.fair_tasks.clone(), home.fair.clone());
        let count = tasks.len();
        let at = tasks.iter().position(|&other| other == task).unwrap_or(0);
        for (index, &other) in tasks.iter().enumerate() {
            if !timed || other == task || !ready.contains(&other) {
                continue;
            }
            let Class::Fair(theirs) = self.task(other)?.class else { continue };
            let bound = 2.0 * band + poll * (cost(weight) + cost(theirs));
            let virtual_ticks = used as f64 * cost(weight);
            let (pair, sign) = if at < index { (at * count + index, 1.0) } else { (index * count + at, -1.0) };
            if let Some(excess) = self.core(core)?.pairs[pair].serve(sign * virtual_ticks, bound) {
                return Err(format!("best-effort tasks {task} and {other} of weights {weight} and {theirs} differ by {excess:.0} virtual ticks more than {bound:.0}"));
            }
        }
        if how != How::Yield {
            self.core(core)?.fair.retain(|&other| other != task);
        }
        Ok(())
    }

    /// Best effort and open tasks get at least their share. Called when a poll ended.
    fn floors(&mut self, t: u64, core: u32, class: Class, used: u64) -> Check {
        let home = self.core(core)?;
        let blocking = home.blocking() as f64;
        let Division { fair_period, open_period, .. } = home.division;
        let rate = home.division.fair_rate();
        let served = if let Class::Fair(_) = class { used } else { 0 };
        if let Some(lack) = home.fair_floor.pass(served, t, rate, rate * (2.0 * fair_period as f64 + blocking) + blocking) {
            return Err(format!("best effort lacks {lack:.0} ticks of its guaranteed share"));
        }
        let rate = home.division.open_rate();
        let served = if let Class::Open(_) = class { used } else { 0 };
        if let Some(lack) = home.open_floor.pass(served, t, rate, rate * (2.0 * open_period as f64 + blocking) + blocking) {
            return Err(format!("tasks with a deadline and no reservation lack {lack:.0} ticks of their least share"));
        }
        let (fair, open) = (!home.fair.is_empty(), !home.open.is_empty());
        home.fair_floor.wanted(fair, t, home.division.fair_rate());
        home.open_floor.wanted(open, t, home.division.open_rate());
        Ok(())
    }

    /// How long polls can hold up others, if one of `poll` ticks is going on.
    fn blocking(&mut self, core: u32, poll: u64) -> Result<u64, String> {
        let home = self.core(core)?;
        let mut blocking = home.blocking().max(poll) + home.excess.iter().sum::<u64>();
        for index in 0..self.core(core)?.reservations.len() {
            let res = self.core(core)?.reservations[index];
            let server = self.server(res)?;
            blocking += server.longest_poll.saturating_sub(server.terms.p_max);
        }
        Ok(blocking)
    }

    fn job(&mut self, t: u64, core: u32, task: u32, release: u64) -> Check {
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
            return Err(format!("a job of task {task} released at {release} took {took}: {} later than its deadline and the blocking term, {blocking}", took - deadline - blocking));
        }
        Ok(())
    }

    fn idle(&mut self, t: u64, core: u32) -> Check {
        self.replenish(t, core)?;
        let home = self.core(core)?;
        home.contended = None;
        if let Some(&task) = home.open.first().or(home.fair.first()) {
            return Err(format!("core {core} idles while task {task} is ready"));
        }
        for index in 0..self.core(core)?.reservations.len() {
            let res = self.core(core)?.reservations[index];
            let server = self.server(res)?;
            if server.is_ready() && !(server.terms.reclaims && server.terms.hard) {
                return Err(format!("core {core} idles while reservation {res} has budget and a ready task"));
            }
        }
        Ok(())
    }
}
