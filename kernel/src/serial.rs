//! COM1 as a console: the driver, the log, and a terminal.

use hal::io::LegacyDevice;
use rt::Pipe;
use uart16550::{Config, Uart};

use crate::devices::{Line, Ports};
use crate::exec::{self, CoreId};
use crate::options::SerialShell;
use crate::terminal::{self, Terminal};
use crate::{log, output};

const COM1_ISA_IRQ: u8 = 4;

/// Received bytes wait here for the shell: more than a pasted screenful.
static RECEIVED: Pipe<4096> = Pipe::new();
/// Bytes on their way to the wire.
static TO_SEND: Pipe<4096> = Pipe::new();
/// What the shell writes, before the log is merged in.
static SHELL_OUTPUT: Pipe<4096> = Pipe::new();

/// Starts the tasks of the serial console. Without a port, says so and goes on.
pub fn start(kind: SerialShell) {
    let interrupt = match hal::irq::claim_isa(COM1_ISA_IRQ, "com1", 0) {
        Ok(interrupt) => interrupt,
        Err(error) => return ::log::error!("{error}"),
    };
    let Some(ports) = hal::io::claim(LegacyDevice::Com1) else {
        return ::log::error!("the port has a driver already");
    };
    let config = Config {
        base_port: ports.base(),
        baud: uart16550::MAX_BAUD,
    };
    let uart = match Uart::probe(Ports::new(ports), Line::new(interrupt), config) {
        Ok(uart) => uart,
        Err(error) => return ::log::warn!("{error}"),
    };
    let (Ok(received), Ok(to_send), Ok(output)) =
        (RECEIVED.split(), TO_SEND.split(), SHELL_OUTPUT.split())
    else {
        return ::log::error!("started twice");
    };
    let (received_in, received_out) = received;
    let (send_in, send_out) = to_send;
    let (output_in, output_out) = output;
    let cursor = log::end();
    exec::spawn("com1", CoreId::FIRST, exec::DRIVER_DEADLINE, async move {
        let end = uart.run(&received_in, &send_out).await;
        ::log::error!("the driver ended: {end:?}");
    });
    let with_log = log::is_serial_on();
    exec::spawn(
        "com1-output",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        output::forward(output_out, with_log, cursor, send_in),
    );
    if kind != SerialShell::Off {
        let mode = if kind == SerialShell::Script {
            shell::Mode::Script
        } else {
            shell::Mode::Interactive
        };
        let config = shell::Config {
            mode,
            ..shell::Config::default()
        };
        terminal::add(Terminal {
            name: "terminal.serial",
            typed: received_out,
            output: output_in,
            config,
        });
    }
}

/// Whether all that was written has gone to the port.
pub fn is_drained() -> bool {
    terminal::is_drained() && SHELL_OUTPUT.is_drained() && TO_SEND.is_drained()
}
