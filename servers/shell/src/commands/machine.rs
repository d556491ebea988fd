//! `sleep`, `poweroff`, `reboot`, `panic`.

use proto::{Refused, Text};
use rt::{ByteSink, ByteSource, Closed, Either, first};

use super::options::Parsed;
use super::{Command, help};
use crate::Host;
use crate::output::put;
use crate::session::Session;
use crate::status;
use crate::units::parse_seconds;

pub async fn sleep<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    command: &Command,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let text = parsed.operands.first().copied().unwrap_or_default();
    let Some(duration_ns) = parse_seconds(text) else {
        put!(
            session.output,
            "sleep: {text:?} is no number of seconds, such as 2 or 0.25\n"
        );
        help::usage_line(&mut session.output, command);
        return Ok(status::USAGE);
    };
    session.output.flush().await?;
    match first(session.input.interrupt(), session.system.sleep(duration_ns)).await {
        Either::A(()) => {
            interrupted(session);
            Ok(status::INTERRUPTED)
        }
        Either::B(()) => Ok(status::OK),
    }
}

pub fn interrupted<I: ByteSource, O: ByteSink, S: Host>(session: &mut Session<'_, I, O, S>) {
    if !session.is_script() {
        put!(session.output, "^C\n");
    }
}

pub async fn poweroff<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
) -> Result<u8, Closed> {
    session.output.flush().await?;
    let refused = session.system.poweroff().await;
    Ok(say_refused(session, "poweroff", &refused))
}

pub async fn reboot<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
) -> Result<u8, Closed> {
    session.output.flush().await?;
    let refused = session.system.reboot().await;
    Ok(say_refused(session, "reboot", &refused))
}

pub async fn panic<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    if !session.is_script() && !parsed.has("yes") {
        put!(
            session.output,
            "This stops the machine. Panic the kernel now? [y/N] "
        );
        session.output.flush().await?;
        let answer = session.input.byte().await?;
        let sure = matches!(answer, b'y' | b'Y');
        put!(session.output, "{}\n", if sure { "y" } else { "n" });
        if !sure {
            return Ok(status::FAILED);
        }
    }
    let mut text = Text::<200>::new();
    for (index, word) in parsed.operands.iter().enumerate() {
        text.push(if index == 0 { "" } else { " " });
        text.push(word);
    }
    if text.is_empty() {
        text.push("asked for in the shell");
    }
    session.output.flush().await?;
    let refused = session.system.panic(&text).await;
    Ok(say_refused(session, "panic", &refused))
}

fn say_refused<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    what: &str,
    refused: &Refused,
) -> u8 {
    put!(session.output, "{what}: {refused}\n");
    status::FAILED
}
