//! Where the kernel image lies and what its parts are (the borders come from `kernel.ld`).

use crate::mem::paging::Access;

unsafe extern "C" {
    static __image_base: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __relocated_end: u8;
    static __image_end: u8;
    static __ksyms_start: u8;
    static __ksyms_end: u8;
}

/// `KERNEL_BASE + LOAD_ADDRESS` of `kernel.ld`: the base the image is linked at.
pub(super) const LINKED_BASE: u64 = 0xffff_ffff_8020_0000;

// The symbols below are borders, only named and never read, hence no `unsafe`.

/// The image's first address, wherever it runs now.
pub fn base() -> u64 {
    &raw const __image_base as u64
}

/// Length of the image in memory, bytes, with `.bss`.
pub fn len() -> u64 {
    &raw const __image_end as u64 - base()
}

/// Offset of `address` in the image's code.
pub fn offset_of(address: u64) -> Option<u64> {
    let text = &raw const __text_start as u64..&raw const __text_end as u64;
    text.contains(&address).then(|| address - base())
}

/// The image's parts as offsets from its base, each with what may be done with it.
pub(super) fn parts() -> [(u64, u64, Access); 4] {
    let offset = |border: *const u8| border as u64 - base();
    let text = offset(&raw const __text_start);
    let text_end = offset(&raw const __text_end);
    // Constants that hold addresses (tables of methods among them) were relocated before these mappings come into force.
    let relocated_end = offset(&raw const __relocated_end);
    [
        (0, text, Access::ReadOnly),
        (text, text_end, Access::Execute),
        (text_end, relocated_end, Access::ReadOnly),
        (relocated_end, len(), Access::ReadWrite),
    ]
}

/// The embedded symbol table (empty if the build did not fill it in).
pub fn symbols() -> &'static [u8] {
    let start = &raw const __ksyms_start;
    let len = &raw const __ksyms_end as usize - start as usize;
    // SAFETY: the linker script reserves exactly these bytes in read-only data; they are written before the
    // image is loaded, never while it runs.
    unsafe { core::slice::from_raw_parts(start, len) }
}
