//! Jobs: limits, and what is used of them, in a tree.
//!
//! A [`Job`] is the account. Everything that costs is charged to one **before** it is allocated, as a [`Charge`] that gives back
//! when it is dropped; a charge counts in the job and in all above it, or nowhere. [`Group`] is the job *object*: the account, with
//! its processes and the jobs below, which are ended with it. [`cpu`]: processor time, which is not given back.
//!
//! What must hold: `used <= limit` in every job at every moment, however many cores charge (lowering a limit takes nothing away,
//! so what was above it before can only shrink). A charge that fails has, for a moment, counted in the jobs below the one that refused:
//! another one racing it may be refused too, but none is ever let through that does not fit.

mod charge;
pub mod cpu;
mod group;
mod members;

use core::sync::atomic::{AtomicU64, Ordering};

use abi::{
    Error,
    process::{JobInfo, JobLimits},
};

pub use charge::Charge;
pub use group::{Ending, Group};
pub use members::Members;

use crate::refs::Ref;
use cpu::{Allowance, CpuLimit};

/// Most jobs above one another: charging walks them all.
pub const MAX_DEPTH: u32 = 16;

/// What a job limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Resource {
    /// Pages of vmos and page tables, in bytes.
    Memory = 0,
    /// Kernel memory, in bytes.
    Kernel = 1,
    /// Handles, in tables and messages.
    Handles = 2,
    /// Processes.
    Processes = 3,
    /// Threads.
    Threads = 4,
    /// Reserved processor time, summed over cores, in parts per million of one.
    ReservedPpm = 5,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Memory,
        Self::Kernel,
        Self::Handles,
        Self::Processes,
        Self::Threads,
        Self::ReservedPpm,
    ];

    /// The error when there is no more of it.
    #[must_use]
    pub const fn exhausted(self) -> Error {
        match self {
            Self::Memory | Self::Kernel => Error::NoMemory,
            Self::Handles | Self::Processes | Self::Threads | Self::ReservedPpm => {
                Error::LimitReached
            }
        }
    }
}

#[derive(Debug)]
struct Meter {
    used: AtomicU64,
    limit: AtomicU64,
}

/// An account.
#[derive(Debug)]
pub struct Job {
    parent: Option<Ref<Job>>,
    depth: u32,
    meters: [Meter; Resource::ALL.len()],
    weight: AtomicU64,
    cpu: CpuLimit,
    /// Processor time of what is over, in ticks.
    past_cpu_ticks: AtomicU64,
}

/// Weights a job may have (`abi`).
const WEIGHTS: core::ops::RangeInclusive<u64> = 1..=1 << 20;

fn amounts(limits: &JobLimits) -> [u64; Resource::ALL.len()] {
    [
        limits.memory_bytes,
        limits.kernel_bytes,
        limits.handles,
        limits.processes,
        limits.threads,
        limits.reserved_ppm,
    ]
}

impl Job {
    fn with_parent(
        parent: Option<Ref<Job>>,
        depth: u32,
        limits: &JobLimits,
    ) -> Result<Ref<Self>, Error> {
        if !WEIGHTS.contains(&limits.weight) {
            return Err(Error::BadArgument);
        }
        let limits_of = amounts(limits);
        let job = Self {
            parent,
            depth,
            meters: Resource::ALL.map(|resource| Meter {
                used: AtomicU64::new(0),
                limit: AtomicU64::new(limits_of[resource as usize]),
            }),
            weight: AtomicU64::new(limits.weight),
            cpu: CpuLimit::new(limits.cpu_ppm),
            past_cpu_ticks: AtomicU64::new(0),
        };
        Ref::try_new(job).map_err(Error::from)
    }

    /// The job above all: its limits are what the machine has. Its own memory is charged to nobody.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for a weight that is none, [`Error::NoMemory`].
    pub fn root(limits: &JobLimits) -> Result<Ref<Self>, Error> {
        Self::with_parent(None, 0, limits)
    }

    /// The job above.
    #[must_use]
    pub fn parent(&self) -> Option<&Ref<Self>> {
        self.parent.as_ref()
    }

    /// How much of it is used, here and below.
    #[must_use]
    pub fn used(&self, resource: Resource) -> u64 {
        self.meters[resource as usize].used.load(Ordering::Relaxed)
    }

    /// How much of it may be used, here and below, if the jobs above have it.
    #[must_use]
    pub fn limit(&self, resource: Resource) -> u64 {
        self.meters[resource as usize].limit.load(Ordering::Relaxed)
    }

    /// Weight among best-effort threads.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Limits and use, without processor time.
    #[must_use]
    pub fn info(&self) -> JobInfo {
        let read = |get: &dyn Fn(Resource) -> u64| JobLimits {
            memory_bytes: get(Resource::Memory),
            kernel_bytes: get(Resource::Kernel),
            handles: get(Resource::Handles),
            processes: get(Resource::Processes),
            threads: get(Resource::Threads),
            reserved_ppm: get(Resource::ReservedPpm),
            cpu_ppm: self.cpu.ppm(),
            weight: self.weight(),
        };
        JobInfo {
            limits: read(&|resource| self.limit(resource)),
            used: read(&|resource| self.used(resource)),
            cpu_ns: 0,
        }
    }

    /// Something below has ended that used so much processor time, in ticks.
    pub fn add_past_cpu(&self, ticks: u64) {
        let mut next = Some(self);
        while let Some(job) = next {
            job.past_cpu_ticks.fetch_add(ticks, Ordering::Release);
            next = job.parent.as_deref();
        }
    }

    /// Processor time of what has ended, here and below, in ticks.
    #[must_use]
    pub fn past_cpu_ticks(&self) -> u64 {
        self.past_cpu_ticks.load(Ordering::Acquire)
    }

    /// Charges `used` ticks of processor time up to `now` against the limits here and above, and says what they allow after that.
    /// `window` (ticks): whose share may be used at a stretch.
    pub fn charge_cpu(&self, used: u64, now: u64, window: u64) -> Allowance {
        let mut allowance = Allowance::Unlimited;
        let mut next = Some(self);
        while let Some(job) = next {
            job.cpu.charge(used, now, window);
            allowance = allowance.and(job.cpu.allowance(now, window));
            next = job.parent.as_deref();
        }
        allowance
    }

    /// Whether it or a job above has a limit on processor time.
    #[must_use]
    pub fn is_cpu_limited(&self) -> bool {
        let mut next = Some(self);
        while let Some(job) = next {
            if job.cpu.ppm() != u64::MAX {
                return true;
            }
            next = job.parent.as_deref();
        }
        false
    }

    /// Other limits; what is over them stays but cannot grow.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for a weight that is none.
    pub fn set_limits(&self, limits: &JobLimits) -> Result<(), Error> {
        if !WEIGHTS.contains(&limits.weight) {
            return Err(Error::BadArgument);
        }
        for (meter, limit) in self.meters.iter().zip(amounts(limits)) {
            meter.limit.store(limit, Ordering::Relaxed);
        }
        self.weight.store(limits.weight, Ordering::Relaxed);
        self.cpu.set(limits.cpu_ppm);
        Ok(())
    }

    /// Charges here only; `false` if it does not fit.
    fn add(&self, resource: Resource, amount: u64) -> bool {
        let meter = &self.meters[resource as usize];
        meter
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(amount)
                    .filter(|&sum| sum <= meter.limit.load(Ordering::Relaxed))
            })
            .is_ok()
    }

    /// Charges here and above, or nowhere.
    fn add_up(&self, resource: Resource, amount: u64) -> Result<(), Error> {
        if amount == 0 {
            return Ok(());
        }
        let mut next = Some(self);
        while let Some(job) = next {
            if !job.add(resource, amount) {
                self.give_up(resource, amount, Some(job));
                return Err(resource.exhausted());
            }
            next = job.parent.as_deref();
        }
        Ok(())
    }

    /// Gives back here and above, up to and without `end`.
    fn give_up(&self, resource: Resource, amount: u64, end: Option<&Self>) {
        if amount == 0 {
            return;
        }
        let mut next = Some(self);
        while let Some(job) = next {
            if end.is_some_and(|end| core::ptr::eq(end, job)) {
                return;
            }
            let before = job.meters[resource as usize]
                .used
                .fetch_sub(amount, Ordering::Relaxed);
            debug_assert!(before >= amount, "more given back than charged");
            next = job.parent.as_deref();
        }
    }
}

impl Ref<Job> {
    /// An account below this one.
    ///
    /// # Errors
    /// [`Error::LimitReached`] at [`MAX_DEPTH`], [`Error::BadArgument`] for a weight that is none, [`Error::NoMemory`].
    pub fn child(&self, limits: &JobLimits) -> Result<Ref<Job>, Error> {
        let depth = self.depth + 1;
        if depth >= MAX_DEPTH {
            return Err(Error::LimitReached);
        }
        Job::with_parent(Some(self.clone()), depth, limits)
    }

    /// Charges an amount, here and in all jobs above.
    ///
    /// # Errors
    /// [`Resource::exhausted`] if one of them may not have that much more: nothing was charged.
    pub fn charge(&self, resource: Resource, amount: u64) -> Result<Charge, Error> {
        Charge::new(self, resource, amount)
    }

    /// Charges bytes of kernel memory.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn charge_kernel(&self, bytes: u64) -> Result<Charge, Error> {
        self.charge(Resource::Kernel, bytes)
    }

    /// Charges bytes of pages and page tables.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn charge_memory(&self, bytes: u64) -> Result<Charge, Error> {
        self.charge(Resource::Memory, bytes)
    }

    /// Charges handles.
    ///
    /// # Errors
    /// [`Error::LimitReached`].
    pub fn charge_handles(&self, count: u64) -> Result<Charge, Error> {
        self.charge(Resource::Handles, count)
    }

    /// Charges processes.
    ///
    /// # Errors
    /// [`Error::LimitReached`].
    pub fn charge_processes(&self, count: u64) -> Result<Charge, Error> {
        self.charge(Resource::Processes, count)
    }

    /// Charges threads.
    ///
    /// # Errors
    /// [`Error::LimitReached`].
    pub fn charge_threads(&self, count: u64) -> Result<Charge, Error> {
        self.charge(Resource::Threads, count)
    }

    /// Charges reserved processor time.
    ///
    /// # Errors
    /// [`Error::LimitReached`].
    pub fn charge_reserved(&self, ppm: u64) -> Result<Charge, Error> {
        self.charge(Resource::ReservedPpm, ppm)
    }
}
