//! What the system takes for itself.

use crate::Outcome;
use crate::report::Report;

const MACHINE_BYTES: u64 = 512 << 20;

fn field(name: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
    Ok(kib
        .ok_or_else(|| format!("no {name} in /proc/meminfo"))?
        .parse::<u64>()?
        << 10)
}

/// Memory that programs could still get.
pub fn available_bytes() -> Outcome<u64> {
    field("MemAvailable")
}

/// Before anything was measured.
pub fn at_start(report: &mut Report) -> Outcome {
    let available = available_bytes()?;
    report.value(
        "mem.total_minus_available",
        "bytes",
        field("MemTotal")?.saturating_sub(available),
    )?;
    report.value(
        "mem.ram_minus_available",
        "bytes",
        MACHINE_BYTES.saturating_sub(available),
    )
}
