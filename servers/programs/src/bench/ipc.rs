//! 64 bytes to another process and back: a call.

use alloc::format;
use core::hint::black_box;

use abi::message::WORDS;
use abi::{Error, FOREVER, Rights};
use proto::contract::to_words;
use rt::Env;
use rt::launch::{Code, Launch};
use rt::sys::clock;
use rt::sys::endpoint::Body;
use rt::sys::object::{Endpoint, Object, System};
use rt::sys::process::this_job;

use crate::report::Report;
use crate::{CORE, Failed, OTHER_CORE, Outcome, Partners, time};

/// The method `number` of the contract `trial`.
const NUMBER: u8 = 0;

pub fn all(report: &mut Report, partners: &Partners, system: &System) -> Outcome {
    for (word, core) in [("same", CORE), ("cross", OTHER_CORE)] {
        if core < clock::page().cores {
            isolated(report, partners, word, core)?;
            resident(report, system, word, core)?;
        }
    }
    Ok(())
}

fn isolated(report: &mut Report, partners: &Partners, word: &str, core: u32) -> Outcome {
    let endpoint = Endpoint::create()?;
    let client = endpoint.mint(1, Rights::CALL)?;
    let handles = alloc::vec![("endpoint", endpoint.into_owned(), Rights::RECEIVE)];
    let other = partners.start("answer", core, handles)?;
    let mut samples = rounds(&client, &[7; WORDS])?;
    other.process.kill(0)?;
    report.ticks(&format!("ipc64.call.{word}"), &mut samples)
}

fn rounds(client: &Endpoint, words: &abi::message::Words) -> Outcome<alloc::vec::Vec<u64>> {
    time(|| {
        black_box(client.call_blocking(FOREVER, words)?);
        Ok(())
    })
}

/// Answers calls with their own words.
pub fn answer(env: &mut Env) -> Outcome {
    let endpoint: Endpoint = env
        .take("endpoint")
        .map_err(|missing| Failed::Handle("endpoint", missing))?;
    let mut call = endpoint.receive_blocking(FOREVER)?;
    loop {
        let Body::Words(words) = call.body else {
            return Err(Failed::Because("a call that is no words"));
        };
        call = call.token.reply_receive_blocking(&words, &endpoint)?;
    }
}

/// A contract's call to a server in the kernel.
fn resident(report: &mut Report, system: &System, word: &str, core: u32) -> Outcome {
    let endpoint = Endpoint::create()?;
    let client = endpoint.mint(1, Rights::CALL | Rights::DUPLICATE)?;
    let launch = Launch {
        name: "resident",
        code: Code::Resident {
            server: "servers/echo",
            system,
        },
        arguments: &["echo"],
        handles: alloc::vec![(
            "echo",
            endpoint.into_owned(),
            Rights::of_new(Endpoint::TYPE)
        )],
        time_page: None,
        generation: 0,
        core,
        reservation: None,
    };
    let other = launch.start(&this_job())?;
    let request = [NUMBER, 7];
    let words = to_words(&request).ok_or(Error::OutOfRange)?;
    let samples = rounds(&client, &words);
    other.process.kill(0)?;
    report.ticks(&format!("ipc64.call.{word}.resident"), &mut samples?)
}
