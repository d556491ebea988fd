//! Shells and console inside the kernel.

use super::{Display, Terminal};
use crate::exec::{self, CoreId};
use crate::system::KernelSystem;

/// Starts a shell at a terminal.
pub fn start(terminal: Terminal) {
    exec::spawn_best_effort("shell", CoreId::FIRST, async move {
        let Terminal {
            name,
            typed,
            output,
            config,
        } = terminal;
        crate::start::shell_is_up();
        let closed = shell::run(config, &typed, &output, &KernelSystem).await;
        ::log::error!(target: "shell", "{name}: {closed}");
    });
}

/// Starts the console: it goes on where start-up's left off.
pub fn start_display(display: Display) {
    exec::spawn(
        "screen",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        async move {
            let Display {
                to_show,
                mut console,
                ..
            } = display;
            console::run(&mut console, &to_show).await;
        },
    );
}
