//! Values that belong to a task: set for the time a future runs, found by whatever it calls.
//!
//! While a scope's future is polled, a frame with the key's address and the value's lies on a chain that the core keeps for
//! the running task. Looking a value up walks that chain; where no scope is used nothing is paid.

use core::{
    cell::Cell,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    ptr,
    task::{Context, Poll},
};

use crate::platform::Platform;

/// A frame of the chain, on the stack of a scope's poll.
pub(crate) struct Frame {
    key: *const (),
    value: *const (),
    outer: *const Frame,
}

/// The chain's head, per core.
#[derive(Debug)]
pub(crate) struct Chain(Cell<*const Frame>);

impl Chain {
    pub(crate) const fn new() -> Chain {
        Chain(Cell::new(ptr::null()))
    }

    /// The poll whose frames these are is over.
    pub(crate) fn cut(&self) {
        self.0.set(ptr::null());
    }
}

/// A key for a value of each task that sets it.
///
/// ```
/// # #[allow(dead_code)] mod common { include!("../../tests/common/mod.rs"); }
/// # use common::Host;
/// use executor::TaskLocal;
///
/// static REQUEST: TaskLocal<Host, u64> = TaskLocal::new();
///
/// # let core = common::become_core(executor::CoreConfig::new());
/// # common::block_on(core, async {
/// assert_eq!(REQUEST.with(|id| *id), None);
/// REQUEST.scope(7, async { assert_eq!(REQUEST.with(|id| *id), Some(7)) }).await;
/// # });
/// ```
#[derive(Debug)]
pub struct TaskLocal<P: Platform, T> {
    /// Makes the key's address its own: a key of no size could share one.
    _address: u8,
    platform: PhantomData<fn() -> P>,
    value: PhantomData<fn() -> T>,
}

impl<P: Platform, T: 'static> TaskLocal<P, T> {
    /// A key; a `static`.
    #[expect(clippy::new_without_default, reason = "a key is a static")]
    pub const fn new() -> Self {
        TaskLocal {
            _address: 0,
            platform: PhantomData,
            value: PhantomData,
        }
    }

    /// Runs `future` with this value set. Scopes nest; the innermost counts.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> Scope<P, T, F> {
        Scope {
            key: self,
            value,
            future,
        }
    }

    /// Calls `look` with the running task's value; `None` if it set none, or this is no task.
    pub fn with<R>(&'static self, look: impl FnOnce(&T) -> R) -> Option<R> {
        let core = P::fleet().here()?;
        let mut frame = core.chain()?.0.get();
        // SAFETY: frames on the chain lie on the stacks of polls in progress on this core, below this call, and
        // hold values of scopes that are borrowed for that time; the key tells the value's type.
        unsafe {
            while let Some(found) = frame.as_ref() {
                if ptr::eq(found.key, ptr::from_ref(self).cast()) {
                    return Some(look(&*found.value.cast::<T>()));
                }
                frame = found.outer;
            }
        }
        None
    }
}

/// See [`TaskLocal::scope`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Scope<P: Platform, T: 'static, F> {
    key: &'static TaskLocal<P, T>,
    value: T,
    future: F,
}

/// Takes the frame off again, however the poll ends.
struct Leave<'a> {
    chain: &'a Chain,
    outer: *const Frame,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.chain.0.set(self.outer);
    }
}

impl<P: Platform, T: 'static, F: Future> Future for Scope<P, T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is pinned with the scope and never moved; key and value are not pinned.
        let (key, value, future) = unsafe {
            let this = self.get_unchecked_mut();
            (this.key, &this.value, Pin::new_unchecked(&mut this.future))
        };
        let Some(chain) = P::fleet().here().and_then(|core| core.chain()) else {
            return future.poll(context);
        };
        let outer = chain.0.get();
        let frame = Frame {
            key: ptr::from_ref(key).cast(),
            value: ptr::from_ref(value).cast(),
            outer,
        };
        let _leave = Leave { chain, outer };
        chain.0.set(&raw const frame);
        future.poll(context)
    }
}
