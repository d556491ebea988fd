//! Gathers what little randomness a boot offers into the seed from which base addresses are chosen.
//!
//! **Not for cryptography.** The mixing is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom
//! number generators, OOPSLA 2014): small, well spread, invertible. It hides nothing from who sees its output, and only has to
//! spread the bits that went in over the slots of [`crate::kaslr`]. Keys come from a proper generator seeded elsewhere.
//!
//! Early boot code calls [`SeedPool::absorb`] with whatever it has (RDSEED, RDRAND, firmware words, the time-stamp
//! counter), each with an honest estimate of its bits, then [`SeedPool::generator`].

use core::fmt;

/// Where a word came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// The RDSEED instruction.
    Rdseed,
    /// The RDRAND instruction.
    Rdrand,
    /// Words from firmware or the loader.
    Firmware,
    /// Time-stamp counter, clock chips and the like.
    Timing,
}

impl Source {
    const ALL: [Self; 4] = [Self::Rdseed, Self::Rdrand, Self::Firmware, Self::Timing];

    const fn name(self) -> &'static str {
        match self {
            Self::Rdseed => "RDSEED",
            Self::Rdrand => "RDRAND",
            Self::Firmware => "firmware",
            Self::Timing => "timing",
        }
    }
}

/// Which sources contributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u8);

impl Sources {
    /// Whether `source` contributed.
    pub const fn contains(self, source: Source) -> bool {
        self.0 & (1 << source as u8) != 0
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("no source");
        }
        let mut separator = "";
        for source in Source::ALL {
            if self.contains(source) {
                write!(f, "{separator}{}", source.name())?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Collects words into 64 bits of state.
#[derive(Clone, Copy, Debug)]
pub struct SeedPool {
    state: u64,
    absorbed: u64,
    credited_bits: u32,
    sources: Sources,
}

impl SeedPool {
    /// An empty pool.
    pub const fn new() -> Self {
        Self {
            state: 0,
            absorbed: 0,
            credited_bits: 0,
            sources: Sources(0),
        }
    }

    /// Mixes in `word`, of which `bits` (at most 64) are believed unknown to an attacker. Words worth 0 bits do no harm.
    pub const fn absorb(&mut self, word: u64, source: Source, bits: u8) {
        self.absorbed = self.absorbed.wrapping_add(GOLDEN_GAMMA);
        self.state = finalise(self.state ^ word).wrapping_add(self.absorbed);
        let bits = if bits > 64 { 64 } else { bits as u32 };
        self.credited_bits = self.credited_bits.saturating_add(bits);
        self.sources = Sources(self.sources.0 | 1 << source as u8);
    }

    /// How many unknown bits the pool holds at most: the sum of the estimates, or its own 64.
    pub const fn bits(&self) -> u32 {
        if self.credited_bits > 64 {
            64
        } else {
            self.credited_bits
        }
    }

    /// Who contributed.
    pub const fn sources(&self) -> Sources {
        self.sources
    }

    /// A generator seeded from the pool.
    pub const fn generator(&self) -> SplitMix64 {
        SplitMix64 {
            state: finalise(self.state),
        }
    }
}

impl Default for SeedPool {
    fn default() -> Self {
        Self::new()
    }
}

/// The SplitMix64 generator. Not for cryptography.
#[derive(Clone, Copy, Debug)]
pub struct SplitMix64 {
    state: u64,
}

/// 2^64 divided by the golden ratio, made odd: the increment of the paper.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

const fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl SplitMix64 {
    /// The generator of the paper, started at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        finalise(self.state)
    }

    /// A number below `bound` (0 if `bound` is 0). The bias is below `bound` / 2^64.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn matches_the_published_sequence() {
        // First outputs for seed 1234567, as in the reference implementation's published test vector.
        let mut generator = SplitMix64::new(1_234_567);
        let first: [u64; 5] = core::array::from_fn(|_| generator.next_u64());
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn every_word_and_its_place_matter() {
        let seeded = |words: &[u64]| {
            let mut pool = SeedPool::new();
            for &word in words {
                pool.absorb(word, Source::Timing, 1);
            }
            pool.generator().next_u64()
        };
        let all = [
            seeded(&[]),
            seeded(&[0]),
            seeded(&[0, 0]),
            seeded(&[1, 2]),
            seeded(&[2, 1]),
            seeded(&[1, 3]),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "{all:x?}");
        }
    }

    #[test]
    fn bits_are_capped_and_sources_named() {
        let mut pool = SeedPool::new();
        assert_eq!(pool.sources().to_string(), "no source");
        pool.absorb(5, Source::Timing, 4);
        assert_eq!(
            (pool.bits(), pool.sources().to_string()),
            (4, "timing".to_string())
        );
        pool.absorb(5, Source::Rdrand, 200);
        assert_eq!(
            (pool.bits(), pool.sources().to_string()),
            (64, "RDRAND, timing".to_string())
        );
    }

    #[test]
    fn below_stays_below() {
        let mut generator = SplitMix64::new(1);
        assert_eq!(generator.below(0), 0);
        let mut seen = [0u32; 7];
        for _ in 0..7000 {
            seen[generator.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
    }
}
