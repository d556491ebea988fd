//! The load: threads that call servers, each call again at the next instance if the server died over it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Error;
use abi::message::{WORDS, Words};
use proto::contract::{SHORT_BYTES, Status, decode, encode, in_words, to_words};
use rt::sys::clock;
use rt::sys::object::Endpoint;
use rt::sys::thread::{self, Joinable};

use crate::Failed;
use crate::system::{LIMIT_NS, World};

/// The method `number` of the contract `trial`.
const NUMBER: u8 = 0;
/// Clients of each kind.
const CLIENTS: u64 = 2;

/// What the clients share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    calls: AtomicU64,
    again: AtomicU64,
    errors: AtomicU64,
}

/// Clients that call until they are stopped.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<Joinable>,
}

impl Load {
    /// Starts them. `first_ticket` is above all that were used.
    pub fn start(world: &Arc<World>, first_ticket: u64) -> Result<Self, Failed> {
        let mut load = Self {
            shared: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..CLIENTS {
            load.client(world, "test.echo", number, Echo)?;
        }
        for service in ["echo-isolated", "echo-resident"] {
            for number in 0..CLIENTS {
                load.client(world, service, number, Contract)?;
            }
        }
        load.client(world, "counter", first_ticket, Counting::default())?;
        for number in 1..CLIENTS {
            load.client(world, "counter", number, Reading::default())?;
        }
        Ok(load)
    }

    fn client(
        &mut self,
        world: &Arc<World>,
        service: &'static str,
        first: u64,
        client: impl Client + Send + 'static,
    ) -> Result<(), Failed> {
        let (world, shared) = (Arc::clone(world), Arc::clone(&self.shared));
        let thread = thread::spawn(move || run(&world, &shared, service, first, client))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Calls that were answered so far.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Errors that clients saw so far.
    pub fn errors(&self) -> u64 {
        self.shared.errors.load(Ordering::Relaxed)
    }

    /// Stops them all and says what they did.
    pub fn stop(self) -> Result<(), Failed> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join_blocking(clock::now_ns() + LIMIT_NS)?;
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (calls, errors) = (count(&self.shared.calls), count(&self.shared.errors));
        log::info!(
            "clients: {calls} calls answered, {} made again, {errors} errors",
            count(&self.shared.again)
        );
        if errors == 0 {
            Ok(())
        } else {
            Err(Failed::because(format_args!("clients saw {errors} errors")))
        }
    }
}

fn run(world: &World, shared: &Shared, service: &'static str, first: u64, mut client: impl Client) {
    let mut endpoint: Option<Endpoint> = None;
    for number in first.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let good = client.step(
            &mut |words| call(world, shared, service, &mut endpoint, words),
            number,
        );
        if !good {
            shared.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An idempotent call: as often as it takes.
fn call(
    world: &World,
    shared: &Shared,
    service: &str,
    endpoint: &mut Option<Endpoint>,
    words: &Words,
) -> Option<Words> {
    loop {
        let connected = match endpoint.take() {
            Some(connected) => connected,
            None => match world.manager.connect_blocking(service) {
                Ok(connected) => connected,
                Err(error) => {
                    log::error!("{service}: {error}");
                    return None;
                }
            },
        };
        match connected.call_blocking(clock::now_ns() + LIMIT_NS, words) {
            Ok(answer) => {
                shared.calls.fetch_add(1, Ordering::Relaxed);
                *endpoint = Some(connected);
                return Some(answer);
            }
            Err(Error::PeerClosed) => {
                shared.again.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                log::error!("{service}: {error}");
                return None;
            }
        }
    }
}

/// Makes an idempotent call; `None` if that ended with an error.
type Make<'a> = &'a mut dyn FnMut(&Words) -> Option<Words>;

/// What a client does, again and again.
trait Client {
    /// Once, with a number that rises; whether all went well.
    fn step(&mut self, call: Make<'_>, number: u64) -> bool;
}

/// Gets what it sent.
struct Echo;

impl Client for Echo {
    fn step(&mut self, call: Make<'_>, number: u64) -> bool {
        let sent = core::array::from_fn(|index| number.wrapping_mul(index as u64 + 1));
        call(&sent) == Some(sent)
    }
}

/// Gets its number by the contract of the echo server, which is the same crate in ring 3 and in the kernel.
struct Contract;

impl Contract {
    fn number(call: Make<'_>, number: u64) -> Option<u64> {
        let mut request = [0; SHORT_BYTES];
        let request = encode(NUMBER, &(number,), &mut request)?;
        let answer = call(&to_words(request)?)?;
        match in_words(&answer)?.split_first()? {
            (&status, result) if status == Status::Done as u8 => decode(result),
            _ => None,
        }
    }
}

impl Client for Contract {
    fn step(&mut self, call: Make<'_>, number: u64) -> bool {
        Self::number(call, number) == Some(number)
    }
}

/// Adds, and sees each of its tickets counted once, whoever died over it.
#[derive(Default)]
struct Counting {
    sum: Option<u64>,
}

impl Client for Counting {
    fn step(&mut self, call: Make<'_>, number: u64) -> bool {
        let mut words = [0; WORDS];
        if self.sum.is_none() {
            self.sum = call(&words).map(|[sum, ..]| sum);
        }
        words[0] = 1;
        words[1] = number;
        let (Some([sum, ..]), Some(before)) = (call(&words), self.sum) else {
            return false;
        };
        self.sum = Some(sum);
        if sum != before + 1 {
            log::error!("the counter went from {before} to {sum}");
        }
        sum == before + 1
    }
}

/// Reads, and sees neither the sum nor the generation go back.
#[derive(Default)]
struct Reading {
    last: [u64; 2],
}

impl Client for Reading {
    fn step(&mut self, call: Make<'_>, _: u64) -> bool {
        let Some([sum, generation, ..]) = call(&[0; WORDS]) else {
            return false;
        };
        let good = sum >= self.last[0] && generation >= self.last[1];
        if !good {
            log::error!("read {sum} of instance {generation} after {:?}", self.last);
        }
        self.last = [sum, generation];
        good
    }
}
