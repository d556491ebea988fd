//! What else a machine may be doing: on each core a busy loop and a memory hog, as best effort.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::memory::{MapFlags, PAGE_BYTES};
use abi::{Error, FOREVER};
use rt::sys::clock;
use rt::sys::memory::Mapping;
use rt::sys::object::Vmo;
use rt::sys::thread::{self, Joinable};

use crate::Outcome;

/// A hog streams through so many bytes, then maps, touches and unmaps so many others.
const STREAM_BYTES: u64 = 16 << 20;
const MAP_BYTES: u64 = 2 << 20;

/// Goes on until it is [stopped](Load::stop).
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<Joinable>,
}

impl Load {
    /// On all cores.
    pub fn start() -> Outcome<Self> {
        let mut load = Self {
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for core in 0..clock::page().cores {
            load.thread(core, || {
                for number in 0..1000_u64 {
                    black_box(number);
                }
            })?;
            let memory = fresh(STREAM_BYTES)?;
            load.thread(core, move || {
                add_to_each(&memory, 8);
                // Without memory it hogs none.
                if let Ok(more) = fresh(MAP_BYTES) {
                    add_to_each(&more, PAGE_BYTES as usize);
                }
            })?;
        }
        Ok(load)
    }

    fn thread(&mut self, core: u32, mut work: impl FnMut() + Send + 'static) -> Outcome {
        let stop = Arc::clone(&self.stop);
        let thread = thread::spawn_with(thread::STACK_BYTES, core, move || {
            while !stop.load(Ordering::Relaxed) {
                work();
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Ends it.
    pub fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join_blocking(FOREVER)?;
        }
        Ok(())
    }
}

fn fresh(bytes: u64) -> Result<Mapping, Error> {
    Vmo::create(bytes)?.map(0, bytes, MapFlags::WRITE)
}

/// Adds 1 to the words at each `step` bytes.
fn add_to_each(memory: &Mapping, step: usize) {
    let mut offset = 0;
    while let Some(word) = memory.word_u64(offset) {
        word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        offset += step;
    }
}
