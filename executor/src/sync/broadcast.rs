//! Every value to every receiver.

use alloc::collections::VecDeque;
use core::fmt;

use super::NoMemory;
use crate::raw::{gate::Gate, shared::Shared};

struct Common<T> {
    state: spin::Mutex<State<T>>,
    news: Gate,
}

struct State<T> {
    values: VecDeque<T>,
    capacity: usize,
    /// Number of the oldest value kept.
    first: u64,
    senders: usize,
}

/// A channel that keeps the last `capacity` values (at least one) for receivers that are behind. All memory is allocated here.
///
/// # Errors
/// When memory is short.
pub fn channel<T: Clone>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), NoMemory> {
    let capacity = capacity.max(1);
    let mut values = VecDeque::new();
    values.try_reserve_exact(capacity).map_err(|_| NoMemory)?;
    let state = spin::Mutex::new(State {
        values,
        capacity,
        first: 0,
        senders: 1,
    });
    let shared = Shared::new(Common {
        state,
        news: Gate::new(0, 0),
    })
    .ok_or(NoMemory)?;
    Ok((
        Sender {
            shared: shared.clone(),
        },
        Receiver { shared, next: 0 },
    ))
}

/// Sends; may be cloned.
pub struct Sender<T> {
    shared: Shared<Common<T>>,
}

/// Receives what is sent from its making on; may be cloned, and the clone stands where the original does.
pub struct Receiver<T> {
    shared: Shared<Common<T>>,
    next: u64,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// So many values were overwritten before this receiver took them. It goes on with the oldest one kept.
    Lagged(u64),
    /// All senders are gone and all values taken.
    Disconnected,
}

impl<T: Clone> Sender<T> {
    /// Sends to all. Never waits: the oldest value is overwritten when there is no room.
    pub fn send(&self, value: T) {
        let mut state = self.shared.state.lock();
        let old = if state.values.len() == state.capacity {
            state.first += 1;
            state.values.pop_front()
        } else {
            None
        };
        state.values.push_back(value);
        drop(state);
        drop(old);
        self.shared.news.release_everyone();
    }

    /// A receiver of what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let state = self.shared.state.lock();
        let next = state.first + state.values.len() as u64;
        drop(state);
        Receiver {
            shared: self.shared.clone(),
            next,
        }
    }
}

impl<T: Clone> Receiver<T> {
    /// The next value, if there is one.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn try_receive(&mut self) -> Result<Option<T>, ReceiveError> {
        let state = self.shared.state.lock();
        if self.next < state.first {
            let missed = state.first - self.next;
            self.next = state.first;
            return Err(ReceiveError::Lagged(missed));
        }
        match state.values.get((self.next - state.first) as usize) {
            Some(value) => {
                let value = value.clone();
                self.next += 1;
                Ok(Some(value))
            }
            None if state.senders == 0 => Err(ReceiveError::Disconnected),
            None => Ok(None),
        }
    }

    /// Waits for the next value. Cancel-safe: dropped before it completes, nothing was taken.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub async fn receive(&mut self) -> Result<T, ReceiveError> {
        loop {
            let shared = self.shared.clone();
            let mut news = core::pin::pin!(shared.news.acquire(1));
            // Wait first, then look, so that no value falls between the two.
            let mut found = None;
            core::future::poll_fn(|context| {
                let told = news.as_mut().poll(context).is_ready();
                match self.try_receive() {
                    Ok(None) if !told => core::task::Poll::Pending,
                    other => {
                        found = Some(other);
                        core::task::Poll::Ready(())
                    }
                }
            })
            .await;
            match found {
                Some(Ok(Some(value))) => return Ok(value),
                Some(Err(error)) => return Err(error),
                _ => {}
            }
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.state.lock().senders += 1;
        Sender {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.shared.news.close();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver {
            shared: self.shared.clone(),
            next: self.next,
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broadcast::Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broadcast::Receiver")
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::Lagged(missed) => write!(
                f,
                "{missed} values were overwritten before they were received"
            ),
            ReceiveError::Disconnected => f.write_str("all senders are gone"),
        }
    }
}

impl core::error::Error for ReceiveError {}
