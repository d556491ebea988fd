//! The serial shell as a program speaks to it.
//!
//! With `shell.serial=script` on its command line the kernel logs nothing to COM1 and its shell
//! neither echoes nor prompts. It writes byte 0x1e and `ready` and a line feed when it takes input; the
//! host sends one command per line; after the command's output comes byte 0x1e, the status in
//! decimal, and a line feed.

use super::serial::{Serial, WaitError, position};
use std::fmt;
use std::time::Duration;

/// The word on the kernel's command line that asks for this mode.
pub const SCRIPT_WORD: &str = "shell.serial=script";
/// Precedes `ready` and each status.
const MARK: u8 = 0x1e;

/// A command's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it printed, with bare line feeds.
    pub output: String,
    /// Its status; 0 is success.
    pub status: i32,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ScriptError {
    /// The command could not be sent, or the text has a line feed in it.
    Send(String),
    /// The answer did not come.
    Wait(WaitError),
    /// What came is not the protocol.
    Protocol(String),
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptError::Send(text) => write!(f, "sending a command: {text}"),
            ScriptError::Wait(error) => error.fmt(f),
            ScriptError::Protocol(text) => {
                write!(f, "the shell does not keep the protocol: {text}")
            }
        }
    }
}

impl std::error::Error for ScriptError {}

impl From<WaitError> for ScriptError {
    fn from(error: WaitError) -> ScriptError {
        ScriptError::Wait(error)
    }
}

/// Waits until the shell takes commands.
pub fn wait_ready(serial: &mut Serial, limit: Duration) -> Result<(), ScriptError> {
    match marked(serial, "the shell's ready mark", limit)? {
        (_, word) if word == "ready" => Ok(()),
        (_, word) => Err(ScriptError::Protocol(format!("{word:?} instead of ready"))),
    }
}

/// Sends a command and waits for its answer.
pub fn run(serial: &mut Serial, command: &str, limit: Duration) -> Result<Reply, ScriptError> {
    if command.contains(['\n', '\r']) {
        return Err(ScriptError::Send("one line per command".into()));
    }
    run_bytes(serial, command.as_bytes(), limit)
}

/// As [`run`], for a command that need not be text. It must hold no line feed.
pub fn run_bytes(
    serial: &mut Serial,
    command: &[u8],
    limit: Duration,
) -> Result<Reply, ScriptError> {
    let mut line = command.to_vec();
    line.push(b'\n');
    serial
        .send(&line)
        .map_err(|error| ScriptError::Send(error.to_string()))?;
    answer(
        serial,
        &format!("the end of `{}`", String::from_utf8_lossy(command)),
        limit,
    )
}

/// Waits for the answer to a command that was sent before.
pub fn answer(serial: &mut Serial, awaited: &str, limit: Duration) -> Result<Reply, ScriptError> {
    let (output, status) = marked(serial, awaited, limit)?;
    let status = status
        .parse()
        .map_err(|_| ScriptError::Protocol(format!("{status:?} instead of a status")))?;
    Ok(Reply { output, status })
}

/// Reads up to a mark and the line behind it.
fn marked(
    serial: &mut Serial,
    awaited: &str,
    limit: Duration,
) -> Result<(String, String), WaitError> {
    serial.wait_until(awaited, limit, |unread| {
        let mark = position(unread, &[MARK])?;
        let rest = &unread[mark + 1..];
        let end = position(rest, b"\n")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\r', "");
        Some((
            mark + 1 + end + 1,
            (text(&unread[..mark]), text(&rest[..end])),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn speaks_the_protocol() {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let guest = thread::spawn(move || {
            let mut reader = BufReader::new(theirs.try_clone().expect("clone"));
            let mut writer = theirs;
            writer
                .write_all(b"noise of the firmware\x1eready\n")
                .expect("write");
            let mut line = String::new();
            reader.read_line(&mut line).expect("read");
            assert_eq!(line, "echo a b\n");
            writer.write_all(b"a b\r\n\x1e0\r\n").expect("write");
            line.clear();
            reader.read_line(&mut line).expect("read");
            writer.write_all(b"\x1e127\n\x1eoops\n").expect("write");
        });
        let mut serial = Serial::new(ours).expect("serial");
        wait_ready(&mut serial, LIMIT).expect("ready");
        let reply = run(&mut serial, "echo a b", LIMIT).expect("echo");
        assert_eq!(
            reply,
            Reply {
                output: "a b\n".into(),
                status: 0
            }
        );
        assert_eq!(run(&mut serial, "nope", LIMIT).expect("nope").status, 127);
        assert!(matches!(
            run(&mut serial, "a\nb", LIMIT),
            Err(ScriptError::Send(_))
        ));
        guest.join().expect("guest");
        assert!(run(&mut serial, "late", LIMIT).is_err());
    }
}
