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
    pub xsave: bool,
    pub xsaveopt: bool,
    pub avx: bool,
    pub avx512: bool,
    /// Bits that XCR0 can have.
    pub xcr0_supported: u64,
    /// Restoring x87 state without a pending exception leaves the last instruction's addresses of whoever ran before: CPUs
    /// with AMD's FXRSTOR, unless CPUID says that they always restore them (AMD APM vol. 2 §11.4.4.3, CPUID 8000_0008 EBX bit 2).
    pub x87_pointers_leak: bool,
    pub pat: bool,
    pub pcid: bool,
    pub invpcid: bool,
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
        f.xsave = basic.has_xsave();
        f.avx = f.xsave && basic.has_avx();
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
        f.invpcid = extended.has_invpcid();
        f.avx512 = f.avx && extended.has_avx512f();
        f.rdseed = extended.has_rdseed();
    }
    if let Some(state) = cpuid.get_extended_state_info().filter(|_| f.xsave) {
        f.xsaveopt = state.has_xsaveopt();
        // Leaf 0xd, sub-leaf 0: EDX:EAX (Intel SDM vol. 2A, CPUID).
        let leaf = core::arch::x86_64::__cpuid_count(0xd, 0);
        f.xcr0_supported = u64::from(leaf.edx) << 32 | u64::from(leaf.eax);
    }
    f.x87_pointers_leak = cpuid
        .get_vendor_info()
        .is_some_and(|vendor| matches!(vendor.as_str(), "AuthenticAMD" | "HygonGenuine"))
        && !cpuid
            .get_processor_capacity_feature_info()
            .is_some_and(|sizes| sizes.has_restore_fp_error_ptrs());
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
