//! Random numbers for processes and for where their memory lies: ChaCha20, seeded when the first is asked for.

use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use spin::Mutex;

static GENERATOR: Mutex<Option<ChaCha20Rng>> = Mutex::new(None);

fn with<R>(use_it: impl FnOnce(&mut ChaCha20Rng) -> R) -> R {
    let mut generator = GENERATOR.lock();
    let generator = generator.get_or_insert_with(|| {
        let (seed, has_hardware) = hal::cpu::entropy::seed();
        if !has_hardware {
            ::log::warn!(
                target: "random",
                "this CPU has no RDRAND: random numbers are seeded from the clock alone, and an attacker may guess them"
            );
        }
        ChaCha20Rng::from_seed(seed)
    });
    use_it(generator)
}

/// Fills a buffer.
pub fn fill(bytes: &mut [u8]) {
    with(|generator| generator.fill_bytes(bytes));
}

/// 64 random bits.
pub fn word() -> u64 {
    with(Rng::next_u64)
}
