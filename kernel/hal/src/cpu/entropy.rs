//! Seeds for random numbers, from the CPU.

use kerncore::entropy::SplitMix64;

use crate::boot::entropy::rdrand;

/// 256 bits to seed a generator with, and whether the CPU's own random source is in them; else they are the clock's.
pub fn seed() -> ([u8; 32], bool) {
    let mut all = true;
    let mut state = crate::time::now_ticks() ^ crate::boot::boot_info().entry_ticks.rotate_left(32);
    let mut seed = [0; 32];
    for piece in seed.chunks_exact_mut(8) {
        let word = rdrand();
        all &= word.is_some();
        state = SplitMix64::new(state ^ crate::time::now_ticks()).next_u64();
        piece.copy_from_slice(&(word.unwrap_or(0) ^ state).to_le_bytes());
    }
    (seed, all)
}
