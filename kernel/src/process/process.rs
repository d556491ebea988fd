//! A process: an address space, or an arena if it is resident; handles, threads, and how they end.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use abi::process::{MAX_NAME_BYTES, ProcessInfo};
use abi::{Error, ObjectType, Signals};
use executor::TaskId;
use objects::endpoint::ReplyTable;
use objects::job::{Charge, Members};
use objects::object::Header;
use objects::port::StartedCalls;
use objects::refs::Ref;
use objects::signals::SignalState;
use spin::{Mutex, Once};

use super::job::JobObject;
use super::memory::{AddressSpace, ProcessTables};
use super::object::{Caller, Capability, Handles, Object};
use super::reaper;
use super::reservation::Terms;
use super::resident::Resident;
use super::thread::Thread;

/// Every process there is.
static ALL: Once<Members<Process>> = Once::new();

/// How far a process's life is.
mod state {
    /// It may have threads.
    pub const ALIVE: u8 = 0;
    /// Its threads end; it gets no new ones.
    pub const ENDING: u8 = 1;
    /// It has none.
    pub const ENDED: u8 = 2;
}

/// A process.
pub struct Process {
    header: Header,
    name: heapless::String<MAX_NAME_BYTES>,
    /// Kept: who ends a job above finds the process through it.
    job: Ref<JobObject>,
    account: Ref<objects::job::Job>,
    /// What it holds.
    pub handles: Handles,
    /// Calls it has to answer.
    pub replies: ReplyTable<Caller>,
    /// Calls it has started and not ended.
    pub started: StartedCalls<Object>,
    /// Its memory.
    pub space: AddressSpace,
    /// Ended.
    pub signals: SignalState,
    threads: Members<Thread>,
    /// Held while a thread is counted in, and where none may be.
    births: Mutex<()>,
    running: AtomicUsize,
    state: AtomicU8,
    exit_code: AtomicI32,
    exceptions: Mutex<Option<Capability>>,
    /// Its handles are not closed at its end, as the next instance gets them.
    keeps_handles: AtomicBool,
    /// Processor time of what is over, in ticks.
    past_cpu_ticks: AtomicU64,
    /// The most that was ever shown.
    shown_cpu_ticks: AtomicU64,
    /// What it is as a resident server.
    resident: Once<Ref<Resident>>,
    /// Of the first reservation that one of its threads was bound to.
    terms: Once<Terms>,
    /// System calls made.
    pub system_calls: AtomicU64,
    _member: Charge,
}

impl Process {
    /// An empty process under a job.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::LimitReached`], [`Error::Dying`], [`Error::BadArgument`] for a name that is empty, too long or
    /// has control characters.
    pub fn create(job: &Ref<JobObject>, name: &str) -> Result<Ref<Self>, Error> {
        // It is shown to people, on terminals too.
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Error::BadArgument);
        }
        let account = job.job().clone();
        let member = account.charge_processes(1)?;
        let header = Header::new(ObjectType::Process, &account, Ref::<Self>::BYTES)?;
        let space = super::memory::new_space(&account)?;
        let process = Ref::try_new(Self {
            header,
            name: heapless::String::try_from(name).map_err(|_| Error::BadArgument)?,
            job: job.clone(),
            handles: Handles::new(&account)?,
            replies: ReplyTable::new(&account),
            started: StartedCalls::new(&account),
            space,
            signals: SignalState::new(Signals::empty()),
            threads: Members::new(&account)?,
            births: Mutex::new(()),
            running: AtomicUsize::new(0),
            state: AtomicU8::new(state::ALIVE),
            exit_code: AtomicI32::new(0),
            exceptions: Mutex::new(None),
            keeps_handles: AtomicBool::new(false),
            past_cpu_ticks: AtomicU64::new(0),
            shown_cpu_ticks: AtomicU64::new(0),
            resident: Once::new(),
            terms: Once::new(),
            system_calls: AtomicU64::new(0),
            _member: member,
            account,
        })?;
        job.processes().join(process.id(), &process)?;
        everyone()?.join(process.id(), &process)?;
        Ok(process)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.header.id()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The account that pays for it.
    pub fn account(&self) -> &Ref<objects::job::Job> {
        &self.account
    }

    /// The job it lives under.
    pub fn job(&self) -> &JobObject {
        &self.job
    }

    /// Its page tables.
    pub fn tables(&self) -> &ProcessTables {
        self.space.tables()
    }

    /// What it is as a resident server, if it is one.
    #[inline]
    pub fn resident(&self) -> Option<&Ref<Resident>> {
        self.resident.get()
    }

    /// Calls `visit` with the task of each of its threads.
    pub fn for_each_task(&self, mut visit: impl FnMut(TaskId)) {
        let mut from = 0;
        while let Some((next, thread)) = self.threads.visit(from) {
            from = next;
            if let Some(task) = thread.task() {
                visit(task);
            }
        }
    }

    /// Makes it a resident server: it must have nothing but handles, and `first` is all the threads it will ever have.
    ///
    /// # Errors
    /// [`Error::BadState`] if it has threads or memory; else as [`thread_begins`](Self::thread_begins).
    pub fn become_resident(
        &self,
        first: &Ref<Thread>,
        resident: &Ref<Resident>,
    ) -> Result<(), Error> {
        let _births = self.births.lock();
        let used = self.threads.visit(0).is_some() || self.space.mapped_bytes() != 0;
        if used || self.resident.is_completed() {
            return Err(Error::BadState);
        }
        self.begin(first)?;
        self.resident.call_once(|| resident.clone());
        self.tables().set_resident();
        Ok(())
    }

    /// Counts one more thread.
    ///
    /// # Errors
    /// [`Error::Dying`] once it is ending; [`Error::NoMemory`]; [`Error::BadState`] for a resident server.
    pub fn thread_begins(&self, thread: &Ref<Thread>) -> Result<(), Error> {
        let _births = self.births.lock();
        if self.resident.is_completed() {
            return Err(Error::BadState);
        }
        self.begin(thread)
    }

    /// With `births`.
    fn begin(&self, thread: &Ref<Thread>) -> Result<(), Error> {
        if self.state.load(Ordering::Acquire) != state::ALIVE {
            return Err(Error::Dying);
        }
        self.threads.join(thread.id(), thread)?;
        self.running.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Whether it goes on: nobody has ended it.
    #[inline]
    pub fn is_alive(&self) -> bool {
        self.state.load(Ordering::Acquire) == state::ALIVE
    }

    /// A thread is over. The last one's end is the process's.
    pub fn thread_ended(this: &Ref<Self>, thread: &Thread) {
        let used = thread.cpu_ticks();
        thread.signals.set(Signals::ENDED);
        this.add_past_cpu(used);
        this.threads.leave(thread.id());
        if this.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            {
                let _births = this.births.lock();
                if this.running.load(Ordering::Acquire) != 0 {
                    return;
                }
                this.state.store(state::ENDED, Ordering::Release);
            }
            reaper::clean_up(this.clone());
        }
    }

    /// Has its handles stay where they are at its end, to be [taken over](objects::handle::HandleTable::take_over). Whoever asks for it
    /// closes the process's handle to itself.
    pub fn keep_handles(&self) {
        self.keeps_handles.store(true, Ordering::Release);
    }

    /// Whether they stay.
    pub fn keeps_handles(&self) -> bool {
        self.keeps_handles.load(Ordering::Acquire)
    }

    /// Everything it held is gone: whoever waits for its end learns of it.
    pub fn finish(&self) {
        self.signals.set(Signals::ENDED);
        self.job.leave(self.id());
    }

    /// Ends it with this exit code; the first one counts. Its threads are over as soon as their cores come to it.
    pub fn kill(this: &Ref<Self>, exit_code: i32) {
        {
            let _births = this.births.lock();
            let first = this
                .state
                .compare_exchange(
                    state::ALIVE,
                    state::ENDING,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .is_ok();
            if !first {
                return;
            }
            this.exit_code.store(exit_code, Ordering::Release);
        }
        let mut any = false;
        let mut from = 0;
        while let Some((next, thread)) = this.threads.visit(from) {
            from = next;
            any = true;
            thread.kill();
        }
        if let Some(resident) = this.resident() {
            resident.cancel_tasks();
        }
        if !any && this.running.load(Ordering::Acquire) == 0 {
            // It never ran.
            this.state.store(state::ENDED, Ordering::Release);
            reaper::clean_up(this.clone());
        }
    }

    /// The oldest of its threads that are not over.
    pub fn first_thread(&self) -> Option<Ref<Thread>> {
        self.threads.visit(0).map(|(_, thread)| thread)
    }

    /// The core its first thread lives on.
    pub fn first_core(&self) -> Option<u16> {
        self.first_thread().map(|thread| thread.core.index() as u16)
    }

    /// What it ended with, once it has ended.
    pub fn exit_code(&self) -> Option<i32> {
        (self.state.load(Ordering::Acquire) == state::ENDED)
            .then(|| self.exit_code.load(Ordering::Acquire))
    }

    /// Where exceptions of its threads go, for as long as the caller keeps it.
    pub fn exceptions(&self) -> Option<Capability> {
        let exceptions = self.exceptions.lock();
        let entry = exceptions.as_ref()?.entry();
        entry.lead_to(entry.object().clone()).ok()
    }

    /// Whether they go anywhere.
    pub fn has_exceptions(&self) -> bool {
        self.exceptions.lock().is_some()
    }

    /// Sets where they go. A thread that waits already waits on.
    pub fn set_exceptions(&self, channel: Option<Capability>) {
        let before = core::mem::replace(&mut *self.exceptions.lock(), channel);
        drop(before);
    }

    /// Something of it is over that used so much processor time, in ticks.
    pub fn add_past_cpu(&self, ticks: u64) {
        self.past_cpu_ticks.fetch_add(ticks, Ordering::Release);
        self.account.add_past_cpu(ticks);
    }

    /// Processor time up to now of what is not over, in ticks.
    pub fn present_cpu_ticks(&self) -> u64 {
        let mut ticks = self
            .resident()
            .map_or(0, |resident| resident.present_cpu_ticks());
        let mut from = 0;
        while let Some((next, thread)) = self.threads.visit(from) {
            from = next;
            ticks += thread.cpu_ticks();
        }
        ticks
    }

    /// One of its threads is bound to a reservation on these terms.
    pub fn note_terms(&self, terms: Terms) {
        self.terms.call_once(|| terms);
    }

    /// The terms of the first reservation that one of its threads was bound to.
    pub fn terms(&self) -> Option<Terms> {
        self.terms.get().copied()
    }

    /// Of the threads it has: jobs that were late, and jobs that waited for their reservation's next period.
    pub fn late_and_throttled_jobs(&self) -> (u32, u32) {
        let (mut late, mut throttled) = (0_u32, 0_u32);
        let mut from = 0;
        while let Some((next, thread)) = self.threads.visit(from) {
            from = next;
            let task = thread
                .task()
                .and_then(|task| crate::exec::fleet().task(task));
            late = late.saturating_add(task.as_ref().map_or(0, |task| task.misses));
            throttled = throttled.saturating_add(task.map_or(0, |task| task.throttles));
        }
        (late, throttled)
    }

    /// Processor time up to now, in ticks.
    pub fn cpu_ticks(&self) -> u64 {
        // In this order, so that what ends meanwhile is not counted twice; and it never falls.
        let past = self.past_cpu_ticks.load(Ordering::Acquire);
        let ticks = past + self.present_cpu_ticks();
        let shown = self.shown_cpu_ticks.fetch_max(ticks, Ordering::Relaxed);
        ticks.max(shown)
    }

    /// How it is.
    pub fn info(&self) -> ProcessInfo {
        let mut name = [0; 48];
        for (place, byte) in name.iter_mut().zip(self.name.bytes()) {
            *place = byte;
        }
        let exit_code = self.exit_code();
        let arena_bytes = self.resident().map_or(0, |resident| resident.bytes());
        ProcessInfo {
            id: self.id(),
            ended: u16::from(exit_code.is_some()),
            resident: u16::from(self.resident().is_some()),
            exit_code: exit_code.unwrap_or(0),
            threads: self.running.load(Ordering::Relaxed) as u64,
            handles: self.handles.len() as u64,
            mapped_bytes: self.space.mapped_bytes() + arena_bytes,
            resident_bytes: self.space.resident_bytes() + arena_bytes,
            cpu_ns: hal::time::ticks_to_ns(self.cpu_ticks()),
            system_calls: self.system_calls.load(Ordering::Relaxed),
            name,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may never have run.
        self.job.leave(self.id());
        if let Some(all) = ALL.get() {
            all.leave(self.id());
        }
    }
}

/// All there are.
fn everyone() -> Result<&'static Members<Process>, Error> {
    if let Some(all) = ALL.get() {
        return Ok(all);
    }
    let all = Members::new(super::first::root_job()?.job())?;
    Ok(ALL.call_once(|| all))
}

/// The process of this number, if it still is there.
pub fn find(id: u64) -> Option<Ref<Process>> {
    ALL.get()?.get(id)
}

/// Calls `visit` with every process, oldest first.
pub fn for_each(mut visit: impl FnMut(&Ref<Process>)) {
    let mut from = 0;
    while let Some((next, process)) = ALL.get().and_then(|all| all.visit(from)) {
        from = next;
        visit(&process);
    }
}
