//! Vector and x87 state: how large it is, where a thread's lies while it does not run, and what may be put there.
//!
//! XSAVE in its standard format (Intel SDM vol. 1 ch. 13) with everything ring 3 is given: x87, SSE, and AVX and AVX-512 where
//! present; FXSAVE where there is no XSAVE. A thread gets an area when it is first interrupted: each core keeps one spare, so that
//! the trap has somewhere to write to, and [`super::enter`] makes the next spare. A thread that only ever makes native system
//! calls needs none: their vector state is the initial one afterwards.

extern crate alloc;

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

use super::context::{UserContext, mode};
use crate::cpu::features;

/// Bits of XCR0 (Intel SDM vol. 1 §13.1).
const X87_SSE: u64 = 0b11;
const AVX: u64 = 1 << 2;
const AVX_512: u64 = 0b111 << 5;

/// Bytes of the legacy region, which is all of an FXSAVE area.
const LEGACY_BYTES: usize = 512;
/// And with the XSAVE header behind it.
const HEADER_END: usize = LEGACY_BYTES + 64;
/// Where MXCSR and its mask of settable bits are in the legacy region (Intel SDM vol. 1 table 10-2).
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
/// The mask of CPUs that leave the field zero (§11.6.6).
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;
/// MXCSR after a reset: all exceptions masked, round to nearest.
pub(super) const INITIAL_MXCSR: u32 = 0x1f80;

/// How state is saved and restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum Method {
    Fxsave = 0,
    Xsave = 1,
    Xsaveopt = 2,
}

/// What the gate's assembly must know, set once at start-up.
#[repr(C)]
pub(super) struct GateChoices {
    /// A [`Method`].
    pub(super) method: AtomicU8,
    /// Whether restoring leaves the last x87 instruction's addresses of whoever ran before.
    pub(super) x87_leaks: AtomicU8,
}

pub(super) static CHOICES: GateChoices = GateChoices {
    method: AtomicU8::new(Method::Fxsave as u8),
    x87_leaks: AtomicU8::new(0),
};
static SIZE: AtomicUsize = AtomicUsize::new(LEGACY_BYTES);
static SETTABLE_MXCSR: AtomicU32 = AtomicU32::new(DEFAULT_MXCSR_MASK);

/// State as after a reset, for FXRSTOR and XRSTOR alike: control words, and a header that says that all components are initial.
#[repr(C, align(64))]
pub(super) struct InitialImage([u8; HEADER_END]);

pub(super) static INITIAL: InitialImage = InitialImage(initial_image());

const fn initial_image() -> [u8; HEADER_END] {
    /// x87 control word after FNINIT.
    const FCW: u16 = 0x37f;
    let mut image = [0; HEADER_END];
    [image[0], image[1]] = FCW.to_le_bytes();
    [
        image[MXCSR],
        image[MXCSR + 1],
        image[MXCSR + 2],
        image[MXCSR + 3],
    ] = INITIAL_MXCSR.to_le_bytes();
    image
}

/// Sets XCR0 on the calling core, where there is XSAVE. CR4.OSXSAVE is on already.
pub(super) fn init_this_core() {
    let f = features();
    CHOICES
        .x87_leaks
        .store(u8::from(f.x87_pointers_leak), Ordering::Relaxed);
    if f.xsave {
        let mut wanted = X87_SSE;
        if f.avx {
            wanted |= AVX;
        }
        if f.avx512 {
            wanted |= AVX_512;
        }
        // SAFETY: CR4.OSXSAVE is on, and CPUID lists each of these components.
        unsafe { core::arch::x86_64::_xsetbv(0, wanted & f.xcr0_supported) };
        let method = if f.xsaveopt {
            Method::Xsaveopt
        } else {
            Method::Xsave
        };
        CHOICES.method.store(method as u8, Ordering::Relaxed);
        // EBX: the size for what XCR0 enables now (Intel SDM vol. 2A, CPUID leaf 0xd).
        let size = core::arch::x86_64::__cpuid_count(0xd, 0).ebx as usize;
        SIZE.store(size.max(HEADER_END), Ordering::Relaxed);
    }
    #[repr(C, align(16))]
    struct Legacy([u8; LEGACY_BYTES]);
    let mut now = Legacy([0; LEGACY_BYTES]);
    // SAFETY: 512 aligned bytes; FXSAVE is on every x86-64 CPU and CR4.OSFXSR is set.
    unsafe { core::arch::x86_64::_fxsave64(now.0.as_mut_ptr()) };
    match u32_at(&now.0, MXCSR_MASK) {
        0 => {}
        mask => SETTABLE_MXCSR.store(mask, Ordering::Relaxed),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// Bytes of a thread's area: what to charge for one. It is 64-byte aligned, and the heap may round it up.
pub fn size_bytes() -> usize {
    SIZE.load(Ordering::Relaxed)
}

fn layout() -> Option<Layout> {
    Layout::from_size_align(size_bytes(), 64).ok()
}

/// A place for one thread's vector state: [`size_bytes`] bytes, always something that XRSTOR (or FXRSTOR) accepts.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct ExtendedArea(NonNull<u8>);

// SAFETY: it owns its memory.
unsafe impl Send for ExtendedArea {}
// SAFETY: shared references only read.
unsafe impl Sync for ExtendedArea {}

impl ExtendedArea {
    /// A new area with the initial state, if there is memory.
    pub(super) fn try_new() -> Option<Self> {
        let layout = layout()?;
        // SAFETY: the size is not zero.
        let place = NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) })?;
        let len = size_bytes().min(HEADER_END);
        // SAFETY: fresh memory of at least `len` bytes.
        unsafe { place.copy_from_nonoverlapping(NonNull::from(&INITIAL).cast(), len) };
        Some(Self(place))
    }

    pub(super) fn pointer(&self) -> *mut u8 {
        self.0.as_ptr()
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the area is this long, initialised, and only the gate writes to it, which has the context exclusively.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr(), size_bytes()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_ptr(), size_bytes()) }
    }
}

impl Drop for ExtendedArea {
    fn drop(&mut self) {
        if let Some(layout) = layout() {
            // SAFETY: allocated with this very layout: the size changes only before the first area is made.
            unsafe { alloc::alloc::dealloc(self.0.as_ptr(), layout) };
        }
    }
}

/// Why vector state was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedError {
    /// It is not [`size_bytes`] long.
    WrongLength,
    /// It names components this machine has not, or another format, or MXCSR bits that must be zero.
    Malformed,
    /// There is no memory for an area.
    OutOfMemory,
}

impl UserContext {
    /// Bytes of vector-state area that the thread holds, 0 or [`size_bytes`]. It can go up during [`super::enter`].
    pub fn extended_area_bytes(&self) -> usize {
        if self.area.is_some() { size_bytes() } else { 0 }
    }

    /// Gives the area back if the vector state is the initial one, as it is after a native system call: worth it before a long sleep.
    pub fn shed_extended_area(&mut self) {
        if self.mode & mode::AREA_LIVE == 0 {
            self.area = None;
        }
    }

    /// The vector state in the XSAVE standard format (FXSAVE where there is no XSAVE). The initial one may come shorter than [`size_bytes`]:
    /// the rest counts as zeroes.
    pub fn extended_state(&self) -> &[u8] {
        match &self.area {
            Some(area) if self.mode & mode::AREA_LIVE != 0 => area.bytes(),
            _ => INITIAL.0.get(..size_bytes()).unwrap_or(&INITIAL.0),
        }
    }

    /// Replaces the vector state.
    ///
    /// # Errors
    /// If it cannot be loaded as it is, or there is no memory; nothing changes then.
    pub fn set_extended_state(&mut self, state: &[u8]) -> Result<(), ExtendedError> {
        if state.len() != size_bytes() {
            return Err(ExtendedError::WrongLength);
        }
        check(state)?;
        let area = match &mut self.area {
            Some(area) => area,
            none => none.insert(ExtendedArea::try_new().ok_or(ExtendedError::OutOfMemory)?),
        };
        area.bytes_mut().copy_from_slice(state);
        self.mode |= mode::AREA_LIVE;
        Ok(())
    }
}

/// What XRSTOR and FXRSTOR would refuse with #GP (Intel SDM vol. 1 §13.8.1, vol. 2A FXRSTOR).
fn check(state: &[u8]) -> Result<(), ExtendedError> {
    let mut good = u32_at(state, MXCSR) & !SETTABLE_MXCSR.load(Ordering::Relaxed) == 0;
    if CHOICES.method.load(Ordering::Relaxed) != Method::Fxsave as u8 {
        // SAFETY: XCR0 exists where there is XSAVE.
        let enabled = unsafe { core::arch::x86_64::_xgetbv(0) };
        good &= u64_at(state, LEGACY_BYTES) & !enabled == 0;
        // XCOMP_BV and the rest of the header.
        good &= state
            .get(LEGACY_BYTES + 8..HEADER_END)
            .is_some_and(|rest| rest.iter().all(|&byte| byte == 0));
    }
    if good {
        Ok(())
    } else {
        Err(ExtendedError::Malformed)
    }
}
