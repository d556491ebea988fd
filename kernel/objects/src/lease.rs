//! Handles that can be taken back.
//!
//! A leased handle, and whatever was duplicated, minted or sent on from it, carries the [`Lease`]. Revoking is one store: from then on no
//! such handle is good for anything but closing, and what waits through one is woken to find that out. A leased handle can be leased
//! again; revoking the outer lease revokes the inner ones, which look up to it.
//!
//! Closing the last handle to a lease leaves the leased handles as they are: nobody can revoke them any more.

use core::sync::atomic::{AtomicBool, Ordering};

use abi::{Error, ObjectType, Signals};

use crate::{
    job::Job,
    object::Header,
    observers::Observers,
    refs::Ref,
    signals::{Event, SignalState},
};

/// Most leases upon one another: each use of a handle looks at them all.
pub const MAX_DEPTH: u32 = 8;

/// Who learns of revocations among leases upon the same first one.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) changed: Event,
    pub(crate) observers: Observers,
}

/// What revokes a handle.
#[derive(Debug)]
pub struct Lease {
    header: Header,
    outer: Option<Ref<Lease>>,
    depth: u32,
    revoked: AtomicBool,
    signals: SignalState,
    family: Family,
}

impl Lease {
    /// A lease for what is made from a handle that is itself under `outer`.
    ///
    /// # Errors
    /// [`Error::Revoked`] if that is revoked, [`Error::LimitReached`] at [`MAX_DEPTH`], [`Error::NoMemory`].
    pub fn new(job: &Ref<Job>, outer: Option<&Ref<Self>>) -> Result<Ref<Self>, Error> {
        let depth = outer.map_or(0, |outer| outer.depth + 1);
        if depth >= MAX_DEPTH {
            return Err(Error::LimitReached);
        }
        if outer.is_some_and(|outer| outer.is_revoked()) {
            return Err(Error::Revoked);
        }
        let header = Header::new(ObjectType::Lease, job, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self {
            header,
            outer: outer.cloned(),
            depth,
            revoked: AtomicBool::new(false),
            signals: SignalState::new(Signals::empty()),
            family: Family::default(),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// [`Signals::REVOKED`] once it was revoked itself.
    pub fn signals(&self) -> &SignalState {
        &self.signals
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        core::iter::successors(Some(self), |lease| lease.outer.as_deref())
    }

    /// Whether it or one around it was revoked.
    #[must_use]
    #[inline]
    pub fn is_revoked(&self) -> bool {
        self.chain()
            .any(|lease| lease.revoked.load(Ordering::SeqCst))
    }

    /// Whether this is one of the leases that `lease` hangs on, itself included: whose mappings go when this is revoked.
    #[must_use]
    pub fn covers(&self, lease: &Self) -> bool {
        lease.chain().any(|outer| core::ptr::eq(outer, self))
    }

    pub(crate) fn family(&self) -> &Family {
        let mut outermost = self;
        while let Some(outer) = &outermost.outer {
            outermost = outer;
        }
        &outermost.family
    }

    /// Who stays informed of revocations, by [`Signals::REVOKED`], of this lease and all upon the same first one.
    pub fn observers(&self) -> &Observers {
        &self.family().observers
    }

    /// Takes back at once what was leased. What waits through it ends with [`Error::Revoked`] when it is polled next, which this causes.
    pub fn revoke(&self) {
        if self.revoked.swap(true, Ordering::SeqCst) {
            return;
        }
        let family = self.family();
        family.changed.tell();
        family.observers.wake(Signals::REVOKED);
        self.signals.set(Signals::REVOKED);
    }

    /// Waits for the revocation of it or one around it. It can only end well.
    pub fn revoked(&self) -> impl Future<Output = Result<(), Error>> {
        let look = move || self.is_revoked().then_some(Ok(()));
        self.family().changed.until(None, look)
    }
}
