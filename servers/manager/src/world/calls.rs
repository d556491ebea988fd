//! What units and shells ask.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use abi::message::WORDS;
use loader::Archive;
use proto::manager::{
    ALIVE, Answer, BadMessage, Grant, MAX_REQUEST_BYTES, MAX_ROWS_BYTES, READY, Request,
};
use proto::table::Writer;
use proto::{Action, Cursor, Refused, UnitName};
use rt::sys::clock;
use rt::sys::endpoint::{Body, Incoming, Token};
use rt::sys::gate::exit;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Object, Owned};
use rt::sys::process::{this_job, this_process};
use serde::Serialize;

use super::waiters::{DONE, Full, To, Waiter, What, send};
use super::{Manager, programs};
use crate::supervisor::{Event, Instance};

/// First word of the answer to a short call: done; not from a unit that runs; no such call.
const ANSWERS: [u64; 3] = [0, 1, 2];

impl Manager {
    pub(super) fn call(&mut self, call: Incoming) {
        let from = self.supervisor.by_badge(call.badge);
        match (call.body, from) {
            (Body::Words([number, ..]), from) => {
                let event = match number {
                    READY => Some(Event::Ready),
                    ALIVE => Some(Event::Alive),
                    _ => None,
                };
                let [done, stranger, unknown] = ANSWERS;
                let mut words = [0; WORDS];
                words[0] = match (event, from) {
                    (None, _) => unknown,
                    (Some(_), None) => stranger,
                    (Some(event), Some(from)) => {
                        self.event(from, event);
                        // It says so once: the next manager must know.
                        self.persist();
                        done
                    }
                };
                // A caller that is gone needs no answer; here and below.
                let _ = call.token.reply(&words);
            }
            (Body::Long(_), Some(from)) => self.request(call.token, from, call.badge),
            (Body::Long(_), None) => refuse(
                call.token,
                Refused::because(format_args!("the caller is no unit that runs")),
            ),
        }
    }

    fn request(&mut self, token: Token, from: Instance, badge: u32) {
        let mut bytes = [0; MAX_REQUEST_BYTES];
        let mut handles = Handles::new();
        let read = token.read(&mut bytes, &mut handles);
        let Ok(lengths) = read else {
            return refuse(token, BadMessage::TooLong.into());
        };
        let bytes = bytes.get(..lengths.bytes as usize).unwrap_or_default();
        let request = match Request::decode(bytes) {
            Ok(request) => request,
            Err(bad) => return refuse(token, bad.into()),
        };
        let manifest = self.supervisor.plan().manifest(from.unit);
        if request.needs_control() && !manifest.is_some_and(|manifest| manifest.control) {
            return refuse(
                token,
                Refused::because(format_args!(
                    "the caller's manifest does not say control = true"
                )),
            );
        }
        if request.can_wait() {
            let to = match handles.pop_front().map(Owned::cast::<Channel>) {
                None => To::Caller(token),
                Some(Ok(channel)) => {
                    let later = Full {
                        answer: Answer::Later,
                        handle: None,
                    };
                    send(To::Caller(token), later);
                    To::Channel(channel)
                }
                Some(Err(_)) => {
                    return refuse(
                        token,
                        Refused::because(format_args!("the handle is for no channel")),
                    );
                }
            };
            let what = self.begin_waiting(&request);
            return match what {
                Ok(what) => self.answer_later(Waiter {
                    from,
                    badge,
                    to,
                    what,
                }),
                Err(refused) => send(to, (*refused).into()),
            };
        }
        self.answer(token, from, &request);
    }

    /// Begins what takes its time.
    fn begin_waiting(&mut self, request: &Request<'_>) -> Result<What, Box<Refused>> {
        match *request {
            Request::Connect { service } => Ok(What::Connect(service.into())),
            Request::Act { name, action } => {
                let unit = self.find(name)?;
                let ticket = self
                    .supervisor
                    .act(unit, action, clock::now_ns(), &mut self.commands);
                let ticket =
                    ticket.map_err(|error| Box::new(Refused::because(format_args!("{error}"))))?;
                // What follows at once is done at once, so that the answer can be, too.
                self.carry_out();
                Ok(What::Act(ticket))
            }
            Request::LogGrown { name, after } => Ok(What::LogGrown(self.find(name)?, after)),
            _ => Err(Box::new(BadMessage::Malformed.into())),
        }
    }

    fn find(&self, name: &str) -> Result<usize, Box<Refused>> {
        self.supervisor.plan().find(name).ok_or_else(|| {
            Box::new(Refused::because(format_args!(
                "there is no unit {name:?}; `svc list` shows them"
            )))
        })
    }

    fn answer(&mut self, token: Token, from: Instance, request: &Request<'_>) {
        match *request {
            Request::Granted {
                service,
                badge,
                after,
            } => {
                let plan = self.supervisor.plan();
                if plan.provider(service) != Some(from.unit) {
                    return refuse(
                        token,
                        Refused::because(format_args!("{service} is not the caller's service")),
                    );
                }
                // The unit may be gone: it has no rights then.
                let unit = self.supervisor.by_badge(badge);
                let manifest = unit.and_then(|unit| plan.manifest(unit.unit));
                let words = manifest.map_or(&[][..], |manifest| manifest.granted(service));
                let first = usize::try_from(after.0).unwrap_or(usize::MAX);
                let rows = words.iter().enumerate().skip(first);
                let rows =
                    rows.map(|(at, words)| (Grant::from_start(words), Cursor(at as u64 + 1)));
                rows_to(token, after, rows);
            }
            Request::Units { after } => {
                let first = usize::try_from(after.0).unwrap_or(usize::MAX);
                let rows = (first..self.units.len())
                    .map(|unit| (self.supervisor.row(unit), Cursor(unit as u64 + 1)));
                rows_to(token, after, rows);
            }
            Request::Unit { name } => match self.find(name) {
                Ok(unit) => {
                    let row = (self.supervisor.row(unit), Cursor(unit as u64 + 1));
                    rows_to(token, Cursor::START, [row].into_iter());
                }
                Err(refused) => refuse(token, *refused),
            },
            Request::Log { name, after } => {
                let unit = self.find(name);
                match unit.map(|unit| self.units.get(unit)) {
                    Ok(Some(unit)) => {
                        let lines = unit.log.after(after);
                        let rows = lines.map(|line| (line.clone(), Cursor(line.seq + 1)));
                        rows_to(token, after, rows);
                    }
                    Ok(None) => rows_to::<u8>(token, after, [].into_iter()),
                    Err(refused) => refuse(token, *refused),
                }
            }
            Request::Kill { process, exit_code } => {
                if this_process()
                    .info()
                    .is_ok_and(|own| own.object_id == process)
                {
                    // Answered first: afterwards there is nobody to do it.
                    send(To::Caller(token), DONE);
                    exit(exit_code);
                }
                match self.kill_process(process, exit_code) {
                    Ok(()) => send(To::Caller(token), DONE),
                    Err(refused) => refuse(token, *refused),
                }
            }
            Request::Programs { after } => {
                let mut names: Vec<(UnitName, Cursor)> = Vec::new();
                if let Ok(archive) = Archive::new(self.archive) {
                    archive.visit("programs/", "", |name, _| {
                        let behind = Cursor(names.len() as u64 + 1);
                        names.push((UnitName::from_start(name), behind));
                    });
                }
                let first = usize::try_from(after.0).unwrap_or(usize::MAX);
                rows_to(token, after, names.into_iter().skip(first));
            }
            Request::Run { command } => match self.run_program(command) {
                Ok(started) => {
                    // The next manager ends what is on no record.
                    self.persist();
                    programs::reply(token, started);
                }
                Err(refused) => refuse(token, *refused),
            },
            // `begin_waiting` has these.
            Request::Connect { .. } | Request::Act { .. } | Request::LogGrown { .. } => {
                refuse(token, BadMessage::Malformed.into());
            }
        }
    }

    /// Ends a process: a unit's as `svc kill` does, a program with all it started, any other by itself.
    fn kill_process(&mut self, process: u64, exit_code: i32) -> Result<(), Box<Refused>> {
        let unit =
            (0..self.units.len()).find(|&unit| self.supervisor.row(unit).process == Some(process));
        if let Some(unit) = unit {
            let asked =
                self.supervisor
                    .act(unit, Action::Kill, clock::now_ns(), &mut self.commands);
            return asked
                .map(drop)
                .map_err(|error| Box::new(Refused::because(format_args!("{error}"))));
        }
        let because = |error| Box::new(Refused::because(format_args!("{error}")));
        if let Some(program) = self.programs.iter().find(|program| program.id == process) {
            return program.job.kill(exit_code).map_err(because);
        }
        // Somebody's, who will notice.
        let found = this_job().process(process).map_err(|_| {
            Box::new(Refused::because(format_args!(
                "there is no process {process}; `ps` shows them"
            )))
        })?;
        found.kill(exit_code).map_err(because)
    }
}

fn refuse(token: Token, refused: Refused) {
    send(To::Caller(token), refused.into());
}

/// Answers with as many rows as fit; each comes with the cursor behind it.
fn rows_to<R: Serialize>(token: Token, mut after: Cursor, rows: impl Iterator<Item = (R, Cursor)>) {
    let mut buffer = vec![0; MAX_ROWS_BYTES];
    let mut writer = Writer::new(&mut buffer);
    let mut count = 0;
    for (row, behind) in rows {
        if writer.push(&row).is_err() {
            break;
        }
        after = behind;
        count += 1;
    }
    let len = writer.len();
    let mut head = [0; 32];
    let Some(head_len) = (Answer::Rows { after, count }).encode(&mut head) else {
        return;
    };
    let mut answer: Vec<u8> = Vec::with_capacity(head_len + len);
    answer.extend_from_slice(head.get(..head_len).unwrap_or_default());
    answer.extend_from_slice(buffer.get(..len).unwrap_or_default());
    let _ = token.reply_long(&answer, &mut Handles::new());
}
