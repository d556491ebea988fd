//! 64 bytes to another process and back.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::calls::Ended;
use super::{places, time};
use crate::report::Report;
use crate::{Outcome, sys};

const BYTES: usize = 64;
/// What both processes map: two words to wait at, a cache line apart, then the bytes.
const SHARED: &str = "/shared";
const WORDS: usize = 64;
const REQUEST: usize = 0;
const ANSWER: usize = 16;
const PAYLOAD: usize = 32;

pub fn all(report: &mut Report) -> Outcome {
    for (word, cpu) in places() {
        pipe(report, word, cpu)?;
        unix(report, word, cpu)?;
        futex(report, word, cpu)?;
    }
    Ok(())
}

/// This program again, on that CPU.
fn partner(what: &str, cpu: usize) -> Command {
    let mut partner = Command::new("/proc/self/exe");
    partner.arg(what).arg(cpu.to_string());
    partner
}

fn rounds(mut to: impl Write, mut from: impl Read) -> Outcome<Vec<u64>> {
    let (sent, mut back) = ([7; BYTES], [0; BYTES]);
    time(|| {
        to.write_all(&sent)?;
        from.read_exact(&mut back)?;
        Ok(())
    })
}

fn pipe(report: &mut Report, word: &str, cpu: usize) -> Outcome {
    let mut other = partner("echo", cpu);
    other.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = Ended(other.spawn()?);
    let to = other.0.stdin.take().ok_or("no pipe to the partner")?;
    let from = other.0.stdout.take().ok_or("no pipe from the partner")?;
    report.ticks(&format!("ipc64.pipe.{word}"), &mut rounds(to, from)?)
}

fn unix(report: &mut Report, word: &str, cpu: usize) -> Outcome {
    let [ours, theirs] = sys::message_sockets()?;
    let mut other = partner("echo", cpu);
    other.stdin(theirs.try_clone()?).stdout(theirs);
    let _other = Ended(other.spawn()?);
    let ours = File::from(ours);
    report.ticks(
        &format!("ipc64.unix.{word}"),
        &mut rounds(ours.try_clone()?, ours)?,
    )
}

/// Without the standard library's buffers.
pub fn echo() -> Outcome {
    let mut from = File::from(stdin().as_fd().try_clone_to_owned()?);
    let mut to = File::from(stdout().as_fd().try_clone_to_owned()?);
    let mut bytes = [0; BYTES];
    while from.read_exact(&mut bytes).is_ok() {
        to.write_all(&bytes)?;
    }
    Ok(())
}

fn shared() -> Outcome<&'static [AtomicU32]> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(SHARED)?;
    Ok(sys::shared_words(&file, WORDS)?)
}

fn wait_for(word: &AtomicU32, number: u32) {
    loop {
        let now = word.load(Ordering::Acquire);
        if now == number {
            return;
        }
        sys::futex_wait(word, now, true);
    }
}

fn tell(word: &AtomicU32, number: u32) {
    word.store(number, Ordering::Release);
    sys::futex_wake(word, true);
}

fn futex(report: &mut Report, word: &str, cpu: usize) -> Outcome {
    let words = shared()?;
    for word in words {
        word.store(0, Ordering::Release);
    }
    let _other = Ended(partner("echo-words", cpu).spawn()?);
    let mut number = 0;
    let mut samples = time(|| {
        number += 1;
        for word in words.iter().skip(PAYLOAD).take(BYTES / 4) {
            word.store(number, Ordering::Relaxed);
        }
        tell(&words[REQUEST], number);
        wait_for(&words[ANSWER], number);
        let back = words.iter().skip(PAYLOAD).take(BYTES / 4);
        if back
            .map(|word| word.load(Ordering::Relaxed))
            .all(|word| word == number + 1)
        {
            Ok(())
        } else {
            Err("another answer than 64 bytes, each word one more".into())
        }
    })?;
    report.ticks(&format!("ipc64.shmfutex.{word}"), &mut samples)
}

pub fn echo_words() -> Outcome {
    let words = shared()?;
    for number in 1.. {
        wait_for(&words[REQUEST], number);
        for word in words.iter().skip(PAYLOAD).take(BYTES / 4) {
            word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        tell(&words[ANSWER], number);
    }
    Ok(())
}
