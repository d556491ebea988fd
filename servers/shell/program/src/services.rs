//! The manager, by calls.
//!
//! The manager answers at once, or says that the answer comes later through a channel that went with the request: so a request
//! that takes long keeps nobody from typing Ctrl-C.

extern crate alloc;

use alloc::boxed::Box;

use abi::Error;
use proto::manager::{Answer, MAX_REQUEST_BYTES, MAX_ROWS_BYTES, Request};
use proto::table::Reader;
use proto::{Action, Cursor, Refused, RunEvent, Running, Services, UnitLogRow, UnitName, UnitRow};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Job, Object, Owned, Process};
use rt::{ByteChannel, ByteSource, Either, Watched, first};
use serde::de::DeserializeOwned;

use crate::Host;

/// How often a request is sent again when a manager dies over it.
const TRIES: u32 = 5;
/// Longest answer without its rows.
const ANSWER_BYTES: usize = 256;

fn no_answer(error: Error) -> Refused {
    Refused::because(format_args!("the manager does not answer: {error}"))
}

fn unexpected() -> Refused {
    Refused::because(format_args!("the manager's answer is none to the question"))
}

impl Host {
    /// Asks; the answer, with its rows in `bytes` from the number on that is given.
    fn ask(
        &self,
        request: &Request<'_>,
        send: &mut Handles,
        bytes: &mut [u8],
        receive: &mut Handles,
    ) -> Result<(Answer, core::ops::Range<usize>), Box<Refused>> {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let request_bytes = request
            .encode(&mut buffer)
            .map_err(|bad| Box::new(bad.into()))?;
        let idempotent = !matches!(
            request,
            Request::Run { .. }
                | Request::Act {
                    action: Action::Kill | Action::Restart,
                    ..
                }
        );
        let mut tries = if idempotent { TRIES } else { 1 };
        let len = loop {
            let asked =
                self.manager
                    .call_long_blocking(abi::FOREVER, request_bytes, send, bytes, receive);
            tries -= 1;
            match asked {
                Ok(lengths) => break lengths.bytes as usize,
                // It died over the request; the next one hears it. A handle that was with it is gone.
                Err(bad) if bad.error == Error::PeerClosed && tries > 0 && send.is_empty() => {}
                Err(bad) => return Err(Box::new(no_answer(bad.error))),
            }
        };
        let answered = bytes.get(..len).unwrap_or_default();
        let (answer, rows) = Answer::decode(answered).map_err(|bad| Box::new(bad.into()))?;
        match answer {
            Answer::Refused(refused) => Err(Box::new(refused)),
            answer => Ok((answer, len - rows.len()..len)),
        }
    }

    /// Asks for something that may take long.
    async fn ask_and_wait(&self, request: Request<'_>) -> Result<(), Refused> {
        let (ours, theirs) = Channel::create().map_err(no_answer)?;
        let later = {
            let mut send = Handles::new();
            // The first of sixteen places.
            let _ = send.push(theirs.into_owned());
            let mut bytes = [0; ANSWER_BYTES];
            let (answer, _) = self
                .ask(&request, &mut send, &mut bytes, &mut Handles::new())
                .map_err(|refused| *refused)?;
            answer
        };
        match later {
            Answer::Done => return Ok(()),
            Answer::Later => {}
            Answer::Rows { .. } | Answer::Refused(_) => return Err(unexpected()),
        }
        let ours = Watched::channel(ours).map_err(no_answer)?;
        let mut bytes = [0; ANSWER_BYTES];
        let mut handles = Handles::new();
        let read = ours.receive(&mut bytes, &mut handles).await;
        let lengths = read.map_err(|bad| no_answer(bad.error))?;
        let bytes = bytes.get(..lengths.bytes as usize).unwrap_or_default();
        match Answer::decode(bytes) {
            Ok((Answer::Done, _)) => Ok(()),
            Ok((Answer::Refused(refused), _)) => Err(refused),
            Ok(_) => Err(unexpected()),
            Err(bad) => Err(bad.into()),
        }
    }

    /// Asks for rows, of which as many as the page takes are used. `behind` is the cursor behind a row.
    fn rows<R: DeserializeOwned>(
        &self,
        request: &Request<'_>,
        cursor: &mut Cursor,
        page: &mut [R],
        behind: impl Fn(&R, Cursor) -> Cursor,
    ) -> Result<usize, Box<Refused>> {
        let mut bytes = alloc::vec![0; ANSWER_BYTES + MAX_ROWS_BYTES];
        let asked = self.ask(
            request,
            &mut Handles::new(),
            &mut bytes,
            &mut Handles::new(),
        );
        let (answer, rows) = asked?;
        if !matches!(answer, Answer::Rows { .. }) {
            return Err(Box::new(unexpected()));
        }
        let mut count = 0;
        let rows = Reader::<R>::new(bytes.get(rows).unwrap_or_default());
        for (place, row) in page.iter_mut().zip(rows) {
            let row = row.map_err(|bad| Box::new(Refused::because(format_args!("{bad}"))))?;
            *cursor = behind(&row, *cursor);
            *place = row;
            count += 1;
        }
        Ok(count)
    }
}

impl Services for Host {
    type Program = Program;

    async fn units(&self, cursor: &mut Cursor, page: &mut [UnitRow]) -> Result<usize, Refused> {
        let request = Request::Units { after: *cursor };
        self.rows(&request, cursor, page, |_, cursor| Cursor(cursor.0 + 1))
            .map_err(|refused| *refused)
    }

    async fn unit(&self, name: &str) -> Result<UnitRow, Refused> {
        let mut page = [UnitRow::default()];
        let request = Request::Unit { name };
        let count = self
            .rows(&request, &mut Cursor::default(), &mut page, |_, at| at)
            .map_err(|refused| *refused)?;
        let [row] = page;
        if count == 1 {
            Ok(row)
        } else {
            Err(unexpected())
        }
    }

    async fn act(&self, name: &str, action: Action) -> Result<(), Refused> {
        self.ask_and_wait(Request::Act { name, action }).await
    }

    async fn unit_log(
        &self,
        name: &str,
        cursor: &mut Cursor,
        page: &mut [UnitLogRow],
    ) -> Result<usize, Refused> {
        let after = *cursor;
        let request = Request::Log { name, after };
        self.rows(&request, cursor, page, |row, _| Cursor(row.seq + 1))
            .map_err(|refused| *refused)
    }

    async fn unit_log_grown(&self, name: &str, cursor: Cursor) -> Result<(), Refused> {
        let after = cursor;
        self.ask_and_wait(Request::LogGrown { name, after }).await
    }

    async fn kill(&self, process: u64, exit_code: i32) -> Result<(), Refused> {
        let mut bytes = [0; ANSWER_BYTES];
        let request = Request::Kill { process, exit_code };
        let asked = self.ask(
            &request,
            &mut Handles::new(),
            &mut bytes,
            &mut Handles::new(),
        );
        asked.map(drop).map_err(|refused| *refused)
    }

    async fn programs(&self, cursor: &mut Cursor, page: &mut [UnitName]) -> Result<usize, Refused> {
        let request = Request::Programs { after: *cursor };
        self.rows(&request, cursor, page, |_, cursor| Cursor(cursor.0 + 1))
            .map_err(|refused| *refused)
    }

    async fn run(&self, command: &str) -> Result<Program, Refused> {
        let mut handles = Handles::new();
        {
            let mut bytes = [0; ANSWER_BYTES];
            let request = Request::Run { command };
            let asked = self.ask(&request, &mut Handles::new(), &mut bytes, &mut handles);
            asked.map_err(|refused| *refused)?;
        }
        let (output, process, job) = (
            cast::<Channel>(handles.pop_front()),
            cast::<Process>(handles.pop_front()),
            cast::<Job>(handles.pop_front()),
        );
        let (Some(output), Some(process), Some(job)) = (output, process, job) else {
            return Err(unexpected());
        };
        Ok(Program {
            output: ByteChannel::new(output).map_err(no_answer)?,
            process: Watched::process(process).map_err(no_answer)?,
            job,
            closed: false,
        })
    }
}

fn cast<T: Object>(handle: Option<Owned>) -> Option<T> {
    handle?.cast().ok()
}

/// A program that the manager started.
pub struct Program {
    output: ByteChannel,
    process: Watched<Process>,
    job: Job,
    /// Nobody writes to the output any more.
    closed: bool,
}

impl Running for Program {
    async fn next(&mut self, buffer: &mut [u8]) -> RunEvent {
        if !self.closed {
            match first(self.output.read(buffer), self.process.ended()).await {
                Either::A(0) => self.closed = true,
                Either::A(count) => return RunEvent::Output(count),
                Either::B(_) => {}
            }
        }
        // Its end can be seen before what it wrote last.
        let ended = self.process.ended().await;
        match self.output.try_read(buffer) {
            0 => RunEvent::Ended(ended.unwrap_or(abi::process::KILLED)),
            count => RunEvent::Output(count),
        }
    }

    async fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.job.kill(abi::process::KILLED);
    }
}
