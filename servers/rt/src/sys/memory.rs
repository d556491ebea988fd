//! vmos and what is mapped of them.

use core::ptr::{NonNull, copy_nonoverlapping};
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use abi::memory::{MapArgs, MapFlags, VmoInfo, VmoOp};
use abi::{Call, Error};
use zerocopy::{FromZeros, IntoBytes};

use super::gate;
use super::object::{Borrowed, Object, Owned, Process, Vmo};
use super::process::this_process;

impl Vmo {
    /// A vmo of `bytes` zeroes, none committed.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond [`abi::memory::MAX_VMO_BYTES`]; the job's limits.
    pub fn create(bytes: u64) -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::VmoCreate, [bytes]) };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// Sizes.
    ///
    /// # Errors
    /// [`Error::NoRight`], [`Error::Revoked`].
    pub fn sizes(&self) -> Result<VmoInfo, Error> {
        let mut info = VmoInfo::new_zeroed();
        // SAFETY: the kernel fills `info`, whose layout both sides share.
        let (rax, _) = unsafe {
            gate::call(
                Call::VmoInfo,
                [self.handle().0, info.as_mut_bytes().as_mut_ptr() as u64],
            )
        };
        Error::check(rax)?;
        Ok(info)
    }

    /// Copies out of it into all of `to`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NoRight`], [`Error::PagerFailed`].
    pub fn read(&self, offset: u64, to: &mut [u8]) -> Result<usize, Error> {
        // SAFETY: the kernel writes at most `to.len()` bytes there.
        let (rax, _) = unsafe {
            gate::call(
                Call::VmoRead,
                [
                    self.handle().0,
                    offset,
                    to.as_mut_ptr() as u64,
                    to.len() as u64,
                ],
            )
        };
        Ok(Error::check(rax)? as usize)
    }

    /// Copies into it. What is mapped of it changes: only [`Mapping`]s look at memory that does.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NoRight`], [`Error::NoMemory`].
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<usize, Error> {
        // SAFETY: the kernel reads `from`.
        let (rax, _) = unsafe {
            gate::call(
                Call::VmoWrite,
                [
                    self.handle().0,
                    offset,
                    from.as_ptr() as u64,
                    from.len() as u64,
                ],
            )
        };
        Ok(Error::check(rax)? as usize)
    }

    /// A copy-on-write copy of a range, page by page.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NoRight`], the job's limits.
    pub fn clone_range(&self, offset: u64, bytes: u64) -> Result<Self, Error> {
        // SAFETY: makes an object.
        let (rax, _) = unsafe { gate::call(Call::VmoClone, [self.handle().0, offset, bytes]) };
        Owned::from_result(Error::check(rax)?).map(Self::from_owned)
    }

    /// Commits or gives back pages.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NoRight`], [`Error::NoMemory`].
    pub fn operate(&self, operation: VmoOp, offset: u64, len: u64) -> Result<(), Error> {
        // SAFETY: pages given back read as zeroes in mappings of it, which expect that their bytes change.
        let (rax, _) = unsafe {
            gate::call(
                Call::VmoOp,
                [self.handle().0, operation as u64, offset, len],
            )
        };
        Error::check(rax).map(drop)
    }

    /// Gives it another size. Mappings of pages that go fault when touched.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NoRight`].
    pub fn resize(&self, bytes: u64) -> Result<(), Error> {
        // SAFETY: a touch of a page that went ends the process; it reaches no other memory.
        let (rax, _) = unsafe { gate::call(Call::VmoResize, [self.handle().0, bytes]) };
        Error::check(rax).map(drop)
    }

    /// All of it, mapped for as long as the process lives, if it is a constant of the kernel's: the archive of programs.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a vmo that may change, [`Error::NoRight`], [`Error::NoMemory`], [`Error::LimitReached`].
    pub fn map_constant(&self) -> Result<&'static [u8], Error> {
        let size_bytes = self.sizes()?.size_bytes;
        let mapping = self.map(0, size_bytes, MapFlags::CONSTANT | MapFlags::COMMIT)?;
        let (start, len) = (mapping.start.as_ptr().cast_const(), mapping.len);
        // Nobody unmaps it.
        core::mem::forget(mapping);
        // SAFETY: the mapping stays, and the kernel says that its bytes never change.
        Ok(unsafe { core::slice::from_raw_parts(start, len) })
    }

    /// Maps `len` bytes from `offset` (both multiples of the page size) into this process, at an address the kernel chooses.
    ///
    /// # Errors
    /// [`Error::WriteExecute`], [`Error::NoRight`], [`Error::OutOfRange`], [`Error::NoMemory`], [`Error::LimitReached`].
    pub fn map(&self, offset: u64, len: u64, flags: MapFlags) -> Result<Mapping, Error> {
        let address = map_at(
            &this_process(),
            self,
            &MapArgs {
                vmo: 0,
                offset,
                len,
                address: 0,
                flags: (flags - MapFlags::FIXED).bits(),
                reserved: 0,
            },
        )?;
        let start = NonNull::new(address as *mut u8).ok_or(Error::BadAddress)?;
        Ok(Mapping {
            start,
            len: len as usize,
            writable: flags.contains(MapFlags::WRITE),
        })
    }
}

/// Maps a range of a vmo into a process, this or another: `arguments` but for the vmo. Where it is.
///
/// # Errors
/// As [`Vmo::map`]; [`Error::Occupied`] for a fixed address.
pub fn map_at(process: &Process, vmo: &Vmo, arguments: &MapArgs) -> Result<u64, Error> {
    let arguments = MapArgs {
        vmo: vmo.handle().0,
        ..*arguments
    };
    // SAFETY: a mapping only ever takes free addresses, so it changes no memory that anything of this process uses.
    let (rax, _) = unsafe {
        gate::call(
            Call::Map,
            [process.handle().0, arguments.as_bytes().as_ptr() as u64],
        )
    };
    Error::check(rax)
}

/// Memory of a vmo, mapped into this process; unmapped when dropped.
///
/// Others may map the same vmo and change it at any time, so there is no slice of it: it is read and written by copies, and
/// words in it by atomic operations.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    writable: bool,
}

// SAFETY: the memory belongs to no thread, and all access is by atomics or copies that tolerate changes.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes, which no mapping has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// The bytes as atomics; `None` for a range outside. Reading only, unless it is [writable](Mapping::is_writable): a store to
    /// read-only memory ends the process.
    #[must_use]
    pub fn bytes(&self, offset: usize, len: usize) -> Option<&[AtomicU8]> {
        let start = self.at(offset, len, 1)?;
        // SAFETY: within the mapping, which lives as long as `self`; atomics may change under us.
        Some(unsafe { core::slice::from_raw_parts(start.cast::<AtomicU8>(), len) })
    }

    /// A byte in it; `None` outside.
    #[must_use]
    pub fn byte(&self, offset: usize) -> Option<&AtomicU8> {
        self.bytes(offset, 1)?.first()
    }

    /// A half word in it; `None` outside or where it is not aligned.
    #[must_use]
    pub fn word_u16(&self, offset: usize) -> Option<&AtomicU16> {
        let at = self.at(offset, 2, 2)?;
        // SAFETY: within the mapping and aligned; atomics may change under us.
        Some(unsafe { &*at.cast::<AtomicU16>() })
    }

    /// A word in it; `None` outside or where it is not aligned.
    #[must_use]
    pub fn word_u32(&self, offset: usize) -> Option<&AtomicU32> {
        let at = self.at(offset, 4, 4)?;
        // SAFETY: within the mapping and aligned; atomics may change under us.
        Some(unsafe { &*at.cast::<AtomicU32>() })
    }

    /// A long word in it; `None` outside or where it is not aligned.
    #[must_use]
    pub fn word_u64(&self, offset: usize) -> Option<&AtomicU64> {
        let at = self.at(offset, 8, 8)?;
        // SAFETY: within the mapping and aligned; atomics may change under us.
        Some(unsafe { &*at.cast::<AtomicU64>() })
    }

    /// Whether it was mapped for writing.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.writable
    }

    pub(super) fn at(&self, offset: usize, len: usize, align: usize) -> Option<*mut u8> {
        let end = offset.checked_add(len)?;
        if end > self.len || !offset.is_multiple_of(align) {
            return None;
        }
        // SAFETY: `offset` is at most `self.len`.
        Some(unsafe { self.start.as_ptr().add(offset) })
    }

    /// Keeps it mapped for ever and gives its memory out.
    ///
    /// # Safety
    /// Nobody else may hold a handle to the vmo or map it: the slice would change under the caller.
    pub(super) unsafe fn leak(self) -> NonNull<[u8]> {
        let memory = NonNull::slice_from_raw_parts(self.start, self.len);
        core::mem::forget(self);
        memory
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping's alone, and borrows of it have ended.
        unsafe {
            gate::call(
                Call::Unmap,
                [this_process().handle().0, self.address(), self.len as u64],
            )
        };
    }
}

/// Removes what is mapped in another process.
///
/// # Errors
/// [`Error::BadArgument`] for this process, whose mappings remove themselves; else as the system call.
pub fn unmap_in(process: &Process, address: u64, len: u64) -> Result<(), Error> {
    refuse_this(process)?;
    // SAFETY: it is another process's memory.
    let (rax, _) = unsafe { gate::call(Call::Unmap, [process.handle().0, address, len]) };
    Error::check(rax).map(drop)
}

/// Gives what is mapped in another process another access.
///
/// # Errors
/// As [`unmap_in`].
pub fn protect_in(process: &Process, address: u64, len: u64, flags: MapFlags) -> Result<(), Error> {
    refuse_this(process)?;
    // SAFETY: it is another process's memory.
    let (rax, _) = unsafe {
        gate::call(
            Call::Protect,
            [process.handle().0, address, len, u64::from(flags.bits())],
        )
    };
    Error::check(rax).map(drop)
}

fn refuse_this(process: &Process) -> Result<(), Error> {
    let own: Borrowed<'_, Process> = this_process();
    if process.info()?.object_id == own.info()?.object_id {
        return Err(Error::BadArgument);
    }
    Ok(())
}

/// What lies at an address of a process: the vmo's number and the offset in it. Two addresses are the same memory if these are the same.
///
/// # Errors
/// [`Error::BadAddress`] where nothing is mapped, [`Error::NoRight`].
pub fn lookup_in(process: &Process, address: u64) -> Result<(u64, u64), Error> {
    // SAFETY: touches no memory.
    let (rax, rdx) = unsafe { gate::call(Call::MemoryLookup, [process.handle().0, address]) };
    Ok((Error::check(rax)?, rdx))
}

/// Copies from another process's memory.
///
/// # Errors
/// [`Error::BadAddress`], [`Error::NoRight`].
pub fn read_in(process: &Process, address: u64, to: &mut [u8]) -> Result<usize, Error> {
    // SAFETY: the kernel writes at most `to.len()` bytes there.
    let (rax, _) = unsafe {
        gate::call(
            Call::MemoryRead,
            [
                process.handle().0,
                address,
                to.as_mut_ptr() as u64,
                to.len() as u64,
            ],
        )
    };
    Ok(Error::check(rax)? as usize)
}

/// Copies into another process's memory.
///
/// # Errors
/// [`Error::BadArgument`] for this process; [`Error::BadAddress`], [`Error::NoRight`].
pub fn write_in(process: &Process, address: u64, from: &[u8]) -> Result<usize, Error> {
    refuse_this(process)?;
    // SAFETY: it is another process's memory.
    let (rax, _) = unsafe {
        gate::call(
            Call::MemoryWrite,
            [
                process.handle().0,
                address,
                from.as_ptr() as u64,
                from.len() as u64,
            ],
        )
    };
    Ok(Error::check(rax)? as usize)
}

/// Copies `from` into a mapping, from `offset` on; `false`, and nothing happens, if it does not fit or is read-only.
#[must_use]
pub fn copy_into(mapping: &Mapping, offset: usize, from: &[u8]) -> bool {
    if !mapping.writable {
        return false;
    }
    let Some(to) = mapping.at(offset, from.len(), 1) else {
        return false;
    };
    // SAFETY: within the mapping, which overlaps nothing of Rust's. Others may look at or change it meanwhile: they see bytes
    // in any order, as agreed for all but atomics.
    unsafe { copy_nonoverlapping(from.as_ptr(), to, from.len()) };
    true
}

/// Copies out of a mapping, from `offset` on; `false`, and nothing happens, if that is outside.
#[must_use]
pub fn copy_out_of(mapping: &Mapping, offset: usize, to: &mut [u8]) -> bool {
    let Some(from) = mapping.at(offset, to.len(), 1) else {
        return false;
    };
    // SAFETY: as in `copy_into`.
    unsafe { copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
    true
}

/// Sixteen bytes that stand at a multiple of sixteen.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
pub struct Lane(pub [u8; 16]);

/// [`copy_into`], a vector register at a time.
#[must_use]
pub fn copy_lanes_into(mapping: &Mapping, offset: usize, from: &[Lane]) -> bool {
    let len = size_of_val(from);
    let Some(to) = mapping.at(offset, len, 16).filter(|_| mapping.writable) else {
        return false;
    };
    // SAFETY: as in `copy_into`; both are aligned, and mappings start at pages.
    unsafe { copy_lanes(from.as_ptr().cast(), to, len) };
    true
}

/// [`copy_out_of`], a vector register at a time.
#[must_use]
pub fn copy_lanes_out_of(mapping: &Mapping, offset: usize, to: &mut [Lane]) -> bool {
    let len = size_of_val(to);
    let Some(from) = mapping.at(offset, len, 16) else {
        return false;
    };
    // SAFETY: as in `copy_lanes_into`.
    unsafe { copy_lanes(from, to.as_mut_ptr().cast(), len) };
    true
}

/// Assembly, as the compiler would make a call of `memcpy` of the loop.
///
/// # Safety
/// As `copy_nonoverlapping`; both pointers and the length are multiples of 16.
unsafe fn copy_lanes(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: reads and writes `len` bytes, which the caller vouches for.
    unsafe {
        core::arch::asm!(
            "xor {at:e}, {at:e}",
            "2:",
            "cmp {at}, {len}",
            "jae 3f",
            "movdqa {lane}, [{from} + {at}]",
            "movdqa [{to} + {at}], {lane}",
            "add {at}, 16",
            "jmp 2b",
            "3:",
            at = out(reg) _,
            lane = out(xmm_reg) _,
            len = in(reg) len,
            from = in(reg) from,
            to = in(reg) to,
            options(nostack),
        );
    }
}

/// [`copy_out_of`] for pixels, or other words of 32 bits.
#[must_use]
pub fn copy_pixels_out_of(mapping: &Mapping, offset: usize, to: &mut [u32]) -> bool {
    copy_out_of(mapping, offset, to.as_mut_bytes())
}

/// [`copy_into`] for pixels, or other words of 32 bits.
#[must_use]
pub fn copy_pixels_into(mapping: &Mapping, offset: usize, from: &[u32]) -> bool {
    copy_into(mapping, offset, from.as_bytes())
}
