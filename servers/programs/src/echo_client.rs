//! Calls the endpoint `echo` as often as its argument says (1000 times), with short and long messages, and exits with 0 if every
//! answer was what was sent.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use abi::FOREVER;
use rt::Env;
use rt::sys::message::Handles;
use rt::sys::object::Endpoint;

rt::entry!(main);

/// Every so many calls one is long.
const LONG_EVERY: u64 = 16;

fn main(mut env: Env) -> i32 {
    let endpoint = match env.take::<Endpoint>("echo") {
        Ok(endpoint) => endpoint,
        Err(error) => {
            log::error!("echo: {error}");
            return 1;
        }
    };
    let calls = env
        .argument(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1000);
    for number in 0..calls {
        let good = if number % LONG_EVERY == LONG_EVERY - 1 {
            call_long(&endpoint, number)
        } else {
            call_short(&endpoint, number)
        };
        if !good {
            log::error!("call {number} of {calls} failed");
            return 1;
        }
    }
    log::info!("{calls} calls answered");
    0
}

fn call_short(endpoint: &Endpoint, number: u64) -> bool {
    let words =
        core::array::from_fn(|index| number.wrapping_mul(0x9e37_79b9).wrapping_add(index as u64));
    match endpoint.call_blocking(FOREVER, &words) {
        Ok(answer) => answer == words,
        Err(error) => {
            log::error!("call: {error}");
            false
        }
    }
}

fn call_long(endpoint: &Endpoint, number: u64) -> bool {
    let sent: [u8; 4096] = core::array::from_fn(|index| (index as u64).wrapping_mul(number) as u8);
    let len = (number as usize * 37) % sent.len();
    let sent = sent.get(..len).unwrap_or_default();
    let mut answer = [0; 4096];
    let mut handles = Handles::new();
    let result = endpoint.call_long_blocking(
        FOREVER,
        sent,
        &mut Handles::new(),
        &mut answer,
        &mut handles,
    );
    match result {
        Ok(lengths) => answer.get(..lengths.bytes as usize) == Some(sent) && handles.is_empty(),
        Err(error) => {
            log::error!("long call: {error}");
            false
        }
    }
}
