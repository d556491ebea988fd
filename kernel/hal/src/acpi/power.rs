//! Switching off and starting again. Takes no lock and maps nothing: the registers are made ready at boot.

use conquer_once::spin::OnceCell;
use kerncore::acpi::{Acpi, Register, SleepType};

use crate::io::PortRange;
use crate::mem::{Cache, Mmio, map_mmio};

/// Power-management 1 control register: the machine's events are the kernel's and not the firmware's
/// (SCI_EN, ACPI 6.5 §4.8.3.2.1).
const SCI_ENABLED: u16 = 1 << 0;
/// Reads of that register until the firmware has handed over. It takes "seconds" on old machines; a read is about 1 us.
const MOST_ENABLE_READS: u32 = 3_000_000;
/// Reads after which a request to power off, or to reset, is taken to have had no effect.
const SETTLE_READS: u32 = 1_000_000;

/// A register ready for use.
enum Ready {
    Ports(PortRange),
    Memory(Mmio),
    /// Configuration space of a function of segment 0, bus 0, through the ports.
    Config {
        address: u32,
        byte: u16,
    },
}

impl Ready {
    /// `bytes`: how wide the register is, 1 or 2.
    fn new(register: Register, bytes: u16) -> Option<Self> {
        match register {
            // SAFETY: the firmware names these ports as power or reset registers, and this module is
            // the only one that drives them.
            Register::Io { port, .. } => Some(Self::Ports(unsafe { PortRange::new(port, bytes) })),
            Register::Memory { address, .. } => {
                map_mmio(address, usize::from(bytes), Cache::Uncached)
                    .ok()
                    .map(Self::Memory)
            }
            Register::PciConfig {
                device,
                function,
                offset,
            } => (offset < 0x100).then(|| Self::Config {
                address: 1 << 31
                    | u32::from(device) << 11
                    | u32::from(function) << 8
                    | u32::from(offset & 0xfc),
                byte: offset & 0b11,
            }),
        }
    }

    fn read16(&self) -> u16 {
        match self {
            Self::Ports(ports) => ports.read_u16(0),
            Self::Memory(window) => window.read16(0),
            Self::Config { .. } => 0,
        }
    }

    fn write16(&self, value: u16) {
        match self {
            Self::Ports(ports) => ports.write_u16(0, value),
            Self::Memory(window) => window.write16(0, value),
            // ACPI 6.5 §4.8.3 has no power registers there.
            Self::Config { .. } => {}
        }
    }

    fn write8(&self, value: u8) {
        match self {
            Self::Ports(ports) => ports.write_u8(0, value),
            Self::Memory(window) => window.write8(0, value),
            Self::Config { address, byte } => {
                // SAFETY: the configuration ports. Another core may be between its two accesses to them: the
                // machine is about to reset, and no lock may be waited for here.
                let ports = unsafe { PortRange::new(0xcf8, 8) };
                ports.write_u32(0, *address);
                ports.write_u8(4 + byte, value);
            }
        }
    }
}

/// What [`power_off`] and [`reboot`] use.
struct Power {
    soft_off: Option<SleepType>,
    control_a: Option<Ready>,
    control_b: Option<Ready>,
    sleep_control: Option<Ready>,
    enable: Option<(PortRange, u8)>,
    reset: Option<(Ready, u8)>,
}

static POWER: OnceCell<Power> = OnceCell::uninit();

/// Makes the registers that the tables name ready.
pub(super) fn init(tables: &Acpi) {
    let Some(fadt) = tables.fadt.as_ref() else {
        return;
    };
    // Once; a second call would find the same registers.
    let _ = POWER.try_init_once(|| Power {
        soft_off: tables.soft_off,
        control_a: fadt
            .pm1a_control
            .and_then(|register| Ready::new(register, 2)),
        control_b: fadt
            .pm1b_control
            .and_then(|register| Ready::new(register, 2)),
        sleep_control: fadt
            .sleep_control
            .and_then(|register| Ready::new(register, 1)),
        // SAFETY: the port that the firmware names for taking over power management, used for that alone.
        enable: fadt
            .enable
            .map(|(port, value)| (unsafe { PortRange::new(port, 1) }, value)),
        reset: fadt
            .reset
            .and_then(|(register, value)| Some((Ready::new(register, 1)?, value))),
    });
}

/// Switches the machine off (ACPI 6.5 §7.4.2.6, soft off). Returns only if that did not work: the tables name no
/// way, or the chipset did not follow.
pub fn power_off() {
    let Some(power) = POWER.get() else { return };
    let Some(soft_off) = power.soft_off else {
        return;
    };
    if let Some(control) = &power.control_a {
        take_over(power, control);
        control.write16(soft_off.pm1a_value(control.read16()));
        if let Some(second) = &power.control_b {
            second.write16(soft_off.pm1b_value(second.read16()));
        }
        settle();
    }
    if let Some(sleep_control) = &power.sleep_control {
        sleep_control.write8(soft_off.sleep_control_value());
        settle();
    }
}

/// The hand-over from the firmware (ACPI 6.5 §4.8.2.5): without it the control registers do nothing.
fn take_over(power: &Power, control: &Ready) {
    if control.read16() & SCI_ENABLED != 0 {
        return;
    }
    let Some((port, value)) = &power.enable else {
        return;
    };
    port.write_u8(0, *value);
    for _ in 0..MOST_ENABLE_READS {
        if control.read16() & SCI_ENABLED != 0 {
            return;
        }
        core::hint::spin_loop();
    }
}

/// Starts the machine again: by the tables' reset register, else the chipset's, else the keyboard controller's, else
/// a triple fault.
pub fn reboot() -> ! {
    x86_64::instructions::interrupts::disable();
    if let Some((register, value)) = POWER.get().and_then(|power| power.reset.as_ref()) {
        register.write8(*value);
        settle();
    }
    // SAFETY: 0xcf9 is the reset control register of every PC chipset since the PIIX (Intel 82371AB data sheet).
    let reset_control = unsafe { PortRange::new(0xcf9, 1) };
    // First the kind of reset (bit 1: of the whole system), then the edge of bit 2 that does it.
    reset_control.write_u8(0, 0x02);
    reset_control.write_u8(0, 0x06);
    settle();
    // SAFETY: the keyboard controller's command port; nothing after this cares for its state.
    let keyboard_controller = unsafe { PortRange::new(0x64, 1) };
    // Pulse output line 0, which is wired to the CPU's reset.
    keyboard_controller.write_u8(0, 0xfe);
    settle();
    triple_fault()
}

fn settle() {
    // SAFETY: port 0x80 takes diagnostic codes; an access takes about a microsecond and does nothing.
    let diagnostics = unsafe { PortRange::new(0x80, 1) };
    for _ in 0..SETTLE_READS {
        diagnostics.read_u8(0);
    }
}

fn triple_fault() -> ! {
    #[repr(C, packed)]
    struct NoTable {
        limit: u16,
        base: u64,
    }
    let none = NoTable { limit: 0, base: 0 };
    // SAFETY: without descriptors the breakpoint cannot be delivered, nor the fault about that: the CPU shuts down, which
    // chipsets turn into a reset (Intel SDM vol. 3A §7.15, double fault). Nothing runs afterwards.
    unsafe { core::arch::asm!("lidt [{}]", "int3", in(reg) &none, options(noreturn)) }
}
