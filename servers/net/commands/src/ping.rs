//! `ping`.

use alloc::vec;
use core::net::IpAddr;
use core::time::Duration;

use net_client::{Echo, NetError, Network};
use rt::sys::clock::now_ns;
use rt::{Either, first, sleep};

use crate::output::Output;
use crate::{Failed, Words};

const USAGE: &str = "[--count=COUNT] [--size=BYTES] HOST";
/// When the next request goes out, and how long an answer is waited for: whoever is asked must be found first, which is tried once in a
/// second.
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
const COUNT: u32 = 4;
const SIZE: u32 = 56;
const NS_IN_US: u64 = 1000;

pub async fn run(words: &Words, network: &Network, output: &Output) -> Result<(), Failed> {
    let host = words.operand(0).ok_or(Failed::Usage(USAGE))?;
    let count = words.number("count", COUNT, 1_000_000)?;
    let size = words.number("size", SIZE, 60_000)?;
    let addresses = network.resolve(host).await?;
    let address = *addresses.first().ok_or(NetError::NoSuchName)?;
    let mut echo = network.echo(address).await?;
    output
        .line(alloc::format!("{size} bytes to {host} ({address})"))
        .await;
    let mut answered = 0;
    for number in 0..count {
        let start = now_ns();
        echo.send(&vec![b'r'; size as usize]).await?;
        let answer = answer(&mut echo, number as u16);
        match first(answer, sleep(PATIENCE)).await {
            Either::A(answer) => {
                let (len, from) = answer?;
                answered += 1;
                let us = now_ns().saturating_sub(start) / NS_IN_US;
                let (ms, rest) = (us / 1000, us % 1000);
                output
                    .line(alloc::format!(
                        "{len} bytes from {from}: number {number}, {ms}.{rest:03} ms"
                    ))
                    .await;
                let next = start + EVERY.as_nanos() as u64;
                if number + 1 < count {
                    sleep(Duration::from_nanos(next.saturating_sub(now_ns()))).await;
                }
            }
            Either::B(()) => {
                output
                    .line(alloc::format!(
                        "number {number}: no answer within two seconds"
                    ))
                    .await;
            }
        }
    }
    output
        .line(alloc::format!("{count} sent, {answered} answered"))
        .await;
    if answered == 0 && count > 0 {
        return Err(NetError::TimedOut.into());
    }
    Ok(())
}

/// The answer to a request; later ones to earlier requests are left out.
async fn answer(echo: &mut Echo, wanted: u16) -> Result<(usize, IpAddr), NetError> {
    let mut buffer = vec![0; 65536];
    loop {
        let (len, from, number) = echo.receive(&mut buffer).await?;
        if number == wanted {
            return Ok((len, from));
        }
    }
}
