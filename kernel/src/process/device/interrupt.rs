//! Interrupts of devices as objects.
//!
//! A task of the kernel's waits for each, as the interrupt itself may wake nothing but a task: it notes the event and shows
//! the signal. It goes when the last handle does.

use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll};

use abi::{Error, ObjectType, Signals};
use executor::CoreId;
use hal::irq::{self, Interrupt, IrqError, IrqEvent};
use hal::platform::KernelPlatform;
use objects::job::Job;
use objects::lease::Lease;
use objects::object::Header;
use objects::refs::Ref;
use objects::signals::SignalState;
use spin::Mutex;

use super::DeviceObject;
use crate::exec;
use crate::process::run::until;

/// What the task costs beside the object, about, in bytes.
const TASK_BYTES: u64 = 512;

/// An interrupt that a driver waits for.
pub struct InterruptObject {
    header: Header,
    /// [`Signals::INTERRUPT`] while one is there to be taken.
    pub signals: SignalState,
    arrived: Mutex<Option<IrqEvent>>,
    closed: AtomicBool,
    /// The device is told to be silent before the vector is free.
    message: Option<(Ref<DeviceObject>, u16)>,
    interrupt: Interrupt,
}

fn refused(error: IrqError) -> Error {
    match error {
        IrqError::Busy { .. } => Error::Occupied,
        IrqError::NoVector { .. } | IrqError::TooManySources { .. } => Error::LimitReached,
        _ => {
            ::log::warn!(target: "device", "an interrupt cannot be had: {error}");
            Error::BadArgument
        }
    }
}

impl InterruptObject {
    /// The interrupt line that the ISA bus had by this number.
    ///
    /// # Errors
    /// [`Error::Occupied`] if it is somebody's, [`Error::BadArgument`], [`Error::LimitReached`], [`Error::NoMemory`].
    pub fn line(job: &Ref<Job>, line: u64, core: u64) -> Result<Ref<Self>, Error> {
        let line = u8::try_from(line).map_err(|_| Error::BadArgument)?;
        let core = u32::try_from(core).map_err(|_| Error::BadArgument)?;
        let interrupt = irq::claim_isa(line, "driver", core).map_err(refused)?;
        Self::start(job, interrupt, None)
    }

    /// A message interrupt of a device.
    ///
    /// # Errors
    /// [`Error::Occupied`] if the message is in use, [`Error::OutOfRange`] if it has fewer, as [`line`](Self::line) otherwise.
    pub fn message(
        job: &Ref<Job>,
        device: &Ref<DeviceObject>,
        index: u64,
        core: u64,
    ) -> Result<Ref<Self>, Error> {
        let core = u32::try_from(core).map_err(|_| Error::BadArgument)?;
        let index = u16::try_from(index).map_err(|_| Error::OutOfRange)?;
        let interrupt = irq::claim_msi("driver", core).map_err(refused)?;
        device.route(index, &interrupt)?;
        Self::start(job, interrupt, Some((device.clone(), index)))
    }

    fn start(
        job: &Ref<Job>,
        interrupt: Interrupt,
        message: Option<(Ref<DeviceObject>, u16)>,
    ) -> Result<Ref<Self>, Error> {
        let core = CoreId::new(interrupt.core() as usize).ok_or(Error::BadArgument)?;
        let bytes = Ref::<Self>::BYTES + TASK_BYTES;
        let object = Ref::try_new(Self {
            header: Header::new(ObjectType::Interrupt, job, bytes)?,
            signals: SignalState::new(Signals::empty()),
            arrived: Mutex::new(None),
            closed: AtomicBool::new(false),
            message,
            interrupt,
        })?;
        executor::Task::<KernelPlatform>::new("interrupt")
            .core(core)
            .deadline_after(exec::DRIVER_DEADLINE)
            .spawn(Self::pump(object.clone()))
            .map_err(|_| Error::NoMemory)?
            .detach();
        Ok(object)
    }

    /// Notes interrupts until the last handle is closed.
    async fn pump(this: Ref<Self>) {
        while let Some(event) = poll_fn(|context| this.poll_next(context)).await {
            #[cfg(feature = "inject")]
            inject::at(inject::Point::Interrupt);
            {
                let arrived = &mut *this.arrived.lock();
                let count = arrived.map_or(0, |before| before.count);
                *arrived = Some(IrqEvent {
                    count: event.count.saturating_add(count),
                    ..event
                });
            }
            this.signals.raise(Signals::INTERRUPT).tell();
        }
    }

    /// The next interrupt, or `None` once nobody can wait for it any more.
    fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<IrqEvent>> {
        // It registers the waker first: a close after this look wakes it.
        let event = self.interrupt.poll_wait(context);
        if self.closed.load(Ordering::Acquire) {
            return Poll::Ready(None);
        }
        event.map(Some)
    }

    /// What every object has.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Takes what has arrived.
    pub fn take(&self) -> Option<IrqEvent> {
        let event = self.arrived.lock().take();
        if event.is_some() {
            self.signals.clear(Signals::INTERRUPT);
            // One that came between the two is shown again.
            if self.arrived.lock().is_some() {
                self.signals.raise(Signals::INTERRUPT).tell();
            }
        }
        event
    }

    /// Waits for an interrupt: how many came, and when the last one did.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Revoked`], [`Error::BadHandle`] once its last
    /// handle was closed.
    pub async fn wait(&self, deadline_ns: u64, lease: Option<&Lease>) -> Result<IrqEvent, Error> {
        loop {
            if let Some(event) = self.take() {
                return Ok(event);
            }
            let awaited = Signals::INTERRUPT | Signals::PEER_CLOSED;
            let shown = until(deadline_ns, pin!(self.signals.wait(awaited, lease))).await;
            if shown
                .ok_or(Error::TimedOut)??
                .contains(Signals::PEER_CLOSED)
            {
                return Err(Error::BadHandle);
            }
        }
    }

    /// Lets it come again.
    pub fn acknowledge(&self) {
        self.interrupt.ack();
    }

    /// Nobody can wait for it any more.
    pub fn close(&self) {
        self.signals.raise(Signals::PEER_CLOSED).tell();
        self.closed.store(true, Ordering::Release);
        self.interrupt.wake();
    }
}

impl Drop for InterruptObject {
    fn drop(&mut self) {
        if let Some((device, index)) = &self.message {
            device.unroute(*index);
        }
    }
}
