//! What is seen of the system: units, processes, what is used of it.

use alloc::vec;
use alloc::vec::Vec;

use abi::process::JobLimits;
use abi::system::Table;
use proto::manager::{Answer, MAX_ROWS_BYTES, Request};
use proto::table::{MAX_ROW_BYTES, Reader};
use proto::{Action, Cursor, ProcessRow, ProcessState, UnitLogRow, UnitRow, UnitState};
use rt::Env;
use rt::sys::message::Handles;
use rt::sys::object::{Job, Process, System};
use rt::unit::{ANSWER_BYTES, AskError, Manager};
use serde::de::DeserializeOwned;

use crate::{Failed, await_until};

/// Longest wait for anything: a busy emulator is slow.
pub const LIMIT_NS: u64 = 60_000_000_000;

/// What the storm was given.
pub struct World {
    /// To ask.
    pub manager: Manager,
    system: System,
    /// The job above all.
    root: Job,
}

/// What the job above all uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Handles, processes and threads.
    pub objects: [u64; 3],
    /// Kernel memory.
    pub kernel_bytes: u64,
    /// Frames.
    pub memory_bytes: u64,
}

impl World {
    /// By the handles of the unit's manifest.
    pub fn new(mut env: Env) -> Result<Self, Failed> {
        Ok(Self {
            manager: Manager::new(env.take("manager")?),
            system: env.take("system")?,
            root: env.take("root-job")?,
        })
    }

    /// Has the manager do something with a unit, and waits for it.
    pub fn act(&self, name: &str, action: Action) -> Result<(), AskError> {
        let mut bytes = [0; ANSWER_BYTES];
        let request = Request::Act { name, action };
        self.manager
            .ask_blocking(&request, &mut bytes, &mut Handles::new())
            .map(drop)
    }

    /// All units, as `svc list` shows them.
    pub fn units(&self) -> Result<Vec<UnitRow>, Failed> {
        self.rows(|after| Request::Units { after })
    }

    /// One of them.
    pub fn unit(&self, name: &str) -> Result<UnitRow, Failed> {
        let units = self.units()?;
        let found = units.into_iter().find(|unit| &*unit.name == name);
        found.ok_or_else(|| Failed::because(format_args!("there is no unit {name}")))
    }

    /// The lines a unit put out.
    pub fn log(&self, name: &str) -> Result<Vec<UnitLogRow>, Failed> {
        self.rows(|after| Request::Log { name, after })
    }

    fn rows<'a, R: DeserializeOwned>(
        &self,
        request: impl Fn(Cursor) -> Request<'a>,
    ) -> Result<Vec<R>, Failed> {
        let mut all = Vec::new();
        let mut cursor = Cursor::START;
        let mut bytes = vec![0; ANSWER_BYTES + MAX_ROWS_BYTES];
        loop {
            let asked =
                self.manager
                    .ask_blocking(&request(cursor), &mut bytes, &mut Handles::new())?;
            let (Answer::Rows { after, count: 1.. }, rows) = asked else {
                return Ok(all);
            };
            cursor = after;
            all.extend(Reader::<R>::new(bytes.get(rows).unwrap_or_default()).flatten());
        }
    }

    /// Waits until a unit is ready in another instance than the one of this generation.
    pub fn next_ready(&self, name: &str, generation: u32) -> Result<UnitRow, Failed> {
        await_until(name, LIMIT_NS, || {
            let row = self.unit(name)?;
            let next = row.state == UnitState::Ready && row.generation > generation;
            Ok(next.then_some(row))
        })
    }

    /// Waits until a unit is in a state.
    pub fn in_state(&self, name: &str, state: UnitState) -> Result<UnitRow, Failed> {
        await_until(name, LIMIT_NS, || {
            let row = self.unit(name)?;
            Ok((row.state == state).then_some(row))
        })
    }

    /// All processes that have not ended.
    pub fn processes(&self) -> Result<Vec<ProcessRow>, Failed> {
        let mut all = Vec::new();
        let mut cursor = 0;
        let mut bytes = vec![0; 4 * MAX_ROW_BYTES];
        while let len @ 1.. = self
            .system
            .query(Table::Processes, &mut cursor, &mut bytes)?
        {
            let rows = Reader::<ProcessRow>::new(bytes.get(..len).unwrap_or_default());
            let lives = |row: &ProcessRow| !matches!(row.state, ProcessState::Ended { .. });
            all.extend(rows.flatten().filter(lives));
        }
        Ok(all)
    }

    /// The id of the youngest process of this name.
    pub fn process_named(&self, name: &str) -> Result<Option<u64>, Failed> {
        let named = self.processes()?;
        Ok(named
            .iter()
            .filter(|row| &*row.name == name)
            .map(|row| row.id)
            .max())
    }

    /// A process by its id, to be killed by us and not by the manager.
    pub fn process(&self, id: u64) -> Result<Process, Failed> {
        Ok(self.root.process(id)?)
    }

    /// What is used.
    pub fn used(&self) -> Result<Used, Failed> {
        let JobLimits {
            memory_bytes,
            kernel_bytes,
            handles,
            processes,
            threads,
            ..
        } = self.root.usage()?.used;
        Ok(Used {
            objects: [handles, processes, threads],
            kernel_bytes,
            memory_bytes,
        })
    }
}
