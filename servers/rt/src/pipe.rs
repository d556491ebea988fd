//! A bounded byte pipe: one writer, one reader, no lock, no allocation.
//!
//! The ring is an array of atomic bytes with free-running `head` (next to read) and `tail` (next to
//! write) positions. The writer alone stores `tail` and the reader alone stores `head`; each
//! publishes with Release what the other observes with Acquire, so a byte is seen only after it was
//! stored and overwritten only after it was read. [`Pipe::split`] hands out the two ends once;
//! an end is not `Clone`, and must be used by one task at a time.
//!
//! No lock is taken, so either end may be used with interrupts on or off, also while the other core
//! is in the middle of the same pipe.

use core::fmt;
use core::future::{Future, poll_fn};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use core::task::Poll;

use futures_util::task::AtomicWaker;

use crate::stream::{ByteSink, ByteSource, Closed};

/// A byte pipe of `CAPACITY` bytes, a power of two. Const-constructible, for statics.
pub type Pipe<const CAPACITY: usize> = RawPipe<[AtomicU8; CAPACITY]>;

/// The pipe behind [`Pipe`]; its ends refer to it with the capacity erased.
pub struct RawPipe<Ring: ?Sized = [AtomicU8]> {
    head: AtomicUsize,
    tail: AtomicUsize,
    split: AtomicBool,
    closed: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
    dropped: AtomicU64,
    waits: AtomicU64,
    high_water: AtomicUsize,
    ring: Ring,
}

/// What went through a pipe and what did not. Read at any time by anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeCounters {
    /// Bytes the writer gave up on, reported by it through [`PipeWriter::count_dropped`] or lost in
    /// [`PipeWriter::write_or_drop`].
    pub dropped: u64,
    /// Times the writer found no room and waited.
    pub waits: u64,
    /// Most bytes that were ever in the pipe at once.
    pub high_water: usize,
}

/// [`Pipe::split`] was called a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadySplit;

impl fmt::Display for AlreadySplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two ends of this pipe were handed out before")
    }
}

impl core::error::Error for AlreadySplit {}

impl<const CAPACITY: usize> Pipe<CAPACITY> {
    /// An empty pipe.
    ///
    /// # Panics
    /// If `CAPACITY` is not a power of two; at compile time when used in a static.
    #[must_use]
    pub const fn new() -> Self {
        assert!(
            CAPACITY.is_power_of_two(),
            "the capacity of a pipe is a power of two"
        );
        Self {
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            split: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            dropped: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            high_water: AtomicUsize::new(0),
            ring: [const { AtomicU8::new(0) }; CAPACITY],
        }
    }

    /// The two ends, once.
    ///
    /// # Errors
    /// [`AlreadySplit`] on the second call.
    pub fn split(&self) -> Result<(PipeWriter<'_>, PipeReader<'_>), AlreadySplit> {
        if self.split.swap(true, Ordering::Relaxed) {
            return Err(AlreadySplit);
        }
        Ok((PipeWriter { pipe: self }, PipeReader { pipe: self }))
    }
}

impl<const CAPACITY: usize> Pipe<CAPACITY> {
    /// Whether nothing is on its way, as of a moment ago.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        (self as &RawPipe).is_empty()
    }
}

impl<const CAPACITY: usize> Default for Pipe<CAPACITY> {
    fn default() -> Self {
        Self::new()
    }
}

impl RawPipe {
    fn slot(&self, position: usize) -> &AtomicU8 {
        // The length is a power of two, so masking is the remainder, also when positions wrap.
        &self.ring[position & (self.ring.len() - 1)]
    }

    fn counters(&self) -> PipeCounters {
        PipeCounters {
            dropped: self.dropped.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            high_water: self.high_water.load(Ordering::Relaxed),
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    fn is_empty(&self) -> bool {
        self.head.load(Ordering::Acquire) == self.tail.load(Ordering::Acquire)
    }

    fn has_room(&self) -> bool {
        let used = self
            .tail
            .load(Ordering::Acquire)
            .wrapping_sub(self.head.load(Ordering::Acquire));
        used < self.ring.len()
    }
}

/// The end that writes. Dropping it closes the pipe: the reader gets what is in it, then the end.
pub struct PipeWriter<'a> {
    pipe: &'a RawPipe,
}

/// The end that reads. Dropping it closes the pipe: writes report [`Closed`].
pub struct PipeReader<'a> {
    pipe: &'a RawPipe,
}

impl PipeWriter<'_> {
    /// Writes what there is room for and counts the rest as dropped: for a producer that must not
    /// wait. Returns how many bytes were dropped.
    pub fn write_or_drop(&self, bytes: &[u8]) -> usize {
        let dropped = bytes.len() - self.try_write(bytes);
        self.count_dropped(dropped as u64);
        dropped
    }

    /// Adds to the count of bytes that never made it into the pipe.
    pub fn count_dropped(&self, bytes: u64) {
        self.pipe.dropped.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The counters of the pipe.
    #[must_use]
    pub fn counters(&self) -> PipeCounters {
        self.pipe.counters()
    }
}

impl PipeReader<'_> {
    /// The counters of the pipe.
    #[must_use]
    pub fn counters(&self) -> PipeCounters {
        self.pipe.counters()
    }
}

impl ByteSink for PipeWriter<'_> {
    fn try_write(&self, bytes: &[u8]) -> usize {
        let pipe = self.pipe;
        if pipe.closed.load(Ordering::Acquire) {
            return 0;
        }
        let tail = pipe.tail.load(Ordering::Relaxed);
        let used = tail.wrapping_sub(pipe.head.load(Ordering::Acquire));
        let count = bytes.len().min(pipe.ring.len().saturating_sub(used));
        if count == 0 {
            return 0;
        }
        for (offset, byte) in bytes.iter().take(count).enumerate() {
            pipe.slot(tail.wrapping_add(offset))
                .store(*byte, Ordering::Relaxed);
        }
        pipe.tail.store(tail.wrapping_add(count), Ordering::Release);
        pipe.high_water.fetch_max(used + count, Ordering::Relaxed);
        pipe.reader.wake();
        count
    }

    fn writable(&self) -> impl Future<Output = Result<(), Closed>> + Send {
        let mut waited = false;
        poll_fn(move |cx| {
            let pipe = self.pipe;
            // Register first, then look: room made in between wakes us.
            pipe.writer.register(cx.waker());
            if pipe.closed.load(Ordering::Acquire) {
                return Poll::Ready(Err(Closed));
            }
            if pipe.has_room() {
                return Poll::Ready(Ok(()));
            }
            if !waited {
                waited = true;
                pipe.waits.fetch_add(1, Ordering::Relaxed);
            }
            Poll::Pending
        })
    }
}

impl ByteSource for PipeReader<'_> {
    fn try_read(&self, buffer: &mut [u8]) -> usize {
        let pipe = self.pipe;
        let head = pipe.head.load(Ordering::Relaxed);
        let used = pipe.tail.load(Ordering::Acquire).wrapping_sub(head);
        let count = buffer.len().min(used);
        if count == 0 {
            return 0;
        }
        for (offset, byte) in buffer.iter_mut().take(count).enumerate() {
            *byte = pipe.slot(head.wrapping_add(offset)).load(Ordering::Relaxed);
        }
        pipe.head.store(head.wrapping_add(count), Ordering::Release);
        pipe.writer.wake();
        count
    }

    fn readable(&self) -> impl Future<Output = Result<(), Closed>> + Send {
        poll_fn(move |cx| {
            let pipe = self.pipe;
            pipe.reader.register(cx.waker());
            // Closed is read before the ring: what was written before closing is seen after it.
            let closed = pipe.closed.load(Ordering::Acquire);
            if !pipe.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if closed {
                Poll::Ready(Err(Closed))
            } else {
                Poll::Pending
            }
        })
    }
}

impl Drop for PipeWriter<'_> {
    fn drop(&mut self) {
        self.pipe.close();
    }
}

impl Drop for PipeReader<'_> {
    fn drop(&mut self) {
        self.pipe.close();
    }
}
