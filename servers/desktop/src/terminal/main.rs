//! The terminal: a shell in a window.
//!
//! Handles: `window` (the compositor), `system` and `manager` (what the shell asks). Argument, if there is one: a line that is typed first. The
//! emulator is `os-terminal`; the shell is the same library that runs on the serial port, a task of this process.
//!
//! | keys | |
//! |---|---|
//! | Shift-PageUp, Shift-PageDown, wheel | back and forth in what was written |
//! | Control-Shift-C, Control-Shift-V | copies what is marked with the pointer; pastes |
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod emulator;
mod marked;

use alloc::sync::Arc;
use core::fmt;

use gui::{Gui, Happened, Look, NotConnected, Pointer, PointerWhat, Size, WindowId};
use proto::input::{Button, KeyChange};
use proto::key::{Key, KeyPress};
use rt::sys::env::Missing;
use rt::sys::object::System;
use rt::{ByteSink, ByteSource, Either, Env, Pipe, first};
use shell::{Config, Mode};
use shell_host::Host;

use emulator::Emulator;

rt::entry!(async main);

/// What is typed, and what the shell writes.
static TYPED: Pipe<4096> = Pipe::new();
static WRITTEN: Pipe<16384> = Pipe::new();

/// Bytes of the shell's that are shown at once.
const CHUNK_BYTES: usize = 4096;
/// The window's first size.
const SIZE: Size = Size {
    width: 800,
    height: 480,
};

enum CannotBegin {
    Gui(NotConnected),
    Handle(&'static str, Missing),
    Step(&'static str, abi::Error),
    NoMemory,
}

impl fmt::Display for CannotBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gui(error) => error.fmt(f),
            Self::Handle(name, missing) => write!(f, "{name}: {missing}"),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
            Self::NoMemory => f.write_str("there is no memory for the terminal's letters"),
        }
    }
}

async fn main(mut env: Env) -> i32 {
    match run(&mut env).await {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

async fn run(env: &mut Env) -> Result<(), CannotBegin> {
    let system: System = env
        .take("system")
        .map_err(|missing| CannotBegin::Handle("system", missing))?;
    let mut gui = Gui::connect(env).await.map_err(CannotBegin::Gui)?;
    let window = gui.open(
        "Terminal",
        SIZE,
        Look {
            smallest: Size {
                width: 240,
                height: 120,
            },
            ..Look::default()
        },
    );
    gui.set_pointer(window, Pointer::Text);
    let mut terminal = Emulator::new().ok_or(CannotBegin::NoMemory)?;
    let (Ok((typed_in, typed)), Ok((written_in, written))) = (TYPED.split(), WRITTEN.split())
    else {
        return Err(CannotBegin::NoMemory);
    };
    // The shell learns the size once; it starts when there is one.
    let mut waiting_shell = Some((system, typed, written_in));
    gui.manager()
        .say_ready()
        .map_err(|error| CannotBegin::Step("saying that it is ready", error))?;
    let mut bytes = [0; CHUNK_BYTES];
    loop {
        // While a picture waits to be shown, what the shell writes waits too: no more is drawn than can be seen.
        let may_read = terminal.is_sized() && !gui.waits(window);
        let read = async {
            match may_read {
                true => written.read(&mut bytes).await,
                false => core::future::pending().await,
            }
        };
        match first(gui.next(), read).await {
            Either::A(happened) => match happened.map_err(CannotBegin::Gui)? {
                Happened::CloseAsked(_) => return Ok(()),
                Happened::Resized(_) => {
                    terminal.resize(gui.size(window));
                    if let Some((system, typed, written_in)) = waiting_shell.take() {
                        let (columns, rows) = terminal.columns_and_rows();
                        let config = Config {
                            mode: Mode::Interactive,
                            columns,
                            rows,
                        };
                        let host = Host::new(system, Arc::clone(gui.manager()));
                        let host = host.map_err(|error| {
                            CannotBegin::Step("opening the system's tables", error)
                        })?;
                        let shell = async move {
                            let closed = shell::run(config, &typed, &written_in, &host).await;
                            log::info!("{closed}");
                        };
                        rt::spawn("shell", shell).map_err(|_| CannotBegin::NoMemory)?;
                        if let Some(line) = env.argument(1) {
                            typed_in.try_write(line.as_bytes());
                            typed_in.try_write(b"\r");
                        }
                    }
                }
                happened => input(&mut terminal, &mut gui, window, &happened, &typed_in),
            },
            Either::B(0) => return Ok(()),
            Either::B(count) => terminal.write(bytes.get(..count).unwrap_or_default()),
        }
        paint(&mut terminal, &mut gui, window);
    }
}

/// Shows what changed.
fn paint(terminal: &mut Emulator, gui: &mut Gui, window: WindowId) {
    let Some(mut canvas) = gui.canvas(window) else {
        return;
    };
    if let Some(part) = terminal.paint(&mut canvas) {
        gui.present_part(window, &part);
    }
}

fn input(
    terminal: &mut Emulator,
    gui: &mut Gui,
    window: WindowId,
    happened: &Happened,
    typed: &impl ByteSink,
) {
    match happened {
        Happened::Key {
            press: Some(press),
            change: KeyChange::Down | KeyChange::Repeat,
            ..
        } => {
            key(terminal, gui, press, typed);
        }
        Happened::Pointer { x, y, what, .. } => match what {
            PointerWhat::Button {
                button: Button::Left,
                pressed: true,
            } => terminal.begin_mark(*x, *y),
            PointerWhat::Moved => terminal.move_mark(*x, *y),
            PointerWhat::Button {
                button: Button::Left,
                pressed: false,
            } => terminal.end_mark(),
            PointerWhat::Button {
                button: Button::Middle,
                pressed: true,
            } => gui.paste(),
            PointerWhat::Wheel { down, .. } => terminal.scroll(isize::from(*down) * 3),
            _ => {}
        },
        Happened::Pasted(text) => {
            // What does not fit is lost, as for anyone who types ahead of a shell that does not read.
            typed.try_write(text.replace('\n', "\r").as_bytes());
        }
        Happened::Theme | Happened::Reconnected => gui.present(window),
        _ => {}
    }
}

fn key(terminal: &mut Emulator, gui: &mut Gui, press: &KeyPress, typed: &impl ByteSink) {
    let held = press.modifiers;
    let page = terminal.columns_and_rows().1 as isize;
    match press.key {
        Key::PageUp if held.shift => terminal.scroll(-page),
        Key::PageDown if held.shift => terminal.scroll(page),
        // Control-C and Control-V with shift, as the layout makes them.
        Key::Char('\u{3}') if held.control && held.shift => {
            if let Some(text) = terminal.marked()
                && let Err(error) = gui.copy(&text)
            {
                log::warn!("nothing was copied: {error}");
            }
        }
        Key::Char('\u{16}') if held.control && held.shift => gui.paste(),
        _ => {
            terminal.forget_mark();
            typed.try_write(&press.terminal_bytes());
        }
    }
}
