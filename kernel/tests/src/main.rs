//! Scenarios: Raede booted in QEMU and watched from outside.
//!
//! `scripts/test` runs this program; by hand it is `scripts/test qemu.`, or with a longer name.
//! One module per theme, each with a `scenarios()` that lists them:
//!
//! - [`boot`]: every way of booting, every size of machine, and how long it takes.
//! - [`commands`]: each command of the shell, with its help and its JSON.
//! - [`power`]: poweroff, reboot, panic, and the exit statuses of `scripts/run --exec`.
//! - [`input`]: keys and serial bursts arrive complete and in order.
//! - [`interrupts`]: no timer interrupts while idle, wakes of halted cores, NMI storms.
//! - [`executor`]: a full load of reservations, and tasks that hold their core.
//! - [`faults`]: provoked faults end in readable reports.
//! - [`user`]: ring 3, entered and left in every way there is.
//! - [`storm`]: servers and the manager killed again and again, and manifests kept.
//! - [`hardening`]: random addresses, W^X, failing allocations.
//! - [`memory`]: page tables of processes, and what other cores know of them.
//! - [`address_spaces`]: all page tables, read from outside the machine.
//! - [`bad_input`]: nonsense from people, hosts and firmware.
//! - [`screen`]: what the framebuffer shows, and the keyboard in front of it.
//! - [`network`]: frames through network cards that processes drive.
//! - [`terminal`]: shells and console as processes, and their deaths.
//! - [`net`]: the network, from inside and from this host.
//! - [`tap`]: the network of a namespace with peers that others wrote ([`netns`]).
//! - [`echo`]: what an echoed datagram costs, and floods of small frames ([`wire`]).
//! - [`two`]: two machines on one wire.
//! - [`measure`]: time to the prompt, figures and their goals. [`no_trace`]: what delays on purpose leave in a release.
//!
//! Around them: [`lab`] builds what boots, [`scenario`] shares boots between checks and runs two
//! machines at a time, [`session`] is one booted machine, [`json`] reads tables, [`reader`]
//! reads text off the screen.

mod acpi;
mod address_spaces;
mod bad_input;
mod boot;
mod commands;
mod desktop;
mod echo;
mod executor;
mod faults;
mod graphics;
mod hardening;
mod hot_plug;
mod http;
mod input;
mod interrupts;
mod json;
mod lab;
mod measure;
mod memory;
mod net;
mod netns;
mod network;
mod no_trace;
mod peer;
mod picture;
mod power;
mod process;
mod reader;
mod resident;
mod scenario;
mod screen;
mod seat;
mod session;
mod storm;
mod tap;
mod terminal;
mod tls;
mod trace;
mod two;
mod user;
mod wire;

use lexopt::prelude::*;
use scenario::Scenario;
use std::process::ExitCode;
use xtask::sayln;
use xtask::suite::Selection;

fn scenarios() -> Vec<Scenario> {
    [
        boot::scenarios(),
        commands::scenarios(),
        power::scenarios(),
        input::scenarios(),
        interrupts::scenarios(),
        executor::scenarios(),
        faults::scenarios(),
        user::scenarios(),
        process::scenarios(),
        storm::scenarios(),
        resident::scenarios(),
        hardening::scenarios(),
        memory::scenarios(),
        address_spaces::scenarios(),
        bad_input::scenarios(),
        screen::scenarios(),
        seat::scenarios(),
        hot_plug::scenarios(),
        graphics::scenarios(),
        network::scenarios(),
        terminal::scenarios(),
        desktop::scenarios(),
        net::scenarios(),
        tap::scenarios(),
        two::scenarios(),
        echo::scenarios(),
        measure::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn main() -> ExitCode {
    let mut selection = Selection::default();
    let mut list = false;
    let mut parser = lexopt::Parser::from_env();
    loop {
        match parser.next() {
            Ok(None) => break,
            Ok(Some(Long("long"))) => selection.long = true,
            Ok(Some(Long("list"))) => list = true,
            Ok(Some(Value(filter))) => selection
                .filters
                .push(filter.to_string_lossy().into_owned()),
            Ok(Some(other)) => {
                eprintln!("error: {}", other.unexpected());
                return ExitCode::from(2);
            }
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
        }
    }
    let scenarios = scenarios();
    if list {
        for (name, long) in scenarios.iter().flat_map(Scenario::names) {
            sayln!("{}{name}", if long { "long: " } else { "" });
        }
        return ExitCode::SUCCESS;
    }
    match scenario::run(scenarios, &selection) {
        Ok(totals) => {
            sayln!("{totals}");
            ExitCode::from(u8::from(totals.failed > 0))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
