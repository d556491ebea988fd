//! The page on which a starting core runs from real mode to 64-bit code, and what it does first in the kernel.

use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::AtomicU32;

use crate::mem::direct;
use crate::mem::paging::{MapError, new_trampoline_space};

global_asm!(include_str!("trampoline.s"), options(att_syntax));

unsafe extern "C" {
    static ap_trampoline_start: u8;
    static ap_trampoline_end: u8;
    static ap_trampoline_gdt_base: u8;
    static ap_trampoline_far32: u8;
    static ap_trampoline_far64: u8;
    static ap_trampoline_cr3: u8;
    static ap_trampoline_efer: u8;
    static ap_trampoline_slot: u8;
    static ap_trampoline_entry: u8;
}

/// IA32_EFER (Intel SDM vol. 3A §2.2.1): system calls, long mode, no-execute.
const EFER_SCE: u32 = 1 << 0;
const EFER_LME: u32 = 1 << 8;
const EFER_NXE: u32 = 1 << 11;

/// In [`StartSlot::expected_apic_id`]: nobody.
pub(super) const NOBODY: u32 = u32::MAX;

/// What a starting core is handed. Only the core that `expected_apic_id` names goes on; any other that turns
/// up (one that was given up on, say) parks without touching a stack.
#[repr(C)]
pub(super) struct StartSlot {
    pub(super) expected_apic_id: AtomicU32,
    /// 1: the id is in CPUID leaf 1, EBX bits 31:24; otherwise it is EDX of that leaf (0xb).
    pub(super) id_leaf: AtomicU32,
    /// The kernel's page tables.
    pub(super) cr3: u64,
    /// Top of the core's stack.
    pub(super) stack_top: u64,
    /// Where to go then, on that stack, with this slot's address.
    pub(super) main: extern "C" fn(*const StartSlot) -> !,
}

/// A page below 1 MiB holding the trampoline.
pub(super) struct Trampoline {
    page: u64,
}

impl Trampoline {
    /// Copies the code to physical page `page` and fills in its addresses.
    ///
    /// # Safety
    /// `page` is a page of RAM below 1 MiB, in the direct map, that nothing else uses.
    pub(super) unsafe fn prepare(page: u64, nx: bool) -> Result<Self, MapError> {
        let cr3 = new_trampoline_space(page)?;
        let start = &raw const ap_trampoline_start;
        let length = &raw const ap_trampoline_end as usize - start as usize;
        if length > 0x1000
            || page >= 1 << 20
            || !page.is_multiple_of(0x1000)
            || cr3 > u64::from(u32::MAX)
        {
            return Err(MapError::BadRange);
        }
        let copy = direct::to_virtual(page) as *mut u8;
        // SAFETY: the caller gives us the page, which the direct map covers; the code fits into it.
        unsafe { copy.copy_from_nonoverlapping(start, length) };
        let place = |symbol: *const u8| copy.wrapping_add(symbol as usize - start as usize);
        let add_page = |symbol: *const u8| {
            let place = place(symbol).cast::<u32>();
            // SAFETY: inside the copy just made.
            unsafe { place.write_unaligned(place.read_unaligned() + page as u32) }
        };
        add_page(&raw const ap_trampoline_gdt_base);
        add_page(&raw const ap_trampoline_far32);
        add_page(&raw const ap_trampoline_far64);
        let efer = EFER_SCE | EFER_LME | if nx { EFER_NXE } else { 0 };
        // SAFETY: inside the copy just made, with the widths the assembly gives these fields.
        unsafe {
            place(&raw const ap_trampoline_cr3)
                .cast::<u32>()
                .write_unaligned(cr3 as u32);
            place(&raw const ap_trampoline_efer)
                .cast::<u32>()
                .write_unaligned(efer);
            let entry = place(&raw const ap_trampoline_entry).cast::<u64>();
            entry.write_unaligned(enter_kernel as *const () as u64);
        }
        Ok(Self { page })
    }

    /// Makes the next core to start use `slot`, which must never be freed.
    pub(super) fn set_slot(&self, slot: *const StartSlot) {
        let start = &raw const ap_trampoline_start as usize;
        let offset = &raw const ap_trampoline_slot as usize - start;
        let place = (direct::to_virtual(self.page) as *mut u8)
            .wrapping_add(offset)
            .cast::<u64>();
        // SAFETY: inside the copy that `prepare` made, on a page that is this value's own. A core that comes
        // late may read it meanwhile; the word is aligned.
        unsafe { place.write_volatile(slot as u64) };
    }

    /// The page number that a start-up IPI carries.
    pub(super) fn startup_page(&self) -> u8 {
        (self.page >> 12) as u8
    }
}

/// In the kernel's half, still on the trampoline's page tables, without a stack: rdi = the slot.
#[unsafe(naked)]
extern "C" fn enter_kernel() -> ! {
    naked_asm!(
        "mov eax, [rdi + {id_leaf}]",
        "mov r8d, eax",
        "xor ecx, ecx",
        "cpuid",
        "shr ebx, 24",
        "cmp r8d, 1",
        "cmove edx, ebx",
        "cmp edx, [rdi + {expected}]",
        "jne 2f",
        "mov rax, [rdi + {cr3}]",
        "mov cr3, rax",
        "mov rsp, [rdi + {stack_top}]",
        "xor ebp, ebp",
        "call [rdi + {main}]",
        "2: cli",
        "hlt",
        "jmp 2b",
        id_leaf = const offset_of!(StartSlot, id_leaf),
        expected = const offset_of!(StartSlot, expected_apic_id),
        cr3 = const offset_of!(StartSlot, cr3),
        stack_top = const offset_of!(StartSlot, stack_top),
        main = const offset_of!(StartSlot, main),
    )
}
