//! From sources to what boots: the programs' archive, the kernel ELF with that and its symbol table, the flat file for GRUB
//! and UEFI, and the hybrid image.

pub mod flat;
pub mod image;
pub mod ksyms;
pub mod programs;

use crate::error::{Doing, Result};
use crate::host;
use std::fs::{self, File};
use std::path::PathBuf;

/// Where the finished kernel is.
pub fn kernel_path() -> PathBuf {
    host::target_dir().join("release/kernel")
}

/// Names a finished kernel to use instead of building one: an old build, say.
pub const KERNEL_VARIABLE: &str = "RAEDE_KERNEL";

/// Builds the programs, then the kernel with them, and fills in its symbol table. Gives the ELF's path.
///
/// A lock file keeps two builders from filling the same file.
pub fn kernel() -> Result<PathBuf> {
    if let Some(kernel) = std::env::var_os(KERNEL_VARIABLE).filter(|path| !path.is_empty()) {
        return std::path::absolute(&kernel)
            .doing(|| format!("reading {KERNEL_VARIABLE}={}", kernel.display()));
    }
    let target = host::target_dir();
    fs::create_dir_all(&target).doing(|| format!("making {}", target.display()))?;
    let lock = target.join("kernel-build.lock");
    let lock_file = File::create(&lock).doing(|| format!("making {}", lock.display()))?;
    lock_file
        .lock()
        .doing(|| format!("locking {}", lock.display()))?;

    let programs = programs::archive()?;
    host::run_cargo(
        host::cargo()
            .args(["build", "--package", "kernel", "--release"])
            .env(programs::ARCHIVE_VARIABLE, &programs),
    )?;
    let kernel = kernel_path();
    let report = ksyms::embed(&kernel)?;
    if report.shortened > 0 || report.left_out > 0 {
        eprintln!(
            "symbol table: {} functions; {} names shortened to their last segment and {} left out to fit {} bytes",
            report.kept, report.shortened, report.left_out, report.capacity
        );
    }
    Ok(kernel)
}
