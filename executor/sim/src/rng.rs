//! Random numbers that are the same everywhere for the same seed: SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast
//! splittable pseudorandom number generators", OOPSLA 2014).

/// A generator.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// An independent generator.
    pub fn split(&mut self) -> Rng {
        Rng(self.next())
    }

    /// 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..=most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        ((self.next() as u128 * (most as u128 + 1)) >> 64) as u64
    }

    /// Uniform in `least..=most`; `least` if that is more.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.up_to(most.saturating_sub(least))
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `true` so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.up_to(99) < chance
    }

    /// Uniform in the logarithm, in `least..=most`.
    pub fn log_uniform(&mut self, least: u64, most: u64) -> u64 {
        let (a, b) = ((least.max(1) as f64).ln(), (most.max(1) as f64).ln());
        ((a + (b - a) * self.unit()).exp() as u64).clamp(least, most.max(least))
    }
}
