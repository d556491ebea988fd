//! What each event means: who is ready, what was admitted.

use super::{
    Check, MOST, Oracle,
    account::Account,
    admission,
    model::{Core, Server, Task},
    shares::{Ceiling, Pair},
};
use crate::trace::{Class, Event, Terms};

fn entry<T>(table: &mut Vec<Option<T>>, index: u32) -> Result<&mut Option<T>, String> {
    if index >= MOST {
        return Err(format!(
            "{index} is no number for a core, a reservation or a task"
        ));
    }
    if table.len() <= index as usize {
        table.resize_with(index as usize + 1, || None);
    }
    Ok(&mut table[index as usize])
}

impl Oracle {
    pub(super) fn core(&mut self, core: u32) -> Result<&mut Core, String> {
        self.cores
            .get_mut(core as usize)
            .and_then(Option::as_mut)
            .ok_or_else(|| format!("core {core} was not introduced"))
    }

    pub(super) fn task(&mut self, task: u32) -> Result<&mut Task, String> {
        self.tasks
            .get_mut(task as usize)
            .and_then(Option::as_mut)
            .ok_or_else(|| format!("task {task} was not introduced"))
    }

    pub(super) fn server(&mut self, res: u32) -> Result<&mut Server, String> {
        self.servers
            .get_mut(res as usize)
            .and_then(Option::as_mut)
            .ok_or_else(|| format!("reservation {res} was not introduced"))
    }

    pub(super) fn check(&mut self, event: &Event) -> Check {
        match *event {
            Event::Core { core, division } => {
                *entry(&mut self.cores, core)? = Some(Core::new(division));
                Ok(())
            }
            Event::Reserve {
                t,
                res,
                core,
                terms,
            } => self.reserve(t, res, core, terms),
            Event::Release { t, res } => {
                self.now = t;
                let server = self.server(res)?;
                server.released = true;
                let core = server.core;
                self.core(core)?.contended = None;
                Ok(())
            }
            Event::Task {
                task,
                core,
                class,
                guaranteed,
            } => {
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
                    return Err(format!(
                        "task {task} of core {core} is in reservation {res} of another"
                    ));
                }
                *entry(&mut self.tasks, task)? = Some(Task {
                    core,
                    class,
                    guaranteed,
                    ready: false,
                    deadline: 0,
                    turn: 0,
                });
                Ok(())
            }
            Event::Wake {
                t,
                core,
                task,
                stamp,
                deadline,
            } => {
                self.now = t;
                self.wake(t, core, task, stamp, deadline)
            }
            Event::Run {
                t,
                core,
                task,
                deadline,
            } => {
                self.now = t;
                self.run(t, core, task, deadline)
            }
            Event::End { t, core, task, how } => {
                self.now = t;
                self.end(t, core, task, how)
            }
            Event::Job {
                t,
                core,
                task,
                release,
            } => {
                self.now = t;
                self.job(t, core, task, release)
            }
            Event::Idle { t, core } => {
                self.now = t;
                self.idle(t, core)
            }
        }
    }

    pub(super) fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    pub(super) fn reserve(&mut self, t: u64, res: u32, core: u32, terms: Terms) -> Check {
        self.now = t;
        let mut set = vec![terms];
        set.extend(
            self.servers
                .iter()
                .enumerate()
                .filter_map(|(other, server)| Some((other, server.as_ref()?)))
                .filter(|(other, server)| {
                    server.core == core && !server.released && *other != res as usize
                })
                .map(|(_, server)| server.terms),
        );
        let home = self.core(core)?;
        if admission::clearly_too_much(&home.division, &set) {
            return Err(format!(
                "core {core} admitted {terms:?}, which does not fit beside the others"
            ));
        }
        home.declared = home.declared.max(terms.p_max);
        // What is left for others is divided anew.
        home.contended = None;
        let turn = self.turn();
        if let Some(server) = entry(&mut self.servers, res)? {
            let old = std::mem::replace(&mut server.terms, terms);
            if !terms.reclaims {
                let ready = !server.members.is_empty();
                server.account.change(&old, &terms, ready, t);
            }
            server.turn = turn;
            server.ceiling = Ceiling::default();
            return Ok(());
        }
        self.core(core)?.reservations.push(res);
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

    pub(super) fn wake(
        &mut self,
        t: u64,
        core: u32,
        task: u32,
        stamp: u64,
        deadline: Option<u64>,
    ) -> Check {
        let record = *self.task(task)?;
        if record.core != core {
            return Err(format!(
                "task {task} of core {} was woken on core {core}",
                record.core
            ));
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
                let (at, count) = (
                    home.fair_tasks
                        .iter()
                        .position(|&other| other == task)
                        .unwrap_or(0),
                    home.fair_tasks.len(),
                );
                for other in 0..count {
                    home.pairs[at * count + other] = Pair::default();
                    home.pairs[other * count + at] = Pair::default();
                }
            }
            Class::Open(relative) => {
                let deadline =
                    deadline.ok_or_else(|| format!("task {task} was woken without a deadline"))?;
                let home = self.core(core)?;
                home.open.push(task);
                home.open_floor.wanted(true, t, home.division.open_rate());
                // The executor may take the time of a wake from its last reading of the clock: when the poll began.
                let poll = home.running.map_or(home.last.0, |(_, since)| since);
                if let Some(relative) = relative
                    && !(stamp.min(poll).saturating_add(relative)..=t.saturating_add(relative))
                        .contains(&deadline)
                {
                    return Err(format!(
                        "task {task}, woken at {stamp}, is due after {relative}, but the executor says at {deadline}"
                    ));
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

    pub(super) fn idle(&mut self, t: u64, core: u32) -> Check {
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
                return Err(format!(
                    "core {core} idles while reservation {res} has budget and a ready task"
                ));
            }
        }
        Ok(())
    }
}
