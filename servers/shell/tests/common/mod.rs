//! A system to ask and a terminal to type on, for the shell's tests.
#![allow(dead_code, unused_imports)] // each test uses some of it

mod services;
mod terminal;

use std::sync::{Arc, Mutex};

use proto::{
    Bar, Calibration, CoreRow, CoreState, Cursor, DateTime, HandleRow, HeapInfo, IrqRow,
    KindFrames, Level, LogRow, MemoryInfo, PciAddress, PciRow, ProcessRow, Refused, ScreenInfo,
    System, SystemInfo, TaskId, TaskRow, TaskState, Text, TimeInfo, UnitRow,
};
use rt::{ByteSink, ByteSource, Clock, Pipe};
use shell::{Config, Mode};
use testkit::{Sim, SimClock};

pub use terminal::Row;

/// A text that every output must survive.
pub const NASTY: &str = "a\"b\\c\n\u{1b}[2J\u{7f}ä";

/// What the fake system says, and what it was asked to do.
#[derive(Default)]
pub struct State {
    pub tasks: Vec<TaskRow>,
    pub log: Vec<LogRow>,
    pub asked: Vec<String>,
    pub bare: bool,
    pub processes: Vec<ProcessRow>,
    /// Of process 7.
    pub handles: Vec<HandleRow>,
    pub units: Vec<UnitRow>,
    /// Lines of every unit.
    pub lines: Vec<String>,
    /// What a program puts out, piece by piece, and its exit code; never the latter for `None`.
    pub program: (Vec<Vec<u8>>, Option<i32>),
}

#[derive(Clone)]
pub struct Fake {
    pub state: Arc<Mutex<State>>,
    clock: SimClock,
}

fn fill<T: Clone>(rows: &[T], cursor: &mut Cursor, page: &mut [T]) -> usize {
    let start = usize::try_from(cursor.0).expect("small").min(rows.len());
    let count = page.len().min(rows.len() - start);
    page[..count].clone_from_slice(&rows[start..start + count]);
    cursor.0 += count as u64;
    count
}

pub fn log_row(seq: u64, level: Level, text: &str) -> LogRow {
    LogRow {
        seq,
        time_ns: seq * 1_500_000,
        core: 1,
        level,
        target: "test".into(),
        text: text.into(),
    }
}

impl Fake {
    pub fn new(clock: SimClock) -> Self {
        let task = |slot: u32, name: &str, cpu_ns| TaskRow {
            id: TaskId {
                core: 0,
                slot,
                generation: 3,
            },
            name: name.into(),
            core: 0,
            state: if slot == 1 {
                TaskState::Running
            } else {
                TaskState::Waiting
            },
            deadline_ns: (slot == 2).then_some(5_000_000),
            polls: u64::MAX,
            cpu_ns,
            longest_poll_ns: 12_345,
            spawned_file: Text::from_end("kernel/src/main.rs"),
            spawned_line: 42,
        };
        let mut tasks: Vec<_> = (0..30)
            .map(|slot| task(slot, "worker", u64::from(slot)))
            .collect();
        tasks.push(task(31, "busy", 9_000_000_000));
        tasks.push(task(32, NASTY, 1));
        let log = vec![
            log_row(7, Level::Info, "first"),
            log_row(8, Level::Warn, NASTY),
            log_row(10, Level::Debug, "after a gap"),
            log_row(11, Level::Error, "last"),
        ];
        let state = State {
            tasks,
            log,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            clock,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it locked")
    }

    fn asked(&self, what: &str) -> Refused {
        self.lock().asked.push(what.to_owned());
        Refused {
            reason: "not in a test".into(),
        }
    }
}

impl System for Fake {
    async fn tasks(&self, cursor: &mut Cursor, page: &mut [TaskRow]) -> usize {
        fill(&self.lock().tasks, cursor, page)
    }

    async fn cores(&self, cursor: &mut Cursor, page: &mut [CoreRow]) -> usize {
        let now = self.clock.now_ticks();
        let cores = [0, 1, 2].map(|core: u16| CoreRow {
            core,
            apic_id: u32::from(core) * 2,
            state: [CoreState::Busy, CoreState::Idle, CoreState::Offline][usize::from(core)],
            dispatches: 100,
            up_ns: now,
            idle_ns: now / 4 * u64::from(core.min(2)),
            ipis: 1,
            timer_irqs: 2,
            irqs: 3,
            tsc_offset_ticks: -5,
            misses: [0; 6],
        });
        fill(&cores, cursor, page)
    }

    async fn irqs(&self, cursor: &mut Cursor, page: &mut [IrqRow]) -> usize {
        let row = |vector, source: &str, counts: &[u64]| IrqRow {
            vector,
            source: source.into(),
            counts: counts.iter().copied().collect(),
        };
        let many = [u64::MAX / 100; proto::MAX_CORES];
        let rows = [
            row(0x20, "timer", &[5, 6]),
            row(0x24, NASTY, &[7]),
            row(0x30, "all", &many),
        ];
        fill(&rows, cursor, page)
    }

    async fn pci(&self, cursor: &mut Cursor, page: &mut [PciRow]) -> usize {
        let mut row = PciRow {
            address: PciAddress {
                segment: 0,
                bus: 0,
                device: 31,
                function: 2,
            },
            vendor: 0x8086,
            device: 0x2922,
            class: [1, 6, 1],
            revision: 2,
            class_text: "SATA controller".into(),
            msi_vectors: 1,
            msix_vectors: 2048,
            driver: NASTY.into(),
            ..PciRow::default()
        };
        row.bars[4] = Bar::Io {
            port: 0xc040,
            size: 32,
        };
        row.bars[5] = Bar::Memory {
            address: 0xfebf_1000,
            size: 4096,
            is_64_bit: true,
            prefetchable: true,
        };
        fill(&[row, PciRow::default()], cursor, page)
    }

    async fn log(&self, cursor: &mut Cursor, page: &mut [LogRow]) -> usize {
        fill(&self.lock().log, cursor, page)
    }

    async fn processes(&self, cursor: &mut Cursor, page: &mut [ProcessRow]) -> usize {
        fill(&self.lock().processes, cursor, page)
    }

    async fn handles(&self, cursor: &mut Cursor, page: &mut [HandleRow]) -> usize {
        let mut at = Cursor(cursor.0 & 0xffff_ffff);
        if cursor.0 >> 32 != 7 {
            return 0;
        }
        let count = fill(&self.lock().handles, &mut at, page);
        cursor.0 = 7 << 32 | at.0;
        count
    }

    async fn log_grown(&self, cursor: Cursor) {
        // Looks at times of its own: the test adds a record and lets time pass.
        while self.lock().log.len() as u64 <= cursor.0 {
            self.clock.sleep(10_000_000).await;
        }
    }

    async fn memory(&self) -> MemoryInfo {
        MemoryInfo {
            frame_bytes: 4096,
            total_frames: 131_072,
            free_frames: 100_000,
            kinds: [("kernel image", 1000), (NASTY, 30_072)]
                .map(|(kind, frames)| KindFrames {
                    kind: kind.into(),
                    frames,
                })
                .into_iter()
                .collect(),
            core_caches: [16, 3].into_iter().collect(),
            heap: HeapInfo {
                taken: 3 << 20,
                total: 1 << 24,
                used: 12_345,
                peak: 99_999,
                failed: 1,
            },
        }
    }

    async fn time(&self) -> TimeInfo {
        let wall_clock = DateTime {
            year: 2026,
            month: 1,
            day: 2,
            hour: 3,
            minute: 4,
            second: 5,
        };
        TimeInfo {
            uptime_ns: self.clock.now_ticks(),
            wall_clock: (!self.lock().bare).then_some(wall_clock),
            tsc_hz: 2_400_001_234,
            calibration: Calibration {
                source: "hpet, 5 windows".into(),
                spread_ppm: 12,
            },
            timer: "lapic one-shot".into(),
        }
    }

    async fn info(&self) -> SystemInfo {
        let screen = ScreenInfo {
            width: 1280,
            height: 800,
            bits_per_pixel: 32,
        };
        SystemInfo {
            version: "0.1.0".into(),
            build: "release".into(),
            boot_path: "pvh".into(),
            command_line: Text::from("\u{1}".repeat(600).as_str()),
            cpu: NASTY.into(),
            cores: 2,
            screen: (!self.lock().bare).then_some(screen),
        }
    }

    async fn sleep(&self, duration_ns: u64) {
        self.clock.sleep(duration_ns).await;
    }

    async fn poweroff(&self) -> Refused {
        self.asked("poweroff")
    }

    async fn reboot(&self) -> Refused {
        self.asked("reboot")
    }

    async fn panic(&self, text: &str) -> Refused {
        self.asked(&format!("panic: {text}"))
    }
}

/// A shell with somebody at its terminal.
pub struct Bench {
    pub sim: Sim,
    pub system: Fake,
    typed: Arc<Mutex<Vec<u8>>>,
    printed: Arc<Mutex<Vec<u8>>>,
}

/// Time a test lets pass at most, unless it says otherwise.
pub const SECOND: u64 = 1_000_000_000;

impl Bench {
    pub fn new(mode: Mode) -> Self {
        let mut sim = Sim::new();
        let system = Fake::new(sim.clock());
        let (typed, printed) = <(Arc<Mutex<Vec<u8>>>, Arc<Mutex<Vec<u8>>>)>::default();
        // Small pipes: back-pressure all the time.
        let input: &'static Pipe<16> = Box::leak(Box::new(Pipe::new()));
        let output: &'static Pipe<64> = Box::leak(Box::new(Pipe::new()));
        let (to_shell, from_typist) = input.split().expect("first split");
        let (to_reader, from_shell) = output.split().expect("first split");
        let asked = system.clone();
        sim.spawn("shell", async move {
            let config = Config {
                mode,
                columns: 80,
                rows: 24,
            };
            shell::run(config, &from_typist, &to_reader, &asked).await;
        });
        let (queue, clock) = (typed.clone(), sim.clock());
        sim.spawn("typist", async move {
            loop {
                let bytes = std::mem::take(&mut *queue.lock().expect("not poisoned"));
                if to_shell.write_all(&bytes).await.is_err() {
                    return;
                }
                clock.sleep(1_000_000).await;
            }
        });
        let copy = printed.clone();
        sim.spawn("reader", async move {
            let mut buffer = [0; 16];
            loop {
                let count = from_shell.read(&mut buffer).await;
                if count == 0 {
                    return;
                }
                copy.lock()
                    .expect("not poisoned")
                    .extend_from_slice(&buffer[..count]);
            }
        });
        let mut bench = Self {
            sim,
            system,
            typed,
            printed,
        };
        bench.pass(0);
        bench
    }

    /// Lets time pass.
    pub fn pass(&mut self, ns: u64) {
        let until = self.sim.clock().now_ticks() + ns;
        self.sim.run_until(until);
    }

    /// Types, lets `ns` pass, and gives what was printed since the last look.
    pub fn type_and_wait(&mut self, bytes: impl AsRef<[u8]>, ns: u64) -> String {
        self.typed
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes.as_ref());
        self.pass(ns);
        self.printed()
    }

    pub fn printed(&mut self) -> String {
        let bytes = std::mem::take(&mut *self.printed.lock().expect("not poisoned"));
        String::from_utf8(bytes).expect("the shell prints UTF-8")
    }

    /// In script mode: runs a line, gives its output and status.
    pub fn line(&mut self, line: &str) -> (String, u8) {
        let printed = self.type_and_wait(format!("{line}\n"), SECOND);
        let (output, rest) = printed
            .split_once('\u{1e}')
            .unwrap_or_else(|| panic!("no mark: {printed:?}"));
        let status = rest
            .strip_suffix('\n')
            .and_then(|status| status.parse().ok());
        (
            output.to_owned(),
            status.unwrap_or_else(|| panic!("no status: {rest:?}")),
        )
    }

    pub fn asked(&self) -> Vec<String> {
        self.system.lock().asked.clone()
    }
}

/// A script-mode shell that has said it is ready.
pub fn script() -> Bench {
    let mut bench = Bench::new(Mode::Script);
    assert_eq!(bench.printed(), "\u{1e}ready\n");
    bench
}
