//! Processes: what runs in ring 3, and what it may ask of the kernel.
//!
//! A newcomer's tour, from the outside in:
//! - [`process`]: an address space, a handle table, threads, and how they end.
//! - [`thread`]: a thread's registers and where it is at home. [`run`] is its life: a future that an executor polls. A poll enters
//!   ring 3 and comes back for a system call, an exception or an interrupt; there is no kernel stack per thread.
//! - [`gate`]: system calls answered without leaving the gate. [`dispatch`] and [`calls`]: all others. A call never waits
//!   inside the kernel: it is answered at once, or says what it waits for ([`outcome::WaitFor`]); the life awaits that and
//!   asks again with the same registers. So a call is a plain function, and a thread's future stays small.
//! - [`drive`]: threads that a server runs, and whose traps come out to it. [`crash`]: what becomes of all others after an exception.
//!   Calls between processes are there too: on one core the caller's poll enters the server's thread itself: its deadline and its
//!   budget go along, and no dispatch lies between. [`calls`] has those that are started and answered later by a port's packet.
//! - [`beside`]: what threads seldom wait in, in memory of its own.
//! - [`cpu`]: processor time, and jobs that may use only so much of it.
//! - [`memory`]: frames and page tables under `objects::memory`; user copies that bring pages in.
//! - [`device`]: what drivers hold.
//! - [`timers`], [`reaper`]: the kernel's own tasks for timer objects and for what ended processes leave behind.
//! - [`resident`]: servers that run in ring 0, in memory of their own.
//! - [`first`]: the first process, and the next one whenever it has ended.
//!
//! # What a call between two isolated processes of one core costs
//! 871 to 876 instructions, as the compiler likes, with its reply (`scripts/test qemu.process.probes_icount`; goal 900), by [`direct`]:
//!
//! | where | instructions |
//! |---|---|
//! | ring 3: caller 27, server 32 | 59 |
//! | the gate twice: `syscall` in 41, `sysretq` out 44 | 170 |
//! | [`run`] twice: what the window says, kills, the registers' lock | 100 |
//! | page tables twice (26), selectors and bases twice (17), the rest of the entry twice (20) | 126 |
//! | the call: handle 36, parked receiver 35, token 45, registers 30, rest 48 | 194 |
//! | the reply: handle 40, token and caller 70, registers 25, parking 35, rest 52 | 222 |
//!
//! A wake of another thread through a notification costs 1267 (goal 900): the signal, a window brought up to date, and the way back to
//! ring 3, 460; the signaller's own wait 240; a dispatch 160; the sleeper's poll, its question asked again, its window, and its way to ring 3, 420. A
//! switch between two processes that yield costs 610 (goal 400): the gate 103, leaving the poll 100, a dispatch 157, beginning one 45,
//! window, tables and entry 200. Both go through the executor, which times and counts every poll, and through a future's poll: two
//! fifths of either. To do without, a poll would have to run another task's thread.
//!
//! What must hold: nothing ring 3 does panics; no lock is held over an await; a thread's registers are touched only by the poll that runs it, or
//! while it is stopped; an ended thread's handles and memory go in bounded steps.

mod beside;
mod calls;
mod clock;
mod context;
mod cpu;
mod crash;
mod device;
mod direct;
mod dispatch;
mod drive;
pub mod first;
mod gate;
mod job;
pub mod memory;
pub mod object;
mod outcome;
#[allow(clippy::module_inception)] // the thing itself
pub mod process;
mod random;
mod reaper;
mod reservation;
pub mod resident;
mod run;
mod simple;
pub mod thread;
mod timers;

use crate::terminal;

/// Opens the gate, and starts the first process, if there is to be one.
pub async fn start() {
    gate::open();
    resident::open();
    reaper::start();
    timers::start();
    device::start();
    let measuring = crate::bench::program();
    let words = crate::options::options().words.text("init");
    let words = words.or(measuring.as_deref());
    let line = match words {
        Some("off") => return terminal::keep(),
        Some(line) => line,
        None => first::MANAGER,
    };
    let mut arguments = heapless::Vec::<&str, 16>::new();
    for word in line.split_ascii_whitespace() {
        if arguments.push(word).is_err() {
            ::log::warn!(target: "process", "init has more than 16 words: the rest is left out");
            break;
        }
    }
    let Some(&path) = arguments.first() else {
        return terminal::keep();
    };
    let Err(error) = first::run(path, &arguments).await else {
        return;
    };
    // Without being asked for there need not be one.
    let none = matches!(
        error,
        first::CannotStart::NoPrograms | first::CannotStart::NoSuchProgram
    );
    if !none || words.is_some() {
        ::log::error!(target: "process", "{path} cannot be started: {error}");
    }
    terminal::keep();
}
