//! What the shell may ask of the system, answered from the kernel's own tables.
//!
//! Tables are served in pages: a walk visits every row and skips those up to the cursor, so nothing is kept between two
//! pages, and no lock is held while a shell prints.

use core::time::Duration;

use executor::TaskInfo;
use hal::cpu::percpu;
use hal::irq::{SourceInfo, SourceKind};
use hal::mem;
use kerncore::log_ring;
use objects::handle::Listed;
use proto::{
    Bar, Calibration, CoreRow, CoreState, Cursor, DateTime, HandleRow, HeapInfo, IrqRow,
    KindFrames, Level, LogRow, MemoryInfo, PciAddress, PciRow, Placement, ProcessRow, ProcessState,
    Refused, Reserved, System, SystemInfo, TaskId, TaskRow, TaskState, Text, TimeInfo,
};

use crate::log::Step;
use crate::process::process::{self, Process};
use crate::{exec, log, screen};

/// The running kernel.
pub struct KernelSystem;

/// Fills `page` with the rows of a walk that come after `cursor`. `walk` calls its argument with each row's number,
/// ascending from 1, and a way to make the row.
fn page_of<R>(
    cursor: &mut Cursor,
    page: &mut [R],
    walk: impl FnOnce(&mut dyn FnMut(u64, &mut dyn FnMut() -> R)),
) -> usize {
    let after = cursor.0;
    let mut places = page.iter_mut();
    let mut count = 0;
    walk(&mut |number, make| {
        if number > after
            && let Some(place) = places.next()
        {
            *place = make();
            cursor.0 = number;
            count += 1;
        }
    });
    count
}

fn uptime_ns(ticks: u64) -> u64 {
    log::uptime_ns(ticks)
}

fn task_row(info: &TaskInfo<'_>) -> TaskRow {
    TaskRow {
        id: TaskId {
            core: info.id.core().index() as u16,
            slot: info.id.slot(),
            generation: u32::try_from(info.id.generation()).unwrap_or(u32::MAX),
        },
        name: Text::from_start(info.name),
        core: info.core.index() as u16,
        state: match info.state {
            executor::State::Idle => TaskState::Waiting,
            executor::State::Born | executor::State::Queued => TaskState::Queued,
            executor::State::Polling => TaskState::Running,
            executor::State::Free | executor::State::Moved => TaskState::Done,
        },
        deadline_ns: info.deadline.map(uptime_ns),
        polls: info.polls,
        cpu_ns: hal::time::ticks_to_ns(info.cpu_ticks),
        longest_poll_ns: hal::time::ticks_to_ns(info.longest_poll_ticks),
        spawned_file: info
            .place
            .map_or_else(Text::new, |place| Text::from_end(place.file())),
        spawned_line: info.place.map_or(0, |place| place.line()),
    }
}

fn core_row(core: u32) -> Option<CoreRow> {
    let block = percpu::get(core)?;
    let id = exec::CoreId::new(core as usize)?;
    let stats = exec::fleet().core_stats(id)?;
    let counts = hal::irq::core_counts(core)?;
    let idle = hal::platform::idle_time(core).unwrap_or_default();
    let now = hal::time::now_ticks();
    Some(CoreRow {
        core: core as u16,
        apic_id: block.apic_id.load(core::sync::atomic::Ordering::Relaxed),
        state: if idle.halted_now {
            CoreState::Idle
        } else {
            CoreState::Busy
        },
        dispatches: stats.dispatches.get(),
        up_ns: uptime_ns(now),
        idle_ns: hal::time::ticks_to_ns(idle.ticks),
        ipis: counts.wake + counts.call,
        timer_irqs: counts.timer,
        irqs: counts.timer
            + counts.wake
            + counts.call
            + counts.device
            + counts.nmi
            + counts.spurious,
        tsc_offset_ticks: hal::smp::tsc_offset_ticks(core).unwrap_or(0),
        misses: stats.misses.each_ref().map(|count| count.get()),
    })
}

/// Vectors that are every core's own, in the order of the table.
fn fixed_vector_row(vector: u8, name: &str) -> IrqRow {
    let mut row = IrqRow {
        vector,
        source: Text::from_start(name),
        ..IrqRow::default()
    };
    for core in 0..percpu::count() {
        let count =
            percpu::get(core).and_then(|block| block.vector_counts.get(usize::from(vector)));
        let count = count.map_or(0, |count| count.load(core::sync::atomic::Ordering::Relaxed));
        if row.counts.push(count).is_err() {
            break;
        }
    }
    row
}

/// Whether `vector` is one of the masked 8259's sixteen and has, as it should, never been taken.
fn is_idle_legacy(vector: u8) -> bool {
    let is_legacy =
        (hal::irq::vectors::LEGACY_FIRST..=hal::irq::vectors::LEGACY_LAST).contains(&vector);
    is_legacy && fixed_vector_row(vector, "").total() == 0
}

fn source_row(source: &SourceInfo) -> IrqRow {
    let mut row = IrqRow {
        vector: source.vector,
        source: match source.kind {
            SourceKind::Line {
                isa: Some(irq),
                gsi,
                ..
            } => Text::format(format_args!("isa {irq} (gsi {gsi}) {}", source.name)),
            SourceKind::Line { gsi, .. } => Text::format(format_args!("gsi {gsi} {}", source.name)),
            SourceKind::Message => Text::format(format_args!("msi {}", source.name)),
        },
        ..IrqRow::default()
    };
    for core in 0..=source.core {
        if row
            .counts
            .push(if core == source.core { source.count } else { 0 })
            .is_err()
        {
            break;
        }
    }
    row
}

fn pci_row(info: &hal::pci::DeviceInfo) -> PciRow {
    let mut bars = [Bar::None; 6];
    for (row, bar) in bars.iter_mut().zip(info.bars) {
        *row = match bar {
            None => Bar::None,
            Some(hal::pci::Bar::Ports { first, len }) => Bar::Io {
                port: u32::from(first),
                size: len,
            },
            Some(hal::pci::Bar::Memory {
                address,
                len,
                prefetchable,
                is_64_bit,
            }) => Bar::Memory {
                address,
                size: len,
                is_64_bit,
                prefetchable,
            },
        };
    }
    PciRow {
        address: PciAddress {
            segment: info.address.segment(),
            bus: info.address.bus(),
            device: info.address.device(),
            function: info.address.function(),
        },
        vendor: info.vendor,
        device: info.device,
        class: [info.class, info.subclass, info.interface],
        revision: info.revision,
        class_text: Text::from_start(info.class_name()),
        bars,
        msi_vectors: u8::from(info.msi),
        msix_vectors: info.msix_entries,
        driver: Text::new(),
    }
}

fn process_row(process: &Process) -> ProcessRow {
    let info = process.info();
    let (late_jobs, throttled_jobs) = process.late_and_throttled_jobs();
    ProcessRow {
        id: info.id,
        name: Text::from_start(process.name()),
        job: process.job().header().id(),
        state: match process.exit_code() {
            Some(exit_code) => ProcessState::Ended { exit_code },
            None if info.threads == 0 => ProcessState::New,
            None => ProcessState::Running,
        },
        threads: info.threads as u32,
        handles: info.handles as u32,
        memory_bytes: info.resident_bytes,
        cpu_ns: info.cpu_ns,
        core: process.first_core(),
        placement: match info.resident {
            0 => Placement::Isolated,
            _ => Placement::Resident,
        },
        reserved: process.terms().map(|terms| Reserved {
            budget_ns: terms.budget_ns,
            period_ns: terms.period_ns,
            soft: terms.soft,
        }),
        late_jobs,
        throttled_jobs,
    }
}

fn handle_row(listed: &Listed) -> HandleRow {
    HandleRow {
        handle: listed.handle.0,
        object_id: listed.object_id,
        object_type: listed.object_type as u32,
        rights: listed.rights.bits(),
        badge: listed.badge,
        leased: listed.leased,
    }
}

fn level(level: ::log::Level) -> Level {
    match level {
        ::log::Level::Error => Level::Error,
        ::log::Level::Warn => Level::Warn,
        ::log::Level::Info => Level::Info,
        ::log::Level::Debug => Level::Debug,
        ::log::Level::Trace => Level::Trace,
    }
}

/// Lets the serial port send what has been written, for a moment at most: the machine is about to go.
async fn drain_output() {
    const STEP: Duration = Duration::from_millis(2);
    const MOST_STEPS: u32 = 150;
    for _ in 0..MOST_STEPS {
        if crate::serial::is_drained() {
            break;
        }
        exec::sleep(STEP).await;
    }
    // The port's own buffer of 16 bytes takes 1.4 ms.
    exec::sleep(STEP).await;
}

/// The shell inside the kernel has no manager to ask, but ends processes by itself.
impl proto::Services for KernelSystem {
    type Program = proto::NoProgram;
    type Network = proto::NoProgram;

    async fn kill(&self, process: u64, exit_code: i32) -> Result<(), Refused> {
        let found = process::find(process).ok_or_else(|| {
            Refused::because(format_args!(
                "there is no process {process}; `ps` shows them"
            ))
        })?;
        Process::kill(&found, exit_code);
        Ok(())
    }
}

impl System for KernelSystem {
    async fn tasks(&self, cursor: &mut Cursor, page: &mut [TaskRow]) -> usize {
        page_of(cursor, page, |visit| {
            exec::fleet().for_each_task(|info| {
                // Core and slot order the walk; a slot's next occupant is a new row of the same number.
                let number =
                    (info.id.core().index() as u64) << 32 | (u64::from(info.id.slot()) + 1);
                visit(number, &mut || task_row(info));
            });
        })
    }

    async fn cores(&self, cursor: &mut Cursor, page: &mut [CoreRow]) -> usize {
        page_of(cursor, page, |visit| {
            for core in 0..percpu::count() {
                visit(u64::from(core) + 1, &mut || {
                    core_row(core).unwrap_or_default()
                });
            }
        })
    }

    async fn irqs(&self, cursor: &mut Cursor, page: &mut [IrqRow]) -> usize {
        page_of(cursor, page, |visit| {
            for vector in 0..=u8::MAX {
                if let Some(name) =
                    hal::irq::vectors::name(vector).filter(|_| !is_idle_legacy(vector))
                {
                    visit((u64::from(vector) + 1) << 16, &mut || {
                        fixed_vector_row(vector, name)
                    });
                }
                let mut index = 0;
                hal::irq::for_each_source(|source| {
                    if source.vector == vector {
                        index += 1;
                        // The same vector of several cores.
                        let number = (u64::from(vector) + 1) << 16 | index;
                        visit(number, &mut || source_row(source));
                    }
                });
            }
        })
    }

    async fn pci(&self, cursor: &mut Cursor, page: &mut [PciRow]) -> usize {
        page_of(cursor, page, |visit| {
            let mut number = 0;
            hal::pci::for_each_device(|info| {
                number += 1;
                visit(number, &mut || pci_row(info));
            });
        })
    }

    async fn log(&self, cursor: &mut Cursor, page: &mut [LogRow]) -> usize {
        let mut position = log_ring::Cursor::at(cursor.0);
        let mut count = 0;
        while let Some(place) = page.get_mut(count) {
            match log::next(&mut position) {
                Step::End => break,
                // The gap in the sequence numbers tells the reader.
                Step::Lost(_) => {}
                Step::Record(record) => {
                    *place = LogRow {
                        seq: record.sequence,
                        time_ns: uptime_ns(record.time_ticks),
                        core: record.core,
                        level: level(record.level),
                        target: Text::from_start(record.target.as_str()),
                        text: Text::from_start(record.text.as_str()),
                    };
                    count += 1;
                }
            }
        }
        *cursor = Cursor(position.sequence());
        count
    }

    async fn processes(&self, cursor: &mut Cursor, page: &mut [ProcessRow]) -> usize {
        page_of(cursor, page, |visit| {
            process::for_each(|process| visit(process.id(), &mut || process_row(process)));
        })
    }

    async fn handles(&self, cursor: &mut Cursor, page: &mut [HandleRow]) -> usize {
        let (id, mut place) = (cursor.0 >> 32, cursor.0 as u32);
        let Some(process) = process::find(id) else {
            return 0;
        };
        let mut count = 0;
        while count < page.len() {
            let Some((after, listed)) = process.handles.list(place) else {
                break;
            };
            place = after;
            *cursor = Cursor(id << 32 | u64::from(after));
            if let (Some(listed), Some(row)) = (listed, page.get_mut(count)) {
                *row = handle_row(&listed);
                count += 1;
            }
        }
        count
    }

    async fn log_grown(&self, cursor: Cursor) {
        log::grown(cursor.0).await;
    }

    async fn memory(&self) -> MemoryInfo {
        let frames = mem::frames::stats();
        let heap = mem::heap::stats();
        let mut info = MemoryInfo {
            frame_bytes: 4096,
            total_frames: frames.total,
            free_frames: frames.free,
            heap: HeapInfo {
                total: heap.most_bytes as u64,
                taken: heap.size_bytes as u64,
                used: heap.used_bytes as u64,
                peak: heap.peak_bytes as u64,
                failed: heap.failures,
            },
            ..MemoryInfo::default()
        };
        mem::frames::for_each_use(|usage, count| {
            // As many kinds as rows at most; a kind too many would be left out.
            let _ = info.kinds.push(KindFrames {
                kind: Text::format(format_args!("{usage}")),
                frames: count,
            });
        });
        for core in 0..percpu::count() {
            if info.core_caches.push(mem::frames::cached(core)).is_err() {
                break;
            }
        }
        info
    }

    async fn time(&self) -> TimeInfo {
        let calibration = hal::time::calibration();
        TimeInfo {
            uptime_ns: uptime_ns(hal::time::now_ticks()),
            wall_clock: hal::time::date().map(|date| DateTime {
                year: date.year,
                month: date.month,
                day: date.day,
                hour: date.hour,
                minute: date.minute,
                second: date.second,
            }),
            tsc_hz: hal::time::ticks_per_second(),
            calibration: Calibration {
                source: Text::format(format_args!("{}", calibration.source)),
                spread_ppm: calibration.uncertainty_ppm,
            },
            timer: Text::from_start(if hal::time::uses_deadline_mode() {
                "tsc deadline"
            } else {
                "lapic one-shot"
            }),
        }
    }

    async fn info(&self) -> SystemInfo {
        let boot = hal::boot::boot_info();
        SystemInfo {
            version: Text::from_start(env!("CARGO_PKG_VERSION")),
            build: Text::from_start(env!("RAEDE_BUILD")),
            boot_path: Text::format(format_args!("{}", boot.path)),
            command_line: Text::from_start(crate::options::options().words.as_str()),
            cpu: hal::cpu::features::with_brand(Text::from_start),
            cores: percpu::count() as u16,
            screen: screen::info(),
        }
    }

    async fn sleep(&self, duration_ns: u64) {
        exec::sleep(Duration::from_nanos(duration_ns)).await;
    }

    async fn poweroff(&self) -> Refused {
        ::log::info!(target: "power", "switching off");
        drain_output().await;
        hal::acpi::power_off();
        Refused {
            reason: Text::from_start(
                "the firmware's tables name no way to switch off; press the power button",
            ),
        }
    }

    async fn reboot(&self) -> Refused {
        ::log::info!(target: "power", "restarting");
        drain_output().await;
        hal::acpi::reboot()
    }

    async fn panic(&self, text: &str) -> Refused {
        panic!("{text}");
    }
}
