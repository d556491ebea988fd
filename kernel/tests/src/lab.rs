//! What boots: the kernel, and images with the command lines scenarios ask for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use xtask::build;
use xtask::error::Result;
use xtask::host::{self, RunDir};
use xtask::qemu::script::SCRIPT_WORD;
use xtask::qemu::{Boot, Machine, Media};

/// A panicked kernel switches off, so that a report's end is seen at once.
const PANIC_WORD: &str = "panic=poweroff";

/// Asks for the manager, as a kernel without that word starts it: shells and console are processes. Without it scenarios meet the
/// shell inside the kernel.
pub const MANAGER: &str = "init=servers/manager";

/// The finished kernel and the images made of it. Shared by the workers.
#[derive(Debug)]
pub struct Lab {
    kernel: PathBuf,
    images: Mutex<HashMap<String, PathBuf>>,
    folder: RunDir,
}

impl Lab {
    /// Builds the kernel.
    pub fn new() -> Result<Lab> {
        Ok(Lab {
            kernel: build::kernel()?,
            images: Mutex::default(),
            folder: RunDir::new()?,
        })
    }

    /// The kernel's ELF file.
    pub fn kernel(&self) -> &Path {
        &self.kernel
    }

    /// A machine that boots the kernel directly with exactly this command line.
    pub fn plain_machine(&self, command_line: &str) -> Machine {
        Machine::kernel(&self.kernel, command_line)
    }

    /// A machine that boots the kernel directly with these words on its command line; the serial
    /// shell prompts.
    pub fn machine(&self, words: &str) -> Machine {
        self.plain_machine(&with_panic_word(words))
    }

    /// As [`Lab::machine`], with the serial shell in script mode.
    pub fn script_machine(&self, words: &str) -> Machine {
        self.machine(&format!("{SCRIPT_WORD} {words}"))
    }

    /// A machine that boots the image.
    pub fn image_machine(&self, firmware: Firmware, media: Media, words: &str) -> Result<Machine> {
        let image = self.image(words)?;
        Ok(Machine::new(match firmware {
            Firmware::Bios => Boot::Bios { image, media },
            Firmware::Uefi => Boot::Uefi { image, media },
        }))
    }

    /// The image whose kernel command line holds these words; each is built once.
    fn image(&self, words: &str) -> Result<PathBuf> {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = images.get(words) {
            return Ok(image.clone());
        }
        let image = self.folder.join(format!("{}.iso", images.len()));
        build::image::build(&self.kernel, &with_panic_word(words), &image)?;
        images.insert(words.to_owned(), image.clone());
        Ok(image)
    }

    /// Where scenarios leave things for people to look at.
    pub fn keepsakes(&self) -> Result<PathBuf> {
        use xtask::error::Doing;
        let folder = host::target_dir().join("screens");
        std::fs::create_dir_all(&folder).doing(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }
}

/// What reads the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS, then GRUB.
    Bios,
    /// OVMF.
    Uefi,
}

/// The words that every scenario's kernel gets beside its own. No first process unless it asks for one: what that logs and takes
/// would come in between what the scenario looks at.
fn with_panic_word(words: &str) -> String {
    let init = if words.contains("init=") {
        ""
    } else {
        "init=off "
    };
    format!("{PANIC_WORD} {init}{words}").trim().to_owned()
}
