//! The firmware's tables: found and checked once, then plain data.
//!
//! The parsing is pure logic in [`kerncore::acpi`]; here it gets its bytes, and what it found is turned into what
//! the rest of this crate sets up. Without usable tables the machine is taken for a plain PC with one core.
//!
//! [`power_off`] and [`reboot`] take no lock and map nothing, so that a dying kernel can call them: the registers
//! they need are made ready by [`init`].

mod power;

use conquer_once::spin::OnceCell;
use kerncore::acpi::madt::{self, CpuState};
use kerncore::acpi::{Acpi, Candidates, Fadt, Madt, PhysicalMemory, Register, Unreadable};
use kerncore::boot_info::{BootPath, MemoryKind};
use kerncore::fixed_list::FixedList;

use crate::irq::lapic::NmiInput;
use crate::irq::{CoreNmiInput, ISA_IRQS, IoApicAt, IsaRoute, Polarity, Setup, Trigger};
use crate::mem::phys;

pub use power::{power_off, reboot};

static TABLES: OnceCell<Acpi> = OnceCell::uninit();
static ASSUMED: OnceCell<Madt> = OnceCell::uninit();

/// Finds and reads the tables, and logs what is wrong with them. `command_line_rsdp` is `acpi_rsdp=`, tried before what
/// the loader gave. Once, on the boot core, when memory is set up.
pub fn init(command_line_rsdp: Option<u64>) {
    let boot = crate::boot::boot_info();
    let candidates = Candidates {
        command_line: command_line_rsdp,
        boot: boot.rsdp,
        search_bios: boot.path != BootPath::Uefi,
    };
    // A second call keeps what the first one found.
    let _ = TABLES.try_init_once(|| {
        let mut tables = Acpi::EMPTY;
        tables.discover(&FirmwareMemory, candidates);
        tables
    });
    let Some(tables) = tables() else { return };
    for problem in tables.problems.as_slice() {
        log::warn!(target: "acpi", "{problem}");
    }
    if tables.problems.not_listed > 0 {
        log::warn!(target: "acpi", "{} further problems with the tables", tables.problems.not_listed);
    }
    if let Some(root) = tables.root {
        log::info!(target: "acpi", "{} tables, root at {:#x} by {}", tables.tables.len(), root.address, root.source);
    }
    power::init(tables);
}

/// What the tables say; `None` before [`init`].
pub fn tables() -> Option<&'static Acpi> {
    TABLES.get()
}

/// The fixed hardware table, if there is a valid one.
pub fn fadt() -> Option<&'static Fadt> {
    tables()?.fadt.as_ref()
}

fn madt() -> &'static Madt {
    tables()
        .and_then(|tables| tables.madt.as_ref())
        .unwrap_or_else(|| ASSUMED.get_or_init(|| Madt::assumed_pc(crate::cpu::initial_apic_id())))
}

/// APIC ids of the processors that can run, the boot core's among them, in the firmware's order.
pub fn usable_apic_ids() -> impl Iterator<Item = u32> {
    madt()
        .cpus
        .iter()
        .filter(|cpu| cpu.state == CpuState::Enabled)
        .map(|cpu| cpu.apic_id)
}

/// What the tables say about interrupts.
pub(crate) fn interrupt_setup() -> Setup {
    let madt = madt();
    let mut setup = Setup {
        isa: core::array::from_fn(|irq| isa_route(madt, irq as u8)),
        ioapics: FixedList::new(IoApicAt {
            address: 0,
            gsi_first: 0,
        }),
        nmi_inputs: FixedList::new(CoreNmiInput {
            apic_id: None,
            input: NmiInput {
                lint: 1,
                active_low: false,
                level: false,
            },
        }),
    };
    for controller in &madt.io_apics {
        let at = IoApicAt {
            address: u64::from(controller.address),
            gsi_first: controller.gsi_base,
        };
        if setup.ioapics.push(at).is_err() {
            log::warn!(target: "acpi", "more than {} IOAPICs: the rest stays silent", setup.ioapics.capacity());
            break;
        }
    }
    for nmi in &madt.local_nmis {
        let apic_id = match nmi.uid {
            None => None,
            Some(uid) => match madt.cpus.iter().find(|cpu| cpu.uid == uid) {
                Some(cpu) => Some(cpu.apic_id),
                None => continue,
            },
        };
        let input = NmiInput {
            lint: nmi.lint,
            active_low: nmi.polarity == madt::Polarity::ActiveLow,
            level: nmi.trigger == madt::Trigger::Level,
        };
        if setup
            .nmi_inputs
            .push(CoreNmiInput { apic_id, input })
            .is_err()
        {
            break;
        }
    }
    setup
}

const _: () = assert!(ISA_IRQS == 16);

fn isa_route(madt: &Madt, irq: u8) -> IsaRoute {
    let route = madt.isa_route(irq);
    IsaRoute {
        gsi: route.gsi,
        polarity: if route.active_low {
            Polarity::ActiveLow
        } else {
            Polarity::ActiveHigh
        },
        trigger: if route.level {
            Trigger::Level
        } else {
            Trigger::Edge
        },
    }
}

/// Port of the power-management timer.
pub(crate) fn pm_timer_port() -> Option<u16> {
    match fadt()?.pm_timer? {
        Register::Io { port, .. } => Some(port),
        // Hardware-reduced machines have none; no PC has it anywhere else.
        Register::Memory { .. } | Register::PciConfig { .. } => None,
    }
}

/// Physical address of the HPET's registers.
pub(crate) fn hpet_address() -> Option<u64> {
    Some(tables()?.hpet?.address)
}

/// Whether the firmware says that message interrupts must not be used.
pub(crate) fn msi_forbidden() -> bool {
    fadt().is_some_and(|fadt| fadt.msi_forbidden)
}

/// Memory that may hold tables.
struct FirmwareMemory;

/// The chipset's registers below 4 GiB: IOAPIC, HPET, local APIC and flash on every PC, though some memory maps just
/// call them reserved. No table lies there.
const CHIPSET: core::ops::Range<u64> = 0xfec0_0000..0x1_0000_0000;
/// Below here PCs keep tables in places that memory maps do not mention; but not in the video window.
const LOW_MEMORY: core::ops::Range<u64> = 0..0x10_0000;
const VIDEO_WINDOW: core::ops::Range<u64> = 0xa_0000..0xc_0000;

impl FirmwareMemory {
    /// Whether reading `start..end` is sure to have no side effects.
    fn may_read(start: u64, end: u64) -> bool {
        let touches = |range: &core::ops::Range<u64>| start < range.end && range.start < end;
        if touches(&CHIPSET) || touches(&VIDEO_WINDOW) {
            return false;
        }
        if LOW_MEMORY.contains(&start) && end <= LOW_MEMORY.end {
            return true;
        }
        // Sorted and disjoint: what is asked for must be covered without a gap.
        let mut at = start;
        for region in crate::boot::boot_memory().map.regions() {
            if region.start > at || at >= end {
                break;
            }
            if region.end > at {
                if matches!(region.kind, MemoryKind::Mmio | MemoryKind::Bad) {
                    return false;
                }
                at = region.end;
            }
        }
        at >= end
    }
}

impl PhysicalMemory for FirmwareMemory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let end = address.checked_add(buffer.len() as u64).ok_or(Unreadable)?;
        if !Self::may_read(address, end) {
            return Err(Unreadable);
        }
        phys::read(address, buffer).map_err(|_| Unreadable)
    }
}
