//! One value from one place to another, once: a `JoinCell` with a value beside it.

use alloc::boxed::Box;
use core::{
    fmt,
    mem::MaybeUninit,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use super::{
    cell::RawCell,
    joincell::{Completion, JoinCell},
};

struct Shared<T> {
    cell: JoinCell,
    value: RawCell<MaybeUninit<T>>,
}

/// No memory for a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory for a channel")
    }
}

impl core::error::Error for NoMemory {}

/// The other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other end is gone")
    }
}

impl core::error::Error for Disconnected {}

/// Gives the value, from anywhere, interrupt handlers included.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Option<NonNull<Shared<T>>>,
}

/// Awaits the value. Cancel-safe: a dropped `&mut Receiver` loses nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T> {
    shared: Option<NonNull<Shared<T>>>,
}

// SAFETY: the value crosses threads; the cell is made for two parties on two threads.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above; `&Sender` only looks whether the receiver is there.
unsafe impl<T: Send> Sync for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above; `&Receiver` gives nothing.
unsafe impl<T: Send> Sync for Receiver<T> {}

impl<T> Unpin for Receiver<T> {}

/// A channel for one value.
///
/// # Errors
/// When memory is short.
pub fn channel<T>() -> Result<(Sender<T>, Receiver<T>), NoMemory> {
    let shared = Shared {
        cell: JoinCell::new(),
        value: RawCell::new(MaybeUninit::uninit()),
    };
    let shared = NonNull::from(Box::leak(super::try_box(shared).ok_or(NoMemory)?));
    Ok((
        Sender {
            shared: Some(shared),
        },
        Receiver {
            shared: Some(shared),
        },
    ))
}

/// # Safety
/// `shared` came from [`channel`] and nobody uses it again.
unsafe fn free<T>(shared: NonNull<Shared<T>>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(shared.as_ptr()) });
}

impl<T> Sender<T> {
    /// Sends the value.
    ///
    /// # Errors
    /// The value, if the receiver is gone.
    pub fn send(mut self, value: T) -> Result<(), T> {
        let Some(shared) = self.shared.take() else {
            return Err(value);
        };
        // SAFETY: alive until the last of both ends frees it, and that can only be this one before `complete`.
        let cell = unsafe { &shared.as_ref().cell };
        if cell.is_abandoned() {
            // SAFETY: the receiver is gone, so this end is the last.
            unsafe { free(shared) };
            return Err(value);
        }
        // SAFETY: the receiver does not look at the value before `complete`.
        unsafe {
            shared.as_ref().value.with_mut(|cell| {
                (*cell).write(value);
            })
        };
        match cell.complete(false) {
            Completion::Delivered(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
                Ok(())
            }
            Completion::Abandoned => {
                // SAFETY: the receiver went away in between: value and memory are this end's.
                unsafe {
                    let value = shared
                        .as_ref()
                        .value
                        .with_mut(|cell| (*cell).assume_init_read());
                    free(shared);
                    Err(value)
                }
            }
        }
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        // SAFETY: alive while this end is.
        self.shared
            .is_none_or(|shared| unsafe { shared.as_ref() }.cell.is_abandoned())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        // SAFETY: as in `send`.
        match unsafe { shared.as_ref() }.cell.complete(true) {
            Completion::Delivered(Some(waker)) => waker.wake(),
            Completion::Delivered(None) => {}
            // SAFETY: this end is the last.
            Completion::Abandoned => unsafe { free(shared) },
        }
    }
}

impl<T> Receiver<T> {
    /// # Safety
    /// The sender is done with `shared`.
    unsafe fn take(&mut self, shared: NonNull<Shared<T>>) -> Result<T, Disconnected> {
        self.shared = None;
        // SAFETY: the sender is done: value and memory are this end's.
        unsafe {
            let value = if shared.as_ref().cell.is_empty() {
                Err(Disconnected)
            } else {
                Ok(shared
                    .as_ref()
                    .value
                    .with_mut(|cell| (*cell).assume_init_read()))
            };
            free(shared);
            value
        }
    }

    /// The value, if it has come.
    ///
    /// # Errors
    /// [`Disconnected`] if the sender went away without sending, or the value was taken already.
    pub fn try_receive(&mut self) -> Result<Option<T>, Disconnected> {
        let shared = self.shared.ok_or(Disconnected)?;
        // SAFETY: alive while this end is.
        if unsafe { shared.as_ref() }.cell.is_done() {
            // SAFETY: done.
            return unsafe { self.take(shared) }.map(Some);
        }
        Ok(None)
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Disconnected>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(shared) = self.shared else {
            return Poll::Ready(Err(Disconnected));
        };
        // SAFETY: alive while this end is.
        if unsafe { shared.as_ref() }.cell.register(context.waker()) {
            // SAFETY: done.
            return Poll::Ready(unsafe { self.take(shared) });
        }
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        // SAFETY: alive while this end is; whoever comes last frees.
        unsafe {
            if shared.as_ref().cell.abandon() {
                if !shared.as_ref().cell.is_empty() {
                    shared
                        .as_ref()
                        .value
                        .with_mut(|cell| (*cell).assume_init_drop());
                }
                free(shared);
            }
        }
    }
}
