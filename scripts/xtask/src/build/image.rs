//! The hybrid image: one file for CD and USB, BIOS and UEFI.
//!
//! A BIOS finds GRUB's core image, which loads the flat kernel by multiboot2; UEFI finds an EFI
//! partition holding the same flat file as an application. GRUB's menu entry and
//! `\EFI\BOOT\raede.cfg` carry the kernel's command line.

use super::flat;
use crate::error::{Doing, Error, Result};
use crate::host::{self, RunDir};
use crate::packages::{self, GRUB_BIOS_DIR, Tool};
use kerncore::cmdline::CommandLine;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The words, as GRUB's shell wants them, with which the latency probes of ring 3 are run and their table is shown, on screen and first serial port.
const BENCH_WORDS: &str = "screen=text 'init=programs/bench 2'";
/// GRUB's modules for CD and USB, a framebuffer, and multiboot2.
const GRUB_MODULES: [&str; 12] = [
    "biosdisk",
    "iso9660",
    "multiboot2",
    "all_video",
    "vbe",
    "normal",
    "configfile",
    "part_msdos",
    "part_gpt",
    "fat",
    "search",
    "echo",
];
/// What the EFI partition holds beside the kernel: FAT's own tables and the text file.
const ESP_SPARE_BYTES: u64 = 512 << 10;
/// Date of everything in the image unless `SOURCE_DATE_EPOCH` says otherwise: 2026-01-01.
const DEFAULT_EPOCH: u64 = 1_767_225_600;

/// Builds the image from the kernel ELF at `kernel` into `out`.
pub fn build(kernel: &Path, command_line: &str, out: &Path) -> Result<()> {
    packages::require(&Tool::IMAGE)?;
    if let Some(bad) = command_line.chars().find(|c| c.is_control()) {
        return Err(Error::Usage(format!(
            "the command line holds the control character {bad:?}"
        )));
    }
    let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().map_err(|_| {
            Error::Usage(format!(
                "SOURCE_DATE_EPOCH={text:?} is no number of seconds"
            ))
        })?,
        Err(_) => DEFAULT_EPOCH,
    };
    let work = RunDir::new()?;
    let tree = work.join("tree");
    let grub = tree.join("boot/grub");
    fs::create_dir_all(&grub).doing(|| format!("making {}", grub.display()))?;
    let flat_kernel = tree.join("boot/raede");
    flat::write(kernel, &flat_kernel)?;
    let menu = grub.join("grub.cfg");
    fs::write(&menu, grub_menu(command_line)).doing(|| format!("writing {}", menu.display()))?;
    let eltorito = grub.join("eltorito.img");
    host::run_captured(
        Command::new("grub-mkimage")
            .args(["-O", "i386-pc-eltorito", "-p", "/boot/grub", "-o"])
            .arg(&eltorito)
            .args(GRUB_MODULES),
    )?;
    let esp = work.join("esp.img");
    build_esp(&work, &flat_kernel, command_line, &esp, epoch)?;
    write_iso(&tree, &esp, out, epoch)
}

/// GRUB's menu: Raede first, after a second.
fn grub_menu(command_line: &str) -> String {
    let entry = |title: &str, words: &str| {
        let words = words.trim();
        let space = if words.is_empty() { "" } else { " " };
        format!(
            "menuentry '{title}' {{\n  insmod all_video\n  set gfxpayload=1280x800x32,1024x768x32,auto\n  multiboot2 /boot/raede{space}{words}\n  boot\n}}\n"
        )
    };
    let words = grub_words(command_line);
    let bench = format!("{words} {BENCH_WORDS}");
    format!(
        "set default=0\nset timeout=1\n{}{}",
        entry("Raede", &words),
        entry("Raede (latency bench)", &bench)
    )
}

/// The command line as words for GRUB's shell: each word of the kernel's is one of GRUB's. GRUB puts
/// double quotes around a word with spaces, which the kernel understands.
fn grub_words(command_line: &str) -> String {
    let quote = |word: &str| format!("'{}'", word.replace('\'', "'\\''"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._=:,/-+@%".contains(c);
    let words = CommandLine::from_bytes(command_line.as_bytes());
    let words = words.words().map(|word| {
        let text = match word.value {
            Some(value) => format!("{}={value}", word.key),
            None => word.key.to_owned(),
        };
        if text.chars().all(plain) {
            text
        } else {
            quote(&text)
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The EFI partition: a FAT volume with the kernel and its command line.
fn build_esp(
    work: &RunDir,
    kernel: &Path,
    command_line: &str,
    esp: &Path,
    epoch: u64,
) -> Result<()> {
    let size = fs::metadata(kernel)
        .doing(|| format!("reading {}", kernel.display()))?
        .len();
    // Whole MiB: partitions are aligned to them.
    let mib = (size + ESP_SPARE_BYTES).div_ceil(1 << 20).max(2);
    let file = fs::File::create(esp).doing(|| format!("making {}", esp.display()))?;
    file.set_len(mib << 20)
        .doing(|| format!("sizing {}", esp.display()))?;
    drop(file);
    let config = work.join("raede.cfg");
    fs::write(&config, format!("{}\n", command_line.trim()))
        .doing(|| format!("writing {}", config.display()))?;
    let mtool = |program: &str| {
        let mut command = Command::new(program);
        // mtools otherwise reads the person's settings, and dates files by the clock.
        command
            .env("MTOOLSRC", "/dev/null")
            .env("SOURCE_DATE_EPOCH", epoch.to_string());
        command.arg("-i").arg(esp);
        command
    };
    host::run_captured(mtool("mformat").args(["-v", "RAEDE", "-N", "52414544", "::"]))?;
    host::run_captured(mtool("mmd").args(["::/EFI", "::/EFI/BOOT"]))?;
    host::run_captured(mtool("mcopy").arg(kernel).arg("::/EFI/BOOT/BOOTX64.EFI"))?;
    host::run_captured(mtool("mcopy").arg(&config).arg("::/EFI/BOOT/raede.cfg"))?;
    Ok(())
}

/// The ISO 9660 file system with both El Torito entries, an MBR, and the EFI partition behind it.
fn write_iso(tree: &Path, esp: &Path, out: &Path, epoch: u64) -> Result<()> {
    if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).doing(|| format!("making {}", parent.display()))?;
    }
    // Written beside the target and moved there whole, so that a running machine keeps its file.
    let mut partial = out.as_os_str().to_owned();
    partial.push(format!(".{}", std::process::id()));
    host::run_captured(
        Command::new("xorriso")
            .env("SOURCE_DATE_EPOCH", epoch.to_string())
            .args(["-as", "mkisofs", "-quiet", "-R", "-J", "-V", "RAEDE", "-o"])
            .arg(&partial)
            .args([
                "-b",
                "boot/grub/eltorito.img",
                "-no-emul-boot",
                "-boot-load-size",
                "4",
            ])
            .args(["-boot-info-table", "--grub2-boot-info", "--grub2-mbr"])
            .arg(Path::new(GRUB_BIOS_DIR).join("boot_hybrid.img"))
            .args(["--set_all_file_dates", &format!("={epoch}")])
            .args(["--protective-msdos-label", "-append_partition", "2", "0xef"])
            .arg(esp)
            .args(["-appended_part_as_gpt", "-eltorito-alt-boot"])
            .args([
                "-e",
                "--interval:appended_partition_2:all::",
                "-no-emul-boot",
            ])
            .arg(tree),
    )?;
    fs::rename(&partial, out).doing(|| format!("moving the image to {}", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_carries_the_command_line() {
        let menu = grub_menu("loglevel=debug  bench.a=\"$x; y\" bench.b=it's");
        let words = r"loglevel=debug 'bench.a=$x; y' 'bench.b=it'\''s'";
        assert!(
            menu.contains(&format!("multiboot2 /boot/raede {words}\n")),
            "{menu}"
        );
        assert!(
            menu.contains(&format!("multiboot2 /boot/raede {words} {BENCH_WORDS}\n")),
            "{menu}"
        );
        assert!(grub_menu("").contains("multiboot2 /boot/raede\n"));
    }

    #[test]
    fn refuses_control_characters() {
        let nowhere = Path::new("/nonexistent");
        // Tools may be missing where this runs; then that is said first.
        let error = build(nowhere, "a\nb", nowhere).expect_err("a line feed");
        assert!(
            matches!(error, Error::Usage(_) | Error::Missing { .. }),
            "{error}"
        );
    }
}
