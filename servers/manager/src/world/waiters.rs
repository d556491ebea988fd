//! Answers that take their time.

use alloc::string::String;

use abi::Signals;
use proto::manager::Answer;
use proto::{Cursor, Refused};
use rt::sys::endpoint::Token;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Object, Owned};

use super::Manager;
use crate::supervisor::{Connection, Instance, Progress, Ticket};

/// Most requests of one unit that wait at once.
pub const MOST_OF_ONE: usize = 16;

/// Where an answer goes.
pub enum To {
    /// To the caller, who waits.
    Caller(Token),
    /// Into a channel.
    Channel(Channel),
}

/// What is waited for.
pub enum What {
    /// A service's unit to be ready.
    Connect(String),
    /// Something to be done with a unit.
    Act(Ticket),
    /// A unit's log to have lines after the cursor.
    LogGrown(usize, Cursor),
}

/// A request that waits.
pub struct Waiter {
    pub from: Instance,
    pub badge: u32,
    pub to: To,
    pub what: What,
}

/// An answer with the handles that go with it.
pub struct Full {
    pub answer: Answer,
    pub handle: Option<Owned>,
}

impl From<Refused> for Full {
    fn from(refused: Refused) -> Self {
        Self {
            answer: Answer::Refused(refused),
            handle: None,
        }
    }
}

pub const DONE: Full = Full {
    answer: Answer::Done,
    handle: None,
};

impl Manager {
    /// The answer to a request that waits, if there is one by now.
    pub(super) fn outcome(&self, from: Instance, badge: u32, what: &What) -> Option<Full> {
        match what {
            What::Connect(service) => match self.supervisor.connection(from.unit, service) {
                Connection::Ready(_) => Some(match self.connect(service, badge) {
                    Some(endpoint) => Full {
                        handle: Some(endpoint.into_owned()),
                        ..DONE
                    },
                    None => {
                        Refused::because(format_args!("no more connections can be made")).into()
                    }
                }),
                Connection::Wait => None,
                Connection::Refused(reason) => Some(Refused { reason }.into()),
            },
            What::Act(ticket) => match self.supervisor.progress(ticket) {
                Progress::Done => Some(DONE),
                Progress::Pending => None,
                Progress::Failed(reason) => Some(Refused { reason }.into()),
            },
            What::LogGrown(unit, after) => {
                let grown = self
                    .units
                    .get(*unit)
                    .is_none_or(|unit| unit.log.has_after(*after));
                grown.then_some(DONE)
            }
        }
    }

    /// Answers a request, or keeps it until there is an answer.
    pub(super) fn answer_later(&mut self, waiter: Waiter) {
        if let Some(full) = self.outcome(waiter.from, waiter.badge, &waiter.what) {
            return send(waiter.to, full);
        }
        self.waiters
            .retain(|waiter| !matches!(&waiter.to, To::Channel(channel) if is_closed(channel)));
        let from = waiter.from;
        let many = self.waiters.iter().filter(|other| other.from == from);
        if many.count() >= MOST_OF_ONE {
            let refused = Refused::because(format_args!("too many requests of this unit wait"));
            return send(waiter.to, refused.into());
        }
        self.waiters.push(waiter);
    }

    /// Answers what can be answered; requests of units that are gone are dropped.
    pub(super) fn settle_waiters(&mut self) {
        let mut index = 0;
        while let Some(waiter) = self.waiters.get(index) {
            let present = self.supervisor.by_badge(waiter.badge).is_some();
            let outcome = self.outcome(waiter.from, waiter.badge, &waiter.what);
            match outcome {
                Some(full) => send(self.waiters.swap_remove(index).to, full),
                None if present => index += 1,
                None => drop(self.waiters.swap_remove(index)),
            }
        }
    }
}

fn is_closed(channel: &Channel) -> bool {
    channel
        .info()
        .map_or(true, |info| info.signals & Signals::PEER_CLOSED.bits() != 0)
}

/// Sends an answer. A receiver that is gone needs none.
pub fn send(to: To, full: Full) {
    let mut bytes = [0; 256];
    let Some(len) = full.answer.encode(&mut bytes) else {
        return;
    };
    let bytes = bytes.get(..len).unwrap_or_default();
    let mut handles = Handles::new();
    if let Some(handle) = full.handle {
        // The first of sixteen places.
        let _ = handles.push(handle);
    }
    match to {
        To::Caller(token) => {
            let _ = token.reply_long(bytes, &mut handles);
        }
        To::Channel(channel) => {
            let _ = channel.write(bytes, &mut handles);
        }
    }
}
