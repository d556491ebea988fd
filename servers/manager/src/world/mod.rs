//! The world of ring 3: carries the supervisor's commands out by system calls, and turns what happens into its events.
//!
//! One thread, one port: calls of units, ends of processes, output and renewed handles all arrive there, so nothing here ever
//! waits for one unit alone.
//!
//! * `begin`: from the start block, or from what the last manager wrote down. `units`: starting and ending instances. `devices`: what
//!   they drive.
//!   `calls`: what units and shells ask. `waiters`: answers that take their time. `programs`: what was started by `run`.

mod begin;
mod calls;
mod devices;
mod programs;
mod units;
mod waiters;

use alloc::string::String;
use alloc::vec::Vec;

use abi::{Error, Rights, Signals};
use proto::Text;
use rt::sys::clock;
use rt::sys::message::Handles;
use rt::sys::object::{
    Channel, Endpoint, Job, Notification, Object, Owned, Port, Process, Reservation, Vmo,
};
use rt::sys::port::Packet;

use crate::log_ring::LogRing;
use crate::saved::{self, HEAD_BYTES, Saved, SavedProgram, SavedUnit};
use crate::supervisor::{Command, Event, Instance, Supervisor};
use waiters::Waiter;

pub use begin::CANNOT_BEGIN;

/// Rights of a connection to a service.
const CALLER: Rights = Rights::CALL
    .union(Rights::INSPECT)
    .union(Rights::WAIT)
    .union(Rights::DUPLICATE)
    .union(Rights::TRANSFER);
/// Rights of a unit for its own job: it may start processes in it, but not change its limits.
const JOB: Rights = Rights::CREATE
    .union(Rights::INSPECT)
    .union(Rights::WAIT)
    .union(Rights::DUPLICATE)
    .union(Rights::TRANSFER);
/// Messages of output taken in before others get their turn.
const MESSAGES_AT_ONCE: usize = 32;
/// Packets that are looked at before units are judged.
const MOST_HEARD: usize = 256;
/// Largest message of output, as `rt` writes them.
const OUTPUT_BYTES: usize = 2048;

/// Keys of the port's bindings. The units' follow: two for each.
const KEY_CALLS: u32 = 0;
const KEY_RENEWALS: u32 = 1;
const KEY_PROGRAMS: u32 = 2;
const KEY_UNITS: u32 = 16;

const fn key_of_process(unit: usize) -> u32 {
    KEY_UNITS + 2 * unit as u32
}

const fn key_of_output(unit: usize) -> u32 {
    key_of_process(unit) + 1
}

/// A running instance's handles. Dropped, its endpoints close, which tells their clients.
struct Live {
    instance: Instance,
    badge: u32,
    job: Job,
    process: Process,
    output: Option<Channel>,
    /// Where it gets devices that are plugged in.
    plugs: Option<Channel>,
    stop: Option<Notification>,
    reservation: Option<Reservation>,
    offers: Vec<(String, Endpoint)>,
}

/// A unit's part of the world.
struct Unit {
    name: String,
    live: Option<Live>,
    state: Vec<(String, Vmo)>,
    devices: devices::Awaited,
    log: LogRing,
}

/// A handle to be passed on.
struct Resource {
    name: String,
    /// `None` while a unit has it.
    handle: Option<Owned>,
    rights: Rights,
}

impl Resource {
    const fn is_exclusive(&self) -> bool {
        !self.rights.contains(Rights::DUPLICATE)
    }
}

/// Where the next manager will read.
struct StateVmo {
    vmo: Vmo,
    half_bytes: u64,
    sequence: u64,
    last: Vec<u8>,
}

/// The manager.
pub struct Manager {
    archive: &'static [u8],
    archive_vmo: Vmo,
    time_page: Vmo,
    supervisor: Supervisor,
    commands: Vec<Command>,
    port: Port,
    endpoint: Endpoint,
    units: Vec<Unit>,
    programs: Vec<programs::Program>,
    waiters: Vec<Waiter>,
    resources: Vec<Resource>,
    renewals: Option<Channel>,
    state: Option<StateVmo>,
    /// Where the kernel is told that this instance has taken over.
    ready: Option<Notification>,
}

impl Manager {
    /// Looks after the units. Returns only if the port fails, which the next manager gets over.
    pub fn run(&mut self) -> Error {
        self.carry_out();
        if let Some(ready) = &self.ready {
            // Without it the kernel thinks worse of this instance's end than it is.
            let _ = ready.signal(1);
        }
        // What came while there was no manager.
        self.plugged();
        loop {
            self.carry_out();
            self.settle_waiters();
            let deadlines = [self.supervisor.next_ns(), self.next_device_ns()];
            let deadline_ns = deadlines.into_iter().flatten().min();
            let deadline_ns = deadline_ns.unwrap_or(abi::FOREVER);
            match self.port.wait_packet_blocking(deadline_ns) {
                Ok(packet) => self.packet(packet),
                Err(Error::TimedOut) => {}
                Err(error) => return error,
            }
            let now_ns = clock::now_ns();
            if self.supervisor.next_ns().is_some_and(|due| due <= now_ns) {
                self.hear();
                self.supervisor.tick(now_ns, &mut self.commands);
            }
        }
    }

    /// Takes note of what was said already, before anybody is judged by it. More than this many packets are somebody's flood.
    fn hear(&mut self) {
        for _ in 0..MOST_HEARD {
            match self.port.wait_packet_blocking(0) {
                Ok(packet) => self.packet(packet),
                Err(_) => return,
            }
        }
    }

    fn packet(&mut self, packet: Packet) {
        let key = match packet {
            Packet::Call(call) => return self.call(call),
            Packet::Signals { key, .. }
            | Packet::Posted { key, .. }
            | Packet::Answer { key, .. } => key,
        };
        match u32::try_from(key) {
            Ok(KEY_RENEWALS) => self.renew(),
            Ok(KEY_PROGRAMS) => self.sweep_programs(),
            Ok(key @ KEY_UNITS..) => {
                let unit = ((key - KEY_UNITS) / 2) as usize;
                if key == key_of_output(unit) {
                    self.output(unit);
                } else {
                    self.process(unit);
                }
            }
            _ => {}
        }
    }

    /// Carries commands out until none is left. Everything is on record before it is done.
    fn carry_out(&mut self) {
        loop {
            self.open_devices();
            if self.commands.is_empty() {
                break;
            }
            self.persist();
            for command in core::mem::take(&mut self.commands) {
                match command {
                    Command::Start { instance, badge } => {
                        let event = match self.start(instance, badge) {
                            Ok(process) => Event::Started { process },
                            Err(reason) => {
                                log::error!("{}: {reason}", self.name(instance.unit));
                                Event::StartFailed { reason }
                            }
                        };
                        self.event(instance, event);
                    }
                    Command::Ask(instance) => self.ask(instance),
                    Command::Kill(instance) => self.kill(instance),
                }
            }
        }
        self.persist();
    }

    fn event(&mut self, instance: Instance, event: Event) -> bool {
        self.supervisor
            .event(instance, event, clock::now_ns(), &mut self.commands)
    }

    fn name(&self, unit: usize) -> &str {
        self.units.get(unit).map_or("", |unit| &unit.name)
    }

    /// Something of a unit's process changed.
    fn process(&mut self, unit: usize) {
        let Some(live) = self.units.get(unit).and_then(|unit| unit.live.as_ref()) else {
            return;
        };
        match live.process.status() {
            Ok(status) if status.ended == 0 => {}
            Ok(status) => self.ended(unit, status.exit_code),
            // A handle that is no good is as bad as a process that is none.
            Err(_) => self.ended(unit, abi::process::KILLED),
        }
    }

    /// Takes in what a unit put out.
    fn output(&mut self, unit: usize) {
        let Some(place) = self.units.get_mut(unit) else {
            return;
        };
        let Some(live) = &mut place.live else {
            return;
        };
        let Some(channel) = &live.output else {
            return;
        };
        let generation = live.instance.generation;
        let mut bytes = [0; OUTPUT_BYTES];
        for _ in 0..MESSAGES_AT_ONCE {
            match channel.read(&mut bytes, &mut Handles::new()) {
                Ok(lengths) => {
                    let bytes = bytes.get(..lengths.bytes as usize).unwrap_or_default();
                    place.log.write(bytes, generation, clock::now_ns());
                }
                Err(bad) if bad.error == Error::WouldWait => return,
                // Over, or a message that is none of ours: nobody listens any more.
                Err(_) => {
                    let _ = self.port.unbind(channel.handle());
                    live.output = None;
                    place.log.end(generation, clock::now_ns());
                    return;
                }
            }
        }
        // Others first; then the rest. If the port is full, there is a packet that ends the wait soon enough for the next look.
        let again = u64::from(key_of_output(unit));
        let _ = self.port.post(again, &[0; abi::message::WORDS]);
    }

    /// Handles that the kernel made anew come with their names: one message each. A name alone says that something changed.
    fn renew(&mut self) {
        let Some(channel) = &self.renewals else {
            return;
        };
        let mut renewed = Vec::new();
        let mut is_plugged = false;
        let mut bytes = [0; 32];
        let mut handles = Handles::new();
        loop {
            match channel.read(&mut bytes, &mut handles) {
                Ok(lengths) => {
                    let name = bytes.get(..lengths.bytes as usize).unwrap_or_default();
                    let handle = handles.pop_front();
                    match (core::str::from_utf8(name), handle) {
                        (Ok(name), Some(handle)) => renewed.push((String::from(name), handle)),
                        (Ok(devices::CHANGED), None) => is_plugged = true,
                        _ => {}
                    }
                }
                Err(bad) if bad.error == Error::WouldWait => break,
                Err(bad) => {
                    log::error!("handles are not renewed any more: {bad}");
                    let _ = self.port.unbind(channel.handle());
                    self.renewals = None;
                    break;
                }
            }
        }
        for (name, handle) in renewed {
            self.add_resource(name, handle);
        }
        if is_plugged {
            self.plugged();
        }
        self.supervisor.tick(clock::now_ns(), &mut self.commands);
    }

    /// Has a handle to pass on from now on.
    fn add_resource(&mut self, name: String, handle: Owned) {
        let Ok(info) = rt::sys::object::info(handle.handle()) else {
            // Given to a unit by the last manager: it comes back when that unit ends.
            return;
        };
        let resource = Resource {
            name,
            handle: Some(handle),
            rights: Rights::from_bits_truncate(info.rights),
        };
        self.supervisor
            .offer_resource(&resource.name, resource.is_exclusive());
        match self
            .resources
            .iter_mut()
            .find(|known| known.name == resource.name)
        {
            Some(known) => *known = resource,
            None => self.resources.push(resource),
        }
    }

    /// Writes down what the next manager needs, if it changed.
    fn persist(&mut self) {
        let saved = self.saved();
        let Some(state) = &mut self.state else {
            return;
        };
        let Ok(record) = postcard::to_allocvec(&saved) else {
            return;
        };
        if record == state.last {
            return;
        }
        if (record.len() + HEAD_BYTES) as u64 > state.half_bytes {
            log::error!(
                "the state of the units takes {} bytes, more than the {} there are",
                record.len(),
                state.half_bytes
            );
            return;
        }
        let sequence = state.sequence + 1;
        let at = saved::half(sequence) * state.half_bytes;
        let head = saved::head(sequence, &record);
        let written = state
            .vmo
            .write(at + HEAD_BYTES as u64, &record)
            .and_then(|_| state.vmo.write(at, &head));
        match written {
            Ok(_) => {
                state.sequence = sequence;
                state.last = record;
            }
            Err(error) => log::error!("the state of the units cannot be written: {error}"),
        }
    }

    fn saved(&self) -> Saved {
        let number = |object: Option<u64>| object.unwrap_or(0);
        let named = |list: &[(String, Vmo)]| {
            list.iter()
                .map(|(name, vmo)| (name.clone(), vmo.handle().0))
                .collect()
        };
        let unit = |unit: &Unit| {
            let live = unit.live.as_ref();
            SavedUnit {
                name: unit.name.clone(),
                job: number(live.map(|live| live.job.handle().0)),
                process: number(live.map(|live| live.process.handle().0)),
                output: number(live.and_then(|live| Some(live.output.as_ref()?.handle().0))),
                plugs: number(live.and_then(|live| Some(live.plugs.as_ref()?.handle().0))),
                stop: number(live.and_then(|live| Some(live.stop.as_ref()?.handle().0))),
                reservation: number(
                    live.and_then(|live| Some(live.reservation.as_ref()?.handle().0)),
                ),
                offers: live.map_or_else(Vec::new, |live| {
                    let offers = live.offers.iter();
                    offers
                        .map(|(name, endpoint)| (name.clone(), endpoint.handle().0))
                        .collect()
                }),
                state: named(&unit.state),
            }
        };
        let resources = self.resources.iter().filter_map(|resource| {
            let handle = resource.handle.as_ref()?.handle().0;
            Some((resource.name.clone(), handle))
        });
        Saved {
            units: self.supervisor.snapshot(),
            endpoint: self.endpoint.handle().0,
            handles: self.units.iter().map(unit).collect(),
            programs: self
                .programs
                .iter()
                .map(|program| SavedProgram {
                    id: program.id,
                    process: program.process.handle().0,
                    job: program.job.handle().0,
                })
                .collect(),
            resources: resources.collect(),
        }
    }

    /// Has the port tell about a process's end.
    fn watch(&self, process: &Process, key: u32) -> Result<(), Error> {
        self.port.bind(process.handle(), Signals::ENDED, key)
    }
}

/// An error of a step, as a reason.
fn during(step: &'static str) -> impl Fn(Error) -> Text<96> {
    move |error| Text::format(format_args!("{step}: {error}"))
}
