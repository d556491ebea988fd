//! A set of numbers as a bitmap with summaries: bit i of level n + 1 says whether word i of level n has any bit set.
//!
//! With 64-bit words six levels cover 2^32 numbers, so that every operation touches at most six words going up and six coming
//! down. The words belong to the caller; a tree only knows where its levels begin in them.

/// Levels enough for 2^32 bits.
const MAX_LEVELS: usize = 6;
const WORD_BITS_LOG2: u32 = 6;
const WORD_BITS: u64 = 64;

/// Where a tree's levels lie in the words.
#[derive(Clone, Copy, Debug)]
pub(super) struct BitTree {
    bits: u64,
    starts: [usize; MAX_LEVELS],
    levels: usize,
}

impl BitTree {
    pub(super) const EMPTY: Self = Self {
        bits: 0,
        starts: [0; MAX_LEVELS],
        levels: 0,
    };

    /// A tree of `bits` bits (at most 2^32) whose words begin at `start`; also where they end.
    pub(super) const fn place(bits: u64, start: usize) -> (Self, usize) {
        let mut tree = Self {
            bits,
            ..Self::EMPTY
        };
        let mut end = start;
        let mut left = bits;
        while left > 0 && tree.levels < MAX_LEVELS {
            let words = left.div_ceil(WORD_BITS);
            tree.starts[tree.levels] = end;
            tree.levels += 1;
            end += words as usize;
            left = if words > 1 { words } else { 0 };
        }
        (tree, end)
    }

    fn word(&self, words: &[u64], level: usize, index: u64) -> u64 {
        words
            .get(self.starts[level] + index as usize)
            .copied()
            .unwrap_or(0)
    }

    /// Whether bit `index` is set; bits past the end never are.
    pub(super) fn contains(&self, words: &[u64], index: u64) -> bool {
        index < self.bits
            && self.word(words, 0, index / WORD_BITS) & (1 << (index % WORD_BITS)) != 0
    }

    /// Sets bit `index`, which must be below the number of bits.
    pub(super) fn insert(&self, words: &mut [u64], index: u64) {
        let mut index = index;
        for level in 0..self.levels {
            let Some(word) = words.get_mut(self.starts[level] + (index / WORD_BITS) as usize)
            else {
                return;
            };
            let was_empty = *word == 0;
            *word |= 1 << (index % WORD_BITS);
            if !was_empty {
                return;
            }
            index /= WORD_BITS;
        }
    }

    /// Clears bit `index`.
    pub(super) fn remove(&self, words: &mut [u64], index: u64) {
        let mut index = index;
        for level in 0..self.levels {
            let Some(word) = words.get_mut(self.starts[level] + (index / WORD_BITS) as usize)
            else {
                return;
            };
            *word &= !(1 << (index % WORD_BITS));
            if *word != 0 {
                return;
            }
            index /= WORD_BITS;
        }
    }

    /// The highest set bit at or below `index`.
    pub(super) fn last_at_or_below(&self, words: &[u64], index: u64) -> Option<u64> {
        let mut at = index.min(self.bits.checked_sub(1)?);
        // Up, until a word has a set bit at or below the position; then down to that bit.
        for level in 0..self.levels {
            let word = self.word(words, level, at / WORD_BITS);
            let below = word & (u64::MAX >> (WORD_BITS - 1 - at % WORD_BITS));
            if below != 0 {
                let mut found = (at & !(WORD_BITS - 1)) + u64::from(below.ilog2());
                for lower in (0..level).rev() {
                    let word = self.word(words, lower, found);
                    found = found * WORD_BITS + u64::from(word.checked_ilog2()?);
                }
                return Some(found);
            }
            // Everything in this word is ruled out; go on before it.
            at = (at / WORD_BITS).checked_sub(1)?;
        }
        None
    }

    /// Whether any of the 2^`order` bits from `index` (a multiple of 2^`order`) on is set.
    pub(super) fn any_in(&self, words: &[u64], index: u64, order: u32) -> bool {
        if index >= self.bits || self.levels == 0 {
            return false;
        }
        let level = (order / WORD_BITS_LOG2).min(self.levels as u32 - 1);
        let at = index >> (level * WORD_BITS_LOG2);
        let count = 1u64 << (order - level * WORD_BITS_LOG2).min(WORD_BITS_LOG2);
        let mask = u64::MAX >> (WORD_BITS - count);
        self.word(words, level as usize, at / WORD_BITS) & (mask << (at % WORD_BITS)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec;

    #[test]
    fn two_to_the_32_bits_need_six_levels() {
        let (tree, words) = BitTree::place(1 << 32, 3);
        assert_eq!(tree.levels, 6);
        assert_eq!(
            words,
            3 + (1 << 26) + (1 << 20) + (1 << 14) + (1 << 8) + 4 + 1
        );
        assert_eq!(BitTree::place(64, 0).1, 1);
        assert_eq!(BitTree::place(65, 0).1, 3);
        assert_eq!(BitTree::place(0, 5).1, 5);
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(
            bits in 1..9000u64,
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0..14u32), 1..200)
        ) {
            let (tree, end) = BitTree::place(bits, 2);
            let mut words = vec![0u64; end];
            let mut set = BTreeSet::new();
            for (at, insert, order) in steps {
                let at = at.index(bits as usize) as u64;
                if insert {
                    tree.insert(&mut words, at);
                    set.insert(at);
                } else {
                    tree.remove(&mut words, at);
                    set.remove(&at);
                }
                prop_assert_eq!(tree.contains(&words, at), insert);
                for probe in [0, at, at.saturating_sub(1), at / 2, bits + 70] {
                    let last = set.range(..=probe).next_back().copied();
                    prop_assert_eq!(tree.last_at_or_below(&words, probe), last);
                }
                let start = at >> order << order;
                // Only ranges that lie inside are ever asked for.
                if start + (1 << order) <= bits {
                    let any = set.range(start..start + (1 << order)).next().is_some();
                    prop_assert_eq!(tree.any_in(&words, start, order), any);
                }
            }
            prop_assert!(words[..2] == [0, 0]);
        }
    }
}
