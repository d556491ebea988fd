//! Who belongs somewhere: known by number, but not kept.

use core::fmt;

use abi::Error;
use spin::Mutex;

use super::Job;
use crate::{
    charged::ChargedVec,
    refs::{Ref, WeakRef},
};

struct List<T> {
    /// By rising numbers.
    members: ChargedVec<(u64, WeakRef<T>)>,
    closed: bool,
}

/// Objects by their numbers, until they leave. None of them is kept by this.
pub struct Members<T>(Mutex<List<T>>);

impl<T> Members<T> {
    /// Nobody. Room for them is charged to `job`.
    ///
    /// # Errors
    /// None today: nothing is charged yet.
    pub fn new(job: &Ref<Job>) -> Result<Self, Error> {
        Ok(Self(Mutex::new(List {
            members: ChargedVec::new(job)?,
            closed: false,
        })))
    }

    /// One more, whose number no other one has.
    ///
    /// # Errors
    /// [`Error::Dying`] once it is [closed](Self::close), [`Error::NoMemory`].
    pub fn join(&self, number: u64, member: &Ref<T>) -> Result<(), Error> {
        let mut list = self.0.lock();
        if list.closed {
            return Err(Error::Dying);
        }
        list.members.make_room(usize::MAX, Error::LimitReached)?;
        // Most often the end: numbers rise.
        let place = list.members.partition_point(|(other, _)| *other < number);
        list.members.insert(place, (number, member.downgrade()));
        Ok(())
    }

    /// It has ended, or was never begun. Who is not there has left already.
    pub fn leave(&self, number: u64) {
        let gone = {
            let mut list = self.0.lock();
            let place = list
                .members
                .binary_search_by_key(&number, |(other, _)| *other);
            place.ok().and_then(|place| list.members.remove(place))
        };
        drop(gone);
    }

    /// The one of this number.
    pub fn get(&self, number: u64) -> Option<Ref<T>> {
        let list = self.0.lock();
        let place = list
            .members
            .binary_search_by_key(&number, |(other, _)| *other);
        list.members.get(place.ok()?)?.1.upgrade()
    }

    /// The first at or after a number, and the number to go on from: visits all, one lock each, that do not come or leave meanwhile.
    pub fn visit(&self, from: u64) -> Option<(u64, Ref<T>)> {
        let list = self.0.lock();
        let start = list.members.partition_point(|(number, _)| *number < from);
        list.members
            .get(start..)?
            .iter()
            .find_map(|(number, member)| Some((number + 1, member.upgrade()?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Nobody joins any more.
    pub fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Whether nobody is there and nobody can come.
    pub fn is_over(&self) -> bool {
        let list = self.0.lock();
        list.closed && list.members.is_empty()
    }
}

impl<T> fmt::Debug for Members<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("len", &self.len()).finish()
    }
}
