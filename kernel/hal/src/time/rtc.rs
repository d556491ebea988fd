//! The battery-backed CMOS clock (MC146818A data sheet; ACPI 6.5 §4.8.2.4): the wall clock, read once at boot, and a beat
//! once a second where there is no better one.

use core::fmt;

use kerncore::civil_time::{CivilTime, CmosTime};

use crate::io::PortRange;

const INDEX: u16 = 0;
const DATA: u16 = 1;
/// Index bit that holds back NMIs; left clear.
const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_C: u8 = 0x0c;
/// Status B: an interrupt each time the clock has moved on, once a second.
const UPDATE_INTERRUPT: u8 = 1 << 4;
/// Status B: the other two interrupts, periodic and alarm.
const OTHER_INTERRUPTS: u8 = 1 << 6 | 1 << 5;
/// Status A: an update is or will soon be under way.
const UPDATE_IN_PROGRESS: u8 = 1 << 7;
/// An update takes under 2 ms, and a port read about a microsecond on real parts.
const MOST_STATUS_READS: u32 = 10_000;
/// Two equal readings in a row are believed; a clock that never holds still is broken.
const MOST_READINGS: u32 = 8;

/// Why the wall clock could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcError {
    /// The clock stays in its update phase, or no two readings agree: there is none, or it is broken.
    Unstable,
    /// The registers hold no time of day.
    Nonsense,
}

impl fmt::Display for RtcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unstable => "the CMOS clock never settles",
            Self::Nonsense => "the CMOS clock holds no valid time",
        })
    }
}

impl core::error::Error for RtcError {}

/// Reads the wall clock, taken to be UTC. `century_register` is the FADT's, 0 for none. Waits at most a few
/// milliseconds.
pub(super) fn read(century_register: u8) -> Result<CivilTime, RtcError> {
    let ports = ports();
    let mut before = read_once(&ports, century_register)?;
    for _ in 0..MOST_READINGS {
        let now = read_once(&ports, century_register)?;
        if now == before {
            return now.decode().ok_or(RtcError::Nonsense);
        }
        before = now;
    }
    Err(RtcError::Unstable)
}

fn ports() -> PortRange {
    // SAFETY: only this module drives the CMOS index and data ports: at boot, and from then on the heartbeat alone.
    unsafe { PortRange::new(0x70, 2) }
}

/// Turns on the clock's once-a-second interrupt on ISA IRQ 8, and its others off: the heartbeat of the watchdog on
/// machines without an HPET. From then on nothing else may use the CMOS ports, as a beat can come between any two accesses.
pub(crate) fn start_heartbeat() {
    let ports = ports();
    let status = register(&ports, STATUS_B) & !OTHER_INTERRUPTS;
    ports.write_u8(INDEX, STATUS_B);
    ports.write_u8(DATA, status | UPDATE_INTERRUPT);
    rearm_heartbeat();
}

/// Lets the next beat come: reading the flags lowers the line.
pub(crate) fn rearm_heartbeat() {
    register(&ports(), STATUS_C);
}

fn register(ports: &PortRange, index: u8) -> u8 {
    ports.write_u8(INDEX, index);
    ports.read_u8(DATA)
}

fn read_once(ports: &PortRange, century_register: u8) -> Result<CmosTime, RtcError> {
    let settled =
        (0..MOST_STATUS_READS).any(|_| register(ports, STATUS_A) & UPDATE_IN_PROGRESS == 0);
    if !settled {
        return Err(RtcError::Unstable);
    }
    Ok(CmosTime {
        seconds: register(ports, SECONDS),
        minutes: register(ports, MINUTES),
        hours: register(ports, HOURS),
        day: register(ports, DAY),
        month: register(ports, MONTH),
        year: register(ports, YEAR),
        // Only the bank behind the low 128 indices; what lies below 0x0e is the clock itself.
        century: (0x0e..0x80)
            .contains(&century_register)
            .then(|| register(ports, century_register)),
        status_b: register(ports, STATUS_B),
    })
}
