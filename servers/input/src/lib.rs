//! The input server: scan codes in, what a terminal would send out.
//!
//! [`Keyboard`] turns the keyboard's bytes (scan code set 1) into [`KeyPress`]es, with the layout
//! chosen by a [`Keymap`]; [`KeyPress::terminal_bytes`] is what an xterm sends for one, so that
//! a program reads the same bytes from the keyboard and from a serial terminal. [`run`] is the
//! server's task: from the keyboard driver's stream to the shell's.
//!
//! What must hold: any bytes may come in, in any order (lost ones, a keyboard of another make);
//! what is not understood is counted and skipped, and the decoder is in step again with the next key.
#![no_std]
#![forbid(unsafe_code)]

mod keyboard;
mod keymap;

use rt::{ByteSink, ByteSource};

pub use keyboard::Keyboard;
pub use keymap::Keymap;
pub use proto::key::{Key, KeyPress, Modifiers, TerminalBytes};

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
