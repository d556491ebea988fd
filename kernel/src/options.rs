//! The kernel command line as the kernel uses it: `kerncore::cmdline` has the table of words and the parsing.

use conquer_once::spin::Lazy;
use hal::cpu::report::{AfterPanic, set_after_panic};
use input::Keymap;
use kerncore::cmdline::CommandLine;
use log::LevelFilter;

/// What the serial port's shell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialShell {
    /// For a person.
    On,
    /// None.
    Off,
    /// For a program: no echo, no prompt, statuses marked.
    Script,
}

/// What the command line asks for.
pub struct Options {
    /// The words themselves, for parts that read their own.
    pub words: CommandLine,
    /// Least severe records that consoles show.
    pub level: LevelFilter,
    /// Whether the serial console shows the log.
    pub log_serial: bool,
    /// The serial port's shell.
    pub serial_shell: SerialShell,
    /// The keyboard's layout.
    pub keymap: Keymap,
    /// Whether the screen, the keyboard and the mouse are for windows.
    pub desktop: bool,
    /// ACPI root pointer to try first.
    pub acpi_rsdp: Option<u64>,
    /// Most cores to use.
    pub most_cores: Option<u32>,
    /// Whether to use x2APIC mode; `None`: where it is needed or pays.
    pub x2apic: Option<bool>,
    /// Whether to watch for stuck cores.
    pub watchdog: bool,
}

static OPTIONS: Lazy<Options> = Lazy::new(Options::read);

/// The options, read from the boot command line at the first use.
pub fn options() -> &'static Options {
    &OPTIONS
}

impl Options {
    fn read() -> Self {
        let words = CommandLine::parse(&hal::boot::boot_info().command_line);
        // Words that cannot be read are reported by `report`; until then, and after, the default holds.
        let serial_shell = match words.text("shell.serial") {
            Some("off") => SerialShell::Off,
            Some("script") => SerialShell::Script,
            _ => SerialShell::On,
        };
        let level = words
            .text("loglevel")
            .and_then(|word| word.parse().ok())
            .unwrap_or(LevelFilter::Info);
        let flag = |key| words.flag(key).ok().flatten();
        let number = |key| words.number(key).ok().flatten();
        Self {
            level,
            log_serial: flag("log.serial").unwrap_or(serial_shell != SerialShell::Script),
            serial_shell,
            keymap: words
                .text("keymap")
                .and_then(Keymap::from_word)
                .unwrap_or_default(),
            desktop: words.text("screen") == Some("desktop"),
            acpi_rsdp: number("acpi_rsdp"),
            most_cores: number("smp").map(|count| u32::try_from(count).unwrap_or(u32::MAX).max(1)),
            x2apic: flag("x2apic"),
            watchdog: flag("watchdog").unwrap_or(true),
            words,
        }
    }

    /// Puts in force what concerns reports and consoles.
    pub fn apply(&self) {
        crate::log::set_console(self.level, self.log_serial);
        set_after_panic(match self.words.text("panic") {
            Some("reboot") => AfterPanic::Reboot,
            Some("poweroff") => AfterPanic::PowerOff,
            _ => AfterPanic::Halt,
        });
    }

    /// Logs what is wrong with the command line.
    pub fn report(&self) {
        for diagnosis in self.words.diagnose() {
            ::log::warn!(target: "command line", "{diagnosis}");
        }
        if let Some(word) = self
            .words
            .text("keymap")
            .filter(|word| Keymap::from_word(word).is_none())
        {
            ::log::warn!(target: "command line", "keymap={word}: no such layout; there are {}", Keymap::WORDS);
        }
    }
}
