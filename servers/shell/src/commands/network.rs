//! `ip`, `ping`, `dns`, `netstat`, `nc`, `curl`: the host does them, and they end with Ctrl-C.

use core::fmt::Write;

use heapless::String;
use proto::services::MAX_COMMAND_BYTES;
use rt::{ByteSink, ByteSource, Closed};

use super::options::Parsed;
use super::{Command, run};
use crate::Host;
use crate::output::put;
use crate::session::Session;
use crate::status;

pub async fn network<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    command: &Command,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let name = command.name;
    let Some(words) = words(command, parsed) else {
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

/// The command as its host is told it.
fn words(command: &Command, parsed: &Parsed<'_>) -> Option<String<MAX_COMMAND_BYTES>> {
    let mut words = String::new();
    write!(words, "{}\0", command.name).ok()?;
    for option in command.options {
        if let Some(value) = parsed.value(option.long) {
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
