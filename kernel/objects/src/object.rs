//! What all kernel objects have: a number, a count of handles, a charge, and a place in the global counts.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use abi::{Error, ObjectType, Rights};

use crate::{
    channel::Channel,
    endpoint::Endpoint,
    graveyard::Graveyard,
    job::{Charge, Job},
    refs::Ref,
    signals::SignalState,
};

/// The kernel's enum of all objects, each a [`Ref`].
///
/// Cloning one keeps the object's memory, not its life: that hangs on its handles ([`Header`]). When the last one is closed,
/// [`last_handle_closed`](Self::last_handle_closed) ends what the object did for others.
pub trait KernelObject: Clone + Send + Sync + 'static {
    /// Knows an object without keeping its memory: an enum of [`WeakRef`](crate::refs::WeakRef)s.
    type Weak: Clone + Send + Sync + 'static;
    /// Who calls endpoints: a thread.
    type Caller: crate::endpoint::Caller;
    /// Who waits at endpoints and ports: a thread.
    type Receiver: crate::endpoint::Receiver<Caller = Self::Caller>;
    /// What may answer calls of an endpoint where they are made, if its server has put it there. Cloning is cheap.
    type Handler: Clone + Send + Sync + 'static;

    /// What every object has.
    fn header(&self) -> &Header;
    /// What can be waited for; `None` if nothing can.
    fn signals(&self) -> Option<&SignalState>;
    /// Knows it without keeping it.
    fn downgrade(&self) -> Self::Weak;
    /// The object, if its memory is still there.
    fn upgrade(weak: &Self::Weak) -> Option<Self>;
    /// The end of a channel, if it is one.
    fn channel(&self) -> Option<&Ref<Channel<Self>>>;
    /// The endpoint, if it is one.
    fn endpoint(&self) -> Option<&Ref<Endpoint<Self>>>;
    /// A handle with these rights came into being. Endpoints count those with [`Rights::RECEIVE`]
    /// ([`Endpoint::handle_opened`](crate::endpoint::Endpoint::handle_opened)); the others have nothing to do.
    fn handle_opened(&self, rights: Rights);
    /// A handle with these rights is gone; the opposite of the above. Called under no lock.
    fn handle_closed(&self, rights: Rights);
    /// The last handle is gone and there will be no other one. Called once at most, under no lock: closes channels, ports,
    /// endpoints ...; must do bounded work.
    fn last_handle_closed(&self);
    /// Where objects' contents go that are too much to drop at once.
    fn graveyard() -> &'static Graveyard<Self>;
}

const TYPES: usize = 32;
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static COUNTS: [AtomicUsize; TYPES] = [const { AtomicUsize::new(0) }; TYPES];

/// How many objects of a type exist now, in the whole system: for leak tests and listings.
#[must_use]
pub fn count(object: ObjectType) -> usize {
    COUNTS[object as usize % TYPES].load(Ordering::Relaxed)
}

/// How many objects of each type exist now.
pub fn counts() -> impl Iterator<Item = (ObjectType, usize)> {
    ObjectType::ALL
        .iter()
        .map(|&object| (object, count(object)))
}

/// In the handle count: the last one was closed.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// What every object has; made first, as it charges for the object.
#[derive(Debug)]
pub struct Header {
    id: u64,
    object: ObjectType,
    handles: AtomicUsize,
    charge: Charge,
}

impl Header {
    /// The header of an object that will take so many bytes of kernel memory ([`Ref::BYTES`] and what else it allocates at
    /// once), charged to `job`.
    ///
    /// # Errors
    /// [`Error::NoMemory`] if the job may not have that much.
    pub fn new(object: ObjectType, job: &Ref<Job>, kernel_bytes: u64) -> Result<Self, Error> {
        let charge = job.charge_kernel(kernel_bytes)?;
        Ok(Self::charged(object, charge))
    }

    pub(crate) fn charged(object: ObjectType, charge: Charge) -> Self {
        COUNTS[object as usize % TYPES].fetch_add(1, Ordering::Relaxed);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            object,
            handles: AtomicUsize::new(0),
            charge,
        }
    }

    /// The object's number, never used again.
    #[must_use]
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its type.
    #[must_use]
    #[inline]
    pub fn object_type(&self) -> ObjectType {
        self.object
    }

    /// Who pays for it.
    #[must_use]
    pub fn job(&self) -> Option<&Ref<Job>> {
        self.charge.job()
    }

    /// How many handles there are, in tables and messages.
    #[must_use]
    pub fn handles(&self) -> usize {
        self.handles.load(Ordering::Relaxed) & !CLOSED
    }

    /// Whether the last handle was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handles.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Counts one more handle, unless the last was closed already: what is closed stays closed.
    #[inline]
    pub(crate) fn open(&self) -> Result<(), Error> {
        self.handles
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |count| {
                (count & CLOSED == 0).then_some(count + 1)
            })
            .map(drop)
            .map_err(|_| Error::BadHandle)
    }

    /// Counts one handle less; `true` if it was the last.
    #[inline]
    pub(crate) fn close(&self) -> bool {
        let before = self
            .handles
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |count| {
                Some(if count == 1 { CLOSED } else { count - 1 })
            });
        before == Ok(1)
    }
}

impl Drop for Header {
    fn drop(&mut self) {
        COUNTS[self.object as usize % TYPES].fetch_sub(1, Ordering::Relaxed);
    }
}
