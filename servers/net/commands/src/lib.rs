//! The shell's commands about the network: `ip`, `ping`, `dns`, `nc`, `netstat`, `curl`.
//!
//! [`Command`] is one that runs: whoever has it asks for its output and its end ([`proto::Running`]), and it does its work meanwhile.
//! `line` is what `curl` speaks over, with TLS or without; [`http`] is what `curl` knows of HTTP; [`url`] of addresses.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod curl;
pub mod http;
mod ip;
mod line;
mod nc;
mod output;
mod ping;
mod tables;
pub mod url;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;

use net_client::{NetError, Network};
use proto::{RunEvent, Running};

use output::Output;

/// Exit code of a command that was not used as its usage line says.
const USAGE: i32 = 2;

/// Why a command did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The network says so.
    Net(NetError),
    /// Something else: what.
    Because(String),
    /// It was not used as it is meant.
    Usage(&'static str),
}

impl From<NetError> for Failed {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

/// The words behind a command: options as `--name=value`, and operands.
#[derive(Debug)]
pub(crate) struct Words {
    options: Vec<(String, String)>,
    operands: Vec<String>,
}

impl Words {
    fn new(words: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let mut new = Self {
            options: Vec::new(),
            operands: Vec::new(),
        };
        for word in words {
            let word = word.as_ref();
            match word
                .strip_prefix("--")
                .and_then(|word| word.split_once('='))
            {
                Some((name, value)) => new.options.push((name.into(), value.into())),
                None => new.operands.push(word.into()),
            }
        }
        new
    }

    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.options.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// The number that an option is set to, or another one.
    fn number(&self, name: &str, otherwise: u32, most: u32) -> Result<u32, Failed> {
        let Some(value) = self.value(name) else {
            return Ok(otherwise);
        };
        match value.parse() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(Failed::Because(alloc::format!(
                "--{name} must be a number of at most {most}"
            ))),
        }
    }

    fn operand(&self, index: usize) -> Option<&str> {
        self.operands.get(index).map(String::as_str)
    }
}

/// A command that runs.
pub struct Command {
    work: Option<Pin<Box<dyn Future<Output = i32> + Send>>>,
    output: Arc<Output>,
    code: i32,
}

impl core::fmt::Debug for Command {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Command").finish_non_exhaustive()
    }
}

impl Command {
    /// Begins one: its name and words, each ended by a zero byte; options as `--name=value`.
    #[must_use]
    pub fn begin(command: &str, network: Network) -> Self {
        let output = Arc::new(Output::default());
        let words = command.strip_suffix('\0').unwrap_or(command);
        let mut words = words.split('\0').map(String::from);
        let name = words.next().unwrap_or_default();
        let words = Words::new(words);
        let to = Arc::clone(&output);
        let work = async move {
            let done = match name.as_str() {
                "ip" => ip::run(&words, &network, &to).await,
                "ping" => ping::run(&words, &network, &to).await,
                "dns" => tables::dns(&words, &network, &to).await,
                "netstat" => tables::netstat(&words, &network, &to).await,
                "nc" => nc::run(&words, &network, &to).await,
                "curl" => curl::run(&words, &network, &to).await,
                _ => Err(Failed::Usage("no such command")),
            };
            match done {
                Ok(()) => 0,
                Err(failed) => {
                    let (text, code) = match &failed {
                        Failed::Net(error) => (alloc::format!("{name}: {error}\n"), 1),
                        Failed::Because(why) => (alloc::format!("{name}: {why}\n"), 1),
                        Failed::Usage(usage) => (alloc::format!("usage: {name} {usage}\n"), USAGE),
                    };
                    to.put(text.as_bytes()).await;
                    code
                }
            }
        };
        Self {
            work: Some(Box::pin(work)),
            output,
            code: 0,
        }
    }
}

impl Running for Command {
    async fn next(&mut self, buffer: &mut [u8]) -> RunEvent {
        poll_fn(|context| {
            if let Some(work) = &mut self.work
                && let Poll::Ready(code) = work.as_mut().poll(context)
            {
                self.code = code;
                self.work = None;
            }
            match self.output.take(buffer) {
                0 if self.work.is_none() => Poll::Ready(RunEvent::Ended(self.code)),
                0 => Poll::Pending,
                count => Poll::Ready(RunEvent::Output(count)),
            }
        })
        .await
    }

    async fn kill(&mut self) {
        self.work = None;
    }
}
