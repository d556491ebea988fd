//! A client of QEMU's machine protocol (QMP): JSON objects, one per line.

use crate::error::{Doing, Error, Result};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long QEMU may take to answer. Screen dumps of a busy machine take the longest.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A QMP connection past its greeting.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    /// Events that came while an answer was awaited.
    events: VecDeque<Value>,
    /// The device and the output that screendumps are of, if not the first screen.
    watched: Option<(String, u32)>,
}

impl Qmp {
    /// Takes a fresh connection through the greeting.
    pub fn new(stream: UnixStream) -> Result<Qmp> {
        let writer = stream
            .try_clone()
            .doing(|| "cloning the QMP socket".into())?;
        let mut qmp = Qmp {
            reader: BufReader::new(stream),
            writer,
            events: VecDeque::new(),
            watched: None,
        };
        qmp.receive(Instant::now() + ANSWER_LIMIT, "the QMP greeting")?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives its `return` value.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.writer
            .write_all(line.as_bytes())
            .map_err(|error| Error::Qemu(format!("{GONE} before {command}: {error}")))?;
        let end = Instant::now() + ANSWER_LIMIT;
        loop {
            let mut message = self.receive(end, command)?;
            if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = message.get("error") {
                return Err(Error::Qemu(format!("{command}: {}", error["desc"])));
            }
            self.events.push_back(message);
        }
    }

    /// Waits for an event of this name.
    pub fn wait_event(&mut self, name: &str, limit: Duration) -> Result<Value> {
        if let Some(at) = self.events.iter().position(|event| event["event"] == name) {
            return Ok(self.events.remove(at).unwrap_or_default());
        }
        let end = Instant::now() + limit;
        loop {
            let message = self.receive(end, name)?;
            if message["event"] == name {
                return Ok(message);
            }
            self.events.push_back(message);
        }
    }

    /// Presses and releases keys in order, by their QEMU names (`a`, `ret`, `shift`).
    ///
    /// The emulated controller holds 16 bytes and drops what does not fit: send at most 7 keys,
    /// then wait for their echo.
    pub fn type_keys<'a>(&mut self, keys: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for key in keys {
            self.input_keys(&[(key, true)])?;
            self.input_keys(&[(key, false)])?;
        }
        Ok(())
    }

    /// Sends key presses (`true`) and releases (`false`) as one batch.
    pub fn input_keys(&mut self, keys: &[(&str, bool)]) -> Result<()> {
        let events: Vec<Value> = keys
            .iter()
            .map(|(key, down)| {
                json!({ "type": "key", "data": {
                    "down": down, "key": { "type": "qcode", "data": key } } })
            })
            .collect();
        self.execute("input-send-event", json!({ "events": events }))
            .map(drop)
    }

    /// From now on screendumps are of this output of a graphics device, by its `id`; else they are of the first screen.
    pub fn watch(&mut self, device: &str, output: u32) {
        self.watched = Some((device.to_owned(), output));
    }

    /// Writes the screen to a file, in this format (`ppm` or `png`).
    pub fn screendump(&mut self, file: &Path, format: &str) -> Result<()> {
        let mut arguments = json!({ "filename": file, "format": format });
        if let Some((device, output)) = &self.watched {
            arguments["device"] = json!(device);
            arguments["head"] = json!(output);
        }
        self.execute("screendump", arguments).map(drop)
    }

    /// Raises an NMI on every CPU.
    pub fn inject_nmi(&mut self) -> Result<()> {
        self.execute("inject-nmi", json!({})).map(drop)
    }

    /// Presses the power button.
    pub fn system_powerdown(&mut self) -> Result<()> {
        self.execute("system_powerdown", json!({})).map(drop)
    }

    /// Runs a line of QEMU's human monitor and gives what it prints.
    pub fn monitor(&mut self, line: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        Ok(answer.as_str().unwrap_or_default().replace('\r', ""))
    }

    /// Asks QEMU to end. It may be gone before it answers.
    pub fn quit(&mut self) -> Result<()> {
        match self.execute("quit", json!({})) {
            Err(Error::Qemu(text)) if text.starts_with(GONE) => Ok(()),
            other => other.map(drop),
        }
    }

    fn receive(&mut self, end: Instant, awaited: &str) -> Result<Value> {
        let left = end.saturating_duration_since(Instant::now());
        let late = || Error::Timeout {
            awaited: format!("QEMU's answer ({awaited})"),
            seconds: ANSWER_LIMIT.as_secs(),
        };
        if left.is_zero() {
            return Err(late());
        }
        self.writer
            .set_read_timeout(Some(left))
            .doing(|| "setting the QMP limit".into())?;
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err(Error::Qemu(format!("{GONE} before answering {awaited}"))),
            Ok(_) => serde_json::from_str(&line)
                .map_err(|error| Error::Qemu(format!("{awaited}: not JSON ({error}): {line}"))),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(late()),
            Err(error) => Err(Error::Qemu(format!("{GONE}: {error}"))),
        }
    }
}

/// How the message about a vanished QEMU starts.
const GONE: &str = "the QMP connection closed";

/// The QEMU names of the keys that type a text on a US keyboard, each with whether shift is held.
pub fn keys_of(text: &str) -> Option<Vec<(String, bool)>> {
    const NAMED: [(char, &str, bool); 26] = [
        (' ', "spc", false),
        ('\n', "ret", false),
        ('\t', "tab", false),
        ('-', "minus", false),
        ('_', "minus", true),
        ('=', "equal", false),
        ('+', "equal", true),
        (',', "comma", false),
        ('.', "dot", false),
        ('/', "slash", false),
        ('?', "slash", true),
        (';', "semicolon", false),
        (':', "semicolon", true),
        ('\'', "apostrophe", false),
        ('"', "apostrophe", true),
        ('!', "1", true),
        ('@', "2", true),
        ('#', "3", true),
        ('$', "4", true),
        ('%', "5", true),
        ('&', "7", true),
        ('*', "8", true),
        ('(', "9", true),
        (')', "0", true),
        ('[', "bracket_left", false),
        (']', "bracket_right", false),
    ];
    text.chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' => Some((c.to_string(), false)),
            'A'..='Z' => Some((c.to_ascii_lowercase().to_string(), true)),
            _ => NAMED
                .iter()
                .find(|(named, ..)| *named == c)
                .map(|(_, key, shift)| ((*key).to_owned(), *shift)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keys() {
        let keys = keys_of("aB -?\n").expect("all typable");
        let named: Vec<(&str, bool)> = keys
            .iter()
            .map(|(key, shift)| (key.as_str(), *shift))
            .collect();
        assert_eq!(
            named,
            [
                ("a", false),
                ("b", true),
                ("spc", false),
                ("minus", false),
                ("slash", true),
                ("ret", false)
            ]
        );
        assert_eq!(keys_of("é"), None);
    }

    #[test]
    fn answers_events_and_errors_are_told_apart() {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let qemu = std::thread::spawn(move || {
            let mut reader = BufReader::new(theirs.try_clone().expect("clone"));
            let mut writer = theirs;
            writer.write_all(b"{\"QMP\": {}}\n").expect("greet");
            let mut line = String::new();
            for answer in [
                "{\"return\": {}}\n",
                "{\"event\": \"RESET\"}\n{\"return\": \"text\\r\\n\"}\n",
                "{\"error\": {\"class\": \"X\", \"desc\": \"no such thing\"}}\n",
            ] {
                line.clear();
                reader.read_line(&mut line).expect("command");
                writer.write_all(answer.as_bytes()).expect("answer");
            }
        });
        let mut qmp = Qmp::new(ours).expect("greeting");
        assert_eq!(qmp.monitor("info x").expect("answer"), "text\n");
        assert_eq!(
            qmp.wait_event("RESET", Duration::ZERO).expect("kept")["event"],
            "RESET"
        );
        let error = qmp.inject_nmi().expect_err("refused").to_string();
        assert!(error.contains("no such thing"), "{error}");
        qemu.join().expect("qemu");
        assert!(qmp.quit().is_ok(), "a vanished QEMU has quit");
    }
}
