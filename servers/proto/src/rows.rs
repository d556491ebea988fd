//! One row type for each table [`System`](crate::System) serves.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// Most cores a table has columns for.
pub const MAX_CORES: usize = 64;

/// A task's identity: never reused, since the slot's generation grows with each new task in it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct TaskId {
    /// The core whose slab holds the slot.
    pub core: u16,
    /// The slot in that slab.
    pub slot: u32,
    /// How many tasks used the slot before.
    pub generation: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Text::<32>::format(format_args!(
            "{}.{}.{}",
            self.core, self.slot, self.generation
        ));
        f.pad(&text)
    }
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// Waits for a wake.
    #[default]
    Waiting,
    /// Woken, waits for its core.
    Queued,
    /// Being polled.
    Running,
    /// Ended; its slot is not yet free.
    Done,
}

impl TaskState {
    /// The word shown to a person and put in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
        }
    }
}

/// A task of some core's executor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// Its identity.
    pub id: TaskId,
    /// The name it was spawned under.
    pub name: Text<24>,
    /// The core it runs on now.
    pub core: u16,
    /// What it is doing.
    pub state: TaskState,
    /// Its absolute deadline in ns of uptime; `None` for best effort.
    pub deadline_ns: Option<u64>,
    /// Times it was polled.
    pub polls: u64,
    /// Time spent in its polls.
    pub cpu_ns: u64,
    /// Its longest poll.
    pub longest_poll_ns: u64,
    /// Source file of the spawn ([`Text::from_end`] keeps what tells most).
    pub spawned_file: Text<48>,
    /// Line of the spawn.
    pub spawned_line: u32,
}

/// Why a deadline was missed, by the names of the executor (`executor::event::Late`): what [`CoreRow::misses`] is counted by.
pub const MISS_CAUSES: [&str; 6] = [
    "queued",
    "throttled",
    "blocked-by-poll",
    "own-work",
    "woken-late",
    "unknown",
];

/// What a core is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoreState {
    /// Found in the tables but never started, or stopped.
    #[default]
    Offline,
    /// Halted, waiting for an interrupt.
    Idle,
    /// Running tasks.
    Busy,
}

impl CoreState {
    /// The word shown to a person and put in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Idle => "idle",
            Self::Busy => "busy",
        }
    }
}

/// A core and its counters since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreRow {
    /// Raede's number of the core, from 0.
    pub core: u16,
    /// Its local APIC id.
    pub apic_id: u32,
    /// What it is doing.
    pub state: CoreState,
    /// Tasks polled.
    pub dispatches: u64,
    /// Time since the core started: with `idle_ns`, gives the load between two reads.
    pub up_ns: u64,
    /// Time of that spent halted.
    pub idle_ns: u64,
    /// Inter-processor interrupts received.
    pub ipis: u64,
    /// Timer interrupts taken.
    pub timer_irqs: u64,
    /// All interrupts taken, the former two included.
    pub irqs: u64,
    /// Its time stamp counter minus core 0's, in ticks, after correction.
    pub tsc_offset_ticks: i64,
    /// Jobs of its tasks that ended behind their deadlines, by [cause](MISS_CAUSES).
    pub misses: [u64; MISS_CAUSES.len()],
}

/// An interrupt vector in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IrqRow {
    /// The vector.
    pub vector: u8,
    /// Where it comes from and whom it wakes: `ioapic 4 uart0`.
    pub source: Text<32>,
    /// Interrupts taken, by core; cores beyond its length took none.
    pub counts: heapless::Vec<u64, MAX_CORES>,
}

impl IrqRow {
    /// Interrupts taken on all cores.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Where a PCI function sits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PciAddress {
    /// Segment group.
    pub segment: u16,
    /// Bus.
    pub bus: u8,
    /// Device, 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Text::<16>::format(format_args!(
            "{:04x}:{:02x}:{:02x}.{}",
            self.segment, self.bus, self.device, self.function
        ));
        f.pad(&text)
    }
}

/// A base address register of a PCI function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bar {
    /// Not implemented, or the upper half of the one before.
    #[default]
    None,
    /// A range of I/O ports.
    Io {
        /// First port.
        port: u32,
        /// Number of ports.
        size: u32,
    },
    /// A range of memory.
    Memory {
        /// Physical address.
        address: u64,
        /// Size in bytes.
        size: u64,
        /// Whether it may lie above 4 GiB.
        is_64_bit: bool,
        /// Whether reads have no side effects.
        prefetchable: bool,
    },
}

/// A PCI function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciRow {
    /// Where it sits.
    pub address: PciAddress,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Class code: base class, sub-class, programming interface.
    pub class: [u8; 3],
    /// Revision.
    pub revision: u8,
    /// The class in words.
    pub class_text: Text<40>,
    /// Its base address registers.
    pub bars: [Bar; 6],
    /// Vectors of its MSI capability; 0 without one.
    pub msi_vectors: u8,
    /// Entries of its MSI-X table; 0 without one.
    pub msix_vectors: u16,
    /// The driver that has claimed it; empty if none.
    pub driver: Text<24>,
}

/// How much a log record matters; the first is the gravest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be; the system goes on.
    Warn,
    /// What a person wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// All levels, gravest first.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// The word shown to a person, put in JSON, and understood by [`Level::from_word`].
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The level named `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }
}

/// A record of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// Its number, growing by one: a gap means that records were overwritten before they were read.
    pub seq: u64,
    /// Uptime when it was written.
    pub time_ns: u64,
    /// The core that wrote it.
    pub core: u16,
    /// How much it matters.
    pub level: Level,
    /// The part of the system that wrote it.
    pub target: Text<64>,
    /// What it says.
    pub text: Text<512>,
}

/// What a [`TraceRow`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traced {
    /// The task became ready.
    #[default]
    Woken,
    /// The same, by an interrupt.
    WokenByInterrupt,
    /// A poll of it began.
    Begins {
        /// When it is due (time since boot), if it is.
        deadline_ns: Option<u64>,
    },
    /// The poll ended.
    Ends {
        /// What the task does then: [`TaskState::Queued`], [`TaskState::Waiting`] or [`TaskState::Done`].
        state: TaskState,
        /// Its reservation is used up.
        throttled: bool,
    },
    /// In its poll a process is entered.
    Runs {
        /// Its number.
        process: u64,
        /// How many calls deep it serves the task: 0 for the task's own process.
        depth: u8,
    },
    /// It was late.
    Missed {
        /// By how much.
        late_ns: u64,
        /// Why: the place in [`MISS_CAUSES`].
        cause: u8,
    },
    /// It is a thread of this process.
    Thread {
        /// Its number.
        process: u64,
    },
    /// An interrupt; it has no task.
    Interrupt {
        /// Its vector.
        vector: u8,
    },
    /// So much happened on the core after what stands here, for which there was no room.
    Lost {
        /// How many records.
        count: u64,
    },
}

/// Something that happened on a core while a trace was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRow {
    /// Where.
    pub core: u16,
    /// When: time since boot.
    pub at_ns: u64,
    /// With which task.
    pub task: TaskId,
    /// What.
    pub what: Traced,
}
