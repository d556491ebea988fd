//! What a memory object has charged to its job: pages, and kernel memory for keeping track of them.

use abi::Error;
use abi::memory::PAGE_BYTES;

use crate::job::{Charge, Job};
use crate::refs::Ref;

/// Two charges that grow and shrink.
pub(super) struct Account {
    memory: Charge,
    kernel: Charge,
}

impl Account {
    pub(super) fn new(job: &Ref<Job>) -> Result<Self, Error> {
        Ok(Self {
            memory: job.charge_memory(0)?,
            kernel: job.charge_kernel(0)?,
        })
    }

    pub(super) fn take_page(&mut self) -> Result<(), Error> {
        self.memory.grow(PAGE_BYTES)
    }

    /// Takes the charge of `pages` out: for pages that go only after a shootdown, or to another vmo.
    pub(super) fn split_pages(&mut self, pages: u64) -> Charge {
        self.memory.split(pages.saturating_mul(PAGE_BYTES))
    }

    pub(super) fn give_pages(&mut self, pages: u64) {
        self.memory.shrink(pages.saturating_mul(PAGE_BYTES));
    }

    pub(super) fn take_kernel(&mut self, bytes: u64) -> Result<(), Error> {
        self.kernel.grow(bytes)
    }

    pub(super) fn give_kernel(&mut self, bytes: u64) {
        self.kernel.shrink(bytes);
    }

    #[cfg(test)]
    pub(super) fn unlimited() -> Self {
        let job = Job::root(&abi::process::JobLimits::NONE).expect("memory for a job");
        Self::new(&job).expect("an empty charge")
    }

    #[cfg(test)]
    pub(super) fn kernel_bytes(&self) -> u64 {
        self.kernel.amount()
    }
}
