//! A world of simulated processes. It carries the supervisor's commands out and checks each of them.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use proto::{Action, Text, UnitRow};

use crate::manifest::{Manifest, Readiness};
use crate::plan::Plan;
use crate::supervisor::{ActError, Command, Connection, Event, Instance, Supervisor, Ticket};

pub const MS: u64 = 1_000_000;
/// From a kill, or from being asked, to the end.
const DYING_NS: u64 = 2 * MS;

/// What the instances of a unit do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Becomes ready, says that it is well, ends when asked.
    ReadyAfter(u64),
    /// Ends before it is ready, with exit code 1.
    DiesAfter(u64),
    /// Never says anything.
    Mute,
    /// Becomes ready at once and never says that it is well.
    Hangs,
    /// As the first, but does not end when asked.
    Stubborn,
    /// Its process cannot be made.
    CannotStart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Do {
    SayReady,
    Beat,
    End(i32),
}

struct Process {
    id: u64,
    ready: bool,
    /// What it will do; at most one of each kind.
    agenda: Vec<(u64, Do)>,
}

pub struct Sim {
    pub supervisor: Supervisor,
    manifests: Vec<Manifest>,
    now_ns: u64,
    processes: BTreeMap<Instance, Process>,
    behaviours: BTreeMap<String, Behaviour>,
    resources: Vec<(String, bool)>,
    next_process: u64,
    generations: BTreeMap<usize, u32>,
    last_badge: u32,
    started: Vec<String>,
    ended: Vec<String>,
}

impl Sim {
    pub fn new(manifests: Vec<Manifest>) -> Self {
        Self::with_behaviours(manifests, &[])
    }

    pub fn with_behaviours(manifests: Vec<Manifest>, behaviours: &[(&str, Behaviour)]) -> Self {
        let (plan, errors) = Plan::new(manifests.clone());
        assert_eq!(errors, []);
        let mut sim = Self {
            supervisor: Supervisor::new(plan),
            manifests,
            now_ns: 0,
            processes: BTreeMap::new(),
            behaviours: behaviours
                .iter()
                .map(|(name, behaviour)| ((*name).to_owned(), *behaviour))
                .collect(),
            resources: Vec::new(),
            next_process: 1,
            generations: BTreeMap::new(),
            last_badge: 0,
            started: Vec::new(),
            ended: Vec::new(),
        };
        sim.with(|supervisor, now_ns, commands| supervisor.begin(now_ns, commands));
        sim
    }

    pub fn now(&self) -> u64 {
        self.now_ns
    }

    fn index(&self, name: &str) -> usize {
        self.supervisor.plan().find(name).expect("a unit")
    }

    pub fn instance(&self, name: &str) -> Instance {
        self.supervisor.instance(self.index(name))
    }

    pub fn row(&self, name: &str) -> UnitRow {
        self.supervisor.row(self.index(name))
    }

    pub fn connection(&self, client: &str, service: &str) -> Connection {
        self.supervisor.connection(self.index(client), service)
    }

    pub fn behave(&mut self, name: &str, behaviour: Behaviour) {
        self.behaviours.insert(name.to_owned(), behaviour);
        let running = self.instance(name);
        if behaviour == Behaviour::Hangs
            && let Some(process) = self.processes.get_mut(&running)
        {
            process.agenda.retain(|(_, what)| *what != Do::Beat);
        }
    }

    fn behaviour(&self, unit: usize) -> Behaviour {
        let name = &self.supervisor.plan().manifest(unit).expect("a unit").name;
        let set = self.behaviours.get(name).copied();
        set.unwrap_or(Behaviour::ReadyAfter(10 * MS))
    }

    pub fn give(&mut self, name: &str, exclusive: bool) {
        self.resources.push((name.to_owned(), exclusive));
        self.with(|supervisor, now_ns, commands| {
            supervisor.offer_resource(name, exclusive);
            supervisor.tick(now_ns, commands);
        });
    }

    pub fn open_devices(&mut self, name: &str) {
        let index = self.index(name);
        self.with(|supervisor, now_ns, commands| {
            supervisor.offer_devices(index);
            supervisor.tick(now_ns, commands);
        });
    }

    pub fn act(&mut self, name: &str, action: Action) -> Result<Ticket, ActError> {
        let index = self.index(name);
        let before = self.supervisor.snapshot();
        let mut result = None;
        self.with(|supervisor, now_ns, commands| {
            result = Some(supervisor.act(index, action, now_ns, commands));
        });
        let result = result.expect("just set");
        if result.is_err() {
            assert_eq!(before, self.supervisor.snapshot(), "refused, but changed");
        }
        result
    }

    pub fn shut_down(&mut self) {
        self.with(|supervisor, now_ns, commands| supervisor.shut_down(now_ns, commands));
    }

    pub fn started(&self) -> Vec<&str> {
        self.started.iter().map(String::as_str).collect()
    }

    pub fn ended(&self) -> &[String] {
        &self.ended
    }

    /// The unit's process, if it has one, ends now.
    pub fn crash(&mut self, name: &str, exit_code: i32) {
        let instance = self.instance(name);
        if self.processes.contains_key(&instance) {
            self.end(instance, exit_code);
        }
    }

    /// The manager dies, after its commands were carried out or before, and the next one carries on.
    pub fn kill_manager(&mut self, in_between: bool) {
        if in_between {
            // A tick whose commands are lost: what was recorded before them is all there is.
            self.supervisor.tick(self.now_ns, &mut Vec::new());
        }
        let snapshot = self.supervisor.snapshot();
        let (plan, _) = Plan::new(self.manifests.clone());
        // What has no process on record is ended first.
        let snapshot_of = &self.supervisor;
        self.processes.retain(|instance, process| {
            snapshot_of.live(instance.unit) == Some(*instance)
                && snapshot_of.row(instance.unit).process == Some(process.id)
        });
        let mut commands = Vec::new();
        self.supervisor = Supervisor::restore(plan, &snapshot, self.now_ns, &mut commands)
            .expect("it is of this version");
        for (name, exclusive) in &self.resources {
            self.supervisor.offer_resource(name, *exclusive);
        }
        let lost: Vec<Instance> = (0..self.supervisor.plan().len())
            .filter_map(|unit| self.supervisor.live(unit))
            .filter(|instance| !self.processes.contains_key(instance))
            .collect();
        self.carry_out(commands);
        for instance in lost {
            self.with(|supervisor, now_ns, commands| {
                let exit_code = abi::process::KILLED;
                supervisor.event(instance, Event::Ended { exit_code }, now_ns, commands);
            });
        }
        self.with(|supervisor, now_ns, commands| supervisor.tick(now_ns, commands));
    }

    /// Nobody does anything for so long; the manager looks first.
    pub fn stall(&mut self, ns: u64) {
        self.now_ns += ns;
        for process in self.processes.values_mut() {
            for (at, _) in &mut process.agenda {
                *at += ns;
            }
        }
        self.with(|supervisor, now_ns, commands| supervisor.tick(now_ns, commands));
    }

    /// Lets time pass.
    pub fn run(&mut self, ns: u64) {
        let until_ns = self.now_ns + ns;
        loop {
            let process = self
                .processes
                .iter()
                .flat_map(|(instance, process)| {
                    process
                        .agenda
                        .iter()
                        .map(|(at, what)| (*at, *instance, *what))
                })
                .min();
            let tick = self.supervisor.next_ns();
            let next = process
                .map(|(at, ..)| at)
                .into_iter()
                .chain(tick)
                .min()
                .filter(|next| *next <= until_ns);
            let Some(next) = next else {
                self.now_ns = until_ns;
                return;
            };
            self.now_ns = self.now_ns.max(next);
            match process {
                Some((at, instance, what)) if at <= self.now_ns => self.process(instance, what),
                _ => self.with(|supervisor, now_ns, commands| supervisor.tick(now_ns, commands)),
            }
        }
    }

    fn process(&mut self, instance: Instance, what: Do) {
        let now_ns = self.now_ns;
        let plan = self.supervisor.plan();
        let health = plan.manifest(instance.unit).and_then(|unit| unit.health);
        let process = self.processes.get_mut(&instance).expect("it is on it");
        process.agenda.retain(|(_, other)| *other != what);
        let event = match what {
            Do::End(exit_code) => return self.end(instance, exit_code),
            Do::SayReady => {
                process.ready = true;
                Event::Ready
            }
            Do::Beat => {
                if let Some(health) = health {
                    process
                        .agenda
                        .push((now_ns + health.every_ns / 2, Do::Beat));
                }
                Event::Alive
            }
        };
        self.with(|supervisor, now_ns, commands| {
            supervisor.event(instance, event, now_ns, commands);
        });
    }

    fn end(&mut self, instance: Instance, exit_code: i32) {
        self.processes.remove(&instance);
        let plan = self.supervisor.plan();
        let name = plan.manifest(instance.unit).expect("a unit").name.clone();
        self.ended.push(name);
        self.with(|supervisor, now_ns, commands| {
            supervisor.event(instance, Event::Ended { exit_code }, now_ns, commands);
        });
    }

    fn with(&mut self, f: impl FnOnce(&mut Supervisor, u64, &mut Vec<Command>)) {
        let mut commands = Vec::new();
        f(&mut self.supervisor, self.now_ns, &mut commands);
        self.carry_out(commands);
    }

    fn carry_out(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Start { instance, badge } => self.start(instance, badge),
                Command::Ask(instance) => {
                    if self.behaviour(instance.unit) != Behaviour::Stubborn {
                        self.end_soon(instance, 0);
                    }
                }
                Command::Kill(instance) => self.end_soon(instance, abi::process::KILLED),
            }
        }
    }

    fn end_soon(&mut self, instance: Instance, exit_code: i32) {
        let at = self.now_ns + DYING_NS;
        if let Some(process) = self.processes.get_mut(&instance) {
            process.agenda.retain(|(_, what)| *what == Do::Beat);
            process.agenda.push((at, Do::End(exit_code)));
        }
    }

    fn start(&mut self, instance: Instance, badge: u32) {
        let unit = instance.unit;
        let manifest = self
            .supervisor
            .plan()
            .manifest(unit)
            .expect("a unit")
            .clone();
        for &other in self.supervisor.plan().before(unit) {
            let needed = self.supervisor.instance(other);
            // An instance that has just died may not have been reported yet; one that was reported is not relied on.
            let ready = self.processes.get(&needed).is_some_and(|process| {
                let plan = self.supervisor.plan();
                let at_start = plan.manifest(other).map(|unit| unit.readiness);
                process.ready || at_start == Some(Readiness::Start)
            });
            assert!(ready, "{} starts before its needs", manifest.name);
        }
        for need in &manifest.needs {
            assert!(self.resources.iter().any(|(name, _)| name == need));
        }
        assert!(
            !self.processes.keys().any(|other| other.unit == unit),
            "two of {}",
            manifest.name
        );
        let last = self.generations.insert(unit, instance.generation);
        assert!(
            last.is_none_or(|last| last < instance.generation),
            "a generation is used again"
        );
        assert!(badge > self.last_badge, "a badge is used again");
        self.last_badge = badge;
        self.resources
            .retain(|(name, exclusive)| !(*exclusive && manifest.needs.contains(name)));
        let at = |ns: u64| self.now_ns + ns;
        let agenda = match self.behaviour(unit) {
            Behaviour::CannotStart => {
                let reason = Text::from_start("no such program");
                return self.with(|supervisor, now_ns, commands| {
                    supervisor.event(instance, Event::StartFailed { reason }, now_ns, commands);
                });
            }
            Behaviour::ReadyAfter(ns) => [Some((at(ns), Do::SayReady)), Some((at(ns), Do::Beat))],
            Behaviour::Stubborn => [Some((at(MS), Do::SayReady)), Some((at(MS), Do::Beat))],
            Behaviour::DiesAfter(ns) => [Some((at(ns), Do::End(1))), None],
            Behaviour::Hangs => [Some((at(0), Do::SayReady)), None],
            Behaviour::Mute => [None, None],
        };
        self.next_process += 1;
        let id = self.next_process;
        let process = Process {
            id,
            ready: false,
            agenda: agenda.into_iter().flatten().collect(),
        };
        self.processes.insert(instance, process);
        self.started.push(manifest.name);
        self.with(|supervisor, now_ns, commands| {
            supervisor.event(instance, Event::Started { process: id }, now_ns, commands);
        });
    }
}
