//! Resident servers: processes whose code is part of the kernel's image and runs in ring 0.
//!
//! Such a process has a handle table, a job that pays, signals and an exit code like any other. In place of an address space it has
//! an *arena*: what its code allocates comes from there, paid by its job. It maps vmos like any other process, for ring 0 alone. Its tasks
//! are the core's, each polled within [`hal::user::contain::contain_in`].
//!
//! - [`registry`]: which servers there are.
//! - [`task`]: a task's life: the kernel's future around the server's.
//! - [`gate`]: the functions that a server's system calls and waits are ([`rt::sys::gate::Resident`]).
//! - [`handler`]: calls that a server answers where they are made.
//! - [`maps`]: memory that a server maps. [`driving`]: threads that a server drives.
//! - [`running`]: whose poll this core is in. [`waits`]: what a task waits for. [`calls`]: calls that a server makes.
//!
//! # What is promised
//! A panic, a CPU exception or a refused allocation in a server's code ends that server: the poll is abandoned where it stands,
//! without unwinding; its tasks are never polled again; then its handles are closed and its arena goes back to the machine, with all
//! that was never dropped. Whoever called it finds the other side gone, as after the death of an isolated server.
//!
//! A failure inside of a system call is the kernel's: the gate holds a [`KernelSection`](hal::user::KernelSection), and such a failure is
//! fatal and says so. For that not to happen for lack of stack, a call with little of it left ends the server before it begins.
//!
//! # What is not
//! Resident code is contained against failure, not against malice. It is trusted not to scribble: rights, handles and the
//! buffers of system calls are checked as for ring 3, and buffers must lie in the arena, on the stack above the call, in what it maps, or (to be
//! read) in the kernel's image; but nothing keeps a wild write of its own from kernel memory. It may not loop without end either: a
//! poll that takes too long is named by the log and the watchdog, and holds its core for as long as it lasts.
//!
//! # What must hold
//! - The kernel keeps no pointer into an arena but those of tasks' futures and of handlers, which it forgets without dropping them. Wakers that the kernel
//!   keeps are task ids. Memory that the kernel allocates for a server is allocated within a section, so not in the arena.
//! - A server's tasks live on one core.
//! - A server keeps nothing of its heap in statics: they outlive it.

pub mod calls;
mod driving;
mod gate;
pub mod handler;
mod maps;
mod registry;
mod running;
mod speech;
mod task;
mod waits;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use abi::Error;
use abi::time::TimePage;
use executor::{CoreId, TaskId};
use hal::mem::arena::Arena;
use hal::user::UserContext;
use objects::job::Charge;
use objects::refs::Ref;
use rt::start::Start;
use rt::sys::gate::Own;
use spin::{Mutex, Once};
use zerocopy::IntoBytes;

use super::cpu;
use super::memory::ProcessTables;
use super::process::Process;
use super::reservation::ReservationObject;
use super::thread::Thread;
use crate::exec;
use calls::Calls;
pub use registry::{Server, find};
pub use speech::says;

/// Most tasks of one server at once, beside its main one.
const MOST_TASKS: usize = 1024;

/// What a process is as a resident server.
pub struct Resident {
    core: CoreId,
    arena: Arena,
    /// Its process's: what it maps.
    tables: Ref<ProcessTables>,
    /// By [`Own`].
    own: [u64; Own::NAMES.len()],
    /// What its tasks run in.
    reservation: Mutex<Option<Ref<ReservationObject>>>,
    /// Its tasks but the main one.
    tasks: Mutex<Vec<TaskId>>,
    /// All tasks that are not over.
    running: AtomicUsize,
    /// What it has left at endpoints.
    handlers: Mutex<Vec<handler::Listed>>,
    /// Calls it makes.
    calls: Mutex<Calls>,
    /// For the arena's memory.
    memory: Mutex<Charge>,
    _charge: Charge,
}

impl Resident {
    /// Memory of its arena.
    pub fn bytes(&self) -> u64 {
        self.arena.bytes()
    }

    /// Processor time of its tasks but the main one, in ticks; that of tasks that are over its process has.
    pub fn present_cpu_ticks(&self) -> u64 {
        let mut ticks = 0;
        let mut index = 0;
        loop {
            let next = self.tasks.lock().get(index).copied();
            let Some(task) = next else { return ticks };
            ticks += cpu::ticks_of(task);
            index += 1;
        }
    }

    /// Ends its tasks, and the calls it makes, where they wait.
    pub fn cancel_tasks(&self) {
        let mut index = 0;
        loop {
            let next = self.tasks.lock().get(index).copied();
            let Some(task) = next else { break };
            exec::fleet().cancel(task);
            index += 1;
        }
        self.close_handlers();
        calls::give_all_up(self);
    }

    /// Gives the arena back. After the last task's end, with all [handlers closed](Self::close_handlers).
    pub fn reclaim(&self) {
        let reservation = self.reservation.lock().take();
        drop(reservation);
        let handlers = core::mem::take(&mut *self.handlers.lock());
        drop(handlers);
        if self.arena.reclaim() > 0 {
            let mut memory = self.memory.lock();
            let amount = memory.amount();
            memory.shrink(amount);
        }
    }
}

/// Asked by the arena of the server that runs on this core before it grows.
fn pay(owner: u64, bytes: u64) -> bool {
    running::owner(owner).is_some_and(|thread| {
        thread
            .process
            .resident()
            .is_some_and(|resident| resident.memory.lock().grow(bytes).is_ok())
    })
}

/// Starts `server` as `process`, which has nothing but handles yet, on `core`. `block`: its start block.
///
/// # Errors
/// [`Error::BadArgument`] for a start block that is none; [`Error::BadState`] if the process has threads or memory;
/// [`Error::NoMemory`], [`Error::LimitReached`], [`Error::Dying`].
pub fn start(
    process: &Ref<Process>,
    server: &'static Server,
    block: Vec<u64>,
    core: CoreId,
    reservation: Option<Ref<ReservationObject>>,
) -> Result<Ref<Thread>, Error> {
    let account = process.account();
    let bytes = Ref::<Resident>::BYTES + 2 * size_of_val(block.as_slice()) as u64;
    let charge = account.charge_kernel(bytes)?;
    let own = {
        let start = Start::parse(block.as_bytes()).map_err(|_| Error::BadArgument)?;
        let mut own =
            Own::NAMES.map(|name| name.and_then(|name| start.handle(name)).map_or(0, |h| h.0));
        if let Some(place) = own.get_mut(Own::Generation as usize) {
            *place = u64::from(start.head.generation);
        }
        own
    };
    let resident = Ref::try_new(Resident {
        core,
        arena: Arena::new(process.id(), pay, maps::bring),
        tables: process.space.tables().clone(),
        own,
        reservation: Mutex::new(reservation),
        tasks: Mutex::new(Vec::new()),
        running: AtomicUsize::new(0),
        handlers: Mutex::new(Vec::new()),
        calls: Mutex::new(Calls::new()),
        memory: Mutex::new(account.charge_memory(0)?),
        _charge: charge,
    })?;
    // Its face to the rest of the kernel: who calls and is called, and whose registers a system call's are.
    let context = UserContext::new(0, 0).map_err(|_| Error::BadAddress)?;
    let thread = Thread::create(process, core, context, false)?;
    process.become_resident(&thread, &resident)?;
    task::begin(&thread, &resident, server, block)?;
    Ok(thread)
}

/// Makes the system calls of this image's servers plain calls.
pub fn open() {
    static TIME: Once<TimePage> = Once::new();
    rt::sys::gate::install_resident(&gate::TABLE, TIME.call_once(super::clock::page));
}

/// One more task, until the count is dropped. The last one's end is the process's.
struct Counted {
    thread: Ref<Thread>,
    resident: Ref<Resident>,
}

impl Counted {
    fn new(thread: &Ref<Thread>, resident: &Ref<Resident>) -> Self {
        resident.running.fetch_add(1, Ordering::AcqRel);
        Self {
            thread: thread.clone(),
            resident: resident.clone(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.resident.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            Process::thread_ended(&self.thread.process, &self.thread);
        }
    }
}
