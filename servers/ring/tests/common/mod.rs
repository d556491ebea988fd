//! Memory of a ring on the host.
#![allow(dead_code)] // each test uses a part

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use ring::layout::{DATA, memory_bytes};
use ring::{AtomicU32, AtomicU64, Memory};

/// Bytes of data that are kept, of each ring: the models have no room for more.
pub const KEPT: usize = if cfg!(loom) { 64 } else { 1 << 16 };

/// Words, long words and data, each by its offset. Shared by both sides.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    len: usize,
    words: Vec<AtomicU32>,
    long_words: Vec<AtomicU64>,
    data: Vec<AtomicU32>,
}

impl Shared {
    /// A formatted ring.
    pub fn ring(capacity: u32) -> Self {
        let len = memory_bytes(capacity);
        let shared = Self(Arc::new(Inner {
            len,
            words: (0..65).map(|_| AtomicU32::new(0)).collect(),
            long_words: (0..5).map(|_| AtomicU64::new(0)).collect(),
            data: (0..KEPT.min(capacity as usize))
                .map(|_| AtomicU32::new(0))
                .collect(),
        }));
        ring::format(&shared, capacity).expect("a good capacity");
        shared
    }

    /// Writes what a hostile peer might.
    pub fn poke(&self, offset: usize, value: u32) {
        if offset >= DATA {
            for (index, byte) in value.to_le_bytes().into_iter().enumerate() {
                if let Some(place) = self.0.data.get(offset - DATA + index) {
                    place.store(byte.into(), Relaxed);
                }
            }
        } else if let Some(word) = self.word(offset) {
            word.store(value, SeqCst);
        }
    }
}

impl Memory for Shared {
    fn bytes_len(&self) -> usize {
        self.0.len
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.0.words.get(offset / 4)
    }

    fn long_word(&self, offset: usize) -> Option<&AtomicU64> {
        let index = match offset {
            320 => 0,
            328 => 1,
            336 => 2,
            384 => 3,
            392 => 4,
            _ => return None,
        };
        self.0.long_words.get(index)
    }

    fn copy_in(&self, offset: usize, from: &[u8]) -> bool {
        assert!(offset >= DATA, "data lie behind the header");
        if offset + from.len() > self.0.len {
            return false;
        }
        for (place, &byte) in self.0.data.iter().skip(offset - DATA).zip(from) {
            place.store(byte.into(), Relaxed);
        }
        true
    }

    fn copy_out(&self, offset: usize, to: &mut [u8]) -> bool {
        assert!(offset >= DATA, "data lie behind the header");
        if offset + to.len() > self.0.len {
            return false;
        }
        for (byte, place) in to.iter_mut().zip(self.0.data.iter().skip(offset - DATA)) {
            *byte = place.load(Relaxed) as u8;
        }
        true
    }
}
