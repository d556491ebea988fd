//! What a handle stands for: an object, and what may be done with it.
//!
//! A [`Capability`] is one handle's worth, in a table or in a message; it counts in the object's [`Header`](crate::object::Header). An [`Entry`] is a
//! copy for using the object during a system call; it counts nowhere. Every way from one capability to another is in this file, and none adds a right or drops a lease.

use core::fmt;

use abi::{Error, ObjectType, Rights, Signals};

use crate::{lease::Lease, object::KernelObject, refs::Ref};

/// An object and what may be done with it.
#[derive(Clone)]
pub struct Entry<O> {
    object: O,
    rights: Rights,
    badge: u32,
    lease: Option<Ref<Lease>>,
}

impl<O: KernelObject> Entry<O> {
    /// The object.
    #[inline]
    pub fn object(&self) -> &O {
        &self.object
    }

    /// The object.
    pub fn into_object(self) -> O {
        self.object
    }

    /// What may be done.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// What calls through it arrive with at an endpoint; 0 unless minted.
    pub fn badge(&self) -> u32 {
        self.badge
    }

    /// What it can be revoked by.
    pub fn lease(&self) -> Option<&Ref<Lease>> {
        self.lease.as_ref()
    }

    /// The object's type.
    pub fn object_type(&self) -> ObjectType {
        self.object.header().object_type()
    }

    /// Checks that it is good and allows all of these.
    ///
    /// # Errors
    /// [`Error::Revoked`], [`Error::NoRight`].
    #[inline]
    pub fn require(&self, rights: Rights) -> Result<(), Error> {
        if self.lease.as_ref().is_some_and(|lease| lease.is_revoked()) {
            return Err(Error::Revoked);
        }
        if !self.rights.contains(rights) {
            return Err(Error::NoRight);
        }
        Ok(())
    }

    /// Another one with these of its rights.
    ///
    /// # Errors
    /// [`Error::Revoked`]; [`Error::NoRight`] if it may not be duplicated or lacks one of them; [`Error::BadHandle`] if its last
    /// handle was closed meanwhile.
    pub fn duplicate(&self, rights: Rights) -> Result<Capability<O>, Error> {
        self.require(rights | Rights::DUPLICATE)?;
        self.derive(rights, self.badge, self.lease.clone())
    }

    /// Another one with these of its rights, that the lease revokes. The lease is one upon this entry's ([`Lease::new`]).
    ///
    /// # Errors
    /// As for [`Entry::duplicate`]; [`Error::BadArgument`] if the lease is not upon this entry's.
    pub fn lease_out(&self, rights: Rights, lease: &Ref<Lease>) -> Result<Capability<O>, Error> {
        self.require(rights | Rights::DUPLICATE)?;
        if self.lease.as_ref().is_some_and(|own| !own.covers(lease)) {
            return Err(Error::BadArgument);
        }
        self.derive(rights, self.badge, Some(lease.clone()))
    }

    /// Another one whose calls arrive with this badge.
    ///
    /// # Errors
    /// [`Error::WrongType`] unless it is an endpoint's; [`Error::Revoked`]; [`Error::NoRight`] if it may not receive or lacks one of the
    /// rights; [`Error::BadHandle`] if its last handle was closed meanwhile.
    pub fn mint(&self, badge: u32, rights: Rights) -> Result<Capability<O>, Error> {
        if self.object_type() != ObjectType::Endpoint {
            return Err(Error::WrongType);
        }
        self.require(rights | Rights::RECEIVE)?;
        self.derive(rights, badge, self.lease.clone())
    }

    /// One for another object that this one leads to: with those of its rights that the other has, revoked with it.
    ///
    /// # Errors
    /// [`Error::Revoked`]; [`Error::BadHandle`] if the other's last handle was closed.
    pub fn lead_to(&self, object: O) -> Result<Capability<O>, Error> {
        self.require(Rights::empty())?;
        let rights = self.rights & Rights::of_new(object.header().object_type());
        Capability::count(Self {
            object,
            rights,
            badge: 0,
            lease: self.lease.clone(),
        })
    }

    fn derive(
        &self,
        rights: Rights,
        badge: u32,
        lease: Option<Ref<Lease>>,
    ) -> Result<Capability<O>, Error> {
        Capability::count(Self {
            object: self.object.clone(),
            rights,
            badge,
            lease,
        })
    }
}

impl<O: KernelObject> fmt::Debug for Entry<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("type", &self.object_type())
            .field("id", &self.object.header().id())
            .field("rights", &self.rights)
            .field("badge", &self.badge)
            .field("leased", &self.lease.is_some())
            .finish()
    }
}

/// One handle's worth of an object. Dropping it is closing the handle.
pub struct Capability<O: KernelObject>(Entry<O>);

impl<O: KernelObject> Capability<O> {
    /// The first one to a new object, with all rights of its type.
    ///
    /// # Errors
    /// [`Error::BadHandle`] if the object's last handle was closed already.
    pub fn new(object: O) -> Result<Self, Error> {
        let rights = Rights::of_new(object.header().object_type());
        Self::with_rights(object, rights)
    }

    /// One with these rights, for objects that the kernel hands out by itself.
    ///
    /// # Errors
    /// [`Error::BadHandle`] if the object's last handle was closed already.
    pub fn with_rights(object: O, rights: Rights) -> Result<Self, Error> {
        Self::count(Entry {
            object,
            rights,
            badge: 0,
            lease: None,
        })
    }

    fn count(entry: Entry<O>) -> Result<Self, Error> {
        entry.object.header().open()?;
        entry.object.handle_opened(entry.rights);
        Ok(Self(entry))
    }

    /// What it says.
    pub fn entry(&self) -> &Entry<O> {
        &self.0
    }

    /// Takes all other rights away.
    ///
    /// # Errors
    /// [`Error::NoRight`] if it lacks one of them: nothing changed.
    pub fn restrict(&mut self, rights: Rights) -> Result<(), Error> {
        if !self.0.rights.contains(rights) {
            return Err(Error::NoRight);
        }
        let before = core::mem::replace(&mut self.0.rights, rights);
        self.0.object.handle_opened(rights);
        self.0.object.handle_closed(before);
        Ok(())
    }
}

impl<O: KernelObject> Drop for Capability<O> {
    fn drop(&mut self) {
        self.0.object.handle_closed(self.0.rights);
        if self.0.object.header().close() {
            self.0.object.last_handle_closed();
            if let Some(signals) = self.0.object.signals() {
                // Bindings end with the last handle; each finds out by itself.
                signals.observers().wake(Signals::all());
            }
        }
    }
}

impl<O: KernelObject> fmt::Debug for Capability<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
