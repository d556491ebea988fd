//! Seeds for random numbers, from the CPU.

use x86_64::instructions::random::RdRand;

/// Tries before RDRAND counts as failed (Intel SDM vol. 1 §7.3.17.1 says ten).
const TRIES: usize = 10;

/// 256 bits to seed a generator with, and whether the CPU's own random source is in them; else they are the clock's.
pub fn seed() -> ([u8; 32], bool) {
    let source = RdRand::new();
    let mut all = true;
    let mut state = crate::time::now_ticks() ^ crate::boot::boot_info().entry_ticks.rotate_left(32);
    let mut seed = [0; 32];
    for piece in seed.chunks_exact_mut(8) {
        let word = source
            .as_ref()
            .and_then(|source| (0..TRIES).find_map(|_| source.get_u64()));
        all &= word.is_some();
        state = mix(state ^ crate::time::now_ticks());
        piece.copy_from_slice(&(word.unwrap_or(0) ^ state).to_le_bytes());
    }
    (seed, all)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
