//! Models of both ends at work at the same time: no wake is lost, and what is received is what was sent. Run by `tests/loom.sh`.
#![cfg(loom)]

mod common;

use common::Shared;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use ring::{ReceiveError, Receiver, SendError, Sender};

/// What wakes one side: stays rung until it is heard.
#[derive(Debug)]
struct Bell(Mutex<bool>, Condvar);

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(false), Condvar::new()))
    }

    fn ring(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }

    /// A bell that never rings is a deadlock, which the model checker reports.
    fn wait(&self) {
        let mut rung = self.0.lock().unwrap();
        while !*rung {
            rung = self.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

fn send(sender: &mut Sender<Shared>, record: &[u8], mine: &Bell, theirs: &Bell) {
    loop {
        match sender.try_send(record) {
            Ok(sleeps) => {
                if sleeps {
                    theirs.ring();
                }
                return;
            }
            Err(SendError::Full) => {
                if sender.sleep(record.len()).unwrap() {
                    mine.wait();
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn receive(
    receiver: &mut Receiver<Shared>,
    buffer: &mut [u8],
    mine: &Bell,
    theirs: &Bell,
) -> usize {
    loop {
        match receiver.try_receive(buffer) {
            Ok((len, sleeps)) => {
                if sleeps {
                    theirs.ring();
                }
                return len;
            }
            Err(ReceiveError::Empty) => {
                if receiver.sleep().unwrap() {
                    mine.wait();
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// All orders with at most three preemptions, which finds what more would find and takes seconds.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The receiver sleeps on an empty ring.
#[test]
fn a_sleeping_receiver_is_woken() {
    check(|| {
        let memory = Shared::ring(4096);
        let (to_sender, to_receiver) = (Bell::new(), Bell::new());
        let mut sender = Sender::new(memory.clone()).unwrap();
        let mut receiver = Receiver::new(memory).unwrap();
        let other = {
            let (to_sender, to_receiver) = (to_sender.clone(), to_receiver.clone());
            thread::spawn(move || {
                for record in [[1], [2]] {
                    send(&mut sender, &record, &to_sender, &to_receiver);
                }
            })
        };
        let mut buffer = [0; 4];
        for expected in [1, 2] {
            let len = receive(&mut receiver, &mut buffer, &to_receiver, &to_sender);
            assert_eq!((len, buffer[0]), (1, expected));
        }
        other.join().unwrap();
    });
}

/// The sender sleeps on a full ring.
#[test]
fn a_sleeping_sender_is_woken() {
    check(|| {
        let memory = Shared::ring(4096);
        let (to_sender, to_receiver) = (Bell::new(), Bell::new());
        let mut sender = Sender::new(memory.clone()).unwrap();
        let mut receiver = Receiver::new(memory).unwrap();
        let full = vec![0; sender.most_bytes()];
        assert_eq!(sender.try_send(&full), Ok(false));
        let other = {
            let (to_sender, to_receiver) = (to_sender.clone(), to_receiver.clone());
            thread::spawn(move || send(&mut sender, &[9], &to_sender, &to_receiver))
        };
        let mut buffer = vec![0; 4096];
        let len = receive(&mut receiver, &mut buffer, &to_receiver, &to_sender);
        assert_eq!(len, full.len());
        let len = receive(&mut receiver, &mut buffer, &to_receiver, &to_sender);
        assert_eq!((len, buffer[0]), (1, 9));
        other.join().unwrap();
    });
}
