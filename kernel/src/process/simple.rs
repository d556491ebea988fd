//! Objects that are nothing but a right: the log, the system's tables, its power switch.

use abi::{Error, ObjectType};
use objects::job::Job;
use objects::object::Header;
use objects::refs::Ref;

/// An object whose type says all.
pub struct Simple {
    header: Header,
}

impl Simple {
    /// One of this type.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(object: ObjectType, job: &Ref<Job>) -> Result<Ref<Self>, Error> {
        let header = Header::new(object, job, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self { header })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }
}
