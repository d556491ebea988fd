//! Who is killed, how, and what must hold after it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Error;
use abi::message::WORDS;
use abi::process::KILLED;
use proto::manager::Request;
use proto::{Action, UnitRow, UnitState};
use rt::sys::clock;
use rt::sys::message::Handles;
use rt::sys::object::{Endpoint, Object};
use rt::unit::{ANSWER_BYTES, AskError};

use crate::clients::Load;
use crate::figures::{Random, Times};
use crate::system::{LIMIT_NS, Used, World};
use crate::{Failed, await_until, pause};

/// Kills before anything is measured: what grows once has grown then.
const WARM_UP: u32 = 2;
/// Calls that must be answered between two kills: the load is under way.
const CALLS_BETWEEN: u64 = 20;
/// Kernel memory and frames that may be kept for the next ones.
const KEPT_KERNEL_BYTES: u64 = 16 << 10;
const KEPT_MEMORY_BYTES: u64 = 128 << 10;
/// Tickets of a storm's counting client.
const TICKETS: u64 = 1 << 32;

/// A server that is killed: its unit, its service.
const SERVERS: [(&str, &str); 4] = [
    ("test.echo", "test.echo"),
    ("test.counter", "counter"),
    ("echo-isolated", "echo-isolated"),
    ("echo-resident", "echo-resident"),
];
/// Units that have the terminals, where the machine has such: what one had comes again for the next.
const TERMINALS: [&str; 3] = ["shell-serial", "shell-screen", "console"];
/// The unit that nobody kills, and its service.
const RESERVED: (&str, &str) = ("test.metronome", "metronome");

/// Kills each server, then the manager, `kills` times.
pub fn all(world: &Arc<World>, kills: u32) -> Result<(), Failed> {
    let mut storm = Storm {
        world,
        random: Random(0x9e37_79b9_7f4a_7c15),
        tickets: 0,
    };
    for (unit, _) in SERVERS.iter().chain([&RESERVED]) {
        world.in_state(unit, UnitState::Ready)?;
    }
    for (unit, service) in SERVERS {
        storm.kill_server(unit, service, WARM_UP)?;
    }
    let all = world.units()?;
    let is_there = |name: &&str| {
        let ready = |unit: &UnitRow| &*unit.name == *name && unit.state == UnitState::Ready;
        all.iter().any(ready)
    };
    let terminals: Vec<&str> = TERMINALS.into_iter().filter(is_there).collect();
    for unit in &terminals {
        storm.kill_terminal(unit, WARM_UP)?;
    }
    storm.kill_manager(WARM_UP)?;
    let untouched = world.unit(RESERVED.0)?;
    let before = settled(world)?;
    beats(world)?;
    for (unit, service) in SERVERS {
        storm.kill_server(unit, service, kills)?.report(unit);
    }
    for unit in &terminals {
        storm.kill_terminal(unit, kills)?.report(unit);
    }
    storm.kill_manager(kills)?.report("manager");
    let [met, missed, worst_ns] = beats(world)?;
    log::info!(
        "metronome: {met} deadlines met, {missed} missed, longest beat {} us",
        worst_ns / 1000
    );
    if met == 0 {
        return Err(Failed::because(format_args!("the metronome did not run")));
    }
    if world.unit(RESERVED.0)?.process != untouched.process {
        return Err(Failed::because(format_args!(
            "somebody restarted the metronome"
        )));
    }
    back_to(world, before)
}

struct Storm<'a> {
    world: &'a Arc<World>,
    random: Random,
    /// How many storms of clients there were.
    tickets: u64,
}

impl Storm<'_> {
    fn load(&mut self) -> Result<Load, Failed> {
        self.tickets += 1;
        Load::start(self.world, self.tickets * TICKETS)
    }

    /// Waits until the clients are well under way, and a little more.
    fn between(&mut self, load: &Load) -> Result<(), Failed> {
        let calls = load.calls();
        await_until("calls to be answered", LIMIT_NS, || {
            let going = load.calls() >= calls + CALLS_BETWEEN || load.errors() > 0;
            Ok(going.then_some(()))
        })?;
        pause(self.random.below(2_000_000))
    }

    fn kill_server(&mut self, unit: &str, service: &str, kills: u32) -> Result<Times, Failed> {
        let mut times = Times::default();
        let load = self.load()?;
        let mut last = self.world.manager.connect_blocking(service)?;
        for kill in 0..kills {
            self.between(&load)?;
            let row = self.world.in_state(unit, UnitState::Ready)?;
            let killed_ns = clock::now_ns();
            self.kill_unit(&row, kill)?;
            last = self.next_answer(service, &last)?;
            times.add(clock::now_ns() - killed_ns);
            let next = self.world.next_ready(unit, row.generation)?;
            if next.generation != row.generation + 1 {
                return Err(Failed::because(format_args!(
                    "{unit} went from instance {} to {}",
                    row.generation, next.generation
                )));
            }
            self.one_of_each()?;
        }
        load.stop()?;
        Ok(times)
    }

    /// Nobody calls these: they answer when they say that they are ready.
    fn kill_terminal(&mut self, unit: &str, kills: u32) -> Result<Times, Failed> {
        let mut times = Times::default();
        let load = self.load()?;
        for kill in 0..kills {
            self.between(&load)?;
            let row = self.world.in_state(unit, UnitState::Ready)?;
            let killed_ns = clock::now_ns();
            self.kill_unit(&row, kill)?;
            self.world.next_ready(unit, row.generation)?;
            times.add(clock::now_ns() - killed_ns);
        }
        load.stop()?;
        Ok(times)
    }

    /// As `svc kill`, as `kill`, or behind the manager's back.
    fn kill_unit(&self, row: &UnitRow, how: u32) -> Result<(), Failed> {
        let Some(process) = row.process else {
            return Err(Failed::because(format_args!("{} has no process", row.name)));
        };
        match how % 3 {
            0 => self.world.act(&row.name, Action::Kill)?,
            1 => {
                let mut bytes = [0; ANSWER_BYTES];
                let request = Request::Kill {
                    process,
                    exit_code: KILLED,
                };
                let asked =
                    self.world
                        .manager
                        .ask_blocking(&request, &mut bytes, &mut Handles::new());
                asked?;
            }
            _ => self.world.process(process)?.kill(KILLED)?,
        }
        Ok(())
    }

    /// Calls until another instance than the one behind `last` answers; a connection to it.
    fn next_answer(&self, service: &str, last: &Endpoint) -> Result<Endpoint, Failed> {
        let last = last.info()?.object_id;
        loop {
            let next = self.world.manager.connect_blocking(service)?;
            if next.info()?.object_id == last {
                continue;
            }
            match next.call_blocking(clock::now_ns() + LIMIT_NS, &[0; WORDS]) {
                Ok(_) => return Ok(next),
                Err(Error::PeerClosed) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// No unit has two processes.
    fn one_of_each(&self) -> Result<(), Failed> {
        let processes = self.world.processes()?;
        for (unit, _) in SERVERS.iter().chain([&RESERVED]) {
            let count = processes.iter().filter(|row| &*row.name == *unit).count();
            // One that was killed may still be on its way out.
            if count > 1 {
                await_until("one process of each unit", LIMIT_NS, || {
                    let processes = self.world.processes()?;
                    let count = processes.iter().filter(|row| &*row.name == *unit).count();
                    Ok((count == 1).then_some(()))
                })?;
            }
        }
        Ok(())
    }

    fn kill_manager(&mut self, kills: u32) -> Result<Times, Failed> {
        let mut times = Times::default();
        let load = self.load()?;
        for kill in 0..kills {
            self.between(&load)?;
            for (unit, _) in SERVERS {
                self.world.in_state(unit, UnitState::Ready)?;
            }
            let before = self.world.units()?;
            let manager = self.world.process_named("manager")?;
            let manager =
                manager.ok_or_else(|| Failed::because(format_args!("there is no manager")))?;
            // Alone; just after a server, which it may be starting again; just before one, whose end it cannot see.
            let (victim, first) = match kill % 6 {
                1 => (Some(SERVERS[0].0), true),
                2 => (Some(SERVERS[1].0), false),
                3 => (Some(SERVERS[1].0), true),
                4 => (Some(SERVERS[3].0), false),
                5 => (Some(SERVERS[3].0), true),
                _ => (None, false),
            };
            let victim = victim.and_then(|name| before.iter().find(|row| &*row.name == name));
            if let (Some(row), true) = (victim, first) {
                self.kill_unit(row, 2)?;
                pause(self.random.below(1_500_000))?;
            }
            let process = self.world.process(manager)?;
            let killed_ns = clock::now_ns();
            process.kill(KILLED)?;
            if let (Some(row), false) = (victim, first) {
                self.kill_unit(row, 2)?;
            }
            drop(process);
            let after = self.units_of_next(manager)?;
            times.add(clock::now_ns() - killed_ns);
            let victim = victim.map(|row| &*row.name);
            self.compare(&before, &after, victim)?;
            if let Some(name) = victim {
                let row = before.iter().find(|row| &*row.name == name);
                let generation = row.map_or(0, |row| row.generation);
                self.world.next_ready(name, generation)?;
            }
            self.one_of_each()?;
        }
        load.stop()?;
        Ok(times)
    }

    /// What the next manager says of the units.
    fn units_of_next(&self, last: u64) -> Result<Vec<UnitRow>, Failed> {
        loop {
            let units = self.world.units()?;
            if self
                .world
                .process_named("manager")?
                .is_some_and(|id| id > last)
            {
                return Ok(units);
            }
        }
    }

    /// All units but the victim are what they were.
    fn compare(
        &self,
        before: &[UnitRow],
        after: &[UnitRow],
        victim: Option<&str>,
    ) -> Result<(), Failed> {
        if before.len() != after.len() {
            return Err(Failed::because(format_args!(
                "of {} units {} are left",
                before.len(),
                after.len()
            )));
        }
        for (old, new) in before.iter().zip(after) {
            let same = old.name == new.name
                && (Some(&*old.name) == victim
                    || (old.state, old.generation, old.process)
                        == (new.state, new.generation, new.process));
            if !same {
                return Err(Failed::because(format_args!(
                    "{}: was {} {}, is {} {}",
                    old.name,
                    old.state.word(),
                    old.generation,
                    new.state.word(),
                    new.generation
                )));
            }
        }
        Ok(())
    }
}

/// Deadlines met, missed, and the longest beat, since this was asked last.
fn beats(world: &World) -> Result<[u64; 3], Failed> {
    let endpoint = world.manager.connect_blocking(RESERVED.1)?;
    let [met, missed, worst_ns, ..] =
        endpoint.call_blocking(clock::now_ns() + LIMIT_NS, &[0; WORDS])?;
    Ok([met, missed, worst_ns])
}

/// What is used when nothing is on its way out any more.
fn settled(world: &World) -> Result<Used, Failed> {
    let mut last = world.used()?;
    await_until("what was ended to be cleared away", LIMIT_NS, || {
        pause(50_000_000)?;
        let before = core::mem::replace(&mut last, world.used()?);
        Ok((before == last).then_some(last))
    })
}

/// No more is used than before.
fn back_to(world: &World, before: Used) -> Result<(), Failed> {
    let now = settled(world)?;
    let more = |now: u64, before: u64| now as i64 - before as i64;
    let kernel = more(now.kernel_bytes, before.kernel_bytes);
    let memory = more(now.memory_bytes, before.memory_bytes);
    log::info!(
        "handles, processes, threads: {:?}, were {:?}; kernel memory {kernel:+} bytes, frames {memory:+} bytes",
        now.objects,
        before.objects
    );
    let kept = kernel <= KEPT_KERNEL_BYTES as i64 && memory <= KEPT_MEMORY_BYTES as i64;
    if now.objects == before.objects && kept {
        Ok(())
    } else {
        Err(Failed::because(format_args!("something was left behind")))
    }
}

impl Failed {
    /// Whether the manager refused with these words in its reason.
    pub fn refused_with(error: &AskError, words: &str) -> bool {
        matches!(error, AskError::Refused(refused) if refused.reason.contains(words))
    }
}
