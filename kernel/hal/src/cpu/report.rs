//! The one report a dying kernel makes: it stops the other cores, takes no lock, and writes to the
//! serial port by polling and to whatever screen hook was set.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

use executor::{CoreId, Platform};

use crate::io::PortRange;
use crate::platform::KernelPlatform;

use super::{backtrace, halt_forever, percpu};

/// First line of every report: tools look for it.
pub const HEADLINE: &str = "RAEDE PANIC";

/// Writes text to the screen in an emergency: takes no lock, allocates nothing.
pub type ScreenHook = fn(&str);

static SCREEN_HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static REPORTING_CORE: AtomicU32 = AtomicU32::new(NOBODY);
static AFTERWARDS: AtomicU8 = AtomicU8::new(AfterPanic::Halt as u8);

const NOBODY: u32 = u32::MAX;

/// What happens once the report is written (`panic=` on the kernel command line).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AfterPanic {
    /// Stay, so that a person can read the screen.
    Halt = 0,
    /// Start again.
    Reboot = 1,
    /// Switch the machine off.
    PowerOff = 2,
}

/// Chooses what happens after a report.
pub fn set_after_panic(what: AfterPanic) {
    AFTERWARDS.store(what as u8, Ordering::Relaxed);
}

/// Sets where reports go besides the serial port.
pub fn set_screen_hook(hook: ScreenHook) {
    SCREEN_HOOK.store(hook as *mut (), Ordering::Release);
}

/// Polled output to COM1 and the screen, for start-up and for reports.
#[derive(Clone, Copy, Debug)]
pub struct EmergencyOutput;

/// COM1's registers (16550 data sheet: transmit register 0, line status 5).
const COM1: u16 = 0x3f8;
const TRANSMIT: u16 = 0;
const INTERRUPTS: u16 = 1;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
/// Line control: eight bits, no parity, one stop bit; and the bit that puts the divisor in place of registers 0 and 1.
const EIGHT_N_1: u8 = 0b11;
const DIVISOR_ACCESS: u8 = 1 << 7;
/// Modem control: data terminal ready, request to send.
const READY: u8 = 0b11;
/// Line status: nothing is left to send, not even in the shift register.
const IDLE: u8 = 1 << 6;
const TRANSMIT_EMPTY: u8 = 1 << 5;
/// A byte takes 87 us at 115 200 baud; an absent port must not hold a report up for long.
const MOST_STATUS_READS: u32 = 20_000;

/// Sets COM1 up for polled output at 115 200 baud: after power-on the chip's format and rate are anything, and firmware that
/// shows nothing on it leaves them so. Once, before the first output.
pub(crate) fn set_up_serial() {
    // SAFETY: COM1's registers; no driver runs yet.
    let port = unsafe { PortRange::new(COM1, 8) };
    if port.read_u8(LINE_STATUS) == 0xff {
        return;
    }
    // What the loader is still sending would be garbled.
    for _ in 0..MOST_STATUS_READS {
        if port.read_u8(LINE_STATUS) & IDLE != 0 {
            break;
        }
    }
    port.write_u8(LINE_CONTROL, EIGHT_N_1 | DIVISOR_ACCESS);
    port.write_u8(TRANSMIT, 1);
    port.write_u8(INTERRUPTS, 0);
    port.write_u8(LINE_CONTROL, EIGHT_N_1);
    port.write_u8(INTERRUPTS, 0);
    port.write_u8(MODEM_CONTROL, READY);
}

/// Writes `text` to COM1 by polling, newlines as CR LF.
pub fn write_serial_polled(text: &str) {
    // SAFETY: COM1's registers; the driver's interrupt-driven use tolerates bytes written by polling.
    let port = unsafe { PortRange::new(COM1, 8) };
    if port.read_u8(LINE_STATUS) == 0xff {
        return;
    }
    for byte in text.bytes() {
        if byte == b'\n' {
            write_byte(&port, b'\r');
        }
        write_byte(&port, byte);
    }
}

fn write_byte(port: &PortRange, byte: u8) {
    for _ in 0..MOST_STATUS_READS {
        if port.read_u8(LINE_STATUS) & TRANSMIT_EMPTY != 0 {
            break;
        }
    }
    port.write_u8(TRANSMIT, byte);
}

impl Write for EmergencyOutput {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_serial_polled(text);
        let hook = SCREEN_HOOK.load(Ordering::Acquire);
        if !hook.is_null() {
            // SAFETY: only `set_screen_hook` stores here, and it stores a `ScreenHook`.
            let hook = unsafe { core::mem::transmute::<*mut (), ScreenHook>(hook) };
            hook(text);
        }
        Ok(())
    }
}

/// A report being written. Only the first core to begin one gets to.
#[derive(Debug)]
pub struct Report(());

impl Report {
    /// Turns interrupts off, stops the other cores and writes the headline. If another core is already
    /// reporting, this core just stops; if this very core is (a fault while reporting), it says so and stops.
    pub fn begin() -> Self {
        x86_64::instructions::interrupts::disable();
        let core = percpu::core_number();
        match REPORTING_CORE.compare_exchange(NOBODY, core, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {}
            Err(first) if first == core => {
                write_serial_polled("\n(a second fault while writing this report: stopping)\n");
                halt_forever();
            }
            Err(_) => halt_forever(),
        }
        crate::smp::stop_other_cores();
        let mut report = Self(());
        let _ = write!(report, "\n{HEADLINE} on core {core}: ");
        report
    }

    /// Names the task that this core was polling, if any.
    fn name_task(&mut self) {
        let fleet = KernelPlatform::fleet();
        let polling =
            CoreId::new(percpu::core_number() as usize).and_then(|core| fleet.polling(core));
        if let Some(poll) = polling {
            let name = fleet.task(poll.task).map_or("(gone)", |task| task.name);
            let _ = writeln!(self, "in task {} {name}", poll.task);
        }
    }

    /// Writes the backtrace and ends as [`set_after_panic`] chose.
    pub fn finish(mut self, rip: u64, rbp: u64) -> ! {
        self.name_task();
        if crate::user::contain::kernel_state_was_held() {
            let _ = writeln!(
                self,
                "this work could have been abandoned alone, but it held kernel state"
            );
        }
        let _ = writeln!(self, "backtrace:");
        let _ = backtrace::write(&mut self, rip, rbp);
        let what = AFTERWARDS.load(Ordering::Relaxed);
        if what == AfterPanic::Reboot as u8 {
            let _ = writeln!(self, "rebooting");
            crate::acpi::reboot();
        }
        if what == AfterPanic::PowerOff as u8 {
            let _ = writeln!(self, "switching off");
            crate::acpi::power_off();
        }
        let _ = writeln!(self, "the system is stopped; switch it off or reset it");
        halt_forever()
    }
}

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        EmergencyOutput.write_str(text)
    }
}

/// Ends in a report of a Rust panic, or ends [contained work](crate::user::contain()): the body of the kernel's panic handler.
#[inline(never)]
pub fn panic(info: &core::panic::PanicInfo) -> ! {
    crate::user::contain::abandon_panic(info);
    let rbp: u64;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags));
    }
    let mut report = Report::begin();
    let _ = match info.location() {
        Some(place) => writeln!(report, "{} (at {place})", info.message()),
        None => writeln!(report, "{}", info.message()),
    };
    report.finish(panic as *const () as u64, rbp)
}
