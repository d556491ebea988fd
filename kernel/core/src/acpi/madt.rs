//! Processors and interrupt controllers (MADT): ACPI 6.5 §5.2.12.

use super::problem::{Problem, ProblemKind, Problems};
use super::reader::{Table, field};
use crate::fixed_list::FixedList;

/// How many processors are kept.
pub const MAX_CPUS: usize = 256;
/// How many I/O APICs are kept.
pub const MAX_IO_APICS: usize = 16;
/// How many interrupt source overrides are kept.
pub const MAX_OVERRIDES: usize = 64;
/// How many NMI sources and local NMI lines are kept, each.
pub const MAX_NMIS: usize = 64;

/// Whether a processor can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuState {
    /// It is there.
    Enabled,
    /// It may be plugged in later.
    OnlineCapable,
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The number ACPI's other tables know it by.
    pub uid: u32,
    /// Its local APIC's identifier.
    pub apic_id: u32,
    /// Whether it can be started.
    pub state: CpuState,
}

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its identifier.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
    /// Global system interrupt of its first input.
    pub gsi_base: u32,
}

/// The active level of an interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// As the bus has it.
    Conforms,
    /// High.
    ActiveHigh,
    /// Low.
    ActiveLow,
}

/// How an interrupt line signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// As the bus has it.
    Conforms,
    /// By an edge.
    Edge,
    /// By its level.
    Level,
}

/// An ISA interrupt that is not wired to the global interrupt of its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// ISA interrupt, below 16.
    pub irq: u8,
    /// Global system interrupt.
    pub gsi: u32,
    /// Its active level.
    pub polarity: Polarity,
    /// How it signals.
    pub trigger: Trigger,
}

/// A global interrupt that is non-maskable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmiSource {
    /// Global system interrupt.
    pub gsi: u32,
    /// Its active level.
    pub polarity: Polarity,
    /// How it signals.
    pub trigger: Trigger,
}

/// A local APIC input that is a non-maskable interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNmi {
    /// Of which processor, by its ACPI number; `None` means of all.
    pub uid: Option<u32>,
    /// Which input: 0 or 1.
    pub lint: u8,
    /// Its active level.
    pub polarity: Polarity,
    /// How it signals.
    pub trigger: Trigger,
}

/// Where an ISA interrupt is wired to, with the bus's defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsaRoute {
    /// Global system interrupt.
    pub gsi: u32,
    /// Whether the line is active when low.
    pub active_low: bool,
    /// Whether it signals by its level.
    pub level: bool,
}

/// What the MADT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Madt {
    /// Physical address of the local APICs' registers.
    pub local_apic_address: u64,
    /// Whether there are 8259 interrupt controllers, which must be masked.
    pub has_8259: bool,
    /// Processors, in the firmware's order (the boot processor is usually first).
    pub cpus: FixedList<Cpu, MAX_CPUS>,
    /// Processor entries that are neither enabled nor may be.
    pub disabled_cpus: u32,
    /// I/O APICs.
    pub io_apics: FixedList<IoApic, MAX_IO_APICS>,
    /// ISA interrupts wired elsewhere.
    pub overrides: FixedList<Override, MAX_OVERRIDES>,
    /// Non-maskable global interrupts.
    pub nmi_sources: FixedList<NmiSource, MAX_NMIS>,
    /// Non-maskable local inputs.
    pub local_nmis: FixedList<LocalNmi, MAX_NMIS>,
}

// Entry types, and how many bytes each needs.
const LOCAL_APIC: u8 = 0;
const IO_APIC: u8 = 1;
const OVERRIDE: u8 = 2;
const NMI_SOURCE: u8 = 3;
const LOCAL_NMI: u8 = 4;
const ADDRESS_OVERRIDE: u8 = 5;
const LOCAL_X2APIC: u8 = 9;
const LOCAL_X2APIC_NMI: u8 = 10;

const fn entry_bytes(entry: u8) -> Option<u8> {
    match entry {
        LOCAL_APIC | NMI_SOURCE => Some(8),
        IO_APIC | ADDRESS_OVERRIDE | LOCAL_X2APIC_NMI => Some(12),
        OVERRIDE => Some(10),
        LOCAL_NMI => Some(6),
        LOCAL_X2APIC => Some(16),
        _ => None,
    }
}

const LONGEST_ENTRY: usize = 16;
const ENTRIES_AT: u32 = 44;
const PCAT_COMPAT: u32 = 1;
const ENABLED: u32 = 1;
const ONLINE_CAPABLE: u32 = 2;
const ALL_CPUS_SHORT: u8 = 0xff;
const ALL_CPUS: u32 = 0xffff_ffff;
const DEFAULT_LOCAL_APIC: u64 = 0xfee0_0000;
const DEFAULT_IO_APIC: u32 = 0xfec0_0000;

impl Madt {
    const EMPTY: Self = Self {
        local_apic_address: DEFAULT_LOCAL_APIC,
        has_8259: true,
        cpus: FixedList::new(Cpu {
            uid: 0,
            apic_id: 0,
            state: CpuState::Enabled,
        }),
        disabled_cpus: 0,
        io_apics: FixedList::new(IoApic {
            id: 0,
            address: 0,
            gsi_base: 0,
        }),
        overrides: FixedList::new(Override {
            irq: 0,
            gsi: 0,
            polarity: Polarity::Conforms,
            trigger: Trigger::Conforms,
        }),
        nmi_sources: FixedList::new(NmiSource {
            gsi: 0,
            polarity: Polarity::Conforms,
            trigger: Trigger::Conforms,
        }),
        local_nmis: FixedList::new(LocalNmi {
            uid: None,
            lint: 0,
            polarity: Polarity::Conforms,
            trigger: Trigger::Conforms,
        }),
    };

    /// What every PC since the first multiprocessor specification has, for when the table is missing or damaged: the boot
    /// processor, one I/O APIC at its default address (probe it before use), the timer on global interrupt 2, 8259s to mask.
    pub fn assumed_pc(boot_apic_id: u32) -> Self {
        let mut madt = Self::EMPTY;
        // Each list is empty and has room.
        let _ = madt.cpus.push(Cpu {
            uid: 0,
            apic_id: boot_apic_id,
            state: CpuState::Enabled,
        });
        let _ = madt.io_apics.push(IoApic {
            id: 0,
            address: DEFAULT_IO_APIC,
            gsi_base: 0,
        });
        let (polarity, trigger) = (Polarity::Conforms, Trigger::Conforms);
        let _ = madt.overrides.push(Override {
            irq: 0,
            gsi: 2,
            polarity,
            trigger,
        });
        let _ = madt.local_nmis.push(LocalNmi {
            uid: None,
            lint: 1,
            polarity,
            trigger,
        });
        madt
    }

    /// Where ISA interrupt `irq` is wired to. The ISA bus's own convention is active high, edge (ACPI 6.5 §5.2.12.5).
    pub fn isa_route(&self, irq: u8) -> IsaRoute {
        match self.overrides.iter().find(|entry| entry.irq == irq) {
            Some(entry) => IsaRoute {
                gsi: entry.gsi,
                active_low: entry.polarity == Polarity::ActiveLow,
                level: entry.trigger == Trigger::Level,
            },
            None => IsaRoute {
                gsi: u32::from(irq),
                active_low: false,
                level: false,
            },
        }
    }

    /// The I/O APIC that global interrupt `gsi` belongs to, going by where each begins. How many inputs it has only its version
    /// register says.
    pub fn io_apic_for(&self, gsi: u32) -> Option<&IoApic> {
        self.io_apics
            .iter()
            .filter(|apic| apic.gsi_base <= gsi)
            .max_by_key(|apic| apic.gsi_base)
    }

    pub(super) fn read(table: &Table<'_>, problems: &mut Problems) -> Option<Self> {
        let (Some(address), Some(flags)) = (table.u32(36), table.u32(40)) else {
            problems.push(Problems::bad_length(
                table.signature(),
                table.address(),
                table.len(),
                ENTRIES_AT,
            ));
            return None;
        };
        let mut madt = Self {
            has_8259: flags & PCAT_COMPAT != 0,
            ..Self::EMPTY
        };
        madt.set_local_apic(u64::from(address), table, 36, problems);
        let mut offset = ENTRIES_AT;
        while offset < table.len() {
            // One byte left over cannot be an entry.
            let [entry, length] = table.bytes(offset).unwrap_or([0, 0]);
            let mut problem = |kind| {
                problems.push(Problem {
                    table: table.signature(),
                    address: table.address(),
                    offset,
                    kind,
                });
            };
            if length < 2 {
                problem(ProblemKind::EntriesEnd { length });
                break;
            }
            let next = offset + u32::from(length);
            if next > table.len() || entry_bytes(entry).is_some_and(|needed| length < needed) {
                problem(ProblemKind::EntryLength { entry, length });
            } else if entry_bytes(entry).is_some() {
                let mut bytes = [0u8; LONGEST_ENTRY];
                let len = usize::from(length).min(LONGEST_ENTRY);
                if bytes
                    .get_mut(..len)
                    .and_then(|part| table.read(offset, part))
                    .is_none()
                {
                    problem(ProblemKind::Unreadable);
                    break;
                }
                if entry == ADDRESS_OVERRIDE {
                    madt.set_local_apic(
                        u64::from_le_bytes(field(&bytes, 4)),
                        table,
                        offset,
                        problems,
                    );
                } else if let Err(kind) = madt.add(entry, &bytes) {
                    problem(kind);
                }
            }
            offset = next;
        }
        madt.complete(&mut |what| {
            problems.push(Problem::whole(
                table.signature(),
                table.address(),
                ProblemKind::Assumed { what },
            ));
        })
    }

    // A table cut off in mid-list still has to give a machine that boots. Only the caller knows the boot processor's
    // identifier, so that without any processor the whole table is given up for `assumed_pc`.
    fn complete(mut self, assumed: &mut dyn FnMut(&'static str)) -> Option<Self> {
        if !self.cpus.iter().any(|cpu| cpu.state == CpuState::Enabled) {
            assumed("processor");
            return None;
        }
        if self.io_apics.is_empty() {
            assumed("I/O APIC");
            let plain = Self::assumed_pc(0);
            self.io_apics = plain.io_apics;
            if self.overrides.is_empty() {
                self.overrides = plain.overrides;
            }
        }
        Some(self)
    }

    fn set_local_apic(
        &mut self,
        address: u64,
        table: &Table<'_>,
        offset: u32,
        problems: &mut Problems,
    ) {
        // The base register holds 4 KiB-aligned addresses only (Intel SDM vol. 3A §11.4.4).
        if address == 0 || !address.is_multiple_of(4096) {
            let kind = ProblemKind::BadValue {
                field: "the address of the local APIC",
                value: address,
            };
            problems.push(Problem {
                table: table.signature(),
                address: table.address(),
                offset,
                kind,
            });
        } else {
            self.local_apic_address = address;
        }
    }

    fn add(&mut self, entry: u8, bytes: &[u8; LONGEST_ENTRY]) -> Result<(), ProblemKind> {
        let u16_at = |at| u16::from_le_bytes(field(bytes, at));
        let u32_at = |at| u32::from_le_bytes(field(bytes, at));
        match entry {
            LOCAL_APIC => {
                // 0xff is the broadcast address of an xAPIC.
                let (uid, id) = (u32::from(bytes[2]), u32::from(bytes[3]));
                self.add_cpu(uid, id, u32_at(4), id != 0xff, true)
            }
            LOCAL_X2APIC => self.add_cpu(
                u32_at(12),
                u32_at(4),
                u32_at(8),
                u32_at(4) != ALL_CPUS,
                false,
            ),
            IO_APIC => self.add_io_apic(IoApic {
                id: bytes[2],
                address: u32_at(4),
                gsi_base: u32_at(8),
            }),
            OVERRIDE => {
                let (polarity, trigger) = line(u16_at(8))?;
                self.add_override(
                    bytes[2],
                    Override {
                        irq: bytes[3],
                        gsi: u32_at(4),
                        polarity,
                        trigger,
                    },
                )
            }
            NMI_SOURCE => {
                let (polarity, trigger) = line(u16_at(2))?;
                let nmi = NmiSource {
                    gsi: u32_at(4),
                    polarity,
                    trigger,
                };
                self.nmi_sources
                    .push(nmi)
                    .map_err(|_| too_many("NMI sources", MAX_NMIS))
            }
            LOCAL_NMI => {
                let uid = (bytes[2] != ALL_CPUS_SHORT).then_some(u32::from(bytes[2]));
                self.add_local_nmi(uid, u16_at(3), bytes[5])
            }
            LOCAL_X2APIC_NMI => {
                let uid = Some(u32_at(4)).filter(|&uid| uid != ALL_CPUS);
                self.add_local_nmi(uid, u16_at(2), bytes[8])
            }
            _ => Ok(()),
        }
    }

    fn add_cpu(
        &mut self,
        uid: u32,
        apic_id: u32,
        flags: u32,
        id_possible: bool,
        short: bool,
    ) -> Result<(), ProblemKind> {
        let state = if flags & ENABLED != 0 {
            CpuState::Enabled
        } else if flags & ONLINE_CAPABLE != 0 {
            CpuState::OnlineCapable
        } else {
            self.disabled_cpus += 1;
            return Ok(());
        };
        let bad = ProblemKind::BadValue {
            field: "the APIC identifier of a processor",
            value: u64::from(apic_id),
        };
        if !id_possible {
            return Err(bad);
        }
        if self.cpus.iter().any(|cpu| cpu.apic_id == apic_id) {
            // Firmware may list a processor once by its short and once by its long entry; twice the same way is a defect.
            return if short { Err(bad) } else { Ok(()) };
        }
        self.cpus
            .push(Cpu {
                uid,
                apic_id,
                state,
            })
            .map_err(|_| too_many("processors", MAX_CPUS))
    }

    fn add_io_apic(&mut self, apic: IoApic) -> Result<(), ProblemKind> {
        // The registers span 32 bytes and more; firmware places them on a 1 KiB boundary or coarser (Intel 82093AA §3.0).
        if apic.address == 0 || !apic.address.is_multiple_of(1024) {
            return Err(ProblemKind::BadValue {
                field: "the address of an I/O APIC",
                value: u64::from(apic.address),
            });
        }
        let same =
            |known: &IoApic| known.address == apic.address || known.gsi_base == apic.gsi_base;
        if self.io_apics.iter().any(same) {
            let value = u64::from(apic.gsi_base);
            return Err(ProblemKind::BadValue {
                field: "the first interrupt of an I/O APIC listed twice",
                value,
            });
        }
        self.io_apics
            .push(apic)
            .map_err(|_| too_many("I/O APICs", MAX_IO_APICS))
    }

    fn add_override(&mut self, bus: u8, entry: Override) -> Result<(), ProblemKind> {
        if bus != 0 {
            return Err(ProblemKind::BadValue {
                field: "the bus of an interrupt override",
                value: u64::from(bus),
            });
        }
        if entry.irq > 15 || self.overrides.iter().any(|known| known.irq == entry.irq) {
            let value = u64::from(entry.irq);
            return Err(ProblemKind::BadValue {
                field: "the ISA interrupt of an override",
                value,
            });
        }
        self.overrides
            .push(entry)
            .map_err(|_| too_many("interrupt overrides", MAX_OVERRIDES))
    }

    fn add_local_nmi(&mut self, uid: Option<u32>, flags: u16, lint: u8) -> Result<(), ProblemKind> {
        if lint > 1 {
            return Err(ProblemKind::BadValue {
                field: "the local input of an NMI",
                value: u64::from(lint),
            });
        }
        let (polarity, trigger) = line(flags)?;
        let nmi = LocalNmi {
            uid,
            lint,
            polarity,
            trigger,
        };
        self.local_nmis
            .push(nmi)
            .map_err(|_| too_many("local NMI inputs", MAX_NMIS))
    }
}

const fn too_many(what: &'static str, limit: usize) -> ProblemKind {
    ProblemKind::TooMany {
        what,
        limit: limit as u32,
    }
}

// MPS INTI flags: ACPI 6.5 table 5.26.
fn line(flags: u16) -> Result<(Polarity, Trigger), ProblemKind> {
    let polarity = match flags & 3 {
        0 => Polarity::Conforms,
        1 => Polarity::ActiveHigh,
        3 => Polarity::ActiveLow,
        _ => {
            return Err(ProblemKind::BadValue {
                field: "the polarity of an interrupt",
                value: 2,
            });
        }
    };
    let trigger = match (flags >> 2) & 3 {
        0 => Trigger::Conforms,
        1 => Trigger::Edge,
        3 => Trigger::Level,
        _ => {
            return Err(ProblemKind::BadValue {
                field: "the trigger mode of an interrupt",
                value: 2,
            });
        }
    };
    Ok((polarity, trigger))
}
