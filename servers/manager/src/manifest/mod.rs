//! Manifests: what a unit is, needs, offers and may use, as TOML text.
//!
//! Only `program` and the like that differ from the default have to be written. All keys:
//!
//! ```toml
//! # manifests/shell-serial.toml: the unit is called like the file.
//! program = "servers/shell"          # in the archive; servers/NAME unless said
//! arguments = ["--script"]           # behind the program's name
//! enabled = true                     # started with the system (true)
//! placement = "isolated"             # or "resident"
//! needs = ["terminal.serial", "system"] # handles by name, from those that the kernel gave to the manager
//! devices = ["virtio-net", "8086:10d3"] # devices it drives: see below
//! hot-plug = false                   # also those that are plugged in while it runs, by the channel `devices` (false)
//! uses = ["echo"]                    # services of other units, which are then ready first; a handle by that name
//! may-use = ["net"]                  # services that it may connect to later, if they are there: nothing waits for them
//! offers = ["prompt"]                # services: an endpoint by that name
//! after = ["log"]                    # units that are ready first, without a handle
//! control = false                    # may it ask the manager to start and stop others (false)
//! restart = "always"                 # "on-failure": not after exit code 0; "never" (always)
//! ready = "call"                     # when it says so; "start": once its process is made, for programs that cannot say it (call)
//! ready-within = "5 s"               # else it is killed and counts as dead before readiness
//! stop-within = "2 s"                # it is asked to end by bit 0 of the notification `stop`; without it, killed at once
//! log-lines = 256                    # how many lines of its output are kept
//!
//! [grants]                           # what it may do with services, in words that these understand
//! net = ["connect", "listen tcp 80"]
//!
//! [health]                           # without it nobody looks
//! every = "500 ms"                   # it says ALIVE at least that often once it is ready
//! misses = 3                         # so many times missed in a row: killed and started again
//!
//! [reservation]                      # best effort without it
//! budget = "1 ms"
//! period = "10 ms"
//! deadline = "10 ms"                 # the period unless said
//! core = 0
//! soft = true                        # with its budget used up: postponed; without this it waits for the next period
//!
//! [limits]                           # of its job; those of the manager's job unless said
//! memory = "16 MiB"
//! kernel-memory = "1 MiB"
//! handles = 1000
//! processes = 1
//! threads = 16
//! reserved-ppm = 100000
//! cpu-ppm = 500000                   # processor time of all its threads: half a core
//! weight = 1024
//!
//! [state]                            # vmos that outlive its instances: name = size
//! cells = "64 KiB"
//! ```
//!
//! # Devices
//! `devices` names what a unit drives, each entry for any number of devices that this machine has: `virtio-net`, `virtio-block`,
//! `virtio-gpu`, `virtio-input` (virtio devices of that kind), `8086:10d3` (PCI functions with these numbers of vendor and device),
//! `0000:00:03.0` (the one at that address). For each the unit gets a handle to the device, the first one named as the entry, the
//! others `virtio-net.1` and so on. `i8042` is the PC's controller for keyboard and mouse: its ports are `i8042.ports`, its interrupt
//! lines `i8042.keyboard` and `i8042.mouse`.
//!
//! A device has one driver: of the units that are enabled, the one that names it most exactly, and of several the first by order of
//! start. An instance gets it when the one before is gone and the device was reset. What is not there keeps no unit from starting.
//! What is plugged in later goes to the next instance, or, with `hot-plug`, to the one that runs: a message for each through the channel
//! `devices`, whose bytes are the name and whose handle is the device. What is taken out shows its driver that the other side closed.
//!
//! What must hold: a key that is not known is an error, as is a value that cannot be meant; every error names file, line and key.

mod devices;
mod error;
mod read;
#[cfg(test)]
mod tests;
mod units;

use alloc::string::String;
use alloc::vec::Vec;

use abi::process::{JobLimits, ReservationArgs};
use proto::Placement;

pub use devices::{Device, DeviceName};
pub use error::{ManifestError, Problem};

/// Most units the manager looks after.
pub const MAX_UNITS: usize = 256;
/// Most entries of a list in a manifest, and of its state vmos.
pub const MAX_LIST: usize = 32;
/// Most lines kept of a unit's output.
pub const MAX_LOG_LINES: u32 = 4096;

/// When to start a unit again that ended by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Whatever it ended with.
    #[default]
    Always,
    /// Unless its exit code was 0.
    OnFailure,
    /// Not.
    Never,
}

/// What makes a unit ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// It says so.
    #[default]
    Call,
    /// Its first thread was made.
    Start,
}

/// How a unit shows that it is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// It says so at least this often.
    pub every_ns: u64,
    /// How many times it may miss that in a row, less one.
    pub misses: u32,
}

/// A vmo that outlives its unit's instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateVmo {
    /// The handle's name.
    pub name: String,
    /// Its size; a multiple of the page size.
    pub bytes: u64,
}

/// A unit, as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its program's path in the archive.
    pub program: String,
    /// Arguments behind the program's name.
    pub arguments: Vec<String>,
    /// Whether it is started with the system.
    pub enabled: bool,
    /// Where it runs.
    pub placement: Placement,
    /// Handles by name.
    pub needs: Vec<String>,
    /// Devices that it drives.
    pub devices: Vec<DeviceName>,
    /// Whether it also drives those that come while it runs.
    pub hot_plug: bool,
    /// Services of other units.
    pub uses: Vec<String>,
    /// Services that it may connect to.
    pub may_use: Vec<String>,
    /// Services it offers.
    pub offers: Vec<String>,
    /// What it may do with a service.
    pub grants: Vec<(String, Vec<String>)>,
    /// Units that are ready first.
    pub after: Vec<String>,
    /// Whether it may ask for what concerns others.
    pub control: bool,
    /// When it is started again.
    pub restart: Restart,
    /// What makes it ready.
    pub readiness: Readiness,
    /// How long it may take to become ready.
    pub ready_within_ns: u64,
    /// How long it may take to end when asked; `None`: it is not asked but killed.
    pub stop_within_ns: Option<u64>,
    /// Lines kept of its output.
    pub log_lines: u32,
    /// How it shows that it is well.
    pub health: Option<Health>,
    /// Processor time; `None` for best effort.
    pub reservation: Option<ReservationArgs>,
    /// What its job may use.
    pub limits: JobLimits,
    /// Memory that outlives it.
    pub state: Vec<StateVmo>,
}

impl Manifest {
    /// What a manifest without a line says, for a unit of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            program: alloc::format!("servers/{name}"),
            arguments: Vec::new(),
            enabled: true,
            placement: Placement::Isolated,
            needs: Vec::new(),
            devices: Vec::new(),
            hot_plug: false,
            uses: Vec::new(),
            may_use: Vec::new(),
            offers: Vec::new(),
            grants: Vec::new(),
            after: Vec::new(),
            control: false,
            restart: Restart::Always,
            readiness: Readiness::Call,
            ready_within_ns: 5_000_000_000,
            stop_within_ns: None,
            log_lines: 256,
            health: None,
            reservation: None,
            limits: JobLimits::NONE,
            state: Vec::new(),
        }
    }

    /// Whether it may have a connection to a service.
    #[must_use]
    pub fn may_connect(&self, service: &str) -> bool {
        self.uses
            .iter()
            .chain(&self.may_use)
            .any(|used| used == service)
    }

    /// What it may do with a service.
    #[must_use]
    pub fn granted(&self, service: &str) -> &[String] {
        let found = self.grants.iter().find(|(name, _)| name == service);
        found.map_or(&[], |(_, words)| words)
    }

    /// Reads the manifest of the unit `name` from TOML text. `file` is for errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ManifestError> {
        read::manifest(name, file, text)
    }
}

/// Whether this can be the name of a unit or service: 1 to 31 of `a-z 0-9 - _ .`, beginning with a letter.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=31).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}
