//! When a poll begins: was it this task's turn, and had it the budget?

use super::{Check, Oracle, model::Server};
use crate::trace::{Class, Division};

impl Oracle {
    /// Gives hard reservations whose time has come their budgets, in order of time.
    pub(super) fn replenish(&mut self, t: u64, core: u32) -> Check {
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

    pub(super) fn run(&mut self, t: u64, core: u32, task: u32, deadline: Option<u64>) -> Check {
        self.replenish(t, core)?;
        let record = *self.task(task)?;
        let home = self.core(core)?;
        if let Some((other, _)) = home.running {
            return Err(format!(
                "core {core} runs task {task} while it runs task {other}"
            ));
        }
        if t < home.last.1 {
            return Err(format!(
                "core {core} runs task {task} before its last poll ended, at {}",
                home.last.1
            ));
        }
        home.running = Some((task, t));
        if !record.ready || record.core != core {
            return Err(format!(
                "core {core} runs task {task}, which is not ready there"
            ));
        }
        self.counts.polls += 1;
        match record.class {
            Class::In(res) => self.run_reserved(core, task, res, deadline)?,
            Class::Open(_) => {
                if deadline != Some(record.deadline) {
                    return Err(format!(
                        "task {task} is due at {}, but runs as if due at {deadline:?}",
                        record.deadline
                    ));
                }
                for index in 0..self.core(core)?.open.len() {
                    let other = self.core(core)?.open[index];
                    let waiting = *self.task(other)?;
                    if (waiting.deadline, waiting.turn) < (record.deadline, record.turn) {
                        return Err(format!(
                            "task {task}, due at {}, runs before task {other}, due at {} (turns {} and {})",
                            record.deadline, waiting.deadline, record.turn, waiting.turn
                        ));
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

    pub(super) fn run_reserved(
        &mut self,
        core: u32,
        task: u32,
        res: u32,
        deadline: Option<u64>,
    ) -> Check {
        let server = self.server(res)?;
        if let Some(until) = server.account.waits_until {
            return Err(format!(
                "reservation {res} runs task {task} though its budget is used up until {until}"
            ));
        }
        if server.members.front() != Some(&task) {
            return Err(format!(
                "reservation {res} runs task {task} before task {:?}, which came first",
                server.members.front()
            ));
        }
        if server.terms.reclaims {
            return Ok(());
        }
        let (mine, turn) = (server.account.deadline, server.turn);
        if deadline.map(i128::from) != Some(mine) {
            return Err(format!(
                "reservation {res} is due at {mine} (budget left {}), but the executor says at {deadline:?}",
                server.account.left
            ));
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
                return Err(format!(
                    "reservation {res}, due at {mine}, runs before reservation {other}, due at {} (turns {turn} and {})",
                    theirs.0, theirs.1
                ));
            }
        }
        self.counts.choices += u64::from(choice);
        Ok(())
    }

    /// Tasks without a reservation get no more than their bandwidth while reservations wait.
    pub(super) fn contention(&mut self, t: u64, core: u32, class: Class) -> Check {
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
        let Division {
            limit_permille,
            fair_budget,
            open_period,
            ..
        } = home.division;
        let fair_rate = home.division.fair_rate();
        let open_rate =
            (limit_permille as f64 / 1000.0 - fair_rate - reserved).max(home.division.open_rate());
        let (got, rate, budget, who) = match class {
            Class::In(_) => return Ok(()),
            Class::Open(_) => (
                open,
                open_rate,
                open_rate * open_period as f64,
                "tasks with deadlines",
            ),
            Class::Fair(_) => (fair, fair_rate, fair_budget as f64, "best effort"),
        };
        let allowed = 2.0 * budget + rate * window + blocking;
        if got as f64 > allowed + 1.0 {
            return Err(format!(
                "{who} got {got} since {since} while reservations waited, and run again; allowed were {allowed:.0}"
            ));
        }
        Ok(())
    }
}
