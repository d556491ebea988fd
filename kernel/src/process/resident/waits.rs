//! What a resident server's task waits for: objects that wake it when a signal becomes set.

use alloc::vec::Vec;
use core::task::{Poll, Waker};

use abi::{Error, Handle, Rights, Signals};
use objects::KernelObject;
use objects::job::Charge;
use objects::lease::Lease;
use objects::observers::{OBSERVER_BYTES, ObserverId};
use objects::refs::Ref;

use crate::process::object::{Entry, Object};
use crate::process::thread::Thread;

/// Most objects that one task waits for.
const MOST: usize = 64;

/// The task is woken whenever one of the signals becomes set, until this is dropped.
struct Wait {
    handle: Handle,
    mask: Signals,
    object: Object,
    observer: ObserverId,
    lease: Option<(Ref<Lease>, ObserverId)>,
    _charge: Charge,
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(signals) = self.object.signals() {
            signals.observers().detach(self.observer);
        }
        if let Some((lease, observer)) = &self.lease {
            lease.observers().detach(*observer);
        }
    }
}

impl Wait {
    fn new(
        thread: &Thread,
        handle: Handle,
        entry: &Entry,
        mask: Signals,
        waker: &Waker,
    ) -> Result<Self, Error> {
        let bytes = size_of::<Self>() as u64 + 2 * OBSERVER_BYTES;
        let charge = thread.process.account().charge_kernel(bytes)?;
        let signals = entry.object().signals().ok_or(Error::WrongType)?;
        let observer = signals.observers().attach(mask, waker.clone())?;
        let mut wait = Self {
            handle,
            mask,
            object: entry.object().clone(),
            observer,
            lease: None,
            _charge: charge,
        };
        if let Some(lease) = entry.lease() {
            let observer = lease.observers().attach(Signals::REVOKED, waker.clone())?;
            wait.lease = Some((lease.clone(), observer));
        }
        Ok(wait)
    }
}

/// All that a task waits for.
#[derive(Default)]
pub struct Waits(Vec<Wait>);

impl Waits {
    /// Which of the signals in `mask` are set; or the task will be woken when one becomes so.
    pub fn poll(
        &mut self,
        thread: &Thread,
        handle: Handle,
        mask: Signals,
        waker: &Waker,
    ) -> Poll<Result<Signals, Error>> {
        match self.look_or_wait(thread, handle, mask, waker) {
            Ok(Some(set)) => Poll::Ready(Ok(set)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn look_or_wait(
        &mut self,
        thread: &Thread,
        handle: Handle,
        mask: Signals,
        waker: &Waker,
    ) -> Result<Option<Signals>, Error> {
        if mask.is_empty() {
            return Err(Error::BadArgument);
        }
        let handles = &thread.process.handles;
        let entry = handles.get(handle, Rights::empty())?;
        // As for binding it to a port.
        let needed = match entry.object() {
            Object::Endpoint(_) if mask.contains(Signals::READABLE) => Rights::RECEIVE,
            _ => Rights::WAIT,
        };
        entry.require(needed)?;
        let signals = entry.object().signals().ok_or(Error::WrongType)?;
        let set = || Some(signals.get() & mask).filter(|set| !set.is_empty());
        if let Some(set) = set() {
            return Ok(Some(set));
        }
        let known = |wait: &Wait| wait.handle == handle && wait.mask.contains(mask);
        if !self.0.iter().any(known) {
            if self.0.len() >= MOST {
                // Handles that were closed without a word.
                self.0
                    .retain(|wait| handles.get(wait.handle, Rights::empty()).is_ok());
                if self.0.len() >= MOST {
                    return Err(Error::LimitReached);
                }
            }
            self.0.try_reserve(1).map_err(|_| Error::NoMemory)?;
            self.0.push(Wait::new(thread, handle, &entry, mask, waker)?);
        }
        // What became so before the wait began woke nobody.
        Ok(set())
    }

    /// No more about this handle.
    pub fn forget(&mut self, handle: Handle) {
        self.0.retain(|wait| wait.handle != handle);
    }
}
