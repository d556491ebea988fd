//! Numbers that nobody outside can guess: ports, identifiers, seeds.

use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// A generator, seeded from the kernel's.
pub struct Random(ChaCha20Rng);

impl Random {
    /// From 32 bytes that nobody can guess.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 16 bits.
    pub fn u16(&mut self) -> u16 {
        self.0.next_u32() as u16
    }
}

impl core::fmt::Debug for Random {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Random")
    }
}
