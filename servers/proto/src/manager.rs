//! What units and shells say to the manager, as bytes.
//!
//! Each unit is given an endpoint named `manager`. Its badge tells the manager who calls, and whether that unit's manifest lets it
//! ask for what concerns others: [`Request::needs_control`].
//!
//! * A [`Request`] is the whole of a long call's bytes, in `postcard` form. The answer's bytes are an [`Answer`] in that form,
//!   and behind it rows as [`table`](crate::table) says where the request asks for rows.
//! * What can take long ([`Request::can_wait`]) keeps the caller waiting, unless a channel's end comes with the request: then the
//!   call is answered by [`Answer::Later`] at once, and the answer proper, with its handles, is a message in that channel.
//! * [`READY`] and [`ALIVE`] are short calls whose first word is that number, so that a unit without `postcard` can say them.
//!   The answer's first word is 0, or 1 if the caller is no unit (any more).

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::services::Action;
use crate::system::{Cursor, Refused};

/// First word of a short call: the unit serves from now on.
pub const READY: u64 = 1;
/// First word of a short call: the unit is well. To be said as often as the manifest's `health` promises.
pub const ALIVE: u64 = 2;

/// Longest request and answer, in bytes; the latter without its rows.
pub const MAX_REQUEST_BYTES: usize = crate::services::MAX_COMMAND_BYTES + 64;
/// Bytes for the rows of one answer.
pub const MAX_ROWS_BYTES: usize = 8192;

/// Longest entry of a manifest's `grants`.
pub const MAX_GRANT_BYTES: usize = 64;
/// An entry of a manifest's `grants`, in answers.
pub type Grant = crate::text::Text<MAX_GRANT_BYTES>;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMessage {
    /// The bytes are none of the contract's messages.
    Malformed,
    /// It does not fit into the buffer.
    TooLong,
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "the message is malformed: its sender was built with another contract"
            }
            Self::TooLong => "the message is too long for the manager",
        })
    }
}

impl core::error::Error for BadMessage {}

impl From<BadMessage> for Refused {
    fn from(bad: BadMessage) -> Self {
        Self::because(format_args!("{bad}"))
    }
}

/// What the manager is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// A connection to a service that the caller's manifest needs. Answered when the unit that offers it is ready; the answer
    /// carries the endpoint. Idempotent.
    Connect {
        /// The service.
        service: &'a str,
    },
    /// Units after the cursor. Idempotent.
    Units {
        /// From [`Answer::Rows`]; at first [`Cursor::START`].
        after: Cursor,
    },
    /// One unit. Idempotent.
    Unit {
        /// Its name.
        name: &'a str,
    },
    /// Do something with a unit; answered when it is done. Idempotent but for `restart` and `kill`.
    Act {
        /// The unit.
        name: &'a str,
        /// What.
        action: Action,
    },
    /// Lines of a unit's log. Idempotent.
    Log {
        /// The unit.
        name: &'a str,
        /// From [`Answer::Rows`]; at first [`Cursor::START`].
        after: Cursor,
    },
    /// Answered once there are lines of a unit's log after the cursor. Idempotent.
    LogGrown {
        /// The unit.
        name: &'a str,
        /// As for [`Request::Log`].
        after: Cursor,
    },
    /// End a process, whichever it is. Idempotent.
    Kill {
        /// The process id.
        process: u64,
        /// What it ends with, if it is not a unit's.
        exit_code: i32,
    },
    /// Start a program. The answer carries a channel of what it puts out, its process and its job. Not idempotent.
    Run {
        /// Its name and arguments, each ended by a zero byte.
        command: &'a str,
    },
    /// What the manifest of the unit whose connection to a service has this badge grants it there: rows of [`Grant`]. Only for the unit
    /// that offers the service. Idempotent.
    Granted {
        /// The service.
        service: &'a str,
        /// The badge.
        badge: u32,
        /// From [`Answer::Rows`]; at first [`Cursor::START`].
        after: Cursor,
    },
    /// Names of programs that can be started, after the cursor. Idempotent.
    Programs {
        /// From [`Answer::Rows`]; at first [`Cursor::START`].
        after: Cursor,
    },
}

impl<'a> Request<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// [`BadMessage::Malformed`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BadMessage> {
        match postcard::take_from_bytes(bytes) {
            Ok((request, [])) => Ok(request),
            _ => Err(BadMessage::Malformed),
        }
    }

    /// Writes it to the front of `buffer`; the bytes it takes.
    ///
    /// # Errors
    /// [`BadMessage::TooLong`] for the buffer.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], BadMessage> {
        match postcard::to_slice(self, buffer) {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(BadMessage::TooLong),
        }
    }

    /// Whether its answer may have to wait for something.
    #[must_use]
    pub const fn can_wait(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::Act { .. } | Self::LogGrown { .. }
        )
    }

    /// Whether it may be sent again when the manager died over it.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        !matches!(
            self,
            Self::Run { .. }
                | Self::Act {
                    action: Action::Kill | Action::Restart,
                    ..
                }
        )
    }

    /// Whether only a unit whose manifest says `control = true` may ask.
    #[must_use]
    pub const fn needs_control(&self) -> bool {
        !matches!(self, Self::Connect { .. } | Self::Granted { .. })
    }
}

/// What the manager answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The answer proper comes through the channel that came with the request.
    Later,
    /// Done; handles may come with it.
    Done,
    /// Rows follow.
    Rows {
        /// Behind the last of them.
        after: Cursor,
        /// How many. 0: there are no more.
        count: u32,
    },
    /// Not done.
    Refused(Refused),
}

impl Answer {
    /// Reads an answer; the bytes behind it are its rows.
    ///
    /// # Errors
    /// [`BadMessage::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), BadMessage> {
        postcard::take_from_bytes(bytes).map_err(|_| BadMessage::Malformed)
    }

    /// Writes it to the front of `buffer`; how many bytes that is. `None` if it does not fit.
    #[must_use]
    pub fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        postcard::to_slice(self, buffer)
            .ok()
            .map(|bytes| bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_come_back() {
        let mut buffer = [0; MAX_REQUEST_BYTES];
        let requests = [
            Request::Connect { service: "echo" },
            Request::Units {
                after: Cursor(u64::MAX),
            },
            Request::Unit { name: "shell" },
            Request::Programs { after: Cursor(3) },
            Request::Granted {
                service: "net",
                badge: 9,
                after: Cursor::START,
            },
            Request::Act {
                name: "net",
                action: Action::Disable,
            },
            Request::Kill {
                process: 7,
                exit_code: -1,
            },
            Request::Run {
                command: "hello\0a b\0",
            },
        ];
        for request in requests {
            let bytes = request.encode(&mut buffer).expect("it fits");
            assert_eq!(Request::decode(bytes), Ok(request));
            assert!(Request::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(
            !Request::Connect { service: "" }.needs_control()
                && Request::Kill {
                    process: 1,
                    exit_code: 0
                }
                .needs_control()
        );
        let long = std::string::String::from_utf8(std::vec![b'x'; MAX_REQUEST_BYTES])
            .expect("ASCII is UTF-8");
        let long = Request::Run { command: &long };
        assert!(long.encode(&mut buffer).is_err());
    }

    #[test]
    fn an_answer_leaves_its_rows() {
        let mut buffer = [0xff; 300];
        let answer = Answer::Rows {
            after: Cursor(9),
            count: 2,
        };
        let length = answer.encode(&mut buffer).expect("it fits");
        let (read, rows) = Answer::decode(&buffer).expect("just written");
        assert_eq!((read, rows.len()), (answer, 300 - length));
        let refused = Answer::Refused(Refused::because(format_args!("{:>200}", 1)));
        assert!(refused.encode(&mut buffer).is_some());
        assert_eq!(Answer::decode(&buffer).map(|read| read.0), Ok(refused));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn garbage_is_refused_or_a_request(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(request) = Request::decode(&bytes) {
                let mut buffer = [0; MAX_REQUEST_BYTES];
                prop_assert!(request.encode(&mut buffer).is_ok());
            }
            let _ = Answer::decode(&bytes);
        }
    }
}
