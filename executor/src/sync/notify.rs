//! Telling others that something happened.

use crate::raw::gate::Gate;

pub use crate::raw::gate::Notified;

/// An event. A notification that finds nobody waiting is kept for the next who waits; more than one are one.
///
/// ```
/// use executor::sync::Notify;
///
/// static KEY_PRESSED: Notify = Notify::new();
///
/// async fn keyboard() {
///     loop {
///         KEY_PRESSED.notified().await;
///         // read all keys there are
/// #       break;
///     }
/// }
///
/// // In the interrupt handler:
/// KEY_PRESSED.notify_one();
/// # futures_util::FutureExt::now_or_never(keyboard()).expect("was notified");
/// ```
#[derive(Debug)]
pub struct Notify(pub(crate) Gate);

impl Notify {
    /// An event that has not happened.
    #[cfg(not(loom))]
    pub const fn new() -> Notify {
        Notify(Gate::new(0, 1))
    }

    /// An event that has not happened.
    #[cfg(loom)]
    pub fn new() -> Notify {
        Notify(Gate::new(0, 1))
    }

    /// Wakes the one who has waited longest, or else the next to wait. Never spins: may be called from interrupt handlers.
    pub fn notify_one(&self) {
        self.0.release(1);
    }

    /// Wakes all who wait now; keeps nothing for later. Never spins: may be called from interrupt handlers.
    pub fn notify_waiters(&self) {
        self.0.release_everyone();
    }

    /// Waits for a notification. Starts to wait when first polled. Cancel-safe: dropped after it was chosen but before it
    /// was polled, it passes the notification on.
    pub fn notified(&self) -> Notified<'_> {
        Notified::new(&self.0)
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}
