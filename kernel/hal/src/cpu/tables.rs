//! GDT, TSS and the stacks that the CPU switches to by itself.
//!
//! Every gate uses an interrupt stack (IST): the prebuilt core library may use the red zone, which an
//! interrupt on the same stack would destroy. So TSS.RSP0 is never used and stays zero, and there is no I/O permission bitmap. One stack for top halves (they never nest), one for
//! exceptions, and NMI, #DF and #MC have their own (Intel SDM vol. 3A §7.14.5).

use x86_64::VirtAddr;
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::{CS, DS, ES, FS, SS, Segment};
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// Interrupt-stack numbers as IDT gates name them (1..=7; 0 would mean "no switch").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ist {
    /// Top halves.
    Interrupt = 1,
    /// Exceptions that have no stack of their own.
    Exception = 2,
    /// Non-maskable interrupts.
    Nmi = 3,
    /// #DF, double fault.
    DoubleFault = 4,
    /// #MC, machine check.
    MachineCheck = 5,
}

/// Selectors of the table that [`CoreTables::load`] makes. `syscall` and `sysretq` want this order (Intel SDM vol. 2B).
pub(crate) const KERNEL_CODE: u16 = 0x08;
pub(crate) const KERNEL_DATA: u16 = 0x10;
/// With the requested privilege level 3, as ring 3 sees it.
pub(crate) const USER_DATA: u16 = 0x18 | 3;
pub(crate) const USER_CODE: u16 = 0x20 | 3;

/// In the lower half, which holds nothing while the kernel runs.
const UNMAPPED_STACK: u64 = 0x7fff_0000_0000;

/// How many interrupt stacks a core needs.
pub const IST_COUNT: usize = 5;

/// Tops (highest addresses, 16-byte aligned) of a core's interrupt stacks, in [`Ist`] order.
#[derive(Clone, Copy, Debug)]
pub struct IstTops(pub [u64; IST_COUNT]);

/// A core's descriptor tables. They stay where they are once loaded.
pub struct CoreTables {
    gdt: GlobalDescriptorTable<8>,
    tss: TaskStateSegment,
}

impl CoreTables {
    /// Empty tables.
    #[expect(clippy::new_without_default, reason = "part of a static")]
    pub const fn new() -> Self {
        Self {
            gdt: GlobalDescriptorTable::empty(),
            tss: TaskStateSegment::new(),
        }
    }

    fn set_stacks(&mut self, tops: &IstTops) {
        // The TSS is packed: no references into it.
        let mut table = self.tss.interrupt_stack_table;
        for (slot, top) in table.iter_mut().zip(tops.0) {
            *slot = VirtAddr::new_truncate(top);
        }
        self.tss.interrupt_stack_table = table;
    }

    /// Fills the tables and makes the calling core use them.
    pub(super) fn load(&'static mut self, tops: &IstTops) {
        self.set_stacks(tops);
        let tss: &'static TaskStateSegment = &self.tss;
        self.gdt = GlobalDescriptorTable::empty();
        let code = self.gdt.append(Descriptor::kernel_code_segment());
        let data = self.gdt.append(Descriptor::kernel_data_segment());
        let user_data = self.gdt.append(Descriptor::user_data_segment());
        let user_code = self.gdt.append(Descriptor::user_code_segment());
        debug_assert_eq!(
            [code.0, data.0, user_data.0, user_code.0],
            [KERNEL_CODE, KERNEL_DATA, USER_DATA, USER_CODE]
        );
        let task = self.gdt.append(Descriptor::tss_segment(tss));
        self.gdt.load();
        // SAFETY: the selectors were just made for exactly these uses, in the table just loaded.
        unsafe {
            CS::set_reg(code);
            SS::set_reg(data);
            DS::set_reg(SegmentSelector::NULL);
            ES::set_reg(SegmentSelector::NULL);
            FS::set_reg(SegmentSelector::NULL);
            load_tss(task);
        }
    }

    /// Points the exception stack at an address that is never mapped.
    pub(super) fn break_exception_stack(&mut self) {
        let mut table = self.tss.interrupt_stack_table;
        if let Some(slot) = table.get_mut(Ist::Exception as usize - 1) {
            *slot = VirtAddr::new_truncate(UNMAPPED_STACK);
        }
        self.tss.interrupt_stack_table = table;
    }

    /// Moves the loaded tables to other interrupt stacks. Interrupts must be off.
    pub(super) fn move_stacks(&mut self, tops: &IstTops) {
        self.set_stacks(tops);
    }
}
