//! From the start block to a manager; and from what the last one wrote down.
//!
//! The kernel starts the manager with these named handles beside those each process has: `archive` (the programs), `system`,
//! `state` (a vmo that it keeps for the next instance), `ready` (a notification: bit 0 says that this instance has taken over),
//! `resources` (a channel through which exclusive handles come again when their
//! holder is gone: a message is the name, with the handle), and everything that units may need, by name. When the manager dies the
//! kernel starts it again, in the *same handle table*: the names in the new start block have the numbers they had.

use abi::system::Table;
use abi::{Error, Handle, ObjectType, Signals};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use loader::Archive;
use proto::table::{MAX_ROW_BYTES, Reader};
use proto::{Cursor, HandleRow, Placement};
use rt::Env;
use rt::launch::{read_all, time_page};
use rt::sys::clock;
use rt::sys::gate::exit;
use rt::sys::log::this_log;
use rt::sys::object::{
    Channel, Endpoint, Job, Notification, Object, Owned, Port, Process, Reservation, System, Vmo,
};
use rt::sys::process::{first_thread, this_job, this_process};

use super::programs::Program;
use super::{
    KEY_CALLS, KEY_RENEWALS, Live, Manager, StateVmo, Unit, key_of_output, key_of_process,
};
use crate::log_ring::LogRing;
use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::saved::{self, Saved, SavedUnit};
use crate::supervisor::{Event, Supervisor};

/// How long the end of a killed process is waited for.
const END_NS: u64 = 1_000_000_000;
/// Exit code of a manager that cannot begin.
pub const CANNOT_BEGIN: i32 = 1;

/// Ends the process at once: nothing is dropped, so that no handle is closed that the next instance needs.
fn cannot_begin(what: &str, error: Error) -> ! {
    log::error!("the manager cannot begin: {what}: {error}");
    exit(CANNOT_BEGIN)
}

/// What a step gives, without which there is no manager.
trait OrEnd<T> {
    fn or_end(self, what: &str) -> T;
}

impl<T> OrEnd<T> for Result<T, Error> {
    fn or_end(self, what: &str) -> T {
        match self {
            Ok(value) => value,
            Err(error) => cannot_begin(what, error),
        }
    }
}

impl Manager {
    /// A manager that has everything running, or is about to. If it cannot begin the process ends with [`CANNOT_BEGIN`], and the
    /// kernel tries another one.
    #[must_use]
    pub fn begin(mut env: Env) -> Self {
        let again = env.generation() > 0;
        let added: Vec<&'static str> = env.arguments().skip(1).collect();
        // Before anything is made: what is in the handle table and on no record is the last manager's, half done.
        let mut given: Vec<(&'static str, Owned)> = Vec::new();
        for name in env.names() {
            if let Ok(handle) = env.take_any(name) {
                given.push((name, handle));
            }
        }
        let (state, saved) = match take::<Vmo>(&mut given, "state").map(open_state) {
            Some(opened) => {
                let (state, saved) = opened.or_end("reading the last state");
                (Some(state), saved)
            }
            None => (None, None),
        };
        if again && let Some((_, system)) = given.iter().find(|(name, _)| *name == "system") {
            let mut known = own_numbers(&given, state.as_ref());
            known.extend(saved.iter().flat_map(Saved::numbers));
            sweep(system.handle(), &known);
        }
        let ready = take::<Notification>(&mut given, "ready");

        let archive_vmo = take::<Vmo>(&mut given, "archive")
            .ok_or(Error::BadHandle)
            .or_end("the handle archive");
        let archive = archive_vmo.map_constant().or_end("mapping the archive");
        let plan = plan(archive, &added);
        let units = (0..plan.len())
            .filter_map(|unit| plan.manifest(unit))
            .map(|manifest| Unit {
                name: manifest.name.clone(),
                live: None,
                state: Vec::new(),
                devices: Default::default(),
                log: LogRing::new(manifest.log_lines as usize),
            })
            .collect();
        let port = Port::create().or_end("making the port");
        let kept = saved.as_ref().and_then(|saved| adopt(saved.endpoint));
        let endpoint = match kept {
            Some(endpoint) => endpoint,
            None => Endpoint::create().or_end("making the endpoint"),
        };
        port.bind(endpoint.handle(), Signals::READABLE, KEY_CALLS)
            .or_end("listening to calls");
        let renewals = take::<Channel>(&mut given, "resources");
        if let Some(channel) = &renewals {
            let signals = Signals::READABLE | Signals::PEER_CLOSED;
            port.bind(channel.handle(), signals, KEY_RENEWALS)
                .or_end("listening to the kernel");
        }
        let mut manager = Self {
            archive,
            archive_vmo,
            time_page: time_page().or_end("copying the time page"),
            supervisor: Supervisor::new(plan),
            commands: Vec::new(),
            port,
            endpoint,
            units,
            programs: Vec::new(),
            waiters: Vec::new(),
            resources: Vec::new(),
            renewals,
            state,
            ready,
        };
        match saved {
            Some(saved) => manager.carry_on(saved, given),
            None => manager.begin_anew(given),
        }
        manager
    }

    fn begin_anew(&mut self, given: Vec<(&'static str, Owned)>) {
        for (name, handle) in given {
            self.add_resource(name.into(), handle);
        }
        log::info!("{} units", self.units.len());
        self.supervisor.begin(clock::now_ns(), &mut self.commands);
    }

    fn carry_on(&mut self, saved: Saved, given: Vec<(&'static str, Owned)>) {
        let now_ns = clock::now_ns();
        let plan = self.supervisor.plan().clone();
        match Supervisor::restore(plan, &saved.units, now_ns, &mut self.commands) {
            Ok(supervisor) => self.supervisor = supervisor,
            Err(bad) => {
                // Its processes were kept from the sweep by their numbers, but nobody knows them.
                log::error!("{bad}; all units are started anew");
                for unit in &saved.handles {
                    let _ = adopt_unit(unit).map(|live| live.job.kill(abi::process::KILLED));
                }
                return self.begin_anew(given);
            }
        }
        log::warn!(
            "the last manager died; carrying on with {} units",
            self.units.len()
        );
        for (name, handle) in given {
            self.add_resource(name.into(), handle);
        }
        for (name, number) in saved.resources {
            // Those that are in the start block, too, are known already.
            let known = self
                .resources
                .iter()
                .any(|known| known.handle.as_ref().map(|handle| handle.handle().0) == Some(number));
            if !known && let Some(handle) = Owned::from_raw(Handle(number)) {
                self.add_resource(name, handle);
            }
        }
        for saved in &saved.handles {
            self.adopt_unit(saved);
        }
        let programs = saved.programs.iter().filter_map(|saved| {
            Some(Program {
                id: saved.id,
                process: adopt(saved.process)?,
                job: adopt(saved.job)?,
            })
        });
        self.adopt_programs(programs.collect());
        // Who ended while nobody looked.
        for unit in 0..self.units.len() {
            let has_process = self.units.get(unit).is_some_and(|unit| unit.live.is_some());
            match self.supervisor.live(unit) {
                Some(_) if has_process => self.process(unit),
                Some(instance) if self.supervisor.row(unit).process.is_some() => {
                    let exit_code = abi::process::KILLED;
                    self.event(instance, Event::Ended { exit_code });
                }
                _ => {}
            }
        }
        self.supervisor.tick(now_ns, &mut self.commands);
    }

    fn adopt_unit(&mut self, saved: &SavedUnit) {
        let Some(index) = self.supervisor.plan().find(&saved.name) else {
            // Its manifest is gone.
            if let Some(live) = adopt_unit(saved) {
                let _ = live.job.kill(abi::process::KILLED);
            }
            return;
        };
        let instance = self.supervisor.live(index);
        let badge = self.supervisor.badge(index);
        let live = adopt_unit(saved);
        let Some(unit) = self.units.get_mut(index) else {
            return;
        };
        for (name, number) in &saved.state {
            unit.state
                .extend(adopt(*number).map(|vmo| (name.clone(), vmo)));
        }
        let (Some(mut live), Some(instance)) = (live, instance) else {
            return;
        };
        live.instance = instance;
        live.badge = badge;
        let watched = self
            .port
            .bind(live.process.handle(), Signals::ENDED, key_of_process(index));
        if let Some(output) = &live.output {
            let signals = Signals::READABLE | Signals::PEER_CLOSED;
            let bound = self
                .port
                .bind(output.handle(), signals, key_of_output(index));
            if bound.is_err() {
                live.output = None;
            }
        }
        if watched.is_err() {
            // Unwatched it might end unseen: rather another one.
            let _ = live.job.kill(abi::process::KILLED);
            return;
        }
        unit.live = Some(live);
    }
}

/// The handle of this name, if it is for such an object.
fn take<T: Object>(given: &mut Vec<(&'static str, Owned)>, name: &str) -> Option<T> {
    let index = given.iter().position(|(other, _)| *other == name)?;
    given.swap_remove(index).1.cast().ok()
}

/// A handle of the last manager's, if it is for such an object.
fn adopt<T: Object>(number: u64) -> Option<T> {
    Owned::from_raw(Handle(number))?.cast().ok()
}

/// The handles of an instance, if there was one; which one is for the caller to say.
fn adopt_unit(saved: &SavedUnit) -> Option<Live> {
    let offers = saved.offers.iter();
    Some(Live {
        instance: crate::supervisor::Instance {
            unit: 0,
            generation: 0,
        },
        badge: 0,
        job: adopt::<Job>(saved.job)?,
        process: adopt::<Process>(saved.process)?,
        output: adopt(saved.output),
        plugs: adopt(saved.plugs),
        stop: adopt::<Notification>(saved.stop),
        reservation: adopt::<Reservation>(saved.reservation),
        offers: offers
            .filter_map(|(name, number)| Some((name.clone(), adopt(*number)?)))
            .collect(),
    })
}

fn open_state(vmo: Vmo) -> Result<(StateVmo, Option<Saved>), Error> {
    let bytes = read_all(&vmo)?;
    let (sequence, saved) = saved::last(&bytes);
    let state = StateVmo {
        half_bytes: bytes.len() as u64 / 2,
        vmo,
        sequence,
        last: Vec::new(),
    };
    Ok((state, saved))
}

/// Handles that are this manager's own, whatever the last one did.
fn own_numbers(given: &[(&'static str, Owned)], state: Option<&StateVmo>) -> Vec<u64> {
    let mut numbers: Vec<u64> = given.iter().map(|(_, handle)| handle.handle().0).collect();
    numbers.extend([
        this_process().handle().0,
        first_thread().handle().0,
        this_job().handle().0,
        this_log().handle().0,
    ]);
    numbers.extend(state.map(|state| state.vmo.handle().0));
    numbers
}

/// Ends and closes whatever is in the handle table and not among `known`.
fn sweep(system: Handle, known: &[u64]) {
    let system = rt::sys::Borrowed::<System>::new(system);
    let own = this_process().info().map(|info| info.object_id);
    let Some(Cursor(mut cursor)) = own.ok().and_then(Cursor::of_process) else {
        return;
    };
    let mut rows: Vec<HandleRow> = Vec::new();
    let mut bytes = vec![0; 8 * MAX_ROW_BYTES];
    while let Ok(len @ 1..) = system.query(Table::Handles, &mut cursor, &mut bytes) {
        let page = Reader::<HandleRow>::new(bytes.get(..len).unwrap_or_default());
        rows.extend(page.flatten());
    }
    let is_known = |row: &HandleRow| known.contains(&row.handle);
    let known_object = |id| rows.iter().any(|row| row.object_id == id && is_known(row));
    for stray in rows.iter().filter(|row| !is_known(row)) {
        let Some(handle) = Owned::from_raw(Handle(stray.handle)) else {
            continue;
        };
        // Closed when dropped. An instance that nobody knows must not live on beside the next one; another handle to something
        // that is known (the job above all, on its way to a unit) is no such thing.
        match ObjectType::from_raw(stray.object_type) {
            _ if known_object(stray.object_id) => drop(handle),
            Some(ObjectType::Job) => {
                let _ = Job::from_owned(handle).kill(abi::process::KILLED);
            }
            Some(ObjectType::Process) => {
                let process = Process::from_owned(handle);
                let _ = process.kill(abi::process::KILLED);
                let _ = process.wait_blocking(Signals::ENDED, clock::now_ns() + END_NS);
            }
            _ => drop(handle),
        }
    }
}

/// What the archive's manifests say, with these units, and all that they need, enabled; `UNIT=resident` and `UNIT=isolated` place a unit otherwise
/// than its manifest does. What is wrong is named in the log.
fn plan(archive: &'static [u8], added: &[&str]) -> Plan {
    let mut manifests = Vec::new();
    let mut errors: Vec<String> = Vec::new();
    match Archive::new(archive) {
        Ok(archive) => archive.visit("manifests/", ".toml", |name, bytes| {
            let file = alloc::format!("manifests/{name}.toml");
            match core::str::from_utf8(bytes) {
                Ok(text) => match Manifest::parse(name, &file, text) {
                    Ok(manifest) => manifests.push(manifest),
                    Err(error) => errors.push(error.to_string()),
                },
                Err(_) => errors.push(alloc::format!("{file}: not UTF-8")),
            }
        }),
        Err(bad) => errors.push(bad.to_string()),
    }
    let mut enabled: Vec<String> = Vec::new();
    for word in added {
        match word.split_once('=') {
            None => enabled.push((*word).into()),
            Some((name, word)) => {
                let manifest = manifests.iter_mut().find(|manifest| manifest.name == name);
                match (manifest, Placement::from_word(word)) {
                    (Some(manifest), Some(placement)) => manifest.placement = placement,
                    (None, _) => errors.push(alloc::format!(
                        "the archive has no unit {name}, which init places"
                    )),
                    (_, None) => errors.push(alloc::format!(
                        "init has {name}={word}: a unit is resident or isolated"
                    )),
                }
            }
        }
    }
    while let Some(name) = enabled.pop() {
        let Some(manifest) = manifests.iter_mut().find(|manifest| manifest.name == name) else {
            errors.push(alloc::format!(
                "the archive has no unit {name}, which init asks for"
            ));
            continue;
        };
        if core::mem::replace(&mut manifest.enabled, true) {
            continue;
        }
        enabled.extend(manifest.after.clone());
        let uses = manifest.uses.clone();
        let offers_one =
            |other: &&Manifest| other.offers.iter().any(|service| uses.contains(service));
        enabled.extend(
            manifests
                .iter()
                .filter(offers_one)
                .map(|other| other.name.clone()),
        );
    }
    let (plan, misfits) = Plan::new(manifests);
    errors.extend(misfits.iter().map(ToString::to_string));
    for error in errors {
        log::error!("{error}");
    }
    plan
}
