//! Timers, as far as they are state: the kernel arms the machine's.
//!
//! Setting gives an [`Armed`] with a generation; when the time has come, the kernel's task gives it to [`Timer::fire`], which knows whether the timer was set anew
//! meanwhile. A task of the kernel's fires, not a top half: it takes a lock.

use abi::{Error, FOREVER, ObjectType, Signals};
use spin::Mutex;

use crate::{job::Job, object::Header, refs::Ref, signals::SignalState};

#[derive(Debug)]
struct Setting {
    deadline_ns: u64,
    generation: u64,
    fired: bool,
}

/// Fires at a time.
#[derive(Debug)]
pub struct Timer {
    header: Header,
    signals: SignalState,
    setting: Mutex<Setting>,
}

/// What is to be fired, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// In nanoseconds of the monotonic clock; [`FOREVER`]: never.
    pub deadline_ns: u64,
    generation: u64,
}

/// What firing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// It has fired.
    Now,
    /// It is not time yet: wait on.
    Early,
    /// It was set anew meanwhile, or has fired.
    Stale,
}

impl Timer {
    /// One that is not set.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create(job: &Ref<Job>) -> Result<Ref<Self>, Error> {
        let header = Header::new(ObjectType::Timer, job, Ref::<Self>::BYTES)?;
        Ok(Ref::try_new(Self {
            header,
            signals: SignalState::new(Signals::empty()),
            setting: Mutex::new(Setting {
                deadline_ns: FOREVER,
                generation: 0,
                fired: false,
            }),
        })?)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Fired.
    pub fn signals(&self) -> &SignalState {
        &self.signals
    }

    /// Sets it anew, and it has not fired.
    pub fn set(&self, deadline_ns: u64) -> Armed {
        let mut setting = self.setting.lock();
        setting.deadline_ns = deadline_ns;
        setting.generation += 1;
        setting.fired = false;
        self.signals.clear(Signals::FIRED);
        Armed {
            deadline_ns,
            generation: setting.generation,
        }
    }

    /// How it is set; `None` if it does not wait for anything.
    pub fn armed(&self) -> Option<Armed> {
        let setting = self.setting.lock();
        (!setting.fired && setting.deadline_ns != FOREVER).then_some(Armed {
            deadline_ns: setting.deadline_ns,
            generation: setting.generation,
        })
    }

    /// Fires what was armed, if that still holds and it is not before its time.
    pub fn fire(&self, armed: Armed, now_ns: u64) -> Fired {
        let raised = {
            let mut setting = self.setting.lock();
            if setting.generation != armed.generation
                || setting.fired
                || setting.deadline_ns == FOREVER
            {
                return Fired::Stale;
            }
            if now_ns < setting.deadline_ns {
                return Fired::Early;
            }
            setting.fired = true;
            self.signals.raise(Signals::FIRED)
        };
        raised.tell();
        Fired::Now
    }
}
