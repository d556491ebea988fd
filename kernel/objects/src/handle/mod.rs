//! Handle tables: a process's names for what it may use.
//!
//! A [`Handle`] is a place and its generation, so a number that was closed never comes to mean another object. The table checks what every use asks for: that
//! the handle is current, its lease alive, its type and rights enough. Handles and memory are charged to the job the table was made with.
//!
//! * [`HandleTable::get`] gives an [`Entry`] for the length of a system call.
//! * [`HandleTable::reserve`] promises places before anything is done that cannot be undone; [`Room::install`] cannot fail.
//! * [`HandleTable::take`] takes handles out to send them ([`Taken`]): all or none, and back under the same numbers unless
//!   [committed](Taken::commit).
//!
//! The lock is held for one place at a time, for at most 16 when handles are taken, and never while a capability is dropped.

mod taken;

use alloc::{boxed::Box, vec::Vec};
use core::mem;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::{Error, Handle, ObjectType, Rights};
use spin::Mutex;

pub use taken::Taken;

use crate::{
    capability::{Capability, Entry},
    graveyard::{Contents, Grave, Progress},
    job::{Charge, Job},
    lease::Lease,
    object::KernelObject,
    refs::Ref,
    slots::{self, Number, Slots},
};

/// What lies in a place.
#[derive(Debug)]
pub(crate) enum Held<O: KernelObject> {
    Here(Capability<O>),
    /// Taken out to be sent; the number is kept for it.
    Away,
}

pub(crate) type Places<O> = Slots<Held<O>>;

/// A row of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The handle.
    pub handle: Handle,
    /// Number of the object.
    pub object_id: u64,
    /// Its type.
    pub object_type: ObjectType,
    /// What the handle allows.
    pub rights: Rights,
    /// Badge of an endpoint's handle.
    pub badge: u32,
    /// Whether somebody can revoke it, or has.
    pub leased: bool,
}

/// What [`HandleTable::pick`] took.
#[derive(Debug)]
pub struct Picked<T> {
    /// Of the object.
    pub object: T,
    /// What calls through the handle arrive with at an endpoint.
    pub badge: u32,
    /// What the handle can be revoked by.
    pub lease: Option<Ref<Lease>>,
}

/// The handles of a process.
pub struct HandleTable<O: KernelObject> {
    job: Ref<Job>,
    places: Mutex<Places<O>>,
    /// For as many handles as lie in places or are promised.
    charge: Mutex<Charge>,
    grave: Option<Box<Grave<O>>>,
    /// How often a handle stopped meaning what it meant.
    changes: AtomicU64,
}

fn number(handle: Handle) -> Result<Number, Error> {
    let (index, generation) = handle.parts().ok_or(Error::BadHandle)?;
    Ok(Number { index, generation })
}

fn handle(number: Number) -> Handle {
    Handle::new(number.index, number.generation)
}

impl<O: KernelObject> HandleTable<O> {
    /// An empty table. Its first places are made when they are needed.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(job: &Ref<Job>) -> Result<Self, Error> {
        Ok(Self {
            job: job.clone(),
            places: Mutex::new(Slots::default()),
            charge: Mutex::new(job.charge_handles(0)?),
            grave: Some(Grave::new(job)?),
            changes: AtomicU64::new(0),
        })
    }

    /// A number that changes whenever a handle is closed or leaves: what was found out about one that no lease can revoke, after this was
    /// asked, holds while it stays.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// After a handle was taken out.
    #[inline]
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Who pays.
    pub fn job(&self) -> &Ref<Job> {
        &self.job
    }

    /// How many handles there are.
    pub fn len(&self) -> usize {
        self.places.lock().used()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Promises so many places.
    ///
    /// # Errors
    /// [`Error::LimitReached`] or [`Error::NoMemory`] of the job; [`Error::Dying`] once closed.
    pub fn reserve(&self, count: usize) -> Result<Room<'_, O>, Error> {
        let charge = self.job.charge_handles(count as u64)?;
        slots::reserve(&self.places, &self.job, count)?;
        Ok(Room {
            table: self,
            left: count,
            charge,
        })
    }

    /// Puts one in.
    ///
    /// # Errors
    /// As for [`reserve`](Self::reserve), and the capability is dropped: to keep it, reserve first.
    pub fn insert(&self, capability: Capability<O>) -> Result<Handle, Error> {
        Ok(self.reserve(1)?.install(capability))
    }

    /// What a handle stands for.
    ///
    /// # Errors
    /// [`Error::BadHandle`], [`Error::Revoked`], [`Error::NoRight`].
    #[inline]
    pub fn get(&self, handle: Handle, rights: Rights) -> Result<Entry<O>, Error> {
        let entry = self.look(handle)?;
        entry.require(rights)?;
        Ok(entry)
    }

    /// As [`get`](Self::get), for an object of this type.
    ///
    /// # Errors
    /// These, and [`Error::WrongType`], which is looked at before the rights.
    #[inline]
    pub fn get_typed(
        &self,
        handle: Handle,
        object: ObjectType,
        rights: Rights,
    ) -> Result<Entry<O>, Error> {
        let entry = self.look(handle)?;
        if entry.object_type() != object {
            return Err(Error::WrongType);
        }
        entry.require(rights)?;
        Ok(entry)
    }

    /// What `pick` takes of the object that a handle stands for, and nothing else of its entry is copied but the badge and the lease.
    /// `pick` clones what it needs, and nothing more: it runs under the table's lock. `None` from it is the wrong type.
    ///
    /// # Errors
    /// As for [`get_typed`](Self::get_typed).
    #[inline]
    pub fn pick<T>(
        &self,
        handle: Handle,
        rights: Rights,
        pick: impl FnOnce(&O) -> Option<T>,
    ) -> Result<Picked<T>, Error> {
        let number = number(handle)?;
        let places = self.places.lock();
        let Some(Held::Here(capability)) = places.get(number) else {
            return Err(Error::BadHandle);
        };
        let entry = capability.entry();
        let object = pick(entry.object()).ok_or(Error::WrongType)?;
        entry.require(rights)?;
        Ok(Picked {
            object,
            badge: entry.badge(),
            lease: entry.lease().cloned(),
        })
    }

    /// What `pick` takes of the object of a handle with these rights that nobody can revoke, and its badge. `None` in all other cases, to be
    /// told apart by [`pick`](Self::pick). `pick` runs under the table's lock, as there.
    #[inline(always)]
    pub fn pick_own<T>(
        &self,
        handle: Handle,
        rights: Rights,
        pick: impl FnOnce(&O) -> Option<T>,
    ) -> Option<(T, u32)> {
        let number = number(handle).ok()?;
        let places = self.places.lock();
        let Some(Held::Here(capability)) = places.get(number) else {
            return None;
        };
        let entry = capability.entry();
        if entry.lease().is_some() || !entry.rights().contains(rights) {
            return None;
        }
        Some((pick(entry.object())?, entry.badge()))
    }

    fn look(&self, handle: Handle) -> Result<Entry<O>, Error> {
        let number = number(handle)?;
        match self.places.lock().get(number) {
            Some(Held::Here(capability)) => Ok(capability.entry().clone()),
            _ => Err(Error::BadHandle),
        }
    }

    /// Another handle with these of its rights.
    ///
    /// # Errors
    /// Those of [`get`](Self::get) with [`Rights::DUPLICATE`], of [`Entry::duplicate`] and of [`reserve`](Self::reserve).
    pub fn duplicate(&self, handle: Handle, rights: Rights) -> Result<Handle, Error> {
        let entry = self.get(handle, Rights::DUPLICATE)?;
        self.insert(entry.duplicate(rights)?)
    }

    /// Closes one; a revoked one too.
    ///
    /// # Errors
    /// [`Error::BadHandle`].
    pub fn close(&self, handle: Handle) -> Result<(), Error> {
        let number = number(handle)?;
        let taken = {
            let mut places = self.places.lock();
            match places.get(number) {
                Some(Held::Here(_)) => places.take(number),
                _ => None,
            }
        };
        let taken = taken.ok_or(Error::BadHandle)?;
        self.changed();
        self.give_back(1);
        drop(taken);
        Ok(())
    }

    /// Gives the job handles back.
    fn give_back(&self, count: u64) {
        let returned = self.charge.lock().split(count);
        drop(returned);
    }

    /// Ends the table: nothing gets in any more, and each call closes up to `most` handles.
    pub fn close_some(&self, most: usize) -> Progress {
        let here = |held: &Held<O>| matches!(held, Held::Here(_));
        slots::close_some(&self.places, most, here, |taken| {
            self.changed();
            self.give_back(1);
            drop(taken);
        })
    }

    /// Moves a handle into another table, with these of its rights.
    ///
    /// # Errors
    /// Those of [`take`](Self::take) and of [`reserve`](Self::reserve) there; [`Error::NoRight`] if it lacks one of the rights. The handle stays.
    pub fn give(&self, handle: Handle, rights: Rights, to: &Self) -> Result<Handle, Error> {
        let mut room = to.reserve(1)?;
        let taken = self.take(&[handle])?;
        if !taken
            .capabilities()
            .all(|capability| capability.entry().rights().contains(rights))
        {
            return Err(Error::NoRight);
        }
        let mut moved = Vec::new();
        moved.try_reserve_exact(1).map_err(|_| Error::NoMemory)?;
        let charge = taken.commit(&mut moved)?;
        let Some(mut capability) = moved.pop() else {
            return Err(Error::BadHandle);
        };
        capability.restrict(rights)?;
        let handle = room.install(capability);
        drop(charge);
        Ok(handle)
    }

    /// Takes over all handles of a table whose process has ended, under their numbers; nothing gets into that one any more. To be
    /// called before anybody uses this table. Numbers that were closed there mean nothing here either. Both tables must be charged
    /// to the same job.
    pub fn take_over(&self, from: &Self) {
        // Nobody takes handles out of an ended process's table, so none is away; what was promised there is refused when it comes.
        let (mut places, charge) = {
            let mut places = from.places.lock();
            let taken = mem::take(&mut *places);
            places.close();
            let mut charge = from.charge.lock();
            let all = charge.amount();
            (taken, charge.split(all))
        };
        from.changed();
        places.forget_promises();
        let merged = self.charge.lock().merge(charge);
        debug_assert!(merged.is_ok(), "the same job");
        let before = mem::replace(&mut *self.places.lock(), places);
        debug_assert_eq!(before.used(), 0);
    }

    /// The first handle at or after a place, of no more than 32 that are looked at, and the place to go on from; `None` at the end.
    pub fn list(&self, from: u32) -> Option<(u32, Option<Listed>)> {
        let places = self.places.lock();
        if from as usize >= places.places() {
            return None;
        }
        let Some((number, held)) = places.find_next(from, slots::CHUNK) else {
            return Some((from + slots::CHUNK as u32, None));
        };
        let listed = match held {
            Held::Here(capability) => {
                let entry = capability.entry();
                Some(Listed {
                    handle: handle(number),
                    object_id: entry.object().header().id(),
                    object_type: entry.object_type(),
                    rights: entry.rights(),
                    badge: entry.badge(),
                    leased: entry.lease().is_some(),
                })
            }
            Held::Away => None,
        };
        Some((number.index + 1, listed))
    }
}

impl<O: KernelObject> Drop for HandleTable<O> {
    fn drop(&mut self) {
        let mut places = mem::take(self.places.get_mut());
        if places.used() == 0 {
            return;
        }
        places.close();
        if let Some(grave) = self.grave.take() {
            grave.bury(Contents::Places(places));
        }
    }
}

impl<O: KernelObject> core::fmt::Debug for HandleTable<O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HandleTable")
            .field("len", &self.len())
            .finish()
    }
}

/// Places that were promised. What is not used of it is given back.
#[derive(Debug)]
#[must_use = "dropping it gives the places back"]
pub struct Room<'a, O: KernelObject> {
    table: &'a HandleTable<O>,
    left: usize,
    charge: Charge,
}

impl<O: KernelObject> Room<'_, O> {
    /// How many there still are.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// Puts one in. Beyond what was promised, or when the table was closed meanwhile, the capability is dropped, and the handle is
    /// one that never works.
    pub fn install(&mut self, capability: Capability<O>) -> Handle {
        if self.left == 0 {
            return Handle::NONE;
        }
        self.left -= 1;
        let charge = self.charge.split(1);
        // The charge goes first: who closes the handle gives it back.
        let kept = self.table.charge.lock().merge(charge);
        let put = self
            .table
            .places
            .lock()
            .put_reserved(Held::Here(capability));
        match put {
            Ok(number) => handle(number),
            Err(rejected) => {
                if kept.is_ok() {
                    self.table.give_back(1);
                }
                drop(rejected);
                Handle::NONE
            }
        }
    }
}

impl<O: KernelObject> Drop for Room<'_, O> {
    fn drop(&mut self) {
        if self.left > 0 {
            self.table.places.lock().unreserve(self.left);
        }
    }
}
