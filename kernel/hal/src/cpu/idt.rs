//! The interrupt descriptor table: one for all cores, filled before any of them loads it.

use conquer_once::spin::OnceCell;
use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

use super::tables::{Ist, KERNEL_CODE};
use super::trap::stub_address;

/// A 64-bit interrupt gate (Intel SDM vol. 3A §7.14.1): offset 15:0, selector, IST and type, offset
/// 31:16, offset 63:32, zero.
#[repr(C)]
#[derive(Clone, Copy)]
struct Gate {
    offset_low: u16,
    selector: u16,
    ist: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    zero: u32,
}

/// Present, DPL 0, interrupt gate (IF is cleared on entry).
const INTERRUPT_GATE: u8 = 0x8e;
/// DPL 3: ring 3 may use the gate by `int3` and `int 4`. All other vectors' `int n` is a general protection fault there.
const FROM_RING_3: u8 = 3 << 5;
const BREAKPOINT: u8 = 3;
const OVERFLOW: u8 = 4;

#[repr(C, align(16))]
struct Idt([Gate; 256]);

static IDT: OnceCell<Idt> = OnceCell::uninit();

fn build() -> Idt {
    let mut table = Idt([Gate {
        offset_low: 0,
        selector: KERNEL_CODE,
        ist: 0,
        kind: INTERRUPT_GATE,
        offset_middle: 0,
        offset_high: 0,
        zero: 0,
    }; 256]);
    for (vector, gate) in (0..=255u8).zip(table.0.iter_mut()) {
        let address = stub_address(vector);
        gate.offset_low = address as u16;
        gate.offset_middle = (address >> 16) as u16;
        gate.offset_high = (address >> 32) as u32;
        if matches!(vector, BREAKPOINT | OVERFLOW) {
            gate.kind |= FROM_RING_3;
        }
        gate.ist = match vector {
            2 => Ist::Nmi,
            8 => Ist::DoubleFault,
            18 => Ist::MachineCheck,
            0..32 => Ist::Exception,
            _ => Ist::Interrupt,
        } as u8;
    }
    table
}

/// Loads the table on the calling core.
pub(super) fn load() {
    let table = IDT.get_or_init(build);
    let pointer = DescriptorTablePointer {
        limit: (size_of::<Idt>() - 1) as u16,
        base: VirtAddr::from_ptr(table),
    };
    // SAFETY: the table is complete, each gate names a stub and a stack in the TSS, and it lives in a static.
    unsafe { lidt(&pointer) };
}
