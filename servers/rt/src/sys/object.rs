//! Handles as owned values: dropped, they are closed; typed, they are only used for what their object can do.

use core::marker::PhantomData;
use core::mem::{ManuallyDrop, forget};
use core::num::NonZeroU64;
use core::ops::Deref;

use abi::handle::HandleInfo;
use abi::{Call, Error, Handle, ObjectType, Rights, Signals};
use zerocopy::{FromZeros, IntoBytes};

use super::gate;

/// A handle of this process, of any type. Closed when dropped.
#[derive(Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Owned(NonZeroU64);

impl Owned {
    /// Takes charge of a handle the kernel gave out. `None` for [`Handle::NONE`].
    ///
    /// A number that is no handle, or that something else closes too, harms no memory: the calls made with it answer
    /// [`Error::BadHandle`].
    #[must_use]
    #[inline]
    pub const fn from_raw(handle: Handle) -> Option<Self> {
        match NonZeroU64::new(handle.0) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// From the result of a call that makes a handle.
    pub(super) fn from_result(raw: u64) -> Result<Self, Error> {
        Self::from_raw(Handle(raw)).ok_or(Error::BadHandle)
    }

    /// The number, still owned by this.
    #[must_use]
    #[inline]
    pub const fn handle(&self) -> Handle {
        Handle(self.0.get())
    }

    /// The number, to be closed or sent by the caller.
    #[must_use]
    #[inline]
    pub const fn into_raw(self) -> Handle {
        let handle = self.handle();
        forget(self);
        handle
    }

    /// As a handle for an object of type `T`, unless it is known to be none. A handle that may not be inspected is taken for one:
    /// if it is not, calls with it answer [`Error::WrongType`].
    ///
    /// # Errors
    /// The handle itself, if it is of another type or was revoked.
    pub fn cast<T: Object>(self) -> Result<T, Self> {
        match info(self.handle()) {
            Ok(info) if info.object_type == T::TYPE as u32 => Ok(T::from_owned(self)),
            Err(Error::NoRight) => Ok(T::from_owned(self)),
            _ => Err(self),
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: closing a handle touches no memory of this process: mappings keep what they map.
        // A handle that is closed already is no harm, and nobody could be told.
        unsafe { gate::call(Call::HandleClose, [self.0.get()]) };
    }
}

/// A typed handle.
pub trait Object: Sized {
    /// The type of its object.
    const TYPE: ObjectType;

    /// Its number, still owned by this.
    fn handle(&self) -> Handle;
    /// As a handle of this type, without asking the kernel: calls answer [`Error::WrongType`] if it is not.
    fn from_owned(owned: Owned) -> Self;
    /// As a handle of any type.
    fn into_owned(self) -> Owned;

    /// What it is for and what it allows.
    ///
    /// # Errors
    /// If it was revoked.
    fn info(&self) -> Result<HandleInfo, Error> {
        info(self.handle())
    }

    /// Another handle to the object with `rights`, which must be among this one's.
    ///
    /// # Errors
    /// [`Error::NoRight`] without [`Rights::DUPLICATE`] or for more rights than this has; the job's limit.
    fn duplicate(&self, rights: Rights) -> Result<Self, Error> {
        duplicate(self.handle(), rights).map(Self::from_owned)
    }

    /// A handle that can be taken back, and what takes it back.
    ///
    /// # Errors
    /// As [`duplicate`](Object::duplicate).
    fn lease(&self, rights: Rights) -> Result<(Self, Lease), Error> {
        // SAFETY: makes handles.
        let (rax, rdx) = unsafe {
            gate::call(
                Call::LeaseCreate,
                [self.handle().0, u64::from(rights.bits())],
            )
        };
        let leased = Owned::from_result(Error::check(rax)?)?;
        let lease = Lease::from_owned(Owned::from_result(rdx)?);
        Ok((Self::from_owned(leased), lease))
    }

    /// Waits, with the whole thread, until one of `signals` is set; which are.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Revoked`], or [`Error::NoRight`] without [`Rights::WAIT`].
    fn wait_blocking(&self, signals: Signals, deadline_ns: u64) -> Result<Signals, Error> {
        // SAFETY: touches no memory.
        let (rax, _) = unsafe {
            gate::call(
                Call::Wait,
                [self.handle().0, u64::from(signals.bits()), deadline_ns],
            )
        };
        Ok(Signals::from_bits_truncate(Error::check(rax)? as u32))
    }

    /// This handle's use for the length of a borrow, for functions that take a handle by reference.
    fn borrowed(&self) -> Borrowed<'_, Self> {
        Borrowed::new(self.handle())
    }
}

/// A typed handle that somebody else closes.
#[derive(Debug)]
pub struct Borrowed<'a, T: Object> {
    object: ManuallyDrop<T>,
    owner: PhantomData<&'a T>,
}

impl<T: Object> Borrowed<'_, T> {
    /// A borrow of a handle that stays open for at least as long. [`Handle::NONE`] gives a handle that no call accepts.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        let owned = Owned(NonZeroU64::new(handle.0).unwrap_or(NonZeroU64::MAX));
        Self {
            object: ManuallyDrop::new(T::from_owned(owned)),
            owner: PhantomData,
        }
    }
}

impl<T: Object> Deref for Borrowed<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.object
    }
}

/// [`Object::info`] of any handle.
///
/// # Errors
/// [`Error::BadHandle`], [`Error::Revoked`].
pub fn info(handle: Handle) -> Result<HandleInfo, Error> {
    let mut info = HandleInfo::new_zeroed();
    // SAFETY: the kernel fills `info`, whose layout both sides share.
    let (rax, _) = unsafe {
        gate::call(
            Call::HandleInfo,
            [handle.0, info.as_mut_bytes().as_mut_ptr() as u64],
        )
    };
    Error::check(rax)?;
    Ok(info)
}

/// [`Object::duplicate`] of any handle.
///
/// # Errors
/// See there.
pub fn duplicate(handle: Handle, rights: Rights) -> Result<Owned, Error> {
    // SAFETY: makes a handle.
    let (rax, _) =
        unsafe { gate::call(Call::HandleDuplicate, [handle.0, u64::from(rights.bits())]) };
    Owned::from_result(Error::check(rax)?)
}

/// Closes a handle by number, for tests of closed handles; owned ones close themselves.
///
/// # Errors
/// [`Error::BadHandle`].
pub fn close(handle: Handle) -> Result<(), Error> {
    // SAFETY: as in `Owned::drop`.
    let (rax, _) = unsafe { gate::call(Call::HandleClose, [handle.0]) };
    Error::check(rax).map(drop)
}

macro_rules! objects {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name(Owned);

        impl Object for $name {
            const TYPE: ObjectType = ObjectType::$name;
            #[inline]
            fn handle(&self) -> Handle {
                self.0.handle()
            }
            #[inline]
            fn from_owned(owned: Owned) -> Self {
                Self(owned)
            }
            #[inline]
            fn into_owned(self) -> Owned {
                self.0
            }
        }

        impl From<$name> for Owned {
            #[inline]
            fn from(object: $name) -> Self {
                object.0
            }
        }
    )+};
}

objects! {
    /// An address space, a handle table, and threads.
    Process;
    /// Something that runs.
    Thread;
    /// Memory, in pages.
    Vmo;
    /// Who brings a vmo's pages.
    Pager;
    /// One end of a queue of messages, both ways.
    Channel;
    /// Where calls arrive.
    Endpoint;
    /// Bits that are set and taken.
    Notification;
    /// A queue of packets about other objects.
    Port;
    /// Fires at a time.
    Timer;
    /// A device's interrupt.
    Interrupt;
    /// A device on a bus.
    Device;
    /// The right to give a device physical addresses.
    Dma;
    /// A range of I/O ports.
    IoRange;
    /// Processor time.
    Reservation;
    /// Limits, and the processes under them.
    Job;
    /// What revokes a handle.
    Lease;
    /// The kernel's log.
    Log;
    /// Tables of the whole system, and its power switch.
    System;
}

impl Lease {
    /// Takes the leased handle back, with all that was made from it, at once.
    ///
    /// # Errors
    /// [`Error::NoRight`] without [`Rights::MANAGE`].
    pub fn revoke(&self) -> Result<(), Error> {
        // SAFETY: what it unmaps from this process was mapped through a leased handle; see `sys::memory::Mapping`.
        let (rax, _) = unsafe { gate::call(Call::LeaseRevoke, [self.handle().0]) };
        Error::check(rax).map(drop)
    }
}
