//! Editor, parser, decoder and JSON against reference models.

mod common;

use common::Row;
use proptest::prelude::*;
use shell::editor::{Action, Editor};
use shell::json::{Object, Quoted};
use shell::keys::{Key, KeyDecoder};
use shell::parse::{Words, check, next_command};

const PROMPT: &str = "raede> ";
const COLUMNS: usize = 80;

/// The edited line as it should be.
#[derive(Default)]
struct Line {
    characters: Vec<char>,
    cursor: usize,
}

impl Line {
    fn word_left(&self) -> usize {
        let mut at = self.cursor;
        while at > 0 && self.characters[at - 1].is_whitespace() {
            at -= 1;
        }
        while at > 0 && !self.characters[at - 1].is_whitespace() {
            at -= 1;
        }
        at
    }

    fn word_right(&self) -> usize {
        let mut at = self.cursor;
        while at < self.characters.len() && self.characters[at].is_whitespace() {
            at += 1;
        }
        while at < self.characters.len() && !self.characters[at].is_whitespace() {
            at += 1;
        }
        at
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.characters.drain(from..to);
        self.cursor = from;
    }

    fn apply(&mut self, key: Key) {
        let end = self.characters.len();
        match key {
            Key::Char(character) => {
                self.characters.insert(self.cursor, character);
                self.cursor += 1;
            }
            Key::Backspace if self.cursor > 0 => self.remove(self.cursor - 1, self.cursor),
            Key::Delete if self.cursor < end => self.remove(self.cursor, self.cursor + 1),
            Key::Control('w') => self.remove(self.word_left(), self.cursor),
            Key::Control('u') => self.remove(0, self.cursor),
            Key::Control('k') => self.characters.truncate(self.cursor),
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(end),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = end,
            Key::WordLeft => self.cursor = self.word_left(),
            Key::WordRight => self.cursor = self.word_right(),
            _ => {}
        }
    }
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        12 => prop_oneof!["[a-z]", Just(" ".to_owned()), "[äß€𝄞]"]
            .prop_map(|text| Key::Char(text.chars().next().expect("one character"))),
        2 => prop_oneof![Just(Key::Backspace), Just(Key::Delete)],
        3 => prop_oneof![
            Just(Key::Left), Just(Key::Right), Just(Key::Home), Just(Key::End),
            Just(Key::WordLeft), Just(Key::WordRight),
        ],
        1 => prop_oneof![Just('w'), Just('u'), Just('k'), Just('l'), Just('z')].prop_map(Key::Control),
    ]
}

/// Keys that fill the line well beyond the terminal's width, then edit it.
fn keys() -> impl Strategy<Value = Vec<Key>> {
    (0usize..200, proptest::collection::vec(key(), 0..120)).prop_map(|(length, rest)| {
        let letters = (0..length).map(|index| match index % 9 {
            4 => Key::Char(' '),
            letter => Key::Char(char::from(b'a' + letter as u8)),
        });
        letters.chain(rest).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The line is the model's, and the terminal shows a window of it with the cursor in place.
    #[test]
    fn the_editor_is_its_model(keys in keys()) {
        let mut editor = Editor::new(PROMPT, COLUMNS);
        let (mut line, mut row, mut out) = (Line::default(), Row::default(), String::new());
        prop_assert!(editor.show(&mut out).is_ok());
        let width = COLUMNS - PROMPT.len() - 1;
        for key in keys {
            prop_assert_eq!(editor.key(key, &mut out), Ok(Action::None));
            line.apply(key);
            row.write(&out);
            out.clear();
            let expected: String = line.characters.iter().collect();
            prop_assert_eq!(editor.line(), &expected);
            prop_assert_eq!(editor.before_cursor().chars().count(), line.cursor);
            prop_assert_eq!(row.cells.iter().take(PROMPT.len()).collect::<String>(), PROMPT);
            let in_row = row.column - PROMPT.len();
            prop_assert!(in_row <= line.cursor && in_row <= width);
            let first = line.cursor - in_row;
            let window: String = line.characters.iter().skip(first).take(width).collect();
            let shown: String = row.cells.iter().skip(PROMPT.len()).collect();
            prop_assert_eq!(shown.trim_end(), window.trim_end());
        }
    }

    /// Whatever the words, quoted they come back.
    #[test]
    fn quoted_words_come_back(words in proptest::collection::vec("\\PC{0,12}", 1..8), style in 0u8..3) {
        let quote = |word: &String| match style {
            0 => format!("'{}'", word.replace('\'', "'\\''")),
            1 => {
                let mut quoted = String::from("\"");
                for character in word.chars() {
                    if matches!(character, '"' | '\\' | '$') {
                        quoted.push('\\');
                    }
                    quoted.push(character);
                }
                quoted + "\""
            }
            _ if word.is_empty() => "''".to_owned(),
            _ => word.chars().flat_map(|character| ['\\', character]).collect(),
        };
        let line = words.iter().map(quote).collect::<Vec<_>>().join("  ");
        prop_assume!(line.len() <= shell::MAX_LINE_BYTES);
        let mut parsed = Words::default();
        let rest = next_command(&line, 0, &mut parsed);
        prop_assert_eq!(rest, Ok(None));
        prop_assert_eq!(parsed.from(0).collect::<Vec<_>>(), words);
    }

    /// Any line: no panic, and what passes the check runs to its end.
    #[test]
    fn any_line_is_parsed(line in prop_oneof!["\\PC{0,80}", "[a ;'\"\\\\$?]{0,40}"], status in any::<u8>()) {
        let mut words = Words::default();
        if check(&line, &mut words).is_ok() {
            let mut rest = Some(line.as_str());
            while let Some(commands) = rest {
                rest = match next_command(commands, status, &mut words) {
                    Ok(rest) => rest,
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                };
            }
        }
    }

    /// Text comes back character by character, whatever it is made of; noise before it does no more
    /// than spoil its own place.
    #[test]
    fn the_decoder_gives_text_back(noise in proptest::collection::vec(any::<u8>(), 0..40), text in "[^\\p{C}]{0,20}") {
        let mut decoder = KeyDecoder::default();
        for byte in noise {
            decoder.push(byte);
        }
        // Ends whatever the noise began.
        let ended = decoder.push(b'\r').into_iter().chain(decoder.push(b'\r')).flatten().any(|key| key == Key::Enter);
        prop_assert!(ended);
        let keys: Vec<Key> = text.bytes().flat_map(|byte| decoder.push(byte)).flatten().collect();
        let expected: Vec<Key> = text.chars().map(Key::Char).collect();
        prop_assert_eq!(keys, expected);
    }

    /// The decoder replaces bad bytes where the standard library does, with at most as many marks.
    #[test]
    fn bad_bytes_become_replacements(bytes in proptest::collection::vec(0x80u8.., 1..12)) {
        let mut decoder = KeyDecoder::default();
        let keys = bytes.iter().chain(b".").flat_map(|byte| decoder.push(*byte)).flatten();
        let ours: String = keys.map(|key| match key {
            Key::Char(character) => character,
            _ => char::REPLACEMENT_CHARACTER,
        }).collect();
        let theirs = String::from_utf8_lossy(&bytes).replace(|c: char| c.is_control(), "\u{fffd}") + ".";
        let valid = |text: &str| text.replace(char::REPLACEMENT_CHARACTER, "");
        prop_assert_eq!(valid(&ours), valid(&theirs));
        prop_assert_eq!(ours.contains('\u{fffd}'), theirs.contains('\u{fffd}'));
    }

    /// Any text is a JSON string that reads back.
    #[test]
    fn json_strings_read_back(text in any::<String>(), number in any::<u64>(), signed in any::<i64>()) {
        let mut out = String::new();
        let written = Object::new(&mut out)
            .string("text", &text)
            .number("number", number)
            .number("signed", signed)
            .maybe_number("none", None)
            .array("list", [&text, &text].into_iter(), |writer, text| {
                std::fmt::Write::write_fmt(writer, format_args!("{}", Quoted(text)))
            })
            .object("inner", |object| object.boolean("yes", true).end())
            .end();
        prop_assert!(written.is_ok());
        let value: serde_json::Value = serde_json::from_str(&out).expect("valid JSON");
        prop_assert_eq!(&value["text"], &text);
        prop_assert_eq!(&value["number"], number);
        prop_assert_eq!(&value["signed"], signed);
        prop_assert_eq!(&value["list"][1], &text);
        prop_assert_eq!(&value["inner"]["yes"], true);
    }
}

#[test]
fn a_line_takes_1024_bytes_and_then_rings() {
    let mut editor = Editor::new(PROMPT, COLUMNS);
    let mut row = Row::default();
    for index in 0..1030 {
        let mut out = String::new();
        assert_eq!(editor.key(Key::Char('x'), &mut out), Ok(Action::None));
        row.write(&out);
        assert_eq!(editor.is_too_long(), index >= 1024);
    }
    assert_eq!((editor.line().len(), row.bells), (1024, 6));
}
