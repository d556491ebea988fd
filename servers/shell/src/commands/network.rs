//! `ip`, `ping`, `dns`, `netstat`, `nc`, `curl`: the host does them, and they end with Ctrl-C.

use core::fmt::Write;

use heapless::String;
use proto::services::{MAX_COMMAND_BYTES, MAX_PASTED_BYTES};
use rt::{ByteSink, ByteSource, Closed};

use super::machine::interrupted;
use super::options::Parsed;
use super::{Command, run};
use crate::Host;
use crate::keys::Key;
use crate::output::put;
use crate::session::Session;
use crate::status;

/// The option whose value is pasted.
pub const CACERT: &str = "cacert";
/// The line that ends what is pasted (RFC 7468 §2).
const END: &str = "-----END CERTIFICATE-----\n";
/// A command with what was pasted.
type Line = String<{ MAX_COMMAND_BYTES + MAX_PASTED_BYTES }>;

pub async fn network<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    command: &Command,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let name = command.name;
    let pasted = if parsed.has(CACERT) {
        match paste(session).await? {
            Ok(pasted) => Some(pasted),
            Err(status) => return Ok(status),
        }
    } else {
        None
    };
    let Some(words) = words(command, parsed, pasted.as_ref()) else {
        put!(
            session.output,
            "{name}: the arguments are too long, or hold a zero byte\n"
        );
        return Ok(status::USAGE);
    };
    session.output.flush().await?;
    match session.system.network(&words).await {
        Ok(running) => run::follow(session, name, running).await,
        Err(refused) => {
            put!(session.output, "{name}: {refused}\n");
            Ok(status::FAILED)
        }
    }
}

/// A certificate that is typed or pasted, up to the line that ends it; or the status if there is none.
async fn paste<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
) -> Result<Result<String<MAX_PASTED_BYTES>, u8>, Closed> {
    if !session.is_script() {
        put!(
            session.output,
            "Paste the certificate (-----BEGIN CERTIFICATE----- and so on); Ctrl-C gives up.\n"
        );
    }
    let mut text = String::new();
    loop {
        let kept = match session.key().await? {
            Key::Char(character) => text.push(character),
            Key::Enter => text.push('\n'),
            Key::Control('c') => {
                interrupted(session);
                return Ok(Err(status::INTERRUPTED));
            }
            _ => Ok(()),
        };
        if text.ends_with(END) {
            return Ok(Ok(text));
        }
        if kept.is_err() {
            put!(
                session.output,
                "what was pasted is longer than {MAX_PASTED_BYTES} bytes and holds no whole certificate\n"
            );
            return Ok(Err(status::USAGE));
        }
    }
}

/// The command as its host is told it.
fn words(
    command: &Command,
    parsed: &Parsed<'_>,
    pasted: Option<&String<MAX_PASTED_BYTES>>,
) -> Option<Line> {
    let mut words = String::new();
    write!(words, "{}\0", command.name).ok()?;
    for option in command.options {
        if let Some(value) = parsed.value(option.long) {
            let value = match pasted {
                Some(pasted) if option.long == CACERT => pasted,
                _ => value,
            };
            let value = Some(value).filter(|value| !value.contains('\0'))?;
            write!(words, "--{}={value}\0", option.long).ok()?;
        }
    }
    for word in &parsed.operands {
        let word = Some(word).filter(|word| !word.contains('\0'))?;
        write!(words, "{word}\0").ok()?;
    }
    Some(words)
}
