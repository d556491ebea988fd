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
    let _lock = lock()?;
    programs::archive(None)?;
    finish(&[])
}

/// The feature with which kernel and programs delay on purpose.
const INJECT: &str = "inject";

/// As [`kernel`], with the feature `inject`: `inject=METRIC:AMOUNT` on its command line, or behind `programs/bench`, makes the metric's path
/// longer. It is a file of its own beside the release, which is built again afterwards.
pub fn injecting_kernel() -> Result<PathBuf> {
    let _lock = lock()?;
    programs::archive(Some(INJECT))?;
    let built = finish(&[INJECT])?;
    let kept = host::target_dir().join("kernel.inject");
    fs::copy(&built, &kept).doing(|| format!("writing {}", kept.display()))?;
    programs::archive(None)?;
    finish(&[])?;
    Ok(kept)
}

fn lock() -> Result<File> {
    let target = host::target_dir();
    fs::create_dir_all(&target).doing(|| format!("making {}", target.display()))?;
    let lock = target.join("kernel-build.lock");
    let file = File::create(&lock).doing(|| format!("making {}", lock.display()))?;
    file.lock()
        .doing(|| format!("locking {}", lock.display()))?;
    Ok(file)
}

/// Builds the kernel with the archive that is there and fills in its symbol table.
fn finish(features: &[&str]) -> Result<PathBuf> {
    host::run_cargo(
        host::cargo()
            .args(["build", "--package", "kernel", "--release", "--features"])
            .arg(features.join(","))
            .env(programs::ARCHIVE_VARIABLE, programs::archive_path()),
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
