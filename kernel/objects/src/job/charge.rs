//! A part of a job's resources that is in use.

use abi::Error;

use super::{Job, Resource};
use crate::refs::Ref;

/// An amount that a job and all above it are charged with; given back when dropped.
///
/// It can grow and shrink with what it stands for, so that a container holds one and not one per element.
#[derive(Debug)]
#[must_use = "dropping it gives the amount back"]
pub struct Charge {
    job: Option<Ref<Job>>,
    resource: Resource,
    amount: u64,
}

impl Charge {
    pub(super) fn new(job: &Ref<Job>, resource: Resource, amount: u64) -> Result<Self, Error> {
        job.add_up(resource, amount)?;
        Ok(Self {
            job: Some(job.clone()),
            resource,
            amount,
        })
    }

    /// Of nobody: for the few objects that are made before there are jobs. Cannot grow.
    pub const fn nobody(resource: Resource) -> Self {
        Self {
            job: None,
            resource,
            amount: 0,
        }
    }

    /// Who is charged.
    #[must_use]
    pub fn job(&self) -> Option<&Ref<Job>> {
        self.job.as_ref()
    }

    /// With what.
    #[must_use]
    pub fn resource(&self) -> Resource {
        self.resource
    }

    /// How much.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Charges more.
    ///
    /// # Errors
    /// [`Resource::exhausted`] if it does not fit: nothing changed.
    pub fn grow(&mut self, amount: u64) -> Result<(), Error> {
        let Some(job) = &self.job else {
            return Err(self.resource.exhausted());
        };
        job.add_up(self.resource, amount)?;
        self.amount += amount;
        Ok(())
    }

    /// Gives a part back; no more than there is.
    pub fn shrink(&mut self, amount: u64) {
        drop(self.split(amount));
    }

    /// Takes a part out, no more than there is, as a charge of its own: what it stands for goes elsewhere.
    pub fn split(&mut self, amount: u64) -> Self {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Self {
            job: self.job.clone(),
            resource: self.resource,
            amount,
        }
    }

    /// Adds another charge of the same job and resource.
    ///
    /// # Errors
    /// The other charge, if it is of another job or resource.
    pub fn merge(&mut self, mut other: Self) -> Result<(), Self> {
        let same_job = match (&self.job, &other.job) {
            (Some(one), Some(another)) => one.is(another),
            (None, None) => true,
            _ => false,
        };
        if !same_job || self.resource != other.resource {
            return Err(other);
        }
        self.amount += core::mem::take(&mut other.amount);
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            job.give_up(self.resource, self.amount, None);
        }
    }
}
