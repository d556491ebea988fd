//! Backtraces by frame pointers, named by the symbol table embedded in the kernel image.

use core::fmt::{self, Write};

use kerncore::symbols::Symbols;

use crate::boot::image;

/// More frames than any sane chain has: a damaged chain must not run for ever.
const MAX_FRAMES: usize = 48;

/// Writes one line per frame to `out`: the given instruction pointer first, then the return addresses
/// found along the chain of frame pointers that starts at `rbp`.
///
/// Reads only mapped memory, so it is safe to call with any values.
pub fn write(out: &mut dyn Write, rip: u64, mut rbp: u64) -> fmt::Result {
    if let Err(why) = Symbols::open(image::symbols()) {
        writeln!(out, "  ({why})")?;
    }
    write_frame(out, 0, rip)?;
    for number in 1..MAX_FRAMES {
        // A frame pointer in the lower half is ring 3's, which fast system calls leave in place.
        if (rbp as i64) >= 0 || !rbp.is_multiple_of(8) || !crate::mem::paging::is_mapped(rbp, 16) {
            break;
        }
        let frame = rbp as *const [u64; 2];
        // SAFETY: 8-byte aligned and mapped as just checked; a racing unmap of a stack in use would
        // be a bug of its own.
        let [next, return_address] = unsafe { frame.read_volatile() };
        if return_address == 0 {
            break;
        }
        write_frame(out, number, return_address)?;
        // Chains lead towards higher addresses; anything else is damage.
        if next <= rbp {
            break;
        }
        rbp = next;
    }
    Ok(())
}

fn write_frame(out: &mut dyn Write, number: usize, address: u64) -> fmt::Result {
    write!(out, "  #{number:<2} {address:#018x} ")?;
    // The first is where the core is; the others are return addresses, one past their call: after a call that never
    // returns that is already another function.
    write_symbol(out, address, u64::from(number > 0))?;
    writeln!(out)
}

/// Writes `name+0xoffset` for the function that holds the byte `back` before `address`, or what there is to say instead.
pub(crate) fn write_symbol(out: &mut dyn Write, address: u64, back: u64) -> fmt::Result {
    let Some(offset) = image::offset_of(address) else {
        return write!(out, "(outside the kernel)");
    };
    let inside = u32::try_from(offset.saturating_sub(back)).unwrap_or(u32::MAX);
    match Symbols::open(image::symbols()).map(|symbols| symbols.look_up(inside)) {
        Ok(Some(symbol)) => write!(
            out,
            "{}+{:#x}",
            symbol.name,
            u64::from(symbol.offset) + back
        ),
        _ => write!(out, "kernel+{offset:#x}"),
    }
}
