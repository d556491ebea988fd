//! What CPUID says, read once.

use conquer_once::spin::OnceCell;
use raw_cpuid::{CpuId, CpuIdReaderNative};

/// The features Raede makes use of or reports (Intel SDM vol. 2A, CPUID).
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // names as the manual has them
pub struct Features {
    pub smep: bool,
    pub smap: bool,
    pub umip: bool,
    pub nx: bool,
    pub pge: bool,
    pub mce: bool,
    pub pat: bool,
    pub pcid: bool,
    pub gib_pages: bool,
    pub rdrand: bool,
    pub rdseed: bool,
    pub invariant_tsc: bool,
    pub tsc_deadline: bool,
    pub x2apic: bool,
    pub hypervisor: bool,
    /// TSC frequency in Hz by leaf 0x15, where it is complete.
    pub tsc_hz: Option<u64>,
    /// Width of physical addresses in bits.
    pub physical_address_bits: u8,
}

static FEATURES: OnceCell<Features> = OnceCell::uninit();

/// The boot core's features; all cores are taken to be alike.
pub fn features() -> &'static Features {
    FEATURES.get_or_init(read)
}

/// Passes the processor's own name to `use_name`.
pub fn with_brand<R>(use_name: impl FnOnce(&str) -> R) -> R {
    let cpuid = CpuId::with_cpuid_reader(CpuIdReaderNative);
    match cpuid.get_processor_brand_string() {
        Some(brand) => use_name(brand.as_str().trim()),
        None => use_name("unknown"),
    }
}

fn read() -> Features {
    let cpuid = CpuId::with_cpuid_reader(CpuIdReaderNative);
    let mut f = Features {
        physical_address_bits: 36,
        ..Features::default()
    };
    if let Some(basic) = cpuid.get_feature_info() {
        f.pge = basic.has_pge();
        f.mce = basic.has_mce();
        f.pat = basic.has_pat();
        f.pcid = basic.has_pcid();
        f.rdrand = basic.has_rdrand();
        f.tsc_deadline = basic.has_tsc_deadline();
        f.x2apic = basic.has_x2apic();
        f.hypervisor = basic.has_hypervisor();
    }
    if let Some(extended) = cpuid.get_extended_feature_info() {
        f.smep = extended.has_smep();
        f.smap = extended.has_smap();
        f.umip = extended.has_umip();
        f.rdseed = extended.has_rdseed();
    }
    if let Some(amd) = cpuid.get_extended_processor_and_feature_identifiers() {
        f.nx = amd.has_execute_disable();
        f.gib_pages = amd.has_1gib_pages();
    }
    if let Some(power) = cpuid.get_advanced_power_mgmt_info() {
        f.invariant_tsc = power.has_invariant_tsc();
    }
    if let Some(sizes) = cpuid.get_processor_capacity_feature_info() {
        f.physical_address_bits = sizes.physical_address_bits();
    }
    f.tsc_hz = cpuid.get_tsc_info().and_then(|tsc| tsc.tsc_frequency());
    f
}
