//! Binding an object to a port.

use abi::{Error, ObjectType, Rights, Signals};
use spin::Mutex;

use super::{
    MAX_BINDINGS, Port,
    item::{Binding, BindingState, Content, Item},
};
use crate::{
    capability::Entry,
    job::Job,
    object::KernelObject,
    observers::OBSERVER_BYTES,
    refs::{Ref, Wakeable},
};

impl<O: KernelObject> Ref<Port<O>> {
    /// Brings a packet with this key whenever one of the signals becomes set; the calls of an endpoint that is bound for being readable, with
    /// the key's lower half. Charged to `job`.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for no signals, or a key of more than 32 bits for calls; [`Error::WrongType`] for what has no signals, and for ports;
    /// [`Error::NoRight`] without [`Rights::WAIT`], for calls [`Rights::RECEIVE`]; [`Error::Revoked`]; [`Error::BadState`] if the object is bound to this port, or the
    /// endpoint to any; [`Error::LimitReached`] at [`MAX_BINDINGS`] or [`MAX_OBSERVERS`](crate::observers::MAX_OBSERVERS); [`Error::NoMemory`];
    /// [`Error::PeerClosed`] once the port is closed.
    pub fn bind(
        &self,
        job: &Ref<Job>,
        entry: &Entry<O>,
        mask: Signals,
        key: u64,
    ) -> Result<(), Error> {
        let target = entry.object();
        if mask.is_empty() {
            return Err(Error::BadArgument);
        }
        if target.signals().is_none() || entry.object_type() == ObjectType::Port {
            return Err(Error::WrongType);
        }
        let endpoint = target
            .endpoint()
            .filter(|_| mask.contains(Signals::READABLE));
        entry.require(if endpoint.is_some() {
            Rights::RECEIVE
        } else {
            Rights::WAIT
        })?;
        let call_key = match endpoint {
            Some(_) => u32::try_from(key).map_err(|_| Error::BadArgument)?,
            None => 0,
        };
        let object_id = target.header().id();
        let item = {
            let bytes = Ref::<Item<O>>::BYTES + 2 * OBSERVER_BYTES;
            let binding = Binding {
                port: self.downgrade(),
                object_id,
                key,
                mask,
                calls: endpoint.is_some(),
                lease: entry.lease().cloned(),
                state: Mutex::new(BindingState::new(target)),
            };
            Item::create(Content::Binding(binding), job.charge_kernel(bytes)?)?
        };
        {
            let mut state = self.state.lock();
            if state.closed {
                return Err(Error::PeerClosed);
            }
            let Err(place) = state
                .bindings
                .0
                .binary_search_by_key(&object_id, |(id, _)| *id)
            else {
                return Err(Error::BadState);
            };
            state
                .bindings
                .0
                .make_room(MAX_BINDINGS, Error::LimitReached)?;
            state.bindings.0.insert(place, (object_id, item.clone()));
        }
        let Some(binding) = item.binding() else {
            return Err(Error::BadState);
        };
        let bound = match endpoint {
            Some(endpoint) => endpoint.bind(self, call_key, entry.lease()),
            None => Ok(()),
        };
        if let Err(error) = bound.and_then(|()| binding.observe(&item, target)) {
            self.forget(&item);
            binding.end_at(Some(target));
            return Err(error);
        }
        if binding.state.lock().ended {
            // Unbound on another core while it was being made.
            binding.end_at(Some(target));
            return Ok(());
        }
        Wakeable::wake(&item);
        Ok(())
    }
}
