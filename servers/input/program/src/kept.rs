//! What is kept for the next instance, in a page of memory that the manager keeps.
//!
//! Two places take turns, and a word says which of them counts: whenever this instance ends, one of them is whole. The page is
//! mapped, so that keeping what a key changed is no system call.

use core::sync::atomic::Ordering;

use abi::Error;
use abi::memory::{MapFlags, PAGE_BYTES};
use input::{SAVED_BYTES, Saved};
use rt::sys::memory::Mapping;
use rt::sys::object::Vmo;

/// Where the places begin.
const OFFSETS: [usize; 2] = [512, 1024];
const _: () = assert!(SAVED_BYTES.is_multiple_of(8) && SAVED_BYTES <= 512);
const WORDS: usize = SAVED_BYTES / 8;

/// The page.
pub struct Kept {
    page: Mapping,
    /// Which place counts: 1 or 2; 0: none yet.
    newest: u64,
    /// What is in the places: a key changes little of it.
    written: [[u64; WORDS]; 2],
}

impl Kept {
    /// What an instance before left, and the page to go on with.
    ///
    /// # Errors
    /// Why it cannot be mapped.
    pub fn open(vmo: &Vmo) -> Result<(Self, Option<Saved>), Error> {
        let page = vmo.map(0, PAGE_BYTES, MapFlags::WRITE | MapFlags::COMMIT)?;
        let newest = page
            .word_u64(0)
            .map_or(0, |word| word.load(Ordering::Acquire));
        let mut kept = Self {
            page,
            newest,
            written: [[0; WORDS]; 2],
        };
        for (number, offset) in OFFSETS.iter().enumerate() {
            for index in 0..WORDS {
                let word = kept.page.word_u64(offset + 8 * index);
                let known = kept.written.get_mut(number);
                if let (Some(known), Some(word)) = (known.and_then(|k| k.get_mut(index)), word) {
                    *known = word.load(Ordering::Relaxed);
                }
            }
        }
        let before = kept.load();
        if before.is_none() {
            kept.newest = 0;
        }
        Ok((kept, before))
    }

    fn load(&self) -> Option<Saved> {
        let words = self.written.get((self.newest as usize).checked_sub(1)?)?;
        let mut bytes = [0; SAVED_BYTES];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *chunk = word.to_le_bytes();
        }
        Saved::from_bytes(&bytes)
    }

    /// Keeps this from now on.
    pub fn store(&mut self, saved: &Saved) {
        let next = if self.newest == 1 { 2 } else { 1 };
        let [first, second] = &mut self.written;
        let (offset, written) = match next {
            1 => (OFFSETS[0], first),
            _ => (OFFSETS[1], second),
        };
        let bytes = saved.to_bytes();
        for (index, (chunk, known)) in bytes.as_chunks::<8>().0.iter().zip(written).enumerate() {
            let word = u64::from_le_bytes(*chunk);
            if *known != word {
                *known = word;
                if let Some(place) = self.page.word_u64(offset + 8 * index) {
                    place.store(word, Ordering::Relaxed);
                }
            }
        }
        if let Some(word) = self.page.word_u64(0) {
            // Release: all of the place is written by then.
            word.store(next, Ordering::Release);
        }
        self.newest = next;
    }
}
