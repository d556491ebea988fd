//! What is shown: read once a second.

use alloc::vec::Vec;

use proto::frames::FrameFigures;
use proto::{CoreRow, Cursor, MemoryInfo, ProcessRow, Services, System, UnitRow};
use rt::sys::clock;
use shell_host::Host;

/// Loads of a core that its graph shows.
pub const KEPT: usize = 120;
/// Rows asked for at once.
const PAGE: usize = 8;

/// A core and what it did.
#[derive(Default)]
pub struct Core {
    row: CoreRow,
    /// In thousandths, the newest last.
    pub load: Vec<u16>,
}

/// A process, and the part of a core that it used since the reading before, in thousandths.
pub struct Process {
    /// Its row.
    pub row: ProcessRow,
    /// Its load.
    pub load: u16,
}

/// All figures.
#[derive(Default)]
pub struct Figures {
    /// The cores.
    pub cores: Vec<Core>,
    /// The processes, those that use most first.
    pub processes: Vec<Process>,
    /// The manager's units.
    pub units: Vec<UnitRow>,
    /// Memory.
    pub memory: MemoryInfo,
    /// The compositor's frames.
    pub frames: FrameFigures,
    read_ns: u64,
}

fn thousandths(part: u64, whole: u64) -> u16 {
    u16::try_from((part.saturating_mul(1000) / whole.max(1)).min(1000)).unwrap_or(1000)
}

impl Figures {
    /// Reads all of them.
    pub async fn read(&mut self, host: &Host) {
        let now_ns = clock::now_ns();
        let passed_ns = now_ns.saturating_sub(self.read_ns);
        self.read_ns = now_ns;
        self.memory = host.memory().await;
        self.read_cores(host).await;
        let before = core::mem::take(&mut self.processes);
        let mut cursor = Cursor::START;
        loop {
            let mut page: [ProcessRow; PAGE] = Default::default();
            let count = host.processes(&mut cursor, &mut page).await;
            if count == 0 {
                break;
            }
            for row in page.into_iter().take(count) {
                let known = before.iter().find(|other| other.row.id == row.id);
                let used_ns = known.map_or(0, |known| row.cpu_ns.saturating_sub(known.row.cpu_ns));
                self.processes.push(Process {
                    load: thousandths(used_ns, passed_ns),
                    row,
                });
            }
        }
        self.processes
            .sort_by_key(|process| (core::cmp::Reverse(process.load), process.row.id));
        self.read_units(host).await;
    }

    async fn read_cores(&mut self, host: &Host) {
        let mut cursor = Cursor::START;
        let mut number = 0;
        loop {
            let mut page: [CoreRow; PAGE] = Default::default();
            let count = host.cores(&mut cursor, &mut page).await;
            if count == 0 {
                return;
            }
            for row in page.into_iter().take(count) {
                if self.cores.len() <= number {
                    self.cores.push(Core {
                        row: row.clone(),
                        load: Vec::new(),
                    });
                }
                if let Some(core) = self.cores.get_mut(number) {
                    let up_ns = row.up_ns.saturating_sub(core.row.up_ns);
                    let idle_ns = row.idle_ns.saturating_sub(core.row.idle_ns);
                    if core.load.len() >= KEPT {
                        core.load.remove(0);
                    }
                    core.load
                        .push(thousandths(up_ns.saturating_sub(idle_ns), up_ns));
                    core.row = row;
                }
                number += 1;
            }
        }
    }

    async fn read_units(&mut self, host: &Host) {
        self.units.clear();
        let mut cursor = Cursor::START;
        loop {
            let mut page: [UnitRow; PAGE] = Default::default();
            match host.units(&mut cursor, &mut page).await {
                Ok(count) if count > 0 => self.units.extend(page.into_iter().take(count)),
                Ok(_) => return,
                Err(error) => return log::warn!("the manager: {error}"),
            }
        }
    }
}
