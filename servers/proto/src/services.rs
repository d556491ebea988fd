//! [`Services`]: what a shell may ask of the manager of units.

use core::future::Future;

use abi::process::{CRASHED, KILLED};
use serde::{Deserialize, Serialize};

use crate::system::{Cursor, Refused};
use crate::text::Text;

/// A unit's name. In manifests: 1 to 31 of `a-z 0-9 - _`.
pub type UnitName = Text<32>;
/// Longest line of a unit's log; longer ones are cut.
pub const MAX_LINE_BYTES: usize = 240;
/// Longest command of [`Services::run`]: its words, each ended by a zero byte.
pub const MAX_COMMAND_BYTES: usize = 2048;
/// Longest text that is pasted behind a command about the network: a certificate.
pub const MAX_PASTED_BYTES: usize = 4096;

/// What a unit is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnitState {
    /// Not running, and nobody wants it to.
    #[default]
    Stopped,
    /// It waits for another unit to be ready.
    Waiting,
    /// It died before it was ready, and waits a while before the next try.
    BackOff,
    /// Started; not yet ready.
    Starting,
    /// Ready.
    Ready,
    /// Asked to end.
    Stopping,
    /// It ended by itself, and its manifest does not want it restarted.
    Ended,
}

impl UnitState {
    /// The word shown to a person and put in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::BackOff => "back-off",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
        }
    }
}

/// Where a unit runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// In ring 3, in an address space of its own.
    #[default]
    Isolated,
    /// In ring 0, in the kernel's image.
    Resident,
}

impl Placement {
    /// The word in manifests, tables and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Resident => "resident",
        }
    }

    /// What the word says.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Isolated, Self::Resident]
            .into_iter()
            .find(|placement| placement.word() == word)
    }
}

/// A unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRow {
    /// Its name.
    pub name: UnitName,
    /// What it is doing.
    pub state: UnitState,
    /// Whether it may run, and is started with the system.
    pub enabled: bool,
    /// Where it runs.
    pub placement: Placement,
    /// How often it was started, since boot. The instance that runs has this number; none has it again.
    pub generation: u32,
    /// How often it was started again because it had died.
    pub restarts: u32,
    /// Its process, if it has one.
    pub process: Option<u64>,
    /// Uptime when it came into its state.
    pub since_ns: u64,
    /// What its last instance ended with.
    pub exit_code: Option<i32>,
    /// Why it is in its state, if there is something to say.
    pub reason: Text<120>,
}

/// A line that a unit put out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitLogRow {
    /// Its number, growing by one: a gap means that lines were overwritten before they were read.
    pub seq: u64,
    /// Uptime when the manager got it.
    pub time_ns: u64,
    /// The instance that wrote it.
    pub generation: u32,
    /// The line, without its end.
    pub text: Text<MAX_LINE_BYTES>,
}

/// What is to be done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Start it, and what it needs. Done when it is ready.
    Start,
    /// Ask it to end, and end it if it does not. Done when it has ended. It is not restarted.
    Stop,
    /// [`Stop`](Action::Stop), then [`Start`](Action::Start).
    Restart,
    /// End its process at once; the manager starts it again, as after a crash. Counts as no failure. Done when it has ended.
    Kill,
    /// Let it run, now and whenever the system starts.
    Enable,
    /// Stop it, and let nothing start it.
    Disable,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Kill,
        Self::Enable,
        Self::Disable,
    ];

    /// The word a person types.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }

    /// The action of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

/// What a program that [`Services::run`] started does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// It put out this many bytes, now at the buffer's start. At least one.
    Output(usize),
    /// It has ended with this exit code, and all it put out was given.
    Ended(i32),
}

/// The status for a shell of an exit code: the code's low byte, 137 for killed and 134 for crashed (as other systems' shells
/// say of their signals 9 and 6).
#[must_use]
pub const fn exit_status(exit_code: i32) -> u8 {
    match exit_code {
        KILLED => 137,
        CRASHED => 134,
        code => code as u8,
    }
}

/// A program that was started and whose output is read. Dropped, it goes on by itself and its output is lost.
pub trait Running: Send {
    /// Waits for output or the end. Cancel-safe.
    fn next(&mut self, buffer: &mut [u8]) -> impl Future<Output = RunEvent> + Send;
    /// Ends it. [`next`](Running::next) says when it has.
    fn kill(&mut self) -> impl Future<Output = ()> + Send;
}

/// The program of a host that has no manager: there is none.
#[derive(Clone, Copy, Debug)]
pub enum NoProgram {}

impl Running for NoProgram {
    async fn next(&mut self, _: &mut [u8]) -> RunEvent {
        match *self {}
    }
    async fn kill(&mut self) {
        match *self {}
    }
}

/// What a shell may ask of the manager. The rules of [`System`](crate::System) apply: no method allocates on the caller's side,
/// every future is cancel-safe and `Send`, and tables are read in pages, 0 rows being their end.
///
/// A host without a manager sets `Program` and `Network` to [`NoProgram`] and leaves all methods out: they refuse.
pub trait Services: Send + Sync {
    /// A running program.
    type Program: Running;
    /// A running command about the network.
    type Network: Running;

    /// All units, in the order in which they start.
    fn units(
        &self,
        cursor: &mut Cursor,
        page: &mut [UnitRow],
    ) -> impl Future<Output = Result<usize, Refused>> + Send {
        let _ = (cursor, page);
        async { Err(Refused::without_manager()) }
    }

    /// One unit.
    fn unit(&self, name: &str) -> impl Future<Output = Result<UnitRow, Refused>> + Send {
        let _ = name;
        async { Err(Refused::without_manager()) }
    }

    /// Does something with a unit. Ready when it is done.
    fn act(&self, name: &str, action: Action) -> impl Future<Output = Result<(), Refused>> + Send {
        let _ = (name, action);
        async { Err(Refused::without_manager()) }
    }

    /// What a unit put out, from the oldest line still kept.
    fn unit_log(
        &self,
        name: &str,
        cursor: &mut Cursor,
        page: &mut [UnitLogRow],
    ) -> impl Future<Output = Result<usize, Refused>> + Send {
        let _ = (name, cursor, page);
        async { Err(Refused::without_manager()) }
    }

    /// Waits until [`unit_log`](Services::unit_log) has a line after `cursor`.
    fn unit_log_grown(
        &self,
        name: &str,
        cursor: Cursor,
    ) -> impl Future<Output = Result<(), Refused>> + Send {
        let _ = (name, cursor);
        async { Err(Refused::without_manager()) }
    }

    /// Ends a process, with this exit code if it is not a unit's: those are ended as `svc kill` does.
    fn kill(
        &self,
        process: u64,
        exit_code: i32,
    ) -> impl Future<Output = Result<(), Refused>> + Send {
        let _ = (process, exit_code);
        async { Err(Refused::without_manager()) }
    }

    /// The names of the programs that [`run`](Services::run) knows.
    fn programs(
        &self,
        cursor: &mut Cursor,
        page: &mut [UnitName],
    ) -> impl Future<Output = Result<usize, Refused>> + Send {
        let _ = (cursor, page);
        async { Err(Refused::without_manager()) }
    }

    /// Begins a command about the network: its name and words, each ended by a zero byte, options as `--name=value`; at most
    /// [`MAX_COMMAND_BYTES`] and [`MAX_PASTED_BYTES`] for an option's value that was pasted.
    fn network(
        &self,
        command: &str,
    ) -> impl Future<Output = Result<Self::Network, Refused>> + Send {
        let _ = command;
        async { Err(Refused::without_manager()) }
    }

    /// Starts a program of the archive. `command`: its name and arguments, each ended by a zero byte, at most
    /// [`MAX_COMMAND_BYTES`].
    fn run(&self, command: &str) -> impl Future<Output = Result<Self::Program, Refused>> + Send {
        let _ = command;
        async { Err(Refused::without_manager()) }
    }
}
