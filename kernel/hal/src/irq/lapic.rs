//! The local APIC of the core that runs: end of interrupt, inter-processor interrupts, its timer's
//! registers and its local inputs (Intel SDM vol. 3A chapter 12).
//!
//! Two ways to reach the same registers: memory-mapped (xAPIC, §12.4) or by MSR (x2APIC, §12.12).
//! [`find`] decides once which one, for all cores. The three hot accesses (EOI, ICR, timer count) are one test
//! and one write, which is why they are written here instead of going through a driver crate.
//!
//! The x2APIC half is untested under QEMU 7.2's TCG, which does not offer it; QEMU 10's TCG does.

use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use raw_cpuid::{CpuId, CpuIdReaderNative};
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::registers::model_specific::Msr;

use super::IrqError;
use super::vectors;
use crate::mem::{Cache, map_mmio};

/// IA32_APIC_BASE (§12.4.4): bit 8 boot core, bit 10 x2APIC mode, bit 11 enabled, the rest an address.
const APIC_BASE_MSR: u32 = 0x1b;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const APIC_BASE_ENABLED: u64 = 1 << 11;
const APIC_BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// IA32_TSC_DEADLINE (§12.5.4.1).
const TSC_DEADLINE_MSR: u32 = 0x6e0;
/// x2APIC registers are MSRs from here on, one per 16 bytes of the memory-mapped page (§12.12.1.2).
const X2APIC_MSR_FIRST: u32 = 0x800;

/// A register, by its offset in the memory-mapped page (§12.4.1, table 12-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Register {
    Id = 0x20,
    Version = 0x30,
    TaskPriority = 0x80,
    Eoi = 0xb0,
    SpuriousVector = 0xf0,
    ErrorStatus = 0x280,
    LvtCmci = 0x2f0,
    IcrLow = 0x300,
    IcrHigh = 0x310,
    LvtTimer = 0x320,
    LvtThermal = 0x330,
    LvtPerformance = 0x340,
    LvtLint0 = 0x350,
    LvtLint1 = 0x360,
    LvtError = 0x370,
    TimerInitial = 0x380,
    TimerCurrent = 0x390,
    TimerDivide = 0x3e0,
}

impl Register {
    const fn msr(self) -> u32 {
        X2APIC_MSR_FIRST + (self as u32 >> 4)
    }
}

// Bits of local vector table entries (§12.5.1, figure 12-8).
const LVT_MASKED: u32 = 1 << 16;
const LVT_LEVEL: u32 = 1 << 15;
const LVT_ACTIVE_LOW: u32 = 1 << 13;
const LVT_DELIVER_NMI: u32 = 0b100 << 8;
const LVT_TIMER_TSC_DEADLINE: u32 = 0b10 << 17;
/// Spurious-vector register: software enable (§12.9).
const APIC_SOFTWARE_ENABLE: u32 = 1 << 8;

// Bits of the interrupt command register (§12.6.1).
const ICR_DELIVER_NMI: u32 = 0b100 << 8;
const ICR_DELIVER_INIT: u32 = 0b101 << 8;
const ICR_DELIVER_STARTUP: u32 = 0b110 << 8;
const ICR_ASSERT: u32 = 1 << 14;
const ICR_LEVEL: u32 = 1 << 15;
const ICR_PENDING: u32 = 1 << 12;
/// How often the delivery-status bit is read before an interrupt is sent regardless. Real parts clear it
/// within a few bus cycles; a dead receiver must not hang the sender.
const ICR_PENDING_READS: u32 = 10_000;

/// The memory-mapped registers, or null in x2APIC mode.
static XAPIC: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// [`Mode`] as a number, 0 before [`find`].
static MODE: AtomicU32 = AtomicU32::new(0);

/// How the registers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Memory-mapped registers, 8-bit ids.
    XApic,
    /// MSRs, 32-bit ids.
    X2Apic,
}

/// The mode in use, once interrupts are set up.
pub fn mode() -> Option<Mode> {
    match MODE.load(Ordering::Relaxed) {
        1 => Some(Mode::XApic),
        2 => Some(Mode::X2Apic),
        _ => None,
    }
}

fn read_msr(msr: u32) -> u64 {
    // SAFETY: callers name architectural APIC or TSC registers that CPUID has announced; reading them has
    // no side effects.
    unsafe { Msr::new(msr).read() }
}

fn write_msr(msr: u32, value: u64) {
    // SAFETY: only this module calls it, with APIC registers and the meanings the manual gives them.
    unsafe { Msr::new(msr).write(value) }
}

#[inline(always)]
fn read(register: Register) -> u32 {
    let base = XAPIC.load(Ordering::Relaxed);
    if base.is_null() {
        return read_msr(register.msr()) as u32;
    }
    // SAFETY: `find` mapped the whole register page for good; registers are aligned 32-bit words.
    unsafe { base.add(register as usize).cast::<u32>().read_volatile() }
}

#[inline(always)]
fn write(register: Register, value: u32) {
    let base = XAPIC.load(Ordering::Relaxed);
    if base.is_null() {
        write_msr(register.msr(), u64::from(value));
        return;
    }
    // SAFETY: as in `read`; each core sees its own registers behind the same address.
    unsafe {
        base.add(register as usize)
            .cast::<u32>()
            .write_volatile(value)
    }
}

/// Whether x2APIC mode is worth turning on: on real machines only for APIC ids that need it, as some firmware's own
/// handlers expect the mode they set up; in virtual ones always, as it spares them emulating memory accesses.
fn wants_x2apic() -> bool {
    crate::cpu::features().hypervisor || crate::acpi::usable_apic_ids().any(|id| id >= 0xff)
}

/// Decides how local APICs are reached and maps their registers. Once, on the boot core, interrupts off.
///
/// x2APIC is used where the firmware has left it on (there is no way back without a reset of the APIC, §12.12.5), and
/// else, if the CPU has it, as `x2apic` says; `None` leaves it to [`wants_x2apic`].
pub(super) fn find(x2apic: Option<bool>) -> Result<Mode, IrqError> {
    let has_apic = CpuId::with_cpuid_reader(CpuIdReaderNative)
        .get_feature_info()
        .is_some_and(|features| features.has_apic());
    if !has_apic {
        return Err(IrqError::NoLocalApic);
    }
    let base = read_msr(APIC_BASE_MSR);
    let already_on = base & APIC_BASE_X2APIC != 0;
    if already_on || (crate::cpu::features().x2apic && x2apic.unwrap_or_else(wants_x2apic)) {
        MODE.store(2, Ordering::Relaxed);
        return Ok(Mode::X2Apic);
    }
    let registers =
        map_mmio(base & APIC_BASE_ADDRESS, 0x1000, Cache::Uncached).map_err(|_| IrqError::Map {
            what: "local APIC",
            address: base & APIC_BASE_ADDRESS,
        })?;
    XAPIC.store(registers.as_mut_ptr(), Ordering::Relaxed);
    MODE.store(1, Ordering::Relaxed);
    Ok(Mode::XApic)
}

/// A local interrupt input as the firmware describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmiInput {
    /// LINT0 or LINT1.
    pub lint: u8,
    /// The line is active low.
    pub active_low: bool,
    /// The line is level-triggered.
    pub level: bool,
}

/// Turns on the calling core's local APIC: everything masked but its own errors and the NMI inputs given.
/// Returns the core's APIC id. Interrupts must be off, and the NMI handler in place.
pub(super) fn enable_this_core(nmi_inputs: impl Iterator<Item = NmiInput>) -> u32 {
    let mut base = read_msr(APIC_BASE_MSR) | APIC_BASE_ENABLED;
    // §12.12.5: from disabled, the APIC must be enabled in xAPIC mode before x2APIC is turned on.
    write_msr(APIC_BASE_MSR, base);
    if mode() == Some(Mode::X2Apic) {
        base |= APIC_BASE_X2APIC;
        write_msr(APIC_BASE_MSR, base);
    }
    let last_lvt = read(Register::Version) >> 16 & 0xff;
    write(Register::TaskPriority, 0);
    // Entries can only be unmasked while the APIC is software-enabled (§12.4.7.2).
    write(
        Register::SpuriousVector,
        APIC_SOFTWARE_ENABLE | u32::from(vectors::SPURIOUS),
    );
    write(Register::LvtTimer, LVT_MASKED | u32::from(vectors::TIMER));
    write(Register::LvtLint0, LVT_MASKED);
    write(Register::LvtLint1, LVT_MASKED);
    write(Register::LvtError, u32::from(vectors::ERROR));
    // Which of these exist is told by the number of entries (§12.4.8).
    for (entry, register) in [
        (4, Register::LvtPerformance),
        (5, Register::LvtThermal),
        (6, Register::LvtCmci),
    ] {
        if last_lvt >= entry {
            write(register, LVT_MASKED);
        }
    }
    for input in nmi_inputs {
        let register = match input.lint {
            0 => Register::LvtLint0,
            1 => Register::LvtLint1,
            _ => continue,
        };
        // Delivery as NMI is always edge-triggered, whatever the bit says; LINT1 must not be level (§12.5.1).
        let mut entry = LVT_DELIVER_NMI;
        if input.active_low {
            entry |= LVT_ACTIVE_LOW;
        }
        if input.level && input.lint == 0 {
            entry |= LVT_LEVEL;
        }
        write(register, entry);
    }
    write(Register::ErrorStatus, 0);
    end_of_interrupt();
    id()
}

/// The calling core's APIC id.
pub fn id() -> u32 {
    match mode() {
        Some(Mode::X2Apic) => read(Register::Id),
        Some(Mode::XApic) => read(Register::Id) >> 24,
        None => 0,
    }
}

/// The version register's low byte, for people.
pub fn version() -> u8 {
    if mode().is_some() {
        read(Register::Version) as u8
    } else {
        0
    }
}

/// Ends the interrupt in service.
#[inline(always)]
pub(super) fn end_of_interrupt() {
    write(Register::Eoi, 0);
}

/// The error-status register; reading it takes a write first (§12.5.3).
pub(super) fn take_error() -> u32 {
    write(Register::ErrorStatus, 0);
    read(Register::ErrorStatus)
}

/// Sends one inter-processor interrupt: `command` is the low half of the ICR.
#[inline]
fn send(apic_id: u32, command: u32) {
    if XAPIC.load(Ordering::Relaxed).is_null() {
        // §12.12.3: MSR writes of the x2APIC are not ordered after earlier stores by themselves, and the
        // receiver must find what it is woken for.
        // SAFETY: fences touch nothing.
        unsafe { core::arch::asm!("mfence", "lfence", options(nostack, preserves_flags)) };
        write_msr(
            Register::IcrLow.msr(),
            u64::from(apic_id) << 32 | u64::from(command),
        );
        return;
    }
    // The two halves of the xAPIC's ICR must not be torn by a top half that sends one of its own.
    without_interrupts(|| {
        wait_until_sent();
        write(Register::IcrHigh, apic_id << 24);
        write(Register::IcrLow, command);
    });
}

fn wait_until_sent() {
    for _ in 0..ICR_PENDING_READS {
        if read(Register::IcrLow) & ICR_PENDING == 0 {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Interrupts the core with that APIC id at `vector`.
#[inline]
pub(crate) fn send_fixed(apic_id: u32, vector: u8) {
    send(apic_id, ICR_ASSERT | u32::from(vector));
}

/// As [`send_fixed`], but also good within an NMI handler.
pub(crate) fn send_fixed_in_nmi(apic_id: u32, vector: u8) {
    send_in_nmi(apic_id, ICR_ASSERT | u32::from(vector));
}

/// Sends an NMI. Good within an NMI handler too.
pub(crate) fn send_nmi(apic_id: u32) {
    send_in_nmi(apic_id, ICR_ASSERT | ICR_DELIVER_NMI);
}

/// An xAPIC command that the NMI cut in two, between its halves, is put back.
fn send_in_nmi(apic_id: u32, command: u32) {
    if XAPIC.load(Ordering::Relaxed).is_null() {
        send(apic_id, command);
        return;
    }
    let interrupted = read(Register::IcrHigh);
    send(apic_id, command);
    wait_until_sent();
    write(Register::IcrHigh, interrupted);
}

/// INIT, level asserted then deasserted (Intel SDM vol. 3A §10.4.4.1; the second half matters to old parts only).
pub(crate) fn send_init(apic_id: u32) {
    send(apic_id, ICR_LEVEL | ICR_ASSERT | ICR_DELIVER_INIT);
    if mode() == Some(Mode::XApic) {
        wait_until_sent();
        send(apic_id, ICR_LEVEL | ICR_DELIVER_INIT);
    }
}

/// Start-up IPI: the core begins in real mode at `page << 12`.
pub(crate) fn send_startup(apic_id: u32, page: u8) {
    send(apic_id, ICR_ASSERT | ICR_DELIVER_STARTUP | u32::from(page));
}

/// The divider of the timer's clock (§12.5.4, figure 12-10), a power of two from 1 to 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divider(u32);

impl Divider {
    /// Divide by one.
    pub const ONE: Self = Self(0);

    /// Divide by `2^power`, at most 128.
    pub const fn power_of_two(power: u32) -> Self {
        Self(if power > 7 { 7 } else { power })
    }

    /// The power of two.
    pub const fn power(self) -> u32 {
        self.0
    }

    const fn encoded(self) -> u32 {
        // 111b divides by 1, 000b by 2 ... 110b by 128; the top bit sits at bit 3.
        let code = self.0.wrapping_sub(1) & 7;
        (code & 3) | (code & 4) << 1
    }
}

/// Runs the timer as a masked down-counter from its maximum, for calibration.
pub(crate) fn timer_free_run() {
    write(Register::LvtTimer, LVT_MASKED | u32::from(vectors::TIMER));
    write(Register::TimerDivide, Divider::ONE.encoded());
    write(Register::TimerInitial, u32::MAX);
}

/// Counts since [`timer_free_run`].
#[inline]
pub(crate) fn timer_elapsed() -> u32 {
    u32::MAX - read(Register::TimerCurrent)
}

/// Readies the calling core's timer for [`timer_start`], stopped.
pub(crate) fn timer_one_shot(divider: Divider) {
    write(Register::TimerInitial, 0);
    write(Register::TimerDivide, divider.encoded());
    write(Register::LvtTimer, u32::from(vectors::TIMER));
}

/// Whether the timer has run out (or was never started) since it was last set.
#[inline(always)]
pub(crate) fn timer_has_fired(deadline_mode: bool) -> bool {
    // Either reads 0 once it has fired (§12.5.4 and §12.5.4.1).
    if deadline_mode {
        read_msr(TSC_DEADLINE_MSR) == 0
    } else {
        read(Register::TimerCurrent) == 0
    }
}

/// Starts the one-shot timer with `count` (0 stops it).
#[inline(always)]
pub(crate) fn timer_start(count: u32) {
    write(Register::TimerInitial, count);
}

/// Readies the calling core's timer for [`timer_deadline`], disarmed.
///
/// Untested under QEMU TCG, which has no TSC-deadline mode (§12.5.4.1).
pub(crate) fn timer_deadline_mode() {
    write(
        Register::LvtTimer,
        LVT_TIMER_TSC_DEADLINE | u32::from(vectors::TIMER),
    );
    // In xAPIC mode the entry is written by a store, and an MSR write is not ordered after it (§12.5.4.1).
    // SAFETY: fences touch nothing.
    unsafe { core::arch::asm!("mfence", "lfence", options(nostack, preserves_flags)) };
    write_msr(TSC_DEADLINE_MSR, 0);
}

/// Arms the timer for the moment the core's own TSC reaches `tsc` (0 disarms).
///
/// Untested under QEMU TCG.
#[inline(always)]
pub(crate) fn timer_deadline(tsc: u64) {
    write_msr(TSC_DEADLINE_MSR, tsc);
}
