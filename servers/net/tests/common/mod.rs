//! Two stacks at a cable, with a clock that the test moves; and programs that talk to them through rings.
#![allow(dead_code)] // each test uses a part

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Wake, Waker};

use net::pump::{Over, Pump, Round};
use net::{Instant, Key, Stack};
use nic::cable::{Cable, Options};
use proto::net::Setup;
use ring::layout::memory_bytes;
use ring::{Memory, Receiver, Sender};

/// Memory of a ring, shared by both sides.
#[derive(Clone)]
pub struct Shared(Arc<Inner>);

struct Inner {
    words: Vec<AtomicU32>,
    long_words: Vec<AtomicU64>,
    data: Vec<AtomicU8>,
}

impl Shared {
    pub fn ring(capacity: u32) -> Self {
        let shared = Self(Arc::new(Inner {
            words: (0..1024).map(|_| AtomicU32::new(0)).collect(),
            long_words: (0..512).map(|_| AtomicU64::new(0)).collect(),
            data: (0..capacity).map(|_| AtomicU8::new(0)).collect(),
        }));
        ring::format(&shared, capacity).expect("a good capacity");
        shared
    }

    /// Writes what a hostile program might.
    pub fn poke(&self, offset: usize, value: u32) {
        match offset.checked_sub(4096) {
            None => self.0.words[offset / 4].store(value, Ordering::SeqCst),
            Some(at) => {
                for (place, byte) in self.0.data[at..].iter().zip(value.to_le_bytes()) {
                    place.store(byte, Ordering::Relaxed);
                }
            }
        }
    }
}

impl Memory for Shared {
    fn bytes_len(&self) -> usize {
        memory_bytes(self.0.data.len() as u32)
    }
    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.0.words.get(offset / 4)
    }
    fn long_word(&self, offset: usize) -> Option<&AtomicU64> {
        self.0.long_words.get(offset / 8)
    }
    fn copy_in(&self, offset: usize, from: &[u8]) -> bool {
        let Some(to) = self.0.data.get(offset - 4096..offset - 4096 + from.len()) else {
            return false;
        };
        for (to, from) in to.iter().zip(from) {
            to.store(*from, Ordering::Relaxed);
        }
        true
    }
    fn copy_out(&self, offset: usize, to: &mut [u8]) -> bool {
        let Some(from) = self.0.data.get(offset - 4096..offset - 4096 + to.len()) else {
            return false;
        };
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.load(Ordering::Relaxed);
        }
        true
    }
}

/// Remembers that it was woken.
#[derive(Default)]
pub struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A socket with both of its sides: the server's pump, and the program's ends.
pub struct Socket {
    pub key: Key,
    pub pump: Pump<Shared>,
    pub sender: Sender<Shared>,
    pub receiver: Receiver<Shared>,
    pub to_server: Shared,
    pub to_program: Shared,
    pub over: Option<Over>,
    pub connected: bool,
    flag: Arc<Flag>,
}

impl Socket {
    pub fn new(key: Key, capacity: u32, connected: bool) -> Self {
        let (to_program, to_server) = (Shared::ring(capacity), Shared::ring(capacity));
        Self {
            key,
            pump: Pump::new(
                Sender::new(to_program.clone()).expect("a ring"),
                Receiver::new(to_server.clone()).expect("a ring"),
                connected,
            ),
            sender: Sender::new(to_server.clone()).expect("a ring"),
            receiver: Receiver::new(to_program.clone()).expect("a ring"),
            to_server,
            to_program,
            over: None,
            connected,
            flag: Arc::default(),
        }
    }

    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.flag))
    }

    /// Lets the server's task of this connection run.
    pub fn pump(&mut self, stack: &mut Stack, now: Instant) -> Round {
        let waker = self.waker();
        let round = stack.pump_tcp(self.key, &mut self.pump, &waker);
        self.note(round, stack, now);
        round
    }

    fn note(&mut self, round: Round, stack: &mut Stack, now: Instant) {
        self.connected |= round.connected.is_some();
        if let Some(number) = round.turn {
            stack.push(number, now);
        }
        if let Some(over) = round.over {
            self.over = Some(over);
        }
    }

    /// The same for one of datagrams.
    pub fn pump_udp(&mut self, stack: &mut Stack, now: Instant) {
        let waker = self.waker();
        let (round, turns) = stack.pump_udp(self.key, &mut self.pump, &waker);
        self.note(round, stack, now);
        for number in turns {
            stack.push(number, now);
        }
    }

    pub fn pump_echo(&mut self, stack: &mut Stack, now: Instant) {
        let waker = self.waker();
        let round = stack.pump_echo(self.key, &mut self.pump, &waker);
        self.note(round, stack, now);
    }
}

/// Two machines.
pub struct World {
    pub cable: Cable,
    pub stacks: [Stack; 2],
    pub now: Instant,
}

pub fn address(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

pub fn fixed(number: u8) -> Setup {
    Setup::Static {
        address: address(number),
        prefix_bits: 24,
        gateway: None,
        name_server: None,
    }
}

impl World {
    pub fn new(options: &Options) -> Self {
        let (cable, one, other) = Cable::new(options);
        let now = Instant::from_millis(1);
        let mut stacks = [[1; 32], [2; 32]].map(|seed| Stack::new(seed, now));
        for ((stack, card), number) in stacks.iter_mut().zip([one, other]).zip([1, 2]) {
            stack.add("eth0", card, fixed(number), now).expect("room");
        }
        Self { cable, stacks, now }
    }

    /// Gives every interface a turn; when something is due next.
    pub fn turns(&mut self) -> Option<Instant> {
        let mut due = None;
        for stack in &mut self.stacks {
            for number in 0..stack.interfaces() {
                let turn = stack.turn(number, self.now);
                let at = if turn.more { Some(self.now) } else { turn.at };
                due = [due, at].into_iter().flatten().min();
            }
        }
        due
    }

    /// Moves the clock: to what is due, but at least by a millisecond and at most by a second.
    pub fn pass(&mut self, due: Option<Instant>) {
        let least = self.now + smoltcp::time::Duration::from_millis(1);
        let most = self.now + smoltcp::time::Duration::from_secs(1);
        self.now = due.unwrap_or(most).clamp(least, most);
        self.cable.settle();
    }
}
