//! Handles on their way out of a table.

use alloc::vec::Vec;

use abi::{Error, Handle, Rights, message::MAX_HANDLES};

use super::{HandleTable, Held, number};
use crate::{capability::Capability, job::Charge, object::KernelObject, slots::Number};

/// Handles that were taken out of a table to be sent. Until they are [committed](Taken::commit), dropping it puts them back under
/// the same numbers; meanwhile, these are no handles to anybody.
#[must_use = "dropping it puts the handles back"]
pub struct Taken<'a, O: KernelObject> {
    table: &'a HandleTable<O>,
    taken: Vec<(Number, Capability<O>)>,
}

impl<O: KernelObject> HandleTable<O> {
    /// Takes handles out to send them; all or none.
    ///
    /// # Errors
    /// [`Error::BadArgument`] for more than [`MAX_HANDLES`]; [`Error::BadHandle`], also for one that is given twice;
    /// [`Error::Revoked`]; [`Error::NoRight`] if one lacks [`Rights::TRANSFER`]; [`Error::NoMemory`].
    pub fn take(&self, handles: &[Handle]) -> Result<Taken<'_, O>, Error> {
        if handles.len() > MAX_HANDLES {
            return Err(Error::BadArgument);
        }
        let mut taken = Taken {
            table: self,
            taken: Vec::new(),
        };
        taken
            .taken
            .try_reserve_exact(handles.len())
            .map_err(|_| Error::NoMemory)?;
        for &handle in handles {
            let number = number(handle)?;
            let mut places = self.places.lock();
            let held = places.get_mut(number).ok_or(Error::BadHandle)?;
            let Held::Here(capability) = held else {
                return Err(Error::BadHandle);
            };
            capability.entry().require(Rights::TRANSFER)?;
            let Held::Here(capability) = core::mem::replace(held, Held::Away) else {
                return Err(Error::BadHandle);
            };
            taken.taken.push((number, capability));
            self.changed();
        }
        Ok(taken)
    }
}

impl<O: KernelObject> Taken<'_, O> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// What they are for.
    pub fn capabilities(&self) -> impl Iterator<Item = &Capability<O>> {
        self.taken.iter().map(|(_, capability)| capability)
    }

    /// They leave for good, into `to`, which has room for them; so does the charge for them.
    ///
    /// # Errors
    /// [`Error::NoMemory`] if `to` has no room: nothing happened, and they are put back.
    pub fn commit(mut self, to: &mut Vec<Capability<O>>) -> Result<Charge, Error> {
        if to.capacity() - to.len() < self.taken.len() {
            return Err(Error::NoMemory);
        }
        let charge = self.table.charge.lock().split(self.taken.len() as u64);
        for (number, capability) in self.taken.drain(..) {
            let away = self.table.places.lock().take(number);
            drop(away);
            to.push(capability);
        }
        Ok(charge)
    }
}

impl<O: KernelObject> Drop for Taken<'_, O> {
    fn drop(&mut self) {
        for (number, capability) in self.taken.drain(..) {
            let mut closed = None;
            {
                let mut places = self.table.places.lock();
                if places.is_closed() {
                    closed = Some((places.take(number), capability));
                } else if let Some(held) = places.get_mut(number) {
                    *held = Held::Here(capability);
                } else {
                    closed = Some((None, capability));
                }
            }
            if let Some(closed) = closed {
                self.table.give_back(1);
                drop(closed);
            }
        }
    }
}

impl<O: KernelObject> core::fmt::Debug for Taken<'_, O> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.capabilities()).finish()
    }
}
