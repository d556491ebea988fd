//! Notifications: 64 bits that are set and taken.

use abi::{Error, ObjectType, Signals};
use spin::Mutex;

use crate::{job::Job, lease::Lease, object::Header, refs::Ref, signals::SignalState};

/// 64 bits.
#[derive(Debug)]
pub struct Notification {
    header: Header,
    signals: SignalState,
    bits: Mutex<u64>,
}

impl Notification {
    /// With no bit set.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(job: &Ref<Job>) -> Result<Ref<Self>, Error> {
        let header = Header::new(ObjectType::Notification, job, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self {
            header,
            signals: SignalState::new(Signals::empty()),
            bits: Mutex::new(0),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Readable while a bit is set.
    pub fn signals(&self) -> &SignalState {
        &self.signals
    }

    /// Sets bits.
    #[inline]
    pub fn signal(&self, bits: u64) {
        if bits == 0 {
            return;
        }
        let raised = {
            let mut set = self.bits.lock();
            *set |= bits;
            self.signals.raise(Signals::READABLE)
        };
        raised.tell();
    }

    /// Takes all bits there are.
    ///
    /// # Errors
    /// [`Error::WouldWait`] if there are none.
    #[inline]
    pub fn try_take(&self) -> Result<u64, Error> {
        let mut set = self.bits.lock();
        if *set == 0 {
            return Err(Error::WouldWait);
        }
        self.signals.clear(Signals::READABLE);
        Ok(core::mem::take(&mut *set))
    }

    /// Waits for bits and takes all of them.
    ///
    /// # Errors
    /// [`Error::Revoked`] as soon as the lease is.
    pub async fn take(&self, lease: Option<&Lease>) -> Result<u64, Error> {
        self.signals
            .wait_until(lease, || self.try_take().ok().map(Ok))
            .await
    }
}
