//! Records made into lines, bars, marks and arrows.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use prost::encoding::message;
use proto::{MISS_CAUSES, TaskId, TaskState, TraceRow, Traced};

use crate::perfetto::{
    ChildOrdering, DebugAnnotation, EventType, TracePacket, TrackDescriptor, TrackEvent,
};

/// The only writer's number.
const SEQUENCE: u32 = 1;
/// Lines and groups by number: the groups of cores and of the kernel's tasks; cores and their interrupts; processes; tasks.
const CORES: u64 = 1;
const KERNEL: u64 = 2;
const CORE: u64 = 1 << 20;
const INTERRUPTS: u64 = 1 << 21;
const PROCESS: u64 = 1 << 62;
const TASK: u64 = 1 << 63;
/// What things are called.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Processes by number.
    pub processes: BTreeMap<u64, String>,
    /// Tasks.
    pub tasks: BTreeMap<TaskId, String>,
}

/// The file for these records, which may come in any order.
#[must_use]
pub fn encode(mut rows: Vec<TraceRow>, names: &Names) -> Vec<u8> {
    rows.sort_by_key(|row| row.at_ns);
    let mut writer = Writer {
        file: Vec::new(),
        names,
        owners: BTreeMap::new(),
        described: BTreeSet::new(),
        arrows: BTreeMap::new(),
        ready: BTreeSet::new(),
        cores: BTreeMap::new(),
        next_arrow: 1,
    };
    // Whose a task is may be said after its first poll.
    for row in &rows {
        match row.what {
            Traced::Thread { process } | Traced::Runs { process, depth: 0 } => {
                writer.owners.insert(row.task, process);
            }
            _ => {}
        }
    }
    for row in &rows {
        writer.row(row);
    }
    writer.file
}

/// What a core is at.
#[derive(Clone, Copy, Debug, Default)]
struct AtWork {
    task: Option<TaskId>,
    /// Bars inside of the poll's.
    depth: u8,
}

struct Writer<'a> {
    file: Vec<u8>,
    names: &'a Names,
    /// The processes of threads.
    owners: BTreeMap<TaskId, u64>,
    described: BTreeSet<u64>,
    /// Arrows on their way to a task's next poll.
    arrows: BTreeMap<TaskId, u64>,
    /// Tasks whose line shows that they are ready.
    ready: BTreeSet<TaskId>,
    cores: BTreeMap<u16, AtWork>,
    next_arrow: u64,
}

impl Writer<'_> {
    fn row(&mut self, row: &TraceRow) {
        let TraceRow {
            core, at_ns, task, ..
        } = *row;
        match row.what {
            Traced::Woken => self.woken(core, at_ns, task, false),
            Traced::WokenByInterrupt => self.woken(core, at_ns, task, true),
            Traced::Begins { deadline_ns } => self.begins(core, at_ns, task, deadline_ns),
            Traced::Ends { state, throttled } => self.ends(core, at_ns, task, state, throttled),
            Traced::Runs { process, depth } => self.runs(core, at_ns, process, depth),
            Traced::Missed { late_ns, cause } => {
                let line = self.task(task);
                let cause = MISS_CAUSES.get(usize::from(cause)).copied();
                let figures = vec![
                    number("late_ns", late_ns),
                    text("cause", cause.unwrap_or("unknown")),
                ];
                self.mark(at_ns, line, "deadline missed", figures, None);
            }
            Traced::Thread { .. } => {}
            Traced::Interrupt { vector } => {
                let line = self.interrupts(core);
                let name = format!("interrupt {vector}");
                self.mark(at_ns, line, &name, Vec::new(), None);
            }
            Traced::Lost { count } => {
                let line = self.core(core);
                let figures = vec![number("records", count)];
                self.mark(at_ns, line, "no room for what follows", figures, None);
            }
        }
    }

    fn woken(&mut self, core: u16, at_ns: u64, task: TaskId, by_interrupt: bool) {
        if !self.arrows.contains_key(&task) {
            let arrow = self.next_arrow;
            self.next_arrow += 1;
            self.arrows.insert(task, arrow);
            let line = if by_interrupt {
                self.interrupts(core)
            } else {
                self.core(core)
            };
            let name = format!("wakes {}", self.name(task));
            self.mark(at_ns, line, &name, Vec::new(), Some(arrow));
        }
        self.is_ready(at_ns, task);
    }

    /// The task's line shows that it waits for its turn.
    fn is_ready(&mut self, at_ns: u64, task: TaskId) {
        let runs = self.cores.values().any(|core| core.task == Some(task));
        if !runs && self.ready.insert(task) {
            let line = self.task(task);
            self.begin(at_ns, line, "ready", Vec::new(), None);
        }
    }

    fn begins(&mut self, core: u16, at_ns: u64, task: TaskId, deadline_ns: Option<u64>) {
        // The end of the poll before may have found no room.
        self.end_all(core, at_ns);
        let line = self.task(task);
        if self.ready.remove(&task) {
            self.end(at_ns, line);
        }
        let mut figures = vec![text("task", &task.to_string())];
        if let Some(deadline_ns) = deadline_ns {
            let left = i64::try_from(deadline_ns).unwrap_or(i64::MAX)
                - i64::try_from(at_ns).unwrap_or(i64::MAX);
            figures.push(DebugAnnotation {
                int_value: Some(left),
                ..named("until_deadline_ns")
            });
        }
        let arrow = self.arrows.remove(&task);
        let name = self.name(task);
        let on = self.core(core);
        self.begin(at_ns, on, &name, figures, arrow);
        let name = format!("runs on core {core}");
        self.begin(at_ns, line, &name, Vec::new(), None);
        let at_work = AtWork {
            task: Some(task),
            depth: 0,
        };
        self.cores.insert(core, at_work);
    }

    /// Ends the bars of what the core is at.
    fn end_all(&mut self, core: u16, at_ns: u64) {
        let AtWork { task, depth } = self.cores.remove(&core).unwrap_or_default();
        let on = self.core(core);
        for _ in 0..depth {
            self.end(at_ns, on);
        }
        if let Some(task) = task {
            self.end(at_ns, on);
            let line = self.task(task);
            self.end(at_ns, line);
        }
    }

    fn ends(&mut self, core: u16, at_ns: u64, task: TaskId, state: TaskState, throttled: bool) {
        let at_work = self.cores.get(&core).and_then(|at_work| at_work.task);
        if at_work != Some(task) {
            // It began before the records do.
            return;
        }
        self.end_all(core, at_ns);
        if throttled {
            let line = self.task(task);
            self.mark(at_ns, line, "throttled", Vec::new(), None);
        }
        if state == TaskState::Queued {
            self.is_ready(at_ns, task);
        }
    }

    fn runs(&mut self, core: u16, at_ns: u64, process: u64, depth: u8) {
        let Some(at_work) = self.cores.get(&core).copied() else {
            return;
        };
        let on = self.core(core);
        for _ in depth..at_work.depth {
            self.end(at_ns, on);
        }
        for _ in at_work.depth..depth {
            let name = format!("serves: {}", self.process_name(process));
            self.begin(at_ns, on, &name, Vec::new(), None);
        }
        self.cores.insert(core, AtWork { depth, ..at_work });
    }

    fn process_name(&self, process: u64) -> String {
        let name = self.names.processes.get(&process);
        name.map_or_else(|| format!("process {process}"), Clone::clone)
    }

    fn name(&self, task: TaskId) -> String {
        if let Some(process) = self.owners.get(&task) {
            return self.process_name(*process);
        }
        let name = self.names.tasks.get(&task);
        name.map_or_else(|| format!("task {task}"), Clone::clone)
    }

    /// The line of a core.
    fn core(&mut self, core: u16) -> u64 {
        self.group(CORES, "cores");
        let line = CORE + u64::from(core);
        self.line(
            line,
            || format!("core {core}"),
            Some(CORES),
            Some(2 * i32::from(core)),
        );
        line
    }

    /// The line of its interrupts.
    fn interrupts(&mut self, core: u16) -> u64 {
        self.group(CORES, "cores");
        let line = INTERRUPTS + u64::from(core);
        let rank = 2 * i32::from(core) + 1;
        self.line(
            line,
            || format!("interrupts of core {core}"),
            Some(CORES),
            Some(rank),
        );
        line
    }

    /// The line of a task, in the group of its process.
    fn task(&mut self, task: TaskId) -> u64 {
        let line = TASK
            | u64::from(task.core & 0xff) << 52
            | u64::from(task.slot & 0xf_ffff) << 32
            | u64::from(task.generation);
        if self.described.contains(&line) {
            return line;
        }
        let name = self.name(task);
        let group = match self.owners.get(&task).copied() {
            Some(process) => {
                let group = PROCESS | process;
                let title = format!("{name} (process {process})");
                self.group(group, &title);
                group
            }
            None => {
                self.group(KERNEL, "kernel");
                KERNEL
            }
        };
        self.line(line, || format!("{name} {task}"), Some(group), None);
        line
    }

    /// Describes a group of lines, once.
    fn group(&mut self, uuid: u64, name: &str) {
        self.line(uuid, || name.to_string(), None, None);
    }

    /// Describes a line of a group, once.
    fn line(
        &mut self,
        uuid: u64,
        name: impl FnOnce() -> String,
        group: Option<u64>,
        rank: Option<i32>,
    ) {
        if self.described.insert(uuid) {
            let descriptor = TrackDescriptor {
                uuid: Some(uuid),
                name: Some(name()),
                parent_uuid: group,
                child_ordering: (uuid == CORES).then_some(ChildOrdering::Explicit.into()),
                sibling_order_rank: rank,
            };
            self.write(TracePacket {
                track_descriptor: Some(descriptor),
                ..TracePacket::default()
            });
        }
    }

    fn begin(
        &mut self,
        at_ns: u64,
        line: u64,
        name: &str,
        debug_annotations: Vec<DebugAnnotation>,
        arrow: Option<u64>,
    ) {
        self.event(
            at_ns,
            TrackEvent {
                debug_annotations,
                name: Some(name.to_string()),
                terminating_flow_ids: arrow.into_iter().collect(),
                ..event(EventType::SliceBegin, line)
            },
        );
    }

    fn end(&mut self, at_ns: u64, line: u64) {
        self.event(at_ns, event(EventType::SliceEnd, line));
    }

    fn mark(
        &mut self,
        at_ns: u64,
        line: u64,
        name: &str,
        debug_annotations: Vec<DebugAnnotation>,
        arrow: Option<u64>,
    ) {
        self.event(
            at_ns,
            TrackEvent {
                debug_annotations,
                name: Some(name.to_string()),
                flow_ids: arrow.into_iter().collect(),
                ..event(EventType::Instant, line)
            },
        );
    }

    fn event(&mut self, at_ns: u64, event: TrackEvent) {
        self.write(TracePacket {
            timestamp: Some(at_ns),
            track_event: Some(event),
            ..TracePacket::default()
        });
    }

    fn write(&mut self, packet: TracePacket) {
        let packet = TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            ..packet
        };
        message::encode(1, &packet, &mut self.file);
    }
}

fn event(kind: EventType, line: u64) -> TrackEvent {
    TrackEvent {
        r#type: Some(kind.into()),
        track_uuid: Some(line),
        ..TrackEvent::default()
    }
}

fn named(name: &str) -> DebugAnnotation {
    DebugAnnotation {
        name: Some(name.to_string()),
        ..DebugAnnotation::default()
    }
}

fn number(name: &str, value: u64) -> DebugAnnotation {
    DebugAnnotation {
        int_value: Some(i64::try_from(value).unwrap_or(i64::MAX)),
        ..named(name)
    }
}

fn text(name: &str, value: &str) -> DebugAnnotation {
    DebugAnnotation {
        string_value: Some(value.to_string()),
        ..named(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Trace {
        #[prost(message, repeated, tag = "1")]
        packet: Vec<TracePacket>,
    }

    fn decode(rows: Vec<TraceRow>, names: &Names) -> Vec<TracePacket> {
        let file = encode(rows, names);
        Trace::decode(file.as_slice()).expect("a trace").packet
    }

    fn id(slot: u32) -> TaskId {
        TaskId {
            core: 0,
            slot,
            generation: 1,
        }
    }

    fn row(at_ns: u64, slot: u32, what: Traced) -> TraceRow {
        TraceRow {
            core: 0,
            at_ns,
            task: id(slot),
            what,
        }
    }

    const WAITS: Traced = Traced::Ends {
        state: TaskState::Waiting,
        throttled: false,
    };

    #[test]
    fn a_wake_is_an_arrow_to_the_next_poll() {
        let mut names = Names::default();
        names.processes.insert(9, "echo".to_string());
        let rows = vec![
            row(
                10,
                1,
                Traced::Begins {
                    deadline_ns: Some(50),
                },
            ),
            row(12, 2, Traced::Woken),
            row(
                13,
                1,
                Traced::Runs {
                    process: 9,
                    depth: 1,
                },
            ),
            row(15, 1, WAITS),
            row(16, 2, Traced::Begins { deadline_ns: None }),
            row(18, 2, WAITS),
            row(11, 2, Traced::Thread { process: 9 }),
        ];
        let packets = decode(rows, &names);
        let events: Vec<(u64, TrackEvent)> = packets
            .iter()
            .filter_map(|packet| Some((packet.timestamp?, packet.track_event.clone()?)))
            .collect();
        let wake = events.iter().find(|(_, event)| !event.flow_ids.is_empty());
        let (at, wake) = wake.expect("a wake");
        assert_eq!((*at, wake.name.as_deref()), (12, Some("wakes echo")));
        let poll = events
            .iter()
            .find(|(_, event)| event.terminating_flow_ids == wake.flow_ids);
        let (at, poll) = poll.expect("its poll");
        assert_eq!((*at, poll.name.as_deref()), (16, Some("echo")));
        assert!(
            events
                .iter()
                .any(|(at, event)| *at == 13 && event.name.as_deref() == Some("serves: echo"))
        );
        let left = events.iter().find_map(|(_, event)| {
            let figures = event.debug_annotations.iter();
            figures.filter_map(|figure| figure.int_value).next()
        });
        assert_eq!(left, Some(40));
    }

    fn any_row() -> impl Strategy<Value = TraceRow> {
        let what = prop_oneof![
            Just(Traced::Woken),
            Just(Traced::WokenByInterrupt),
            Just(Traced::Begins { deadline_ns: None }),
            any::<bool>().prop_map(|throttled| Traced::Ends {
                state: TaskState::Queued,
                throttled
            }),
            Just(WAITS),
            (0_u64..3, 0_u8..4).prop_map(|(process, depth)| Traced::Runs { process, depth }),
            (0_u64..3).prop_map(|process| Traced::Thread { process }),
            Just(Traced::Missed {
                late_ns: u64::MAX,
                cause: 77
            }),
            Just(Traced::Interrupt { vector: 33 }),
            Just(Traced::Lost { count: 3 }),
        ];
        (0_u16..2, 0_u64..100, 0_u32..4, what).prop_map(|(core, at_ns, slot, what)| TraceRow {
            core,
            at_ns,
            task: id(slot),
            what,
        })
    }

    proptest! {
        /// Whatever is recorded, and in whatever order: every line is described before it is used, no bar ends that did not begin,
        /// every arrow has one beginning and at most one end, and time goes forward.
        #[test]
        fn traces_are_sound(rows in prop::collection::vec(any_row(), 0..200)) {
            let mut open = BTreeMap::<u64, i64>::new();
            let mut begun = BTreeSet::new();
            let mut last = 0;
            for packet in decode(rows, &Names::default()) {
                if let Some(descriptor) = packet.track_descriptor {
                    let uuid = descriptor.uuid.unwrap();
                    prop_assert!(descriptor.parent_uuid.is_none_or(|group| open.contains_key(&group)));
                    prop_assert!(open.insert(uuid, 0).is_none());
                }
                let Some(event) = packet.track_event else { continue };
                let at = packet.timestamp.unwrap();
                prop_assert!(at >= last);
                last = at;
                let depth = open.get_mut(&event.track_uuid.unwrap()).expect("described");
                match EventType::try_from(event.r#type.unwrap()).unwrap() {
                    EventType::SliceBegin => *depth += 1,
                    EventType::SliceEnd => *depth -= 1,
                    _ => {}
                }
                prop_assert!(*depth >= 0);
                for arrow in event.flow_ids {
                    prop_assert!(begun.insert(arrow));
                }
                for arrow in event.terminating_flow_ids {
                    prop_assert!(begun.remove(&arrow));
                }
            }
        }
    }
}
