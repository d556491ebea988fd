//! The job as an object: its processes and the jobs below it, which are ended with it.

use core::fmt;

use abi::{Error, ObjectType, Signals, process::JobLimits};

use super::{Job, MAX_DEPTH, Members};
use crate::{object::Header, refs::Ref, signals::SignalState};

/// A job, its processes `P` and the jobs below.
///
/// `Ref<Group>::end` says what to end. Processes keep it and [leave](Group::leave) when they have ended, jobs leave by themselves: so
/// whoever ends a job finds all that is below it, also where nobody holds the jobs in between.
pub struct Group<P> {
    header: Header,
    signals: SignalState,
    job: Ref<Job>,
    above: Option<Ref<Group<P>>>,
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

    /// The process of this number has ended.
    pub fn leave(&self, number: u64) {
        self.processes.leave(number);
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
        if let Some(above) = &self.above {
            above.jobs.leave(self.header.id());
        }
    }

    /// Whether this account is its own or that of a job below it.
    pub fn is_above(&self, account: &Ref<Job>) -> bool {
        let mut next = Some(account);
        while let Some(account) = next {
            if account.is(&self.job) {
                return true;
            }
            next = account.parent();
        }
        false
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
        self.jobs.join(child.header.id(), &child)?;
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
