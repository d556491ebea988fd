//! What waits in a port's queue: bindings that saw something, packets that were posted, calls that were answered.

use abi::{Error, Signals, message::Words};
use spin::Mutex;

use super::{Port, started::Waiting};
use crate::{
    job::Charge,
    lease::Lease,
    object::KernelObject,
    observers::ObserverId,
    refs::{Ref, Wakeable, WeakRef},
};

pub(super) struct BindingState<O: KernelObject> {
    /// Gone when the binding has ended, so that the object's memory is not kept by a packet that nobody takes.
    target: Option<O::Weak>,
    pub(super) ended: bool,
    /// It has said that its handle was revoked.
    pub(super) revoked: bool,
    pub(super) queued: bool,
    pub(super) seen: Signals,
    observer: Option<ObserverId>,
    lease_observer: Option<ObserverId>,
}

impl<O: KernelObject> BindingState<O> {
    pub(super) fn new(target: &O) -> Self {
        Self {
            target: Some(target.downgrade()),
            ended: false,
            revoked: false,
            queued: false,
            seen: Signals::empty(),
            observer: None,
            lease_observer: None,
        }
    }
}

/// A port's interest in another object. Its packet is itself: there is one at most, and queueing it takes no memory.
pub(super) struct Binding<O: KernelObject> {
    pub(super) port: WeakRef<Port<O>>,
    pub(super) object_id: u64,
    pub(super) key: u64,
    pub(super) mask: Signals,
    /// Brings an endpoint's calls instead of its being readable.
    pub(super) calls: bool,
    pub(super) lease: Option<Ref<Lease>>,
    pub(super) state: Mutex<BindingState<O>>,
}

pub(super) enum Content<O: KernelObject> {
    Binding(Binding<O>),
    Posted { key: u64, words: Words },
    Call(Ref<Waiting<O>>),
}

/// A link of a port's queue.
pub(crate) struct Item<O: KernelObject> {
    next: Mutex<Option<Ref<Item<O>>>>,
    pub(super) content: Content<O>,
    _memory: Charge,
}

impl<O: KernelObject> Item<O> {
    pub(super) fn create(content: Content<O>, memory: Charge) -> Result<Ref<Self>, Error> {
        Ok(Ref::try_new(Self {
            next: Mutex::new(None),
            content,
            _memory: memory,
        })?)
    }

    pub(super) fn binding(&self) -> Option<&Binding<O>> {
        match &self.content {
            Content::Binding(binding) => Some(binding),
            Content::Posted { .. } | Content::Call(_) => None,
        }
    }

    pub(super) fn call(&self) -> Option<&Waiting<O>> {
        match &self.content {
            Content::Call(call) => Some(call),
            Content::Posted { .. } | Content::Binding(_) => None,
        }
    }
}

impl<O: KernelObject> Binding<O> {
    /// The object, if the binding has not ended.
    pub(super) fn target(&self) -> Option<O> {
        self.state.lock().target.as_ref().and_then(O::upgrade)
    }

    /// What there is to say now; `None` when the object has no handles any more.
    fn now(&self) -> Option<Signals> {
        let target = self.target()?;
        if target.header().is_closed() {
            return None;
        }
        if self.lease.as_ref().is_some_and(|lease| lease.is_revoked()) {
            return Some(Signals::REVOKED);
        }
        Some(target.signals()?.get() & self.mask)
    }

    /// Begins to observe.
    pub(super) fn observe(&self, item: &Ref<Item<O>>, target: &O) -> Result<(), Error> {
        let signals = target.signals().ok_or(Error::WrongType)?;
        let waker = item.clone().into_waker();
        let observer = signals.observers().attach(self.mask, waker)?;
        self.state.lock().observer = Some(observer);
        if let Some(lease) = &self.lease {
            let waker = item.clone().into_waker();
            let observers = &lease.family().observers;
            let observer = observers.attach(Signals::REVOKED, waker)?;
            self.state.lock().lease_observer = Some(observer);
        }
        Ok(())
    }

    /// No more packets. Whoever calls it has taken the binding out of the port's list, or the port is gone.
    pub(super) fn end(&self) {
        self.end_at(self.target().as_ref());
    }

    /// As [`end`](Self::end), of this object, also when it ended before it began.
    pub(super) fn end_at(&self, target: Option<&O>) {
        let (observer, lease_observer, weak) = {
            let mut state = self.state.lock();
            state.ended = true;
            (
                state.observer.take(),
                state.lease_observer.take(),
                state.target.take(),
            )
        };
        drop(weak);
        if let Some(target) = target {
            if let (Some(observer), Some(signals)) = (observer, target.signals()) {
                signals.observers().detach(observer);
            }
            if let (true, Some(endpoint)) = (self.calls, target.endpoint()) {
                endpoint.unbind(&self.port);
            }
        }
        if let (Some(observer), Some(lease)) = (lease_observer, &self.lease) {
            lease.family().observers.detach(observer);
        }
    }
}

impl<O: KernelObject> Wakeable for Item<O> {
    fn wake(this: &Ref<Self>) {
        let Some(binding) = this.binding() else {
            return;
        };
        let Some(port) = binding.port.upgrade() else {
            return;
        };
        match binding.now() {
            None => port.forget(this),
            Some(signals) if signals.is_empty() => {}
            Some(signals) => port.enqueue(this, signals),
        }
    }
}

/// First in, first out.
pub(super) struct Queue<O: KernelObject> {
    first: Option<Ref<Item<O>>>,
    last: Option<Ref<Item<O>>>,
}

impl<O: KernelObject> Queue<O> {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            last: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The item is in no queue.
    pub(super) fn push(&mut self, item: Ref<Item<O>>) {
        match self.last.replace(item.clone()) {
            None => self.first = Some(item),
            Some(last) => *last.next.lock() = Some(item),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Ref<Item<O>>> {
        let first = self.first.take()?;
        self.first = first.next.lock().take();
        if self.first.is_none() {
            self.last = None;
        }
        Some(first)
    }
}

impl<O: KernelObject> Drop for Queue<O> {
    fn drop(&mut self) {
        // Not one inside of the other.
        while self.pop().is_some() {}
    }
}
