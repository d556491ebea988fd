//! Answers each call on its endpoint `echo` with the same message, and each message on its channel `echo-channel` too.
//!
//! As a unit, whose endpoint is `test.echo`, it says that it is ready. With the argument `once`, ends after one call. Short calls get their words back, long ones their bytes and handles.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use abi::message::{MAX_BYTES, Words};
use abi::{Error, FOREVER, Signals};
use rt::Env;
use rt::sys::Object;
use rt::sys::endpoint::{Body, Token};
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Endpoint};
use rt::sys::thread;
use rt::unit::Manager;

rt::entry!(main);

fn main(mut env: Env) -> i32 {
    if let Ok(channel) = env.take::<Channel>("echo-channel")
        && let Err(error) = thread::spawn(move || echo_messages(&channel))
    {
        log::error!("no thread for the channel: {error}");
        return 1;
    }
    let endpoint = match env
        .take::<Endpoint>("echo")
        .or_else(|_| env.take("test.echo"))
    {
        Ok(endpoint) => endpoint,
        Err(error) => {
            log::error!("echo: {error}");
            return 1;
        }
    };
    let once = env.argument(1) == Some("once");
    if let Ok(manager) = env.take("manager")
        && let Err(error) = Manager::new(manager).say_ready()
    {
        log::error!("saying ready: {error}");
        return 1;
    }
    let mut answer: Option<(Token, Words)> = None;
    loop {
        let call = match answer.take() {
            Some((token, words)) => token.reply_receive_blocking(&words, &endpoint),
            None => endpoint.receive_blocking(FOREVER),
        };
        let call = match call {
            Ok(call) => call,
            Err(error) => {
                log::error!("receive: {error}");
                return 1;
            }
        };
        match call.body {
            Body::Words(words) if once => {
                return i32::from(call.token.reply(&words).is_err());
            }
            Body::Words(words) => answer = Some((call.token, words)),
            Body::Long(_) => echo_long(call.token),
        }
    }
}

fn echo_long(token: Token) {
    let mut bytes = [0; MAX_BYTES];
    let mut handles = Handles::new();
    match token.read(&mut bytes, &mut handles) {
        Ok(lengths) => {
            let bytes = bytes.get(..lengths.bytes as usize).unwrap_or_default();
            if let Err((error, _)) = token.reply_long(bytes, &mut handles) {
                log::warn!("reply: {error}");
            }
        }
        Err(error) => log::warn!("message: {error}"),
    }
}

fn echo_messages(channel: &Channel) {
    let mut bytes = [0; MAX_BYTES];
    let mut handles = Handles::new();
    loop {
        match channel.read(&mut bytes, &mut handles) {
            Ok(lengths) => {
                let bytes = bytes.get(..lengths.bytes as usize).unwrap_or_default();
                while channel.write(bytes, &mut handles) == Err(Error::QueueFull) {
                    let room = Signals::WRITABLE | Signals::PEER_CLOSED;
                    if channel.wait_blocking(room, FOREVER).is_err() {
                        return;
                    }
                }
            }
            Err(error) if error.error == Error::WouldWait => {
                let more = Signals::READABLE | Signals::PEER_CLOSED;
                if channel.wait_blocking(more, FOREVER).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
