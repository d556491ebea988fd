//! What else a machine may be doing: on each CPU a busy loop and a memory hog, at default priority.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::{Outcome, sys};

/// A hog streams through so many bytes, then maps, touches and unmaps so many others.
const STREAM_BYTES: usize = 16 << 20;
const MAP_BYTES: usize = 2 << 20;

/// Goes on until it is dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// On all CPUs.
    pub fn start() -> Outcome<Self> {
        let mut load = Self {
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for cpu in 0..sys::cpus() {
            load.thread(cpu, || {
                for number in 0..1000_u64 {
                    black_box(number);
                }
            });
            let mut memory = vec![1_u8; STREAM_BYTES];
            load.thread(cpu, move || {
                memory
                    .iter_mut()
                    .for_each(|byte| *byte = byte.wrapping_add(1));
                black_box(&memory);
                // Without memory it hogs none.
                let _ = sys::map_touch_unmap(MAP_BYTES);
            });
        }
        Ok(load)
    }

    fn thread(&mut self, cpu: usize, mut work: impl FnMut() + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            // Threads inherit the priority of whoever starts them.
            if sys::set_fifo(0).and_then(|()| sys::pin([cpu])).is_err() {
                return;
            }
            while !stop.load(Ordering::Relaxed) {
                work();
            }
        }));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
