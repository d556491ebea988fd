//! `top`: cores and tasks, again and again.

use core::array;

use heapless::Vec;
use proto::{CoreRow, Cursor, MAX_CORES, TaskId, TaskRow};
use rt::{ByteSink, ByteSource, Closed, Either, first};

use super::general::{Bar, deadline};
use super::machine::interrupted;
use super::options::Parsed;
use super::tasks::{core_object, task_object};
use super::{Command, help};
use crate::Host;
use crate::json::Object;
use crate::output::put;
use crate::session::Session;
use crate::status;
use crate::units::{Bytes, Duration, Permille, parse_seconds, permille};

/// Rows asked for at once.
const PAGE_ROWS: usize = 4;
/// Most tasks shown.
const SHOWN_TASKS: usize = 24;
/// Tasks whose CPU time is kept from one refresh to the next: those that used most.
const KEPT_TASKS: usize = 128;
/// Rows of the terminal that are not tasks: heading, two table heads, a blank, the last row.
const OTHER_ROWS: usize = 5;
const DEFAULT_DELAY_NS: u64 = 1_000_000_000;

const CTRL_C: u8 = 0x03;

/// A task, and the CPU time it used since the refresh before.
#[derive(Default)]
struct Shown {
    row: TaskRow,
    used_ns: u64,
}

/// What is kept from one refresh to the next.
#[derive(Default)]
struct Before {
    uptime_ns: u64,
    /// Up and idle time of each core.
    cores: Vec<(u64, u64), MAX_CORES>,
    tasks: Vec<(TaskId, u64), KEPT_TASKS>,
}

#[derive(Default)]
struct Counts {
    tasks: usize,
    running: usize,
    queued: usize,
}

pub async fn top<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let json = parsed.has("json");
    let count = match parsed.value("count").map(str::parse::<u64>) {
        None => None,
        Some(Ok(count @ 1..)) => Some(count),
        Some(_) => return Ok(misused(session, "--count needs a whole number from 1 on")),
    };
    let delay_ns = match parsed.value("delay").map(parse_seconds) {
        None => DEFAULT_DELAY_NS,
        Some(Some(delay_ns @ 1..)) => delay_ns,
        Some(_) => {
            return Ok(misused(
                session,
                "--delay needs a number of seconds above 0",
            ));
        }
    };
    let full_screen = !json && !session.is_script();
    // A program reads what it asked for: one refresh unless it says how many.
    let count = if json {
        Some(1)
    } else {
        count.or((!full_screen).then_some(1))
    };
    if full_screen {
        put!(session.output, "\x1b[?25l\x1b[2J");
    }
    let mut before = Before::default();
    let mut refreshes = 0u64;
    let status = loop {
        refresh(session, &mut before, json, full_screen).await?;
        refreshes += 1;
        session.output.flush().await?;
        if count == Some(refreshes) {
            break status::OK;
        }
        match first(
            quit(session.is_script(), &mut session.input),
            session.system.sleep(delay_ns),
        )
        .await
        {
            Either::A(key) => {
                break if key? == CTRL_C {
                    status::INTERRUPTED
                } else {
                    status::OK
                };
            }
            Either::B(()) => {}
        }
    };
    if full_screen {
        put!(session.output, "\x1b[?25h\n");
    } else if status == status::INTERRUPTED {
        interrupted(session);
    }
    Ok(status)
}

/// Waits for a key that ends `top`; other keys do nothing. A program's input is its next lines, so
/// there only Ctrl-C counts.
async fn quit<I: ByteSource>(
    is_script: bool,
    input: &mut crate::input::Input<'_, I>,
) -> Result<u8, Closed> {
    if is_script {
        input.interrupt().await;
        return Ok(CTRL_C);
    }
    loop {
        let key = input.byte().await?;
        if matches!(key, b'q' | b'Q' | CTRL_C) {
            return Ok(key);
        }
    }
}

fn misused<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    what: &str,
) -> u8 {
    put!(session.output, "top: {what}\n");
    if let Some(command) = Command::find("top") {
        help::usage_line(&mut session.output, command);
    }
    status::USAGE
}

/// One refresh.
async fn refresh<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    before: &mut Before,
    json: bool,
    full_screen: bool,
) -> Result<(), Closed> {
    // Ends each line; on a terminal it also clears what an earlier refresh left behind it.
    let end = if full_screen { "\x1b[K\n" } else { "\n" };
    let time = session.system.time().await;
    let elapsed_ns = time.uptime_ns.saturating_sub(before.uptime_ns);
    before.uptime_ns = time.uptime_ns;
    let memory = session.system.memory().await;
    let mut counts = Counts::default();
    let mut shown = Vec::new();
    busiest(session.system, before, &mut counts, &mut shown).await;

    let output = &mut session.output;
    if json {
        put!(*output, "{{\"uptime_ns\":{},\"cores\":[", time.uptime_ns);
    } else {
        let used_frames = memory.total_frames.saturating_sub(memory.free_frames);
        let bytes = |frames: u64| Bytes(frames.saturating_mul(u64::from(memory.frame_bytes)));
        put!(
            *output,
            "{}up {}   {} tasks, {} running, {} queued   {} of {} used{end}",
            if full_screen { "\x1b[H" } else { "" },
            Duration(time.uptime_ns),
            counts.tasks,
            counts.running,
            counts.queued,
            bytes(used_frames),
            bytes(memory.total_frames)
        );
    }
    let core_rows = show_cores(session, before, json, end).await?;

    let output = &mut session.output;
    let room = if full_screen {
        session
            .config
            .rows
            .saturating_sub(core_rows + OTHER_ROWS)
            .max(1)
    } else {
        SHOWN_TASKS
    };
    if json {
        put!(*output, "],\"tasks\":[");
    } else {
        put!(
            *output,
            "{end}{:<10} {:<20} {:>4} {:<8} {:>8} {:>9} {:>10} {:>9} {:>9}{end}",
            "id",
            "name",
            "core",
            "state",
            "cpu",
            "deadline",
            "polls",
            "cpu time",
            "longest"
        );
    }
    for (index, task) in shown.iter().take(room).enumerate() {
        let row = &task.row;
        if json {
            put!(*output, "{}", if index == 0 { "" } else { "," });
            let written = task_object(row, Object::new(output));
            debug_assert!(written.is_ok());
        } else {
            put!(
                *output,
                "{:<10} {:<20} {:>4} {:<8} {:>8} {:>9} {:>10} {:>9} {:>9}{end}",
                row.id,
                row.name,
                row.core,
                row.state.word(),
                Permille(permille(task.used_ns, elapsed_ns)),
                deadline(row.deadline_ns),
                row.polls,
                Duration(row.cpu_ns),
                Duration(row.longest_poll_ns)
            );
        }
        output.checkpoint().await?;
    }
    put!(
        *output,
        "{}",
        if json {
            "]}\n"
        } else if full_screen {
            "\x1b[J"
        } else {
            ""
        }
    );
    Ok(())
}

/// Prints the cores' loads since the refresh before; gives how many cores there are.
async fn show_cores<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    before: &mut Before,
    json: bool,
    end: &str,
) -> Result<usize, Closed> {
    let mut cursor = Cursor::START;
    let mut page: [CoreRow; PAGE_ROWS] = array::from_fn(|_| CoreRow::default());
    let mut index = 0;
    loop {
        let count = session.system.cores(&mut cursor, &mut page).await;
        for row in page.iter().take(count) {
            let (up_ns, idle_ns) = before.cores.get(index).copied().unwrap_or_default();
            let now = (row.up_ns, row.idle_ns);
            match before.cores.get_mut(index) {
                Some(kept) => *kept = now,
                // Cores beyond what fits show their load since the start.
                None => drop(before.cores.push(now)),
            }
            let up_ns = row.up_ns.saturating_sub(up_ns);
            let idle_ns = row.idle_ns.saturating_sub(idle_ns);
            let load = permille(up_ns.saturating_sub(idle_ns), up_ns);
            let output = &mut session.output;
            if json {
                put!(*output, "{}", if index == 0 { "" } else { "," });
                let written = core_object(row, load, Object::new(output));
                debug_assert!(written.is_ok());
            } else {
                put!(
                    *output,
                    "core {:<3} {} {:>8}  {:<8} {} dispatches, {} irqs{end}",
                    row.core,
                    Bar(load),
                    Permille(load),
                    row.state.word(),
                    row.dispatches,
                    row.irqs
                );
            }
            index += 1;
            output.checkpoint().await?;
        }
        if count == 0 {
            return Ok(index);
        }
    }
}

/// Collects the tasks that used most since the refresh before, most first.
async fn busiest<S: Host>(
    system: &S,
    before: &mut Before,
    counts: &mut Counts,
    shown: &mut Vec<Shown, SHOWN_TASKS>,
) {
    let mut kept: Vec<(TaskId, u64), KEPT_TASKS> = Vec::new();
    let mut cursor = Cursor::START;
    let mut page: [TaskRow; PAGE_ROWS] = array::from_fn(|_| TaskRow::default());
    loop {
        let count = system.tasks(&mut cursor, &mut page).await;
        for row in page.iter().take(count) {
            counts.tasks += 1;
            counts.running += usize::from(row.state == proto::TaskState::Running);
            counts.queued += usize::from(row.state == proto::TaskState::Queued);
            let known = before.tasks.iter().find(|(id, _)| *id == row.id);
            let cpu_before_ns = match known {
                Some((_, cpu_ns)) => *cpu_ns,
                // Not kept: it used little, or it is new and this is the first refresh.
                None if before.tasks.is_full() => row.cpu_ns,
                None => 0,
            };
            let used_ns = row.cpu_ns.saturating_sub(cpu_before_ns);
            keep_most(&mut kept, (row.id, row.cpu_ns), |(_, cpu_ns)| *cpu_ns);
            let task = Shown {
                row: row.clone(),
                used_ns,
            };
            keep_most(shown, task, |task| (task.used_ns, task.row.cpu_ns));
        }
        if count == 0 {
            break;
        }
    }
    before.tasks = kept;
}

/// Keeps `list` sorted, greatest first; the least falls out when it is full.
fn keep_most<T, K: Ord, const N: usize>(list: &mut Vec<T, N>, item: T, key: impl Fn(&T) -> K) {
    let position = list
        .iter()
        .position(|other| key(other) < key(&item))
        .unwrap_or(list.len());
    if list.is_full() {
        if position == list.len() {
            return;
        }
        list.pop();
    }
    // There is room now, and the position is at most the length.
    let kept = list.insert(position, item);
    debug_assert!(kept.is_ok());
}
