//! Sets of cores.

use core::sync::atomic::{AtomicU64, Ordering};

/// Cores that fit a set.
pub const MAX_CORES: usize = 256;
const WORDS: usize = MAX_CORES / 64;

/// A core as it lies in every [`CoreSet`].
#[derive(Clone, Copy, Debug)]
pub struct Member {
    word: u32,
    /// None for a core beyond [`MAX_CORES`], which is in no set.
    bit: u64,
}

impl Member {
    /// In no set.
    pub const NONE: Self = Self { word: 0, bit: 0 };

    /// Of the core of this number.
    #[inline(always)]
    pub const fn of(core: u32) -> Self {
        let fits = (core < MAX_CORES as u32) as u64;
        Self {
            word: core / 64 % WORDS as u32,
            bit: fits << (core % 64),
        }
    }
}

/// A set of cores that all of them change.
#[derive(Debug, Default)]
pub struct CoreSet {
    words: [AtomicU64; WORDS],
}

impl CoreSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    #[inline(always)]
    fn word(&self, core: Member) -> &AtomicU64 {
        &self.words[core.word as usize % WORDS]
    }

    /// Puts a core in. A full fence: what follows is not done before.
    #[inline(always)]
    pub fn insert(&self, core: Member) {
        self.word(core).fetch_or(core.bit, Ordering::SeqCst);
    }

    /// Takes a core out. What came before is done by then.
    #[inline(always)]
    pub fn remove(&self, core: Member) {
        self.word(core).fetch_and(!core.bit, Ordering::SeqCst);
    }

    /// Which are in it now.
    pub fn snapshot(&self) -> Cores {
        let mut cores = Cores::default();
        for (copy, word) in cores.words.iter_mut().zip(&self.words) {
            *copy = word.load(Ordering::SeqCst);
        }
        cores
    }
}

/// A set of cores as it was once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cores {
    words: [u64; WORDS],
}

impl Cores {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words == [0; WORDS]
    }

    /// Takes `core` out; `false` if it was not in.
    pub fn remove(&mut self, core: u32) -> bool {
        let Some(word) = self.words.get_mut(core as usize / 64) else {
            return false;
        };
        let bit = 1 << (core % 64);
        let was_in = *word & bit != 0;
        *word &= !bit;
        was_in
    }

    /// Takes the lowest out.
    pub fn pop(&mut self) -> Option<u32> {
        let (index, word) = self
            .words
            .iter_mut()
            .enumerate()
            .find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros();
        *word &= *word - 1;
        Some(index as u32 * 64 + bit)
    }
}

impl Iterator for Cores {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.pop()
    }
}
