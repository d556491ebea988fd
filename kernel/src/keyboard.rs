//! The PS/2 keyboard: controller driver and decoder, feeding the screen's terminal.

use hal::io::LegacyDevice;
use input::Keymap;
use rt::{Pipe, PipeWriter};

use crate::devices::{KernelClock, Line, Ports};
use crate::exec::{self, CoreId};
use crate::terminal::{self, Terminal};

const KEYBOARD_ISA_IRQ: u8 = 1;

/// Scan codes: more than anyone types in the time a poll takes.
static SCANCODES: Pipe<256> = Pipe::new();

/// What is typed, as a terminal would send it.
static TYPED: Pipe<1024> = Pipe::new();

/// Keyboard and screen: what a person with a shell sits at.
pub struct Seat {
    /// The keyboard's layout.
    pub keymap: Keymap,
    /// Columns and rows of the screen's console.
    pub terminal_size: (usize, usize),
    /// What the shell writes to.
    pub output: PipeWriter<'static>,
}

impl Seat {
    /// Starts the keyboard's tasks, and makes it and the screen a terminal.
    pub fn start(self) {
        let Ok((typed_in, typed)) = TYPED.split() else {
            return ::log::error!("started twice");
        };
        let (columns, rows) = self.terminal_size;
        terminal::add(Terminal {
            name: "terminal.screen",
            typed,
            output: self.output,
            config: shell::Config {
                mode: shell::Mode::Interactive,
                columns,
                rows,
            },
        });
        start_device(self.keymap, typed_in);
    }
}

fn start_device(keymap: Keymap, typed: PipeWriter<'static>) {
    let interrupt = match hal::irq::claim_isa(KEYBOARD_ISA_IRQ, "keyboard", 0) {
        Ok(interrupt) => interrupt,
        Err(error) => return ::log::error!("{error}"),
    };
    let Some(ports) = hal::io::claim(LegacyDevice::KeyboardController) else {
        return ::log::error!("the controller has a driver already");
    };
    let Ok((scancodes_in, scancodes_out)) = SCANCODES.split() else {
        return ::log::error!("started twice");
    };
    exec::spawn("i8042", CoreId::FIRST, exec::DRIVER_DEADLINE, async move {
        let lines = i8042::Lines {
            keyboard: Line::new(interrupt),
            mouse: None,
        };
        match i8042::Controller::start(Ports::new(ports), lines, &KernelClock).await {
            Ok(controller) => {
                match controller.keyboard() {
                    i8042::Keyboard::Answered => ::log::info!("found at the i8042 controller"),
                    i8042::Keyboard::Silent => {
                        ::log::warn!("the i8042 controller works, but no keyboard answers yet")
                    }
                }
                let end = controller.run(&i8042::KeyboardStream(scancodes_in)).await;
                ::log::error!("the driver ended: {end:?}");
            }
            Err(error) => ::log::warn!("{error}"),
        }
    });
    exec::spawn(
        "keyboard",
        CoreId::FIRST,
        exec::INPUT_DEADLINE,
        async move {
            input::run(keymap, &scancodes_out, &typed).await;
        },
    );
}
