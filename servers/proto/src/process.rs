//! Rows about processes and their handles.

use abi::{ObjectType, Rights};
use serde::{Deserialize, Serialize};

use crate::services::Placement;
use crate::text::Text;

/// Whether a process still is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessState {
    /// It was made, and no thread of it has run yet.
    #[default]
    New,
    /// It has threads.
    Running,
    /// It has ended, by itself or killed; somebody still holds a handle to it.
    Ended {
        /// What it gave to exit, or [`abi::process::KILLED`] or [`abi::process::CRASHED`].
        exit_code: i32,
    },
}

impl ProcessState {
    /// The word shown to a person and put in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Running => "running",
            Self::Ended {
                exit_code: abi::process::KILLED,
            } => "killed",
            Self::Ended {
                exit_code: abi::process::CRASHED,
            } => "crashed",
            Self::Ended { .. } => "ended",
        }
    }

    /// What it ended with; `None` while it has not.
    #[must_use]
    pub const fn exit_code(self) -> Option<i32> {
        match self {
            Self::Ended { exit_code } => Some(exit_code),
            Self::New | Self::Running => None,
        }
    }
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Its object's number, which is the process id; never used again for another.
    pub id: u64,
    /// Its name.
    pub name: Text<32>,
    /// The number of the job it lives under.
    pub job: u64,
    /// Whether it still is.
    pub state: ProcessState,
    /// Threads it has.
    pub threads: u32,
    /// Handles it holds.
    pub handles: u32,
    /// Memory committed through its mappings, page tables included.
    pub memory_bytes: u64,
    /// Processor time of its threads.
    pub cpu_ns: u64,
    /// The core its first thread lives on; `None` if it has no threads.
    pub core: Option<u16>,
    /// Whether it runs in the kernel.
    pub placement: Placement,
    /// What processor time its threads share by a reservation; `None`: they run on what is left.
    pub reserved: Option<Reserved>,
    /// Jobs of its threads (from a wake to the next wait) that were done after their deadline.
    pub late_jobs: u32,
    /// Jobs of its threads that had to wait for the next period because the reservation's budget was used up.
    pub throttled_jobs: u32,
}

/// Processor time that was promised: `budget_ns` in each `period_ns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// How much.
    pub budget_ns: u64,
    /// In which time.
    pub period_ns: u64,
    /// Used up, its threads go on behind others; else they wait for the next period.
    pub soft: bool,
}

/// A handle that a process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandleRow {
    /// Its number in that process.
    pub handle: u64,
    /// The object's number.
    pub object_id: u64,
    /// What the object is: an [`ObjectType`].
    pub object_type: u32,
    /// [`Rights`] of the handle.
    pub rights: u32,
    /// The badge calls through it arrive with; 0 where there is none.
    pub badge: u32,
    /// Whether somebody can take it back.
    pub leased: bool,
}

impl HandleRow {
    /// The name of the object's type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        ObjectType::from_raw(self.object_type).map_or("unknown", ObjectType::name)
    }

    /// The names of its rights, in order of their bits.
    pub fn rights_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        Rights::from_bits_truncate(self.rights)
            .iter_names()
            .map(|(name, _)| name)
    }
}
