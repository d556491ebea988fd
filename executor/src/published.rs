//! Words with one writer and any number of readers.
//!
//! The owner core writes them, `ps`, `top` and the watchdog read them from anywhere without stopping
//! anyone. Relaxed loads and stores are plain moves; a read-modify-write here is a load and a store,
//! never a locked instruction, which is right because there is one writer.

macro_rules! published {
    ($(#[$doc:meta])* $name:ident, $atomic:ident, $word:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(core::sync::atomic::$atomic);

        impl $name {
            /// A word holding `value`.
            pub const fn new(value: $word) -> Self {
                Self(core::sync::atomic::$atomic::new(value))
            }

            /// The value as last seen from here.
            #[inline(always)]
            pub fn get(&self) -> $word {
                self.0.load(core::sync::atomic::Ordering::Relaxed)
            }

            /// Sets the value. For the owner only: a second writer loses updates (but nothing worse).
            #[inline(always)]
            pub fn set(&self, value: $word) {
                self.0.store(value, core::sync::atomic::Ordering::Relaxed);
            }

            /// As `set`, and what was written before is visible to who sees the value by `acquire`.
            #[allow(dead_code, reason = "not every width needs all of them")]
            #[inline(always)]
            pub(crate) fn release(&self, value: $word) {
                self.0.store(value, core::sync::atomic::Ordering::Release);
            }

            /// As `get`, with what was written before the `release` of the value.
            #[allow(dead_code, reason = "not every width needs all of them")]
            #[inline(always)]
            pub(crate) fn acquire(&self) -> $word {
                self.0.load(core::sync::atomic::Ordering::Acquire)
            }

            /// Adds, wrapping. For the owner only.
            #[allow(dead_code, reason = "not every width needs all of them")]
            #[inline(always)]
            pub fn add(&self, value: $word) {
                self.set(self.get().wrapping_add(value));
            }

            /// Raises to `value` if that is more. For the owner only.
            #[allow(dead_code, reason = "not every width needs all of them")]
            #[inline(always)]
            pub fn raise(&self, value: $word) {
                if value > self.get() {
                    self.set(value);
                }
            }
        }
    };
}

published!(
    /// A published 64-bit word.
    P64, AtomicU64, u64
);
published!(
    /// A published 32-bit word.
    P32, AtomicU32, u32
);
published!(
    /// A published 16-bit word.
    P16, AtomicU16, u16
);
published!(
    /// A published byte.
    P8, AtomicU8, u8
);
