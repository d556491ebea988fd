//! Jobs: an account with limits, and who lives under it.

use abi::process::JobLimits;
use abi::{Error, ObjectType, Signals};
use objects::job::Job;
use objects::object::Header;
use objects::refs::{Ref, WeakRef};
use objects::signals::SignalState;
use spin::Mutex;

use super::process::Process;
use crate::process::list::WeakList;

/// A job.
pub struct JobObject {
    header: Header,
    /// Limits and use.
    pub account: Ref<Job>,
    /// Ended, once it was killed.
    pub signals: SignalState,
    members: Mutex<Members>,
}

struct Members {
    killed: bool,
    processes: WeakList<Process>,
    jobs: WeakList<JobObject>,
}

impl JobObject {
    /// The job above all.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::BadArgument`].
    pub fn root(limits: &JobLimits) -> Result<Ref<Self>, Error> {
        let account = Job::root(limits)?;
        Self::with(account)
    }

    fn with(account: Ref<Job>) -> Result<Ref<Self>, Error> {
        let payer = account.parent().cloned().unwrap_or_else(|| account.clone());
        let header = Header::new(ObjectType::Job, &payer, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self {
            header,
            account,
            signals: SignalState::new(Signals::empty()),
            members: Mutex::new(Members {
                killed: false,
                processes: WeakList::new(),
                jobs: WeakList::new(),
            }),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// A job below.
    ///
    /// # Errors
    /// [`Error::Dying`] once killed; [`Error::NoMemory`], [`Error::LimitReached`], [`Error::BadArgument`] for limits that are none.
    pub fn child(&self, limits: &JobLimits) -> Result<Ref<Self>, Error> {
        let child = Self::with(self.account.child(limits)?)?;
        let mut members = self.members.lock();
        if members.killed {
            return Err(Error::Dying);
        }
        members.jobs.add(&child)?;
        Ok(child)
    }

    /// Counts a process among the members.
    ///
    /// # Errors
    /// [`Error::Dying`] once killed; [`Error::NoMemory`].
    pub fn adopt(&self, process: &Ref<Process>) -> Result<(), Error> {
        let mut members = self.members.lock();
        if members.killed {
            return Err(Error::Dying);
        }
        members.processes.add(process)
    }

    /// Whether this account is its own or that of a job below it.
    pub fn is_above(&self, account: &Ref<Job>) -> bool {
        let mut next = Some(account);
        while let Some(account) = next {
            if account.is(&self.account) {
                return true;
            }
            next = account.parent();
        }
        false
    }

    /// Ends every process in it and below, and takes no more.
    pub fn kill(&self, exit_code: i32) {
        self.members.lock().killed = true;
        // One at a time: ending a process may take locks of its own.
        loop {
            let process = self.next_process();
            let Some(process) = process else { break };
            Process::kill(&process, exit_code);
        }
        loop {
            let job = self.next_job();
            let Some(job) = job else { break };
            job.kill(exit_code);
        }
        self.signals.set(Signals::ENDED);
    }

    fn next_process(&self) -> Option<Ref<Process>> {
        self.members.lock().processes.take()
    }

    fn next_job(&self) -> Option<Ref<Self>> {
        self.members.lock().jobs.take()
    }
}

/// Kept so that members can name their job without keeping it.
pub type WeakJob = WeakRef<JobObject>;
