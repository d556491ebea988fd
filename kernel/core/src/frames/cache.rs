//! A core's own frames, so that taking or returning one needs no lock.

use super::{AllocError, Frame, FrameAllocator, Frames, FreeError, Request, Usage};
use core::fmt;

/// Why a frame could not be put into the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheError {
    /// It is full: drain it first.
    Full,
    /// The frame is in it already: it was freed twice.
    AlreadyFree(Frame),
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the core's frame cache is full; drain it"),
            Self::AlreadyFree(frame) => {
                write!(f, "the frame at {:#x} was freed twice", frame.address())
            }
        }
    }
}

/// A stack of at most `N` free frames belonging to one core.
///
/// The caller tries [`Self::allocate`]; on `None` it takes the allocator's lock, calls [`Self::refill`] and tries again. Likewise [`Self::free`] and
/// [`Self::drain`]. Half the capacity moves at a time, so that a core going back and forth does not take the lock each time.
///
/// A frame freed twice is noticed at once within one cache, and otherwise when it reaches the allocator.
#[derive(Clone, Debug)]
pub struct FrameCache<const N: usize> {
    frames: [Frame; N],
    len: usize,
    // Frames taken out less frames put in since the last settling, by use.
    unsettled: [i64; Usage::COUNT],
}

impl<const N: usize> FrameCache<N> {
    const BATCH: usize = if N > 1 { N / 2 } else { 1 };

    /// An empty cache.
    pub const fn new() -> Self {
        const { assert!(N > 0) };
        Self {
            frames: [Frame::from_number(0); N],
            len: 0,
            unsettled: [0; Usage::COUNT],
        }
    }

    /// How many frames are in it.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a frame; `None` if there is none: refill.
    pub fn allocate(&mut self, usage: Usage) -> Option<Frame> {
        let frame = *self.frames.get(self.len.checked_sub(1)?)?;
        self.len -= 1;
        self.unsettled[usage as usize] += 1;
        Some(frame)
    }

    /// Puts a frame in.
    ///
    /// # Errors
    /// [`CacheError`]; the frame is not in the cache then (or was already).
    pub fn free(&mut self, frame: Frame, usage: Usage) -> Result<(), CacheError> {
        if self
            .frames
            .get(..self.len)
            .is_some_and(|frames| frames.contains(&frame))
        {
            return Err(CacheError::AlreadyFree(frame));
        }
        *self.frames.get_mut(self.len).ok_or(CacheError::Full)? = frame;
        self.len += 1;
        self.unsettled[usage as usize] -= 1;
        Ok(())
    }

    /// Takes up to half the capacity of frames from the allocator, in one piece if there is one, and returns how many.
    ///
    /// # Errors
    /// [`AllocError`] if there is not a single one.
    pub fn refill(&mut self, allocator: &mut FrameAllocator<'_>) -> Result<usize, AllocError> {
        self.settle(allocator);
        let wanted = Self::BATCH.min(N - self.len);
        if wanted == 0 {
            return Ok(0);
        }
        let block = Request {
            count: wanted as u64,
            ..Request::one(Usage::CoreCache)
        };
        if let Ok(frames) = allocator.allocate(block) {
            // Pushed backwards, so that they are handed out in ascending order.
            (0..frames.count)
                .rev()
                .for_each(|index| self.push(Frame(frames.start.0 + index)));
            return Ok(wanted);
        }
        for taken in 0..wanted {
            match allocator.allocate(Request::one(Usage::CoreCache)) {
                Ok(frames) => self.push(frames.start),
                Err(error) if taken == 0 => return Err(error),
                Err(_) => return Ok(taken),
            }
        }
        Ok(wanted)
    }

    fn push(&mut self, frame: Frame) {
        if let Some(place) = self.frames.get_mut(self.len) {
            *place = frame;
            self.len += 1;
        }
    }

    /// Gives half the capacity of frames back to the allocator, those longest unused first.
    ///
    /// # Errors
    /// The first [`FreeError`]: a frame was freed twice or is no memory. It is dropped from the cache and the others are given back all the same.
    pub fn drain(&mut self, allocator: &mut FrameAllocator<'_>) -> Result<(), FreeError> {
        self.drain_some(allocator, Self::BATCH)
    }

    /// Gives all frames back (a core goes offline, or memory is short).
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub fn drain_all(&mut self, allocator: &mut FrameAllocator<'_>) -> Result<(), FreeError> {
        self.drain_some(allocator, N)
    }

    fn drain_some(
        &mut self,
        allocator: &mut FrameAllocator<'_>,
        count: usize,
    ) -> Result<(), FreeError> {
        self.settle(allocator);
        let count = count.min(self.len);
        let mut result = Ok(());
        for &frame in self.frames.iter().take(count) {
            result = result.and(allocator.free(Frames::one(frame), Usage::CoreCache));
        }
        if let Some(present) = self.frames.get_mut(..self.len) {
            present.rotate_left(count);
        }
        self.len -= count;
        result
    }

    /// Tells the allocator what the frames that went through this cache are used for.
    pub fn settle(&mut self, allocator: &mut FrameAllocator<'_>) {
        for usage in Usage::ALL {
            let frames = core::mem::take(&mut self.unsettled[usage as usize]);
            allocator.statistics.add(usage, frames);
            allocator.statistics.add(Usage::CoreCache, -frames);
        }
    }
}

impl<const N: usize> Default for FrameCache<N> {
    fn default() -> Self {
        Self::new()
    }
}
