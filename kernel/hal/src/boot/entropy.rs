//! Where randomness for the base addresses comes from.

use core::arch::asm;

use kerncore::boot_info::BootInfo;
use kerncore::entropy::{SeedPool, Source};
use x86_64::instructions::random::RdRand;

use crate::cpu::features;

/// RDSEED may fail while its conditioner refills (Intel SDM vol. 1 §7.3.17.2): try this often.
const RDSEED_TRIES: u32 = 64;
/// RDRAND fails only if the hardware is broken; the manual advises ten tries.
const RDRAND_TRIES: u32 = 10;
/// Entropy credited to one word of each source, in bits. The time stamp counter at boot is partly guessable.
const HARDWARE_BITS: u8 = 64;
const TICKS_BITS: u8 = 4;
/// Words taken from each hardware source.
const WORDS: u32 = 2;

/// A seed from all that this machine offers.
pub(super) fn gather(boot: &BootInfo) -> SeedPool {
    let mut pool = SeedPool::new();
    for _ in 0..WORDS {
        if let Some(word) = rdseed() {
            pool.absorb(word, Source::Rdseed, HARDWARE_BITS);
        }
        if let Some(word) = rdrand() {
            pool.absorb(word, Source::Rdrand, HARDWARE_BITS);
        }
    }
    for &word in boot.firmware_entropy.words.iter() {
        pool.absorb(word, Source::Firmware, HARDWARE_BITS);
    }
    pool.absorb(boot.entry_ticks, Source::Timing, TICKS_BITS);
    pool.absorb(super::early_ticks(), Source::Timing, TICKS_BITS);
    pool
}

/// Untested under QEMU's TCG before version 9, which lacks the instruction.
fn rdseed() -> Option<u64> {
    if !features().rdseed {
        return None;
    }
    (0..RDSEED_TRIES).find_map(|_| {
        let (word, ok): (u64, u8);
        // SAFETY: CPUID lists the instruction; it only writes a register and flags.
        unsafe {
            asm!("rdseed {}", "setc {}", out(reg) word, out(reg_byte) ok, options(nomem, nostack))
        };
        (ok != 0).then_some(word)
    })
}

/// A word of the CPU's random source, if it has one that works.
pub(crate) fn rdrand() -> Option<u64> {
    let source = RdRand::new()?;
    (0..RDRAND_TRIES).find_map(|_| source.get_u64())
}
