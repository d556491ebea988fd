//! Copies between kernel and user memory in the address space that is active on this core. A fault ends a copy with an error
//! that names the address; nothing here sleeps or brings pages in.
//!
//! The one place where user addresses are checked is [`check`]: what passes lies below [`USER_END`] entirely. Faults inside the
//! assembly below are recognised by their RIP ([`fix_up`], from the exception handler) and resumed where it reports them. SMAP is
//! lifted (`stac`) for exactly these instructions; a handler that interrupts them runs with it on again.

use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, Ordering};

use super::USER_END;
use crate::cpu::trap::TrapFrame;

/// User memory could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFault {
    /// The first address that could not be, or the range's first if it does not lie below [`USER_END`].
    pub address: u64,
}

/// Whether `len` bytes at `address` lie below [`USER_END`]. No bytes lie anywhere.
pub fn check(address: u64, len: u64) -> Result<(), CopyFault> {
    match address.checked_add(len) {
        Some(end) if end <= USER_END => Ok(()),
        _ if len == 0 => Ok(()),
        _ => Err(CopyFault { address }),
    }
}

/// Whether to lift SMAP; the assembly reads it.
static SMAP: AtomicBool = AtomicBool::new(false);

/// Learns whether the CPU has SMAP.
pub(super) fn init() {
    SMAP.store(crate::cpu::features().smap, Ordering::Relaxed);
}

const PAGE_FAULT: u64 = 14;

// `user_copy(to, from, len)`: RAX 0, or 1 with the address at fault in RDX. Quadwords at a time, as in `mem::intrinsics`.
// `user_read_u64(from)` and `user_write_u64(to, value)`: RAX as above, the value read in RDX.
global_asm!(
    r#"
.section .text.user_copy, "ax"
.global user_copy, user_read_u64, user_write_u64, user_copy_first, user_copy_last, user_copy_end, user_read_first, user_read_last, user_write_first, user_write_last
.balign 16
user_copy:
    cmp byte ptr [rip + {smap}], 0
    je 2f
    stac
2:
    mov rcx, rdx
    shr rcx, 3
user_copy_first:
    rep movsq
    mov ecx, edx
    and ecx, 7
    rep movsb
user_copy_last:
    xor eax, eax
user_copy_end:
    cmp byte ptr [rip + {smap}], 0
    je 2f
    clac
2:
    ret

.balign 16
user_read_u64:
    cmp byte ptr [rip + {smap}], 0
    je 2f
    stac
2:
user_read_first:
    mov rdx, [rdi]
user_read_last:
    xor eax, eax
    jmp user_copy_end

.balign 16
user_write_u64:
    cmp byte ptr [rip + {smap}], 0
    je 2f
    stac
2:
user_write_first:
    mov [rdi], rsi
user_write_last:
    xor eax, eax
    jmp user_copy_end
.text
"#,
    smap = sym SMAP,
);

#[repr(C)]
struct Outcome {
    failed: u64,
    value: u64,
}

unsafe extern "sysv64" {
    fn user_copy(to: *mut u8, from: *const u8, len: usize) -> Outcome;
    fn user_read_u64(from: u64) -> Outcome;
    fn user_write_u64(to: u64, value: u64) -> Outcome;
    static user_copy_first: u8;
    static user_copy_last: u8;
    static user_read_first: u8;
    static user_read_last: u8;
    static user_write_first: u8;
    static user_write_last: u8;
    static user_copy_end: u8;
}

/// If `frame` is a page fault of a copy at a user address, makes it end there: `true`.
pub(crate) fn fix_up(frame: &mut TrapFrame) -> bool {
    if frame.vector != PAGE_FAULT {
        return false;
    }
    let ranges = [
        (&raw const user_copy_first, &raw const user_copy_last),
        (&raw const user_read_first, &raw const user_read_last),
        (&raw const user_write_first, &raw const user_write_last),
    ];
    let inside =
        |(first, last): &(*const u8, *const u8)| (*first as u64..*last as u64).contains(&frame.rip);
    let address = x86_64::registers::control::Cr2::read_raw();
    // A bad address of the kernel's own is no fault of ring 3's.
    if address >= USER_END || !ranges.iter().any(inside) {
        return false;
    }
    frame.rip = &raw const user_copy_end as u64;
    frame.rax = 1;
    frame.rdx = address;
    true
}

fn outcome(outcome: Outcome) -> Result<u64, CopyFault> {
    if outcome.failed == 0 {
        Ok(outcome.value)
    } else {
        Err(CopyFault {
            address: outcome.value,
        })
    }
}

/// Copies user memory at `from` into `to`.
///
/// # Errors
/// If part of it is no user memory that can be read; `to` then holds some of the bytes before that.
pub fn copy_in(to: &mut [u8], from: u64) -> Result<(), CopyFault> {
    check(from, to.len() as u64)?;
    // SAFETY: `to` is writable, the source lies in the user half, and a fault there ends the copy. Other threads may change
    // the source meanwhile: the assembly reads each byte once, and any byte is a `u8`.
    outcome(unsafe { user_copy(to.as_mut_ptr(), from as *const u8, to.len()) }).map(|_| ())
}

/// Copies `from` to user memory at `to`.
///
/// # Errors
/// If part of it is no user memory that can be written; the bytes before that may have been.
pub fn copy_out(to: u64, from: &[u8]) -> Result<(), CopyFault> {
    check(to, from.len() as u64)?;
    // SAFETY: as in `copy_in`; no Rust reference points to the user half.
    outcome(unsafe { user_copy(to as *mut u8, from.as_ptr(), from.len()) }).map(|_| ())
}

/// Reads `N` words at `from`, which need not be aligned.
///
/// # Errors
/// As [`copy_in`].
pub fn copy_in_words<const N: usize>(from: u64) -> Result<[u64; N], CopyFault> {
    let mut words = [0u64; N];
    let len = size_of_val(&words);
    check(from, len as u64)?;
    // SAFETY: as in `copy_in`; any bytes are words.
    outcome(unsafe { user_copy(words.as_mut_ptr().cast(), from as *const u8, len) })?;
    Ok(words)
}

/// Writes words to `to`, which need not be aligned.
///
/// # Errors
/// As [`copy_out`].
pub fn copy_out_words(to: u64, words: &[u64]) -> Result<(), CopyFault> {
    let len = size_of_val(words);
    check(to, len as u64)?;
    // SAFETY: as in `copy_out`.
    outcome(unsafe { user_copy(to as *mut u8, words.as_ptr().cast(), len) }).map(|_| ())
}

/// Reads the word at `from`, with one access if it is aligned.
///
/// # Errors
/// As [`copy_in`].
#[inline]
pub fn read_u64(from: u64) -> Result<u64, CopyFault> {
    check(from, 8)?;
    // SAFETY: as in `copy_in`.
    outcome(unsafe { user_read_u64(from) })
}

/// Writes the word at `to`, with one access if it is aligned.
///
/// # Errors
/// As [`copy_out`].
#[inline]
pub fn write_u64(to: u64, value: u64) -> Result<(), CopyFault> {
    check(to, 8)?;
    // SAFETY: as in `copy_out`.
    outcome(unsafe { user_write_u64(to, value) }).map(|_| ())
}
