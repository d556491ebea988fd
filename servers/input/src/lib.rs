//! The input server: what keyboards and pointers say in, events out.
//!
//! A [`Seat`] is all devices of one person: it knows which keys and buttons are down, repeats the one that is held, and keeps the
//! [events](proto::input::Event) until the listener takes them. [`Ps2`] feeds it from the bytes of an i8042, [`evdev`] from
//! virtio-input's events; [`codes`] has the numbers of keys, a [`Keymap`] their meaning. [`Saved`] is what the next instance needs.
//! The program that ties them to devices and to the listener is `servers/input/program`.
//!
//! Where there is no desktop, the kernel drives the keyboard: [`run`] is the task from its scan codes to a terminal, by a
//! [`Keyboard`]; [`KeyPress::terminal_bytes`] is what an xterm sends for a press, so that a program reads the same bytes from the keyboard
//! and from a serial terminal.
//!
//! What must hold: any bytes may come in, in any order (lost ones, a keyboard of another make);
//! what is not understood is counted and skipped, and the decoder is in step again with the next key.
#![no_std]
#![forbid(unsafe_code)]

pub mod codes;
pub mod evdev;
mod keyboard;
mod keymap;
mod keys;
mod outbox;
pub mod ps2;
mod saved;
mod seat;

use rt::{ByteSink, ByteSource};

pub use keyboard::Keyboard;
pub use keymap::Keymap;
pub use keys::{KeyStateSaved, RepeatTicks};
pub use proto::key::{Key, KeyPress, Modifiers, TerminalBytes};
pub use ps2::Ps2;
pub use saved::{DEFAULT_REPEAT_MS, SAVED_BYTES, Saved};
pub use seat::{MAX_DEVICES, Seat};

/// Scan codes read at once: the most a keyboard and its controller buffer.
const CHUNK_BYTES: usize = 16;

/// Reads scan codes from `scancodes` and writes what a terminal would send to `terminal`, until one
/// of them is closed.
pub async fn run<S: ByteSource, T: ByteSink>(keymap: Keymap, scancodes: &S, terminal: &T) {
    let mut keyboard = Keyboard::new(keymap);
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let count = scancodes.read(&mut chunk).await;
        if count == 0 {
            return;
        }
        for scancode in &chunk[..count] {
            let Some(press) = keyboard.decode(*scancode) else {
                continue;
            };
            if terminal.write_all(&press.terminal_bytes()).await.is_err() {
                return;
            }
        }
    }
}
