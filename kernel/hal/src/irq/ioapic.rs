//! IOAPICs: where lines from devices become interrupt messages to cores (82093AA data sheet; ACPI 6.5 §5.2.12.3).
//!
//! A *global system interrupt* (GSI) numbers the lines of all IOAPICs in one sequence. An IOAPIC's registers
//! are reached through an index and a data register, so each controller needs a lock. It is held with interrupts
//! off for three register accesses at most, by tasks that route a line and by the top halves of level-triggered
//! lines that mask theirs. NMI handlers never take it.

use spin::Mutex;
use x2apic::ioapic::{IoApic, IrqFlags, IrqMode, RedirectionTableEntry};
use x86_64::instructions::interrupts::without_interrupts;

use super::IrqError;
use crate::mem::{Cache, map_mmio};

/// What each byte of a register reads as where nothing answers.
const EMPTY_BUS: u8 = 0xff;
/// Most IOAPICs looked after; large servers have about one per socket.
const MAX_IOAPICS: usize = 16;

/// How a line says "interrupt".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By a transition.
    Edge,
    /// By being asserted; it must be masked or silenced before it is ended.
    Level,
}

/// Which level of a line means "asserted".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// High, as on ISA.
    ActiveHigh,
    /// Low, as on PCI.
    ActiveLow,
}

/// What a line is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// An interrupt at this vector.
    Vector(u8),
    /// A non-maskable interrupt.
    Nmi,
}

/// A line of a controller that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line(u16);

impl Line {
    /// The line as a word that [`Line::from_word`] turns back; never `u32::MAX`.
    pub(super) const fn word(self) -> u32 {
        self.0 as u32
    }

    /// Undoes [`Line::word`].
    pub(super) const fn from_word(word: u32) -> Option<Self> {
        if word <= u16::MAX as u32 {
            Some(Self(word as u16))
        } else {
            None
        }
    }

    const fn new(controller: usize, pin: u8) -> Self {
        Self((controller as u16) << 8 | pin as u16)
    }

    const fn controller(self) -> usize {
        (self.0 >> 8) as usize
    }

    const fn pin(self) -> u8 {
        self.0 as u8
    }
}

struct Controller {
    registers: IoApic,
    gsi_first: u32,
    pins: u32,
}

static CONTROLLERS: [Mutex<Option<Controller>>; MAX_IOAPICS] =
    [const { Mutex::new(None) }; MAX_IOAPICS];

fn with<R>(index: usize, work: impl FnOnce(&mut Controller) -> R) -> Option<R> {
    let slot = CONTROLLERS.get(index)?;
    without_interrupts(|| slot.lock().as_mut().map(work))
}

/// Takes over the IOAPIC at physical `address`, whose lines start at GSI `gsi_first`, and masks all of them.
/// Returns how many lines it has.
pub(super) fn add(address: u64, gsi_first: u32) -> Result<u32, IrqError> {
    let window = map_mmio(address, 0x20, Cache::Uncached).map_err(|_| IrqError::Map {
        what: "IOAPIC",
        address,
    })?;
    // SAFETY: the firmware's MADT says that an IOAPIC's registers are there; they were just mapped
    // uncached for good, and this value is the only one made for them.
    let mut registers = unsafe { IoApic::new(window.as_mut_ptr() as u64) };
    // SAFETY: `registers` is valid as just said; the version register has no side effects.
    let (version, last_pin) = unsafe { (registers.version(), registers.max_table_entry()) };
    if version == EMPTY_BUS || last_pin == EMPTY_BUS {
        return Err(IrqError::NoIoApic { address });
    }
    for pin in 0..=last_pin {
        let mut entry = RedirectionTableEntry::default();
        entry.set_flags(IrqFlags::MASKED);
        // SAFETY: a masked entry delivers nothing.
        unsafe { registers.set_table_entry(pin, entry) };
    }
    let pins = u32::from(last_pin) + 1;
    let free = CONTROLLERS.iter().find(|slot| slot.lock().is_none());
    let slot = free.ok_or(IrqError::TooManyIoApics { most: MAX_IOAPICS })?;
    *slot.lock() = Some(Controller {
        registers,
        gsi_first,
        pins,
    });
    Ok(pins)
}

/// Which line GSI `gsi` is.
pub(super) fn find(gsi: u32) -> Option<Line> {
    (0..MAX_IOAPICS).find_map(|index| {
        with(index, |controller| {
            let pin = gsi.checked_sub(controller.gsi_first)?;
            (pin < controller.pins).then(|| Line::new(index, pin as u8))
        })?
    })
}

/// Routes `line` to the core with `apic_id` and unmasks it.
pub(super) fn route(
    line: Line,
    delivery: Delivery,
    apic_id: u32,
    polarity: Polarity,
    trigger: Trigger,
) -> Result<(), IrqError> {
    // Without interrupt remapping an IOAPIC can name the first 255 APIC ids only (255 is broadcast).
    let destination = u8::try_from(apic_id)
        .ok()
        .filter(|&id| id != u8::MAX)
        .ok_or(IrqError::BadTarget { apic_id })?;
    let mut entry = RedirectionTableEntry::default();
    match delivery {
        Delivery::Vector(vector) => entry.set_vector(vector),
        Delivery::Nmi => entry.set_mode(IrqMode::NonMaskable),
    }
    let mut flags = IrqFlags::empty();
    flags.set(IrqFlags::LOW_ACTIVE, polarity == Polarity::ActiveLow);
    flags.set(IrqFlags::LEVEL_TRIGGERED, trigger == Trigger::Level);
    entry.set_flags(flags | IrqFlags::MASKED);
    entry.set_dest(destination);
    with(line.controller(), |controller| {
        // SAFETY: the vector belongs to this line (the caller allocated it) or the delivery is NMI, whose
        // handler is always in place. Unmasked only once both halves are written.
        unsafe {
            controller.registers.set_table_entry(line.pin(), entry);
            controller.registers.enable_irq(line.pin());
        }
    });
    Ok(())
}

/// Masks `line`.
pub(super) fn mask(line: Line) {
    with(line.controller(), |controller| {
        // SAFETY: masking a line stops deliveries and changes nothing else.
        unsafe { controller.registers.disable_irq(line.pin()) }
    });
}

/// Unmasks `line`, which was routed before.
pub(super) fn unmask(line: Line) {
    with(line.controller(), |controller| {
        // SAFETY: the entry was filled by `route`, and its vector is still the line's own.
        unsafe { controller.registers.enable_irq(line.pin()) }
    });
}
