//! Starting and ending instances.

use alloc::string::String;
use alloc::vec::Vec;

use abi::{Rights, Signals};
use loader::Archive;
use proto::{Placement, Text};
use rt::launch::{Code, Launch, LaunchError};
use rt::sys::clock;
use rt::sys::log::this_log;
use rt::sys::object::{Channel, Endpoint, Job, Notification, Object, Owned, System, Vmo};
use rt::sys::process::this_job;

use super::devices;
use super::{CALLER, JOB, Live, Manager, during, key_of_output, key_of_process};
use crate::manifest::Manifest;
use crate::supervisor::{Event, Instance};

/// A handle for a new process: its name there, and what it may do.
pub(super) type Given<'a> = (&'a str, Owned, Rights);
pub(super) type Reason = Text<96>;

impl Manager {
    /// Makes an instance's process; its id.
    pub(super) fn start(&mut self, instance: Instance, badge: u32) -> Result<u64, Reason> {
        let unit = instance.unit;
        let manifest = self.supervisor.plan().manifest(unit).cloned();
        let manifest = manifest.ok_or_else(|| Text::from_start("there is no such unit"))?;
        let system = match manifest.placement {
            Placement::Isolated => None,
            Placement::Resident => Some(self.system()?),
        };
        // They are closed again if it does not start.
        let (names, devices): (Vec<String>, Vec<Owned>) =
            self.take_devices(unit).into_iter().unzip();
        let archive = self.archive;
        let code = match &system {
            Some(system) => Code::Resident {
                server: &manifest.program,
                system,
            },
            None => Code::File(
                Archive::new(archive)
                    .ok()
                    .and_then(|archive| archive.file(&manifest.program))
                    .ok_or_else(|| {
                        Text::format(format_args!("the archive has no {}", manifest.program))
                    })?,
            ),
        };
        let job = this_job()
            .create(&manifest.limits)
            .map_err(during("making its job"))?;
        let (output, their_output) = Channel::create().map_err(during("making its output"))?;
        let mut given: Vec<Given<'_>> = Vec::new();
        given.push(("job", duplicate(&*job.borrowed(), JOB)?, JOB));
        let log_rights = Rights::WRITE | Rights::DUPLICATE | Rights::TRANSFER;
        given.push(("log", duplicate(&*this_log(), log_rights)?, log_rights));
        let connection = self
            .endpoint
            .mint(badge, CALLER)
            .map_err(during("making its connection"))?;
        given.push(("manager", connection.into_owned(), CALLER));
        let rights = Rights::of_new(Channel::TYPE);
        given.push(("output", their_output.into_owned(), rights));
        let stop = match manifest.stop_within_ns {
            Some(_) => {
                let stop = Notification::create().map_err(during("making its notification"))?;
                let rights = Rights::READ | Rights::WAIT | Rights::TRANSFER;
                given.push(("stop", duplicate(&stop, rights)?, rights));
                Some(stop)
            }
            None => None,
        };
        let plugs = if manifest.hot_plug {
            let (ours, theirs) = Channel::create().map_err(during("making its channel"))?;
            given.push((devices::CHANNEL, theirs.into_owned(), rights));
            Some(ours)
        } else {
            None
        };
        let offers = self.give_offers(&manifest, &mut given)?;
        self.give_uses(&manifest, badge, &mut given)?;
        self.give_state(unit, &manifest, &mut given)?;
        self.give_needs(&manifest, &mut given)?;
        devices::give(&names, devices, &mut given)?;
        let reservation = match &manifest.reservation {
            Some(arguments) => Some(job.reserve(arguments).map_err(|(error, ppm)| {
                Reason::format(format_args!("its reservation: {error}, by {ppm} ppm"))
            })?),
            None => None,
        };
        let mut arguments: Vec<&str> = Vec::from([manifest.name.as_str()]);
        arguments.extend(manifest.arguments.iter().map(String::as_str));
        let launched = Launch {
            name: &manifest.name,
            code,
            arguments: &arguments,
            handles: given,
            time_page: Some(&self.time_page),
            generation: instance.generation.saturating_sub(1),
            core: manifest
                .reservation
                .map_or(u32::MAX, |arguments| arguments.core),
            reservation: reservation.as_ref(),
        }
        .start(&job)
        .map_err(|error| why_not(&manifest, error))?;
        self.watch(&launched.process, key_of_process(unit))
            .map_err(|error| self.abandon(&job, "watching it", error))?;
        self.port
            .bind(
                output.handle(),
                Signals::READABLE | Signals::PEER_CLOSED,
                key_of_output(unit),
            )
            .map_err(|error| self.abandon(&job, "listening to it", error))?;
        let status = launched.process.status();
        let id = status.map_err(|error| self.abandon(&job, "looking at it", error))?;
        let live = Live {
            instance,
            badge,
            job,
            process: launched.process,
            output: Some(output),
            plugs,
            stop,
            reservation,
            offers,
        };
        if let Some(unit) = self.units.get_mut(unit) {
            unit.live = Some(live);
        }
        log::debug!(
            "{} {}: process {}",
            manifest.name,
            instance.generation,
            id.id
        );
        Ok(id.id)
    }

    /// What gives the right to start servers in the kernel.
    fn system(&self) -> Result<System, Reason> {
        let known = self
            .resources
            .iter()
            .find(|resource| resource.name == "system");
        let handle = known
            .and_then(|known| known.handle.as_ref())
            .ok_or_else(|| Text::from_start("resident servers need the handle system"))?;
        duplicate_as(handle.handle(), Rights::MANAGE)
    }

    /// Ends what was begun of an instance.
    fn abandon(&self, job: &Job, step: &'static str, error: abi::Error) -> Reason {
        // It may have ended by itself.
        let _ = job.kill(abi::process::KILLED);
        during(step)(error)
    }

    /// An endpoint for each service the unit offers.
    fn give_offers<'a>(
        &self,
        manifest: &'a Manifest,
        given: &mut Vec<Given<'a>>,
    ) -> Result<Vec<(String, Endpoint)>, Reason> {
        let mut offers = Vec::new();
        for service in &manifest.offers {
            let endpoint = Endpoint::create().map_err(during("making its endpoints"))?;
            let rights = Rights::of_new(Endpoint::TYPE);
            given.push((service, duplicate(&endpoint, rights)?, rights));
            offers.push((service.clone(), endpoint));
        }
        Ok(offers)
    }

    /// A connection to each service the unit uses.
    fn give_uses<'a>(
        &self,
        manifest: &'a Manifest,
        badge: u32,
        given: &mut Vec<Given<'a>>,
    ) -> Result<(), Reason> {
        for service in &manifest.uses {
            let connection = self.connect(service, badge).ok_or_else(|| {
                Reason::format(format_args!("no connection to {service} could be made"))
            })?;
            given.push((service, connection.into_owned(), CALLER));
        }
        Ok(())
    }

    /// A new connection to a service of a unit that runs.
    pub(super) fn connect(&self, service: &str, badge: u32) -> Option<Endpoint> {
        let provider = self.supervisor.plan().provider(service)?;
        let live = self.units.get(provider)?.live.as_ref()?;
        let (_, endpoint) = live.offers.iter().find(|(name, _)| name == service)?;
        endpoint.mint(badge, CALLER).ok()
    }

    /// The vmos that outlive the unit's instances, made when the first one starts.
    fn give_state<'a>(
        &mut self,
        unit: usize,
        manifest: &'a Manifest,
        given: &mut Vec<Given<'a>>,
    ) -> Result<(), Reason> {
        let Some(unit) = self.units.get_mut(unit) else {
            return Ok(());
        };
        let rights = Rights::READ
            | Rights::WRITE
            | Rights::MAP
            | Rights::INSPECT
            | Rights::DUPLICATE
            | Rights::TRANSFER;
        for wanted in &manifest.state {
            if !unit.state.iter().any(|(name, _)| *name == wanted.name) {
                let vmo = Vmo::create(wanted.bytes).map_err(during("making its state"))?;
                unit.state.push((wanted.name.clone(), vmo));
            }
            if let Some((_, vmo)) = unit.state.iter().find(|(name, _)| *name == wanted.name) {
                given.push((&wanted.name, duplicate(vmo, rights)?, rights));
            }
        }
        Ok(())
    }

    /// The kernel's handles that the unit needs.
    fn give_needs<'a>(
        &mut self,
        manifest: &'a Manifest,
        given: &mut Vec<Given<'a>>,
    ) -> Result<(), Reason> {
        for need in &manifest.needs {
            let known = self
                .resources
                .iter_mut()
                .find(|resource| resource.name == *need);
            let handle = match known {
                Some(known) if known.is_exclusive() => {
                    let rights = known.rights;
                    known.handle.take().map(|handle| (handle, rights))
                }
                Some(known) => match &known.handle {
                    Some(handle) => {
                        let handle = rt::sys::object::duplicate(handle.handle(), known.rights)
                            .map_err(during("making its handles"))?;
                        Some((handle, known.rights))
                    }
                    None => None,
                },
                None => None,
            };
            let (handle, rights) =
                handle.ok_or_else(|| Reason::format(format_args!("{need} is not there")))?;
            given.push((need, handle, rights));
        }
        Ok(())
    }

    fn live(&self, instance: Instance) -> Option<&Live> {
        let live = self.units.get(instance.unit)?.live.as_ref()?;
        (live.instance == instance).then_some(live)
    }

    /// Asks an instance to end.
    pub(super) fn ask(&mut self, instance: Instance) {
        if let Some(stop) = self.live(instance).and_then(|live| live.stop.as_ref()) {
            // One that cannot be asked is killed when its time is over.
            let _ = stop.signal(1);
        }
    }

    /// Ends an instance.
    pub(super) fn kill(&mut self, instance: Instance) {
        let Some(live) = self.live(instance) else {
            return;
        };
        // Also by itself: a process that it cannot end, the job can, and the other way round.
        let by_job = live.job.kill(abi::process::KILLED);
        let by_process = live.process.kill(abi::process::KILLED);
        if by_job.is_err() && by_process.is_err() {
            // It has ended: its packet may be lost with the last manager.
            self.process(instance.unit);
        }
    }

    /// An instance has ended: its last lines are read, its job is emptied, its handles go.
    pub(super) fn ended(&mut self, index: usize, exit_code: i32) {
        self.output(index);
        let Some(unit) = self.units.get_mut(index) else {
            return;
        };
        let Some(live) = unit.live.take() else {
            return;
        };
        let instance = live.instance;
        if let Some(output) = &live.output {
            let _ = self.port.unbind(output.handle());
        }
        let _ = self.port.unbind(live.process.handle());
        // Processes that it started go with it.
        let _ = live.job.kill(abi::process::KILLED);
        unit.log.end(instance.generation, clock::now_ns());
        log::info!(
            "{} {}: ended with exit code {exit_code}",
            unit.name,
            instance.generation
        );
        let line = Text::format(format_args!("(ended with exit code {exit_code})"));
        unit.log.push(line, instance.generation, clock::now_ns());
        drop(live);
        self.event(instance, Event::Ended { exit_code });
    }
}

pub(super) fn duplicate_as<T: Object>(handle: abi::Handle, rights: Rights) -> Result<T, Reason> {
    rt::sys::object::duplicate(handle, rights)
        .map(T::from_owned)
        .map_err(during("making its handles"))
}

fn why_not(manifest: &Manifest, error: LaunchError) -> Reason {
    match (manifest.placement, error) {
        (
            Placement::Resident,
            LaunchError::Step {
                error: abi::Error::BadArgument,
                ..
            },
        ) => Reason::format(format_args!(
            "the kernel carries no {}; set placement = \"isolated\"",
            manifest.program
        )),
        (_, error) => Reason::format(format_args!("{error}")),
    }
}

/// Another handle to `object` with these rights.
fn duplicate<T: Object>(object: &T, rights: Rights) -> Result<Owned, Reason> {
    object
        .duplicate(rights)
        .map(Object::into_owned)
        .map_err(during("making its handles"))
}
