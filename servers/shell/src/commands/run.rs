//! `run`.

use heapless::String;
use proto::services::MAX_COMMAND_BYTES;
use proto::{RunEvent, Running, exit_status};
use rt::{ByteSink, ByteSource, Closed, Either, first};

use super::machine::interrupted;
use super::options::Parsed;
use crate::Host;
use crate::output::put;
use crate::session::Session;
use crate::status;

/// Bytes of a program's output taken at once.
const CHUNK_BYTES: usize = 1024;

pub async fn run<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let program = {
        let mut command = String::<MAX_COMMAND_BYTES>::new();
        for word in &parsed.operands {
            let zero = word.contains('\0');
            if zero || command.push_str(word).is_err() || command.push('\0').is_err() {
                put!(
                    session.output,
                    "run: the arguments are too long, or hold a zero byte\n"
                );
                return Ok(status::USAGE);
            }
        }
        session.output.flush().await?;
        match session.system.run(&command).await {
            Ok(program) => program,
            Err(refused) => {
                put!(session.output, "run: {refused}\n");
                return Ok(status::FAILED);
            }
        }
    };
    follow(session, "run", program).await
}

/// Prints what a program or command puts out until it ends; Ctrl-C ends it.
pub async fn follow<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    name: &str,
    mut program: impl Running,
) -> Result<u8, Closed> {
    let mut killed = false;
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let event = if killed {
            program.next(&mut chunk).await
        } else {
            match first(session.input.interrupt(), program.next(&mut chunk)).await {
                Either::A(()) => {
                    killed = true;
                    program.kill().await;
                    continue;
                }
                Either::B(event) => event,
            }
        };
        match event {
            RunEvent::Output(count) => {
                session
                    .output
                    .foreign(chunk.get(..count).unwrap_or_default());
                session.output.flush().await?;
            }
            RunEvent::Ended(_) if killed => {
                interrupted(session);
                return Ok(status::INTERRUPTED);
            }
            RunEvent::Ended(code) => {
                match code {
                    abi::process::CRASHED => put!(session.output, "{name}: the program crashed\n"),
                    abi::process::KILLED => {
                        put!(session.output, "{name}: the program was killed\n")
                    }
                    _ => {}
                }
                return Ok(exit_status(code));
            }
        }
    }
}
