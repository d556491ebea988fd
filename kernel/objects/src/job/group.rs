//! The job as an object: its processes and the jobs below it, which are ended with it.

use alloc::vec::Vec;
use core::fmt;

use abi::{Error, ObjectType, Signals, process::JobLimits};
use spin::{Mutex, Once};

use super::{Charge, Job, MAX_DEPTH};
use crate::{
    object::Header,
    refs::{Ref, WeakRef},
    signals::SignalState,
};

/// A place among members, to leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member(u64);

struct List<T> {
    /// Ids rise.
    members: Vec<(u64, WeakRef<T>)>,
    next: u64,
    closed: bool,
    charge: Charge,
}

/// Known, but not kept, until they leave or are gone.
pub struct Members<T>(Mutex<List<T>>);

impl<T> Members<T> {
    fn new(job: &Ref<Job>) -> Result<Self, Error> {
        Ok(Self(Mutex::new(List {
            members: Vec::new(),
            next: 0,
            closed: false,
            charge: job.charge_kernel(0)?,
        })))
    }

    /// One more.
    ///
    /// # Errors
    /// [`Error::Dying`] once the job is being ended, [`Error::NoMemory`].
    pub fn join(&self, member: &Ref<T>) -> Result<Member, Error> {
        let mut list = self.0.lock();
        if list.closed {
            return Err(Error::Dying);
        }
        if list.members.len() == list.members.capacity() {
            let more = list.members.len().max(4);
            let bytes = (more * size_of::<(u64, WeakRef<T>)>()) as u64;
            list.charge.grow(bytes)?;
            if list.members.try_reserve_exact(more).is_err() {
                list.charge.shrink(bytes);
                return Err(Error::NoMemory);
            }
        }
        let id = list.next;
        list.next += 1;
        list.members.push((id, member.downgrade()));
        Ok(Member(id))
    }

    /// It has ended, or was never begun.
    fn leave(&self, member: Member) {
        let mut list = self.0.lock();
        let Ok(place) = list.members.binary_search_by_key(&member.0, |(id, _)| *id) else {
            return;
        };
        let gone = list.members.remove(place);
        drop(list);
        drop(gone);
    }

    /// Whether nobody is there and nobody can come.
    fn is_over(&self) -> bool {
        let list = self.0.lock();
        list.closed && list.members.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nobody joins any more.
    fn close(&self) {
        self.0.lock().closed = true;
    }

    /// The first at or after a number, and the number to go on from: visits all, one lock each, that do not leave meanwhile.
    pub fn visit(&self, from: u64) -> Option<(u64, Ref<T>)> {
        let list = self.0.lock();
        let start = list.members.partition_point(|(id, _)| *id < from);
        list.members[start..]
            .iter()
            .find_map(|(id, member)| Some((id + 1, member.upgrade()?)))
    }
}

impl<T> fmt::Debug for Members<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("len", &self.len()).finish()
    }
}

/// A job, its processes `P` and the jobs below.
///
/// `Ref<Group>::end` says what to end. Processes [leave](Group::leave) when they have ended, jobs by themselves.
pub struct Group<P> {
    header: Header,
    signals: SignalState,
    job: Ref<Job>,
    above: Option<Ref<Group<P>>>,
    /// Among the jobs of the one above.
    place: Once<Member>,
    processes: Members<P>,
    jobs: Members<Group<P>>,
}

impl<P> Group<P> {
    const BYTES: u64 = Ref::<Self>::BYTES + Ref::<Job>::BYTES;

    /// The job above all.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for a weight that is none, [`Error::NoMemory`].
    pub fn root(limits: &JobLimits) -> Result<Ref<Self>, Error> {
        let job = Job::root(limits)?;
        let header = Header::new(ObjectType::Job, &job, Self::BYTES)?;
        Self::with(header, job, None)
    }

    fn with(header: Header, job: Ref<Job>, above: Option<Ref<Self>>) -> Result<Ref<Self>, Error> {
        Ok(Ref::try_new(Self {
            header,
            signals: SignalState::new(Signals::empty()),
            processes: Members::new(&job)?,
            jobs: Members::new(&job)?,
            job,
            above,
            place: Once::new(),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// [`Signals::ENDED`] once it was ended and nothing in it is left.
    pub fn signals(&self) -> &SignalState {
        &self.signals
    }

    /// The account.
    pub fn job(&self) -> &Ref<Job> {
        &self.job
    }

    /// The processes. One joins as it is made, and [leaves](Self::leave) when it has ended.
    pub fn processes(&self) -> &Members<P> {
        &self.processes
    }

    /// The jobs right below that have not ended.
    pub fn jobs(&self) -> &Members<Self> {
        &self.jobs
    }

    /// A process has ended.
    pub fn leave(&self, process: Member) {
        self.processes.leave(process);
        self.settle();
    }

    /// Says that it has ended, if so; then maybe the job above has.
    fn settle(&self) {
        let mut next = Some(self);
        while let Some(group) = next {
            if !(group.processes.is_over() && group.jobs.is_over()) {
                return;
            }
            group.signals.set(Signals::ENDED);
            group.leave_above();
            next = group.above.as_deref();
        }
    }

    fn leave_above(&self) {
        if let (Some(above), Some(&place)) = (&self.above, self.place.get()) {
            above.jobs.leave(place);
        }
    }
}

impl<P> Ref<Group<P>> {
    /// A job below this one, charged to this one.
    ///
    /// # Errors
    /// Those of [`Ref<Job>::child`]; [`Error::Dying`] if this one is being ended.
    pub fn child(&self, limits: &JobLimits) -> Result<Self, Error> {
        let header = Header::new(ObjectType::Job, &self.job, Group::<P>::BYTES)?;
        let child = Group::with(header, self.job.child(limits)?, Some(self.clone()))?;
        let place = self.jobs.join(&child)?;
        child.place.call_once(|| place);
        Ok(child)
    }

    /// Begins to end it: nothing joins it or the jobs below any more, as far as the iterator has come, which gives each process to be ended. Each
    /// step is short; more than one may do this at a time.
    #[must_use = "it gives the processes to end"]
    pub fn end(&self) -> Ending<P> {
        let mut ending = Ending {
            path: [const { None }; MAX_DEPTH as usize],
            depth: 0,
        };
        ending.enter(self.clone());
        ending
    }
}

impl<P> Drop for Group<P> {
    fn drop(&mut self) {
        self.leave_above();
        if let Some(above) = &self.above {
            above.settle();
        }
    }
}

impl<P> fmt::Debug for Group<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.header.id())
            .field("processes", &self.processes.len())
            .field("jobs", &self.jobs.len())
            .finish()
    }
}

struct Visit<P> {
    group: Ref<Group<P>>,
    next_process: u64,
    next_job: u64,
}

/// All processes in a job and below, to be ended; the jobs are closed on the way.
pub struct Ending<P> {
    path: [Option<Visit<P>>; MAX_DEPTH as usize],
    depth: usize,
}

impl<P> Ending<P> {
    fn enter(&mut self, group: Ref<Group<P>>) {
        group.processes.close();
        group.jobs.close();
        // Jobs are no deeper than the path is long.
        if let Some(visit) = self.path.get_mut(self.depth) {
            *visit = Some(Visit {
                group,
                next_process: 0,
                next_job: 0,
            });
            self.depth += 1;
        }
    }
}

impl<P> Iterator for Ending<P> {
    type Item = Ref<P>;

    fn next(&mut self) -> Option<Ref<P>> {
        while self.depth > 0 {
            let visit = self.path[self.depth - 1].as_mut()?;
            if let Some((next, process)) = visit.group.processes.visit(visit.next_process) {
                visit.next_process = next;
                return Some(process);
            }
            if let Some((next, job)) = visit.group.jobs.visit(visit.next_job) {
                visit.next_job = next;
                self.enter(job);
                continue;
            }
            self.depth -= 1;
            if let Some(done) = self.path[self.depth].take() {
                done.group.settle();
            }
        }
        None
    }
}

impl<P> fmt::Debug for Ending<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending")
            .field("depth", &self.depth)
            .finish()
    }
}
