//! Scan codes in, terminal bytes out.

use input::{Keyboard, Keymap, run};
use proptest::prelude::*;
use rt::{ByteSink, ByteSource, Pipe};
use testkit::block_on;

fn typed(keymap: Keymap, scancodes: &[u8]) -> String {
    let mut keyboard = Keyboard::new(keymap);
    let mut out = Vec::new();
    for scancode in scancodes {
        if let Some(press) = keyboard.decode(*scancode) {
            out.extend_from_slice(&press.terminal_bytes());
        }
    }
    String::from_utf8(out).expect("the decoder gives UTF-8")
}

#[test]
fn letters_and_shift() {
    // h, shift down, i, shift up, space, 1, shift+1, enter.
    let codes = [
        0x23, 0xa3, 0x2a, 0x17, 0x97, 0xaa, 0x39, 0xb9, 0x02, 0x82, 0x2a, 0x02, 0x82, 0xaa, 0x1c,
        0x9c,
    ];
    assert_eq!(typed(Keymap::Us, &codes), "hI 1!\r");
}

#[test]
fn caps_lock_affects_letters_only() {
    assert_eq!(
        typed(Keymap::Us, &[0x3a, 0xba, 0x1e, 0x02, 0x3a, 0xba, 0x1e]),
        "A1a"
    );
}

#[test]
fn control_and_alt() {
    assert_eq!(typed(Keymap::Us, &[0x1d, 0x2e, 0xae, 0x9d, 0x2e]), "\u{3}c");
    assert_eq!(typed(Keymap::Us, &[0xe0, 0x1d, 0x1e, 0xe0, 0x9d]), "\u{1}");
    assert_eq!(typed(Keymap::Us, &[0x38, 0x21, 0xb8, 0x21]), "\u{1b}ff");
    assert_eq!(typed(Keymap::Us, &[0x1d, 0x39]), "\0");
}

#[test]
fn editing_keys_are_those_of_an_xterm() {
    let cases: [(&[u8], &str); 14] = [
        (&[0xe0, 0x48], "\u{1b}[A"),
        (&[0xe0, 0x50], "\u{1b}[B"),
        (&[0xe0, 0x4d], "\u{1b}[C"),
        (&[0xe0, 0x4b], "\u{1b}[D"),
        (&[0xe0, 0x47], "\u{1b}[H"),
        (&[0xe0, 0x4f], "\u{1b}[F"),
        (&[0xe0, 0x53], "\u{1b}[3~"),
        (&[0xe0, 0x49], "\u{1b}[5~"),
        (&[0x0e], "\u{7f}"),
        (&[0x0f], "\t"),
        (&[0x2a, 0x0f], "\u{1b}[Z"),
        (&[0x1d, 0xe0, 0x4d], "\u{1b}[1;5C"),
        (&[0x3b], "\u{1b}OP"),
        (&[0x58], "\u{1b}[24~"),
    ];
    for (codes, bytes) in cases {
        assert_eq!(typed(Keymap::Us, codes), bytes, "{codes:x?}");
    }
}

#[test]
fn the_keypad_follows_num_lock() {
    assert_eq!(typed(Keymap::Us, &[0x48]), "8");
    assert_eq!(
        typed(Keymap::Us, &[0x45, 0xc5, 0x48, 0x53]),
        "\u{1b}[A\u{1b}[3~"
    );
    assert_eq!(typed(Keymap::Us, &[0xe0, 0x1c]), "\r");
}

#[test]
fn layouts() {
    assert_eq!(typed(Keymap::De, &[0x15, 0x2c, 0x1a, 0x1b]), "zyü+");
    assert_eq!(typed(Keymap::Fr, &[0x10, 0x1e, 0x03]), "aqé");
    assert_eq!(typed(Keymap::Uk, &[0x2a, 0x04]), "£");
    // AltGr+Q is @ on a German keyboard.
    assert_eq!(typed(Keymap::De, &[0xe0, 0x38, 0x10]), "@");
    for keymap in Keymap::ALL {
        assert_eq!(Keymap::from_word(keymap.word()), Some(keymap));
        assert!(Keymap::WORDS.split(", ").any(|word| word == keymap.word()));
    }
    assert_eq!(Keymap::from_word("xx"), None);
}

#[test]
fn the_server_moves_every_key() {
    let received = block_on(async {
        let scancodes: &'static Pipe<64> = Box::leak(Box::new(Pipe::new()));
        let terminal: &'static Pipe<64> = Box::leak(Box::new(Pipe::new()));
        let (scan_in, scan_out) = scancodes.split().expect("first");
        let (term_in, term_out) = terminal.split().expect("first");
        assert!(
            scan_in
                .write_all(&[0x23, 0xa3, 0xe0, 0x48, 0xe0, 0xc8, 0x17])
                .await
                .is_ok()
        );
        drop(scan_in);
        run(Keymap::Us, &scan_out, &term_in).await;
        drop(term_in);
        let mut buffer = [0; 64];
        let count = term_out.read(&mut buffer).await;
        buffer[..count].to_vec()
    });
    assert_eq!(received, b"h\x1b[Ai");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever came before, a key typed twice after its release is understood at the second time.
    #[test]
    fn noise_does_no_harm(noise in proptest::collection::vec(any::<u8>(), 0..64), map in 0usize..9) {
        let mut keyboard = Keyboard::new(Keymap::ALL[map]);
        for byte in noise {
            if let Some(press) = keyboard.decode(byte) {
                prop_assert!(!press.terminal_bytes().is_empty());
            }
        }
        keyboard.decode(0x9c);
        keyboard.decode(0x9c);
        prop_assert!(keyboard.decode(0x1c).is_some());
    }
}
