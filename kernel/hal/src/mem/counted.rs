//! Frames that several may hold, and what is in them: the memory of processes.
//!
//! A counted frame is one of RAM that is no part of the kernel: it came from [`allocate_zeroed`], [`allocate_copy`] or
//! [`allocate_run`] and stays allocated until as many [`release`]s as there were holders. Its bytes are read and written
//! through the direct map, by address: nothing here can touch a frame that is not counted, so no page table, heap
//! or stack. Programs may write the same bytes at the same time; a copy then holds some of each.
//!
//! The counts cost 1 MiB per GiB of memory (`kerncore::frames::ShareCounts`). Task context only.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::AtomicU32;

use conquer_once::spin::OnceCell;
use kerncore::boot_info::PhysRange;
use kerncore::frames::{
    AllocError, FRAME_BYTES, Frame, Frames, Request, ShareCounts, ShareError, Usage,
};

use super::{direct, frames};

const BYTES: usize = FRAME_BYTES as usize;

static COUNTS: OnceCell<ShareCounts<'static>> = OnceCell::uninit();

/// Starts counting in `range`, which has room for all frames up to the end of memory.
///
/// # Safety
/// Once; the range is RAM that nobody else uses, covered by the direct map.
pub(super) unsafe fn init(range: PhysRange) {
    let counts = direct::to_virtual(range.start) as *mut AtomicU32;
    let len = range.len() as usize / size_of::<AtomicU32>();
    // SAFETY: by the caller's word nobody else uses the range; it is page aligned, and zero is a valid count.
    let counts = unsafe {
        counts.write_bytes(0, len);
        core::slice::from_raw_parts(counts, len)
    };
    // Only the first call matters.
    let _ = COUNTS.try_init_once(|| ShareCounts::new(counts));
}

fn counts() -> ShareCounts<'static> {
    COUNTS.get().copied().unwrap_or(ShareCounts::new(&[]))
}

/// Why bytes of a frame cannot be read or written. None were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The address is not that of a counted frame.
    NotCounted {
        /// The physical address.
        frame: u64,
    },
    /// The bytes do not lie within one frame.
    OutsideFrame {
        /// The first byte's offset.
        offset: usize,
        /// How many bytes.
        len: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotCounted { frame } => write!(f, "{frame:#x} is not a counted frame"),
            Self::OutsideFrame { offset, len } => {
                write!(
                    f,
                    "{len} bytes at offset {offset} reach past a frame of {BYTES}"
                )
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// Takes a frame of zeroes with one holder; `None` if memory is out.
pub fn allocate_zeroed(usage: Usage) -> Option<u64> {
    let frame = allocate_uninitialised(usage)?;
    // SAFETY: a frame nobody else knows yet.
    unsafe { fill_with_zeroes(direct::to_virtual(frame)) };
    Some(frame)
}

/// Takes a frame with one holder and the contents of the counted frame `from`.
///
/// # Errors
/// [`FrameError::NotCounted`] for `from`; `Ok(None)` if memory is out.
pub fn allocate_copy(from: u64, usage: Usage) -> Result<Option<u64>, FrameError> {
    let source = bytes_at(from, 0, BYTES)?;
    let Some(frame) = allocate_uninitialised(usage) else {
        return Ok(None);
    };
    // SAFETY: two whole frames: one counted, one nobody else knows yet.
    unsafe { move_bytes(direct::to_virtual(frame), source, BYTES) };
    Ok(Some(frame))
}

fn allocate_uninitialised(usage: Usage) -> Option<u64> {
    let frame = frames::allocate(usage)?;
    if let Err(error) = counts().begin(frame) {
        // Somebody freed a frame that others hold. It must not be used; what else may go on is not known.
        log::error!(target: "memory", "a frame was free and in use at once: {error}; it is left out");
        return None;
    }
    Some(frame)
}

/// Takes consecutive frames, each with one holder: buffers for devices. What is in them is whatever was: nobody may see them
/// before they are [zeroes](zero), which for many takes so long that the caller does it step by step.
///
/// # Errors
/// As [`frames::allocate_frames`].
pub fn allocate_run(request: Request) -> Result<Frames, AllocError> {
    let run = frames::allocate_frames(request)?;
    for index in 0..run.count {
        let frame = Frame::from_number(run.start.number() + index).address();
        if let Err(error) = counts().begin(frame) {
            log::error!(target: "memory", "a frame was free and in use at once: {error}");
        }
    }
    Ok(run)
}

/// One holder more.
///
/// # Errors
/// [`ShareError::NotCounted`], [`ShareError::TooManyHolders`].
pub fn share(frame: u64) -> Result<(), ShareError> {
    counts().share(frame)
}

/// One holder less; the last one's frees the frame. Returns whether it did. No core may still have a translation through which
/// this holder used the frame.
pub fn release(frame: u64, usage: Usage) -> bool {
    match counts().release(frame) {
        Ok(false) => false,
        Ok(true) => match frames::free(frame, usage) {
            Ok(()) => true,
            Err(error) => {
                log::error!(target: "memory", "releasing a frame: {error}");
                false
            }
        },
        Err(error) => {
            log::error!(target: "memory", "releasing a frame: {error}");
            false
        }
    }
}

/// How many hold the frame, 0 if it is not counted. A holder that reads 1 has it alone, until it shares it.
pub fn count(frame: u64) -> u32 {
    counts().count(frame)
}

/// Copies `buffer.len()` bytes out of a frame, from `offset` on.
///
/// # Errors
/// [`FrameError`].
pub fn read(frame: u64, offset: usize, buffer: &mut [u8]) -> Result<(), FrameError> {
    let from = bytes_at(frame, offset, buffer.len())?;
    // SAFETY: the bytes lie within a counted frame, which the direct map covers; the buffer is the caller's own.
    unsafe { move_bytes(buffer.as_mut_ptr() as u64, from, buffer.len()) };
    Ok(())
}

/// Copies `bytes` into a frame, from `offset` on.
///
/// # Errors
/// [`FrameError`].
pub fn write(frame: u64, offset: usize, bytes: &[u8]) -> Result<(), FrameError> {
    let to = bytes_at(frame, offset, bytes.len())?;
    // SAFETY: the bytes lie within a counted frame, which holds nothing of the kernel's.
    unsafe { move_bytes(to, bytes.as_ptr() as u64, bytes.len()) };
    Ok(())
}

/// Makes `len` bytes of a frame zero, from `offset` on.
///
/// # Errors
/// [`FrameError`].
pub fn zero(frame: u64, offset: usize, len: usize) -> Result<(), FrameError> {
    let to = bytes_at(frame, offset, len)?;
    // SAFETY: the bytes lie within a counted frame, which holds nothing of the kernel's.
    unsafe { zero_bytes(to, len) };
    Ok(())
}

/// Copies `len` bytes from one frame to another (or the same: the ranges must not overlap then, or the copy is of mixed
/// old and new bytes).
///
/// # Errors
/// [`FrameError`].
pub fn copy(
    to: u64,
    to_offset: usize,
    from: u64,
    from_offset: usize,
    len: usize,
) -> Result<(), FrameError> {
    let to = bytes_at(to, to_offset, len)?;
    let from = bytes_at(from, from_offset, len)?;
    // SAFETY: both ranges lie within counted frames, which hold nothing of the kernel's.
    unsafe { move_bytes(to, from, len) };
    Ok(())
}

/// Where the direct map has `len` bytes of a counted frame.
fn bytes_at(frame: u64, offset: usize, len: usize) -> Result<u64, FrameError> {
    if count(frame) == 0 {
        return Err(FrameError::NotCounted { frame });
    }
    match offset.checked_add(len) {
        Some(end) if end <= BYTES => Ok(direct::to_virtual(frame) + offset as u64),
        _ => Err(FrameError::OutsideFrame { offset, len }),
    }
}

/// # Safety
/// `to` and `from` are valid for `len` bytes. In assembly, since programs on other cores may write them meanwhile.
unsafe fn move_bytes(to: u64, from: u64, len: usize) {
    // SAFETY: by the caller's word; the direction flag is clear in compiled code.
    unsafe {
        asm!(
            "rep movsq",
            "mov rcx, {tail}",
            "rep movsb",
            tail = in(reg) len & 7,
            inout("rcx") len >> 3 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// `to` is valid for `len` bytes.
unsafe fn zero_bytes(to: u64, len: usize) {
    // SAFETY: as in `move_bytes`.
    unsafe {
        asm!(
            "rep stosq",
            "mov rcx, {tail}",
            "rep stosb",
            tail = in(reg) len & 7,
            inout("rcx") len >> 3 => _,
            inout("rdi") to => _,
            in("rax") 0,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// `to` is the direct map's address of a frame that holds nothing needed.
pub(super) unsafe fn fill_with_zeroes(to: u64) {
    // SAFETY: by the caller's word.
    unsafe { zero_bytes(to, BYTES) };
}
