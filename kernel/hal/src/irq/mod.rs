//! Interrupts. An interrupt is a wake: the top half stamps the TSC, counts, masks a level-triggered line, wakes
//! one task and ends the interrupt. Everything else happens in tasks.
//!
//! In the order things happen:
//! - [`init`] on the boot core silences the 8259 pair, finds local APICs and IOAPICs and masks all lines;
//!   [`init_this_core`] turns on a core's own local APIC (the boot core's included).
//! - [`claim_isa`], [`claim_gsi`] and [`claim_msi`] give a driver an [`Interrupt`] to await.
//! - `dispatch` and `nmi` are called by the trap path, on the interrupt stack, with interrupts off.
//! - [`watchdog`] finds cores that are stuck with their interrupts off.
//!
//! Who may touch what: [`lapic`] is the running core's own; [`ioapic`] has a lock per controller, held for a few
//! register accesses with interrupts off; [`source`] is where the top half and tasks meet, in atomics. What must
//! hold: nothing here allocates or logs in a top half, and NMI handlers take no lock at all.

mod ioapic;
pub mod lapic;
pub mod nmi;
mod pic;
mod source;
pub mod vectors;
pub mod watchdog;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use conquer_once::spin::OnceCell;
use kerncore::fixed_list::FixedList;
use kerncore::trace::Kind;

use crate::cpu::percpu;

pub use ioapic::{Polarity, Trigger};
pub(crate) use nmi::nmi;
pub(crate) use source::VectorTable;
pub use source::{
    Doorbell, Interrupt, IrqEvent, MAX_SOURCES, MsiMessage, SourceInfo, SourceKind, for_each_source,
};
pub use watchdog::stuck_reports;

/// Why an interrupt could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqError {
    /// The CPU has no local APIC: Raede cannot run there.
    NoLocalApic,
    /// Registers could not be mapped.
    Map {
        /// Whose registers.
        what: &'static str,
        /// Their physical address.
        address: u64,
    },
    /// Nothing answers where an IOAPIC should be.
    NoIoApic {
        /// Its physical address.
        address: u64,
    },
    /// The machine has more IOAPICs than are looked after.
    TooManyIoApics {
        /// How many are.
        most: usize,
    },
    /// No IOAPIC has a line for that global system interrupt.
    NoSuchLine {
        /// Its number.
        gsi: u32,
    },
    /// An ISA interrupt number beyond 15.
    NoSuchIsaIrq {
        /// The number.
        irq: u8,
    },
    /// The line is taken. Lines are not shared: use MSI for the device, if it can.
    Busy {
        /// Its global system interrupt number.
        gsi: u32,
        /// Who has it.
        owner: &'static str,
    },
    /// That core is not running.
    NoSuchCore {
        /// Its number.
        core: u32,
    },
    /// The core's APIC id does not fit the eight bits that lines and messages have for it: choose another core.
    BadTarget {
        /// The core's APIC id.
        apic_id: u32,
    },
    /// All of the core's device vectors are in use: choose another core.
    NoVector {
        /// Its number.
        core: u32,
    },
    /// All interrupt sources are in use.
    TooManySources {
        /// How many there are.
        most: usize,
    },
}

impl fmt::Display for IrqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoLocalApic => write!(f, "the CPU has no local APIC"),
            Self::Map { what, address } => {
                write!(f, "the {what} registers at {address:#x} cannot be mapped")
            }
            Self::NoIoApic { address } => write!(f, "nothing answers at {address:#x}"),
            Self::TooManyIoApics { most } => write!(f, "more than {most} IOAPICs"),
            Self::NoSuchLine { gsi } => write!(f, "no IOAPIC has GSI {gsi}"),
            Self::NoSuchIsaIrq { irq } => write!(f, "there is no ISA interrupt {irq}"),
            Self::Busy { gsi, owner } => write!(f, "GSI {gsi} belongs to {owner}"),
            Self::NoSuchCore { core } => write!(f, "core {core} is not running"),
            Self::BadTarget { apic_id } => {
                write!(
                    f,
                    "APIC id {apic_id} cannot be the target of a line or message"
                )
            }
            Self::NoVector { core } => write!(f, "core {core} has no free interrupt vector"),
            Self::TooManySources { most } => write!(f, "all {most} interrupt sources are in use"),
        }
    }
}

impl core::error::Error for IrqError {}

/// Where an ISA interrupt arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsaRoute {
    pub(crate) gsi: u32,
    pub(crate) polarity: Polarity,
    pub(crate) trigger: Trigger,
}

/// ISA interrupts: 16 numbers, the 8259 pair's inputs.
pub(crate) const ISA_IRQS: usize = 16;

/// An IOAPIC, as the firmware describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IoApicAt {
    pub(crate) address: u64,
    pub(crate) gsi_first: u32,
}

/// A local input that carries NMIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoreNmiInput {
    /// On which core; `None` for all.
    pub(crate) apic_id: Option<u32>,
    pub(crate) input: lapic::NmiInput,
}

/// What the firmware says about interrupts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) isa: [IsaRoute; ISA_IRQS],
    pub(crate) ioapics: FixedList<IoApicAt, 16>,
    pub(crate) nmi_inputs: FixedList<CoreNmiInput, 32>,
}

static SETUP: OnceCell<Setup> = OnceCell::uninit();

/// Choices for [`init`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether to use x2APIC mode where the CPU has it; `None`: where it is needed or pays.
    pub x2apic: Option<bool>,
}

/// Silences the 8259 pair, finds local APICs and IOAPICs, masks all lines. Once, on the boot core, interrupts off,
/// after [`crate::acpi::init`]; without ACPI tables the addresses every PC has had since the 82093AA are tried.
///
/// # Errors
/// Without a usable local APIC. An unusable IOAPIC is logged and left out.
pub fn init(options: Options) -> Result<(), IrqError> {
    pic::silence();
    let mode = lapic::find(options.x2apic)?;
    let setup = crate::acpi::interrupt_setup();
    for controller in &setup.ioapics {
        match ioapic::add(controller.address, controller.gsi_first) {
            Ok(pins) => log::debug!(
                target: "irq",
                "IOAPIC at {:#x}: GSI {} to {}",
                controller.address,
                controller.gsi_first,
                controller.gsi_first + pins - 1
            ),
            Err(error) => {
                log::error!(target: "irq", "IOAPIC at {:#x}: {error}; its lines stay silent", controller.address)
            }
        }
    }
    let _ = SETUP.try_init_once(|| setup);
    init_this_core();
    log::info!(target: "irq", "{mode:?}, local APIC version {:#x}", lapic::version());
    Ok(())
}

/// Turns on the calling core's local APIC. Interrupts must be off, and the core's traps set up.
pub(crate) fn init_this_core() {
    let inputs = SETUP
        .get()
        .map_or(&[][..], |setup| setup.nmi_inputs.as_slice());
    let own = percpu::this().apic_id.load(Ordering::Relaxed);
    let mine = inputs
        .iter()
        .filter(|input| input.apic_id.is_none_or(|id| id == own))
        .map(|input| input.input);
    // The hardware's own word counts: firmware can change xAPIC ids, and CPUID then may tell the old one.
    let id = lapic::enable_this_core(mine);
    percpu::this().apic_id.store(id, Ordering::Relaxed);
}

/// Where ISA interrupt `irq` arrives.
fn isa_route(irq: u8) -> Option<IsaRoute> {
    SETUP.get()?.isa.get(usize::from(irq)).copied()
}

/// Claims ISA interrupt `irq` (0 to 15) for core `core`, wherever the firmware says it arrives. `name` is for people.
pub fn claim_isa(irq: u8, name: &'static str, core: u32) -> Result<Interrupt, IrqError> {
    let IsaRoute {
        gsi,
        polarity,
        trigger,
    } = isa_route(irq).ok_or(IrqError::NoSuchIsaIrq { irq })?;
    Interrupt::claim(
        name,
        SourceKind::Line {
            gsi,
            isa: Some(irq),
            trigger,
            polarity,
        },
        core,
    )
}

/// Claims global system interrupt `gsi` for core `core`. A PCI device's INTx is level-triggered and active low.
pub fn claim_gsi(
    gsi: u32,
    trigger: Trigger,
    polarity: Polarity,
    name: &'static str,
    core: u32,
) -> Result<Interrupt, IrqError> {
    Interrupt::claim(
        name,
        SourceKind::Line {
            gsi,
            isa: None,
            trigger,
            polarity,
        },
        core,
    )
}

/// Claims a vector of core `core` for a device's message; [`Interrupt::message`] is what the device must write.
pub fn claim_msi(name: &'static str, core: u32) -> Result<Interrupt, IrqError> {
    Interrupt::claim(name, SourceKind::Message, core)
}

/// Errors of local APICs seen so far, as error-status bits or-ed together (Intel SDM vol. 3A §12.5.3).
static APIC_ERRORS: AtomicU64 = AtomicU64::new(0);

/// The error-status bits that any core's local APIC has raised.
pub fn apic_errors() -> u32 {
    APIC_ERRORS.load(Ordering::Relaxed) as u32
}

/// The top half of every external interrupt. The trap path has counted the vector already.
pub(crate) fn dispatch(vector: u8) {
    let platform = &percpu::this().platform;
    if crate::trace::is_on() {
        crate::trace::note(Kind::Interrupt, 0, u64::from(vector));
    }
    match vector {
        vectors::DEVICE_FIRST..=vectors::DEVICE_LAST => source::top_half(&platform.vectors, vector),
        vectors::TIMER => {
            crate::time::timer::top_half();
            watchdog::after_interrupt();
        }
        // Ending the halt was all it is for.
        vectors::WAKE => watchdog::after_interrupt(),
        vectors::PING => watchdog::answer(),
        vectors::CALL => crate::smp::tlb::serve(),
        vectors::ERROR => {
            APIC_ERRORS.fetch_or(u64::from(lapic::take_error()), Ordering::Relaxed);
        }
        // Neither sets a bit in service, so neither is ended (Intel SDM vol. 3A §12.9; 8259A data sheet).
        vectors::SPURIOUS | vectors::LEGACY_FIRST..=vectors::LEGACY_LAST => return,
        // Vectors nobody sends; if one comes all the same it must be ended.
        _ => {}
    }
    lapic::end_of_interrupt();
}

/// Interrupts that a core has taken since boot, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names of `vectors`
pub struct CoreCounts {
    pub timer: u64,
    pub wake: u64,
    pub call: u64,
    pub ping: u64,
    pub nmi: u64,
    pub spurious: u64,
    pub legacy: u64,
    pub apic_error: u64,
    /// From devices, claimed or not.
    pub device: u64,
    /// From devices at vectors that belonged to nobody.
    pub unclaimed: u64,
}

/// Core `core`'s counts.
pub fn core_counts(core: u32) -> Option<CoreCounts> {
    let block = percpu::get(core)?;
    let count = |vector: u8| block.vector_counts[usize::from(vector)].load(Ordering::Relaxed);
    let sum = |first: u8, last: u8| (first..=last).map(count).sum();
    Some(CoreCounts {
        timer: count(vectors::TIMER),
        wake: count(vectors::WAKE),
        call: count(vectors::CALL),
        ping: count(vectors::PING),
        nmi: count(NMI_VECTOR),
        spurious: count(vectors::SPURIOUS),
        legacy: sum(vectors::LEGACY_FIRST, vectors::LEGACY_LAST),
        apic_error: count(vectors::ERROR),
        device: sum(vectors::DEVICE_FIRST, vectors::DEVICE_LAST),
        unclaimed: block.platform.vectors.unclaimed.load(Ordering::Relaxed),
    })
}

const NMI_VECTOR: u8 = 2;
