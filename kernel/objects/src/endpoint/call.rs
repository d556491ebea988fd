//! A call from its beginning to its answer, as its caller and its receiver see it.

use abi::Error;

use super::{CallId, CallSlot, Endpoint, Ticket, Token};
use crate::{lease::Lease, object::KernelObject};

/// What a receiver learns of a call beside its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Of the port's binding; 0 if received at the endpoint itself.
    pub key: u32,
    /// Of the handle that was called.
    pub badge: u32,
    /// To answer by.
    pub token: Token,
}

/// A call that was received.
#[derive(Debug)]
pub struct Arrival<C> {
    /// About the call.
    pub delivery: Delivery,
    /// Whose words to read.
    pub caller: C,
}

/// A receiver that was parked and now has the call: run it or wake it, it does not wake by itself.
#[derive(Debug)]
#[must_use = "nobody else will wake the receiver"]
pub struct Handed<R> {
    /// Who receives.
    pub receiver: R,
    /// What to tell it.
    pub delivery: Delivery,
}

/// What calling did.
#[must_use = "dropping it gives the call up"]
pub struct Called<'a, O: KernelObject> {
    /// Ends with the answer.
    pub in_flight: InFlight<'a, O>,
    /// The receiver that was parked for it; if none was, the call waits.
    pub handed: Option<Handed<O::Receiver>>,
}

/// What receiving did.
#[derive(Debug)]
pub enum Receive<C> {
    /// A call was waiting.
    Call(Arrival<C>),
    /// None was: the receiver is parked, until a caller hands it a call or it is woken to look again. To leave before,
    /// it must be [unparked](Endpoint::unpark).
    Parked(Ticket),
}

/// A call under way. Dropping it gives the call up.
#[must_use = "dropping it gives the call up"]
pub struct InFlight<'a, O: KernelObject> {
    pub(super) endpoint: &'a Endpoint<O>,
    pub(super) slot: &'a CallSlot,
    pub(super) id: CallId,
    /// Where it waits to be received, if it did not go straight to a receiver.
    pub(super) place: Option<(u64, u64)>,
}

impl<O: KernelObject> InFlight<'_, O> {
    /// The answer, if it has come.
    #[inline]
    pub fn try_answer(&self) -> Option<Result<(), Error>> {
        self.slot.answer(self.id)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Those the server's end brings: [`Error::PeerClosed`]; [`Error::Revoked`] as soon as the lease is.
    pub fn answered<'a>(
        &'a self,
        lease: Option<&'a Lease>,
    ) -> impl Future<Output = Result<(), Error>> + 'a {
        self.slot.answered(self.id, lease)
    }
}

/// What a call under way is found again by, by whoever keeps its endpoint and its caller's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    id: CallId,
    place: Option<(u64, u64)>,
}

impl CallRecord {
    pub(super) fn new(id: CallId, place: Option<(u64, u64)>) -> Self {
        Self { id, place }
    }
}

/// What [starting](Endpoint::start) a call did. The call goes on by itself; whoever has the record takes it up again to end it.
#[must_use = "the call goes on"]
pub struct Started<O: KernelObject> {
    /// Which call.
    pub record: CallRecord,
    /// As in [`Called`].
    pub handed: Option<Handed<O::Receiver>>,
}

impl<O: KernelObject> Endpoint<O> {
    /// Takes up a call that was [started](Endpoint::start), at this endpoint and by this caller.
    #[inline]
    pub fn resume<'a>(&'a self, slot: &'a CallSlot, record: CallRecord) -> InFlight<'a, O> {
        InFlight {
            endpoint: self,
            slot,
            id: record.id,
            place: record.place,
        }
    }
}

impl<O: KernelObject> Drop for InFlight<'_, O> {
    #[inline]
    fn drop(&mut self) {
        if self.slot.answer(self.id).is_none()
            && self.slot.cancel(self.id)
            && let Some(place) = self.place
        {
            self.endpoint.withdraw(place);
        }
    }
}

impl<O: KernelObject> core::fmt::Debug for Called<'_, O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Called")
            .field("in_flight", &self.in_flight)
            .field("handed", &self.handed.is_some())
            .finish()
    }
}

impl<O: KernelObject> core::fmt::Debug for InFlight<'_, O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("InFlight").field(&self.id).finish()
    }
}
