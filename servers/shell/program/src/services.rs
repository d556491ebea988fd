//! The manager, by calls.
//!
//! The manager answers at once, or says that the answer comes later through a channel that went with the request: so a request
//! that takes long keeps nobody from typing Ctrl-C.

use alloc::boxed::Box;

use abi::Error;
use proto::manager::{Answer, MAX_ROWS_BYTES, Request};
use proto::table::Reader;
use proto::{Action, Cursor, Refused, RunEvent, Running, Services, UnitLogRow, UnitName, UnitRow};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Job, Object, Owned, Process};
use rt::unit::{ANSWER_BYTES, AskError};
use rt::{ByteChannel, ByteSource, Either, Watched, first};
use serde::de::DeserializeOwned;

use crate::Host;

fn no_answer(error: Error) -> Refused {
    AskError::Call(error).into()
}

fn unexpected() -> Refused {
    AskError::Unexpected.into()
}

impl Host {
    /// Asks for rows, of which as many as the page takes are used. `behind` is the cursor behind a row.
    fn rows<R: DeserializeOwned>(
        &self,
        request: &Request<'_>,
        cursor: &mut Cursor,
        page: &mut [R],
        behind: impl Fn(&R, Cursor) -> Cursor,
    ) -> Result<usize, Box<Refused>> {
        let mut bytes = alloc::vec![0; ANSWER_BYTES + MAX_ROWS_BYTES];
        let asked = self
            .manager
            .ask_blocking(request, &mut bytes, &mut Handles::new());
        let (answer, rows) = asked.map_err(|error| Box::new(error.into()))?;
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
    type Network = net_commands::Command;

    async fn network(&self, command: &str) -> Result<net_commands::Command, Refused> {
        Ok(net_commands::Command::begin(command, self.network.clone()))
    }

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
        let request = Request::Act { name, action };
        Ok(self.manager.ask(&request, &mut Handles::new()).await?)
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
        let request = Request::LogGrown { name, after };
        Ok(self.manager.ask(&request, &mut Handles::new()).await?)
    }

    async fn kill(&self, process: u64, exit_code: i32) -> Result<(), Refused> {
        let mut bytes = [0; ANSWER_BYTES];
        let request = Request::Kill { process, exit_code };
        let asked = self
            .manager
            .ask_blocking(&request, &mut bytes, &mut Handles::new());
        Ok(asked.map(drop)?)
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
            self.manager
                .ask_blocking(&request, &mut bytes, &mut handles)?;
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
