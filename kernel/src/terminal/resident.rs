//! Shells and console inside the kernel.

use alloc::boxed::Box;

use objects::refs::{NoMemory, try_box};

use super::{Display, Terminal};
use crate::exec::{self, CoreId};
use crate::system::KernelSystem;

/// Starts a shell at a terminal.
pub fn start(terminal: Terminal) {
    exec::spawn_best_effort("shell", CoreId::FIRST, async move {
        let name = terminal.name;
        match shell_at(terminal) {
            Ok(shell) => Box::into_pin(shell).await,
            Err(NoMemory) => ::log::error!(target: "shell", "{name}: there is no memory for it"),
        }
    });
}

/// The shell's future, which is tens of KiB: put where it stays by a function of its own, so that it is on the stack once, and beside nothing else.
#[inline(never)]
fn shell_at(terminal: Terminal) -> Result<Box<impl Future<Output = ()> + Send>, NoMemory> {
    try_box(async move {
        let Terminal {
            name,
            typed,
            output,
            config,
        } = terminal;
        crate::start::shell_is_up();
        let closed = shell::run(config, &typed, &output, &KernelSystem).await;
        ::log::error!(target: "shell", "{name}: {closed}");
    })
}

/// Starts the console: it goes on where start-up's left off.
pub fn start_display(display: Display) {
    // In memory of its own before it is part of a future: those are moved about on the stack.
    let Ok(mut display) = try_box(display) else {
        return ::log::error!(target: "screen", "there is no memory for the console");
    };
    exec::spawn(
        "screen",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        async move {
            let Display {
                to_show, console, ..
            } = &mut *display;
            console::run(console, to_show).await;
        },
    );
}
