//! Records from one process to another through a ring: `ring RECORDS`. A second process counts and checks them; when it is ended in
//! the middle of a second stream, the sender learns of it. Logs what a record costs; exits with 0 if all arrived in order.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use abi::{Error, Rights};
use loader::Archive;
use rt::Env;
use rt::launch::{Code, Launch, Launched, read_all, time_page};
use rt::ring::{self, End, Receiver, Sender};
use rt::sys::clock;
use rt::sys::message::Handles;
use rt::sys::object::{Channel, Object, Process, Vmo};
use rt::sys::process::this_job;
use rt::watched::Watched;

rt::entry!(async main);

const CAPACITY: u32 = 64 << 10;
/// Longest record.
const MOST_BYTES: usize = 1024;

async fn main(mut env: Env) -> i32 {
    let result = if env.argument(1) == Some("receiver") {
        receive_all(&mut env).await
    } else {
        let count = env
            .argument(1)
            .and_then(|text| text.parse().ok())
            .unwrap_or(100_000);
        send_all(&mut env, count).await
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

/// The bytes of a record, and how many: both sides know them.
fn record(number: u64, place: &mut [u8; MOST_BYTES]) -> &[u8] {
    let len = 8 + (number.wrapping_mul(0x9e37_79b9) % (MOST_BYTES as u64 - 8)) as usize;
    let word = number.to_le_bytes();
    let record = place.get_mut(..len).unwrap_or_default();
    for piece in record.chunks_mut(8) {
        for (to, from) in piece.iter_mut().zip(word) {
            *to = from;
        }
    }
    record
}

/// Receives what its sender says it sends, and answers with the number of bytes.
async fn receive_all(env: &mut Env) -> Result<(), Error> {
    let control = env
        .take::<Channel>("control")
        .map_err(|_| Error::BadHandle)?;
    let control = Watched::channel(control)?;
    let mut count = [0; 8];
    let mut handles = Handles::new();
    control
        .receive(&mut count, &mut handles)
        .await
        .map_err(Error::from)?;
    let mut receiver: Receiver = End::from_handles(&mut handles)?.into_receiver()?;
    let (mut buffer, mut expected) = ([0; MOST_BYTES], [0; MOST_BYTES]);
    let mut bytes = 0;
    for number in 0..u64::from_le_bytes(count) {
        let len = receiver.receive(&mut buffer).await?;
        if buffer.get(..len) != Some(record(number, &mut expected)) {
            log::error!("record {number} is another one");
            return Err(Error::BadState);
        }
        bytes += len as u64;
    }
    control
        .send(&u64::to_le_bytes(bytes), &mut Handles::new())
        .await?;
    Ok(())
}

async fn send_all(env: &mut Env, count: u64) -> Result<(), Error> {
    let programs = env.take::<Vmo>("archive").map_err(|_| Error::BadHandle)?;
    let archive = read_all(&programs)?;
    let file = Archive::new(&archive)
        .ok()
        .and_then(|archive| archive.file("programs/ring"))
        .ok_or(Error::BadArgument)?;
    let cores = clock::page().cores;
    for core in 0..cores.min(2) {
        let start_ns = clock::now_ns();
        let (_, control, mut sender) = start(file, core, count).await?;
        let launched_ns = clock::now_ns();
        let mut bytes = 0;
        let mut place = [0; MOST_BYTES];
        for number in 0..count {
            let record = record(number, &mut place);
            sender.send(record).await?;
            bytes += record.len() as u64;
        }
        let mut answer = [0; 8];
        control
            .receive(&mut answer, &mut Handles::new())
            .await
            .map_err(Error::from)?;
        if u64::from_le_bytes(answer) != bytes {
            return Err(Error::BadState);
        }
        let ns = clock::now_ns() - launched_ns;
        let counters = sender.counters();
        log::info!(
            "ring to core {core}: {count} records, {bytes} bytes, {} ns each, sleeps of sender {} and receiver {}; launched in {} ns",
            ns / count.max(1),
            counters.sender_slept,
            counters.receiver_slept,
            launched_ns - start_ns,
        );
    }
    killed(file).await
}

/// A receiver that ends is an error at once for who waits for room, and not before.
async fn killed(file: &[u8]) -> Result<(), Error> {
    let (process, _control, mut sender) = start(file, u32::MAX, u64::MAX).await?;
    let mut place = [0; MOST_BYTES];
    let mut sent = 0_u64;
    loop {
        if sent == 1000 {
            process.kill(0)?;
        }
        // Numbers it does not expect would end it by itself.
        match sender.send(record(sent, &mut place)).await {
            Ok(()) => sent += 1,
            Err(Error::PeerClosed) if sent >= 1000 => {
                log::info!("the receiver's end was seen after {sent} records");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Starts a receiver of `count` records.
async fn start(
    file: &[u8],
    core: u32,
    count: u64,
) -> Result<(Process, Watched<Channel>, Sender), Error> {
    let (ours, theirs) = Channel::create()?;
    let time = time_page()?;
    let Launched { process, .. } = Launch {
        name: "receiver",
        code: Code::File(file),
        arguments: &["ring", "receiver"],
        handles: alloc::vec![(
            "control",
            theirs.into_owned(),
            Rights::READ | Rights::WRITE | Rights::WAIT
        )],
        time_page: Some(&time),
        generation: 0,
        core,
        reservation: None,
    }
    .start(&this_job())
    .map_err(|error| {
        log::error!("{error}");
        Error::NoMemory
    })?;
    let (here, there) = ring::create(CAPACITY)?;
    let mut handles = Handles::new();
    there.into_handles(&mut handles)?;
    let control = Watched::channel(ours)?;
    control.send(&count.to_le_bytes(), &mut handles).await?;
    Ok((process, control, here.into_sender()?))
}
