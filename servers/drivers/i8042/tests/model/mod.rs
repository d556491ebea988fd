//! A model of the controller with a keyboard, on an edge-triggered line masked until acknowledged.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use rt::{Clock, Interrupt, IoPorts, IrqEvent};
use testkit::SimClock;

/// What is wrong with the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defect {
    #[default]
    None,
    NoController,
    NeverAccepts,
    NeverAnswers,
    AlwaysFull,
    FailsSelfTest,
    FailsPortTest,
    NoKeyboard,
    ForgetsConfigInSelfTest,
}

pub struct State {
    pub defect: Defect,
    pub config: u8,
    /// Time the controller needs for each command.
    pub slowness_ticks: u64,
    busy_until: u64,
    answers: VecDeque<(u64, u8, u8)>,
    waiting_for_config: bool,
    pub keyboard_scans: bool,
    level: bool,
    pending: u32,
    unacked: bool,
    waker: Option<Waker>,
    pub gone: bool,
    /// Bytes that arrive right before the access with this count.
    pub script: VecDeque<(usize, u8)>,
    pub accesses: usize,
}

#[derive(Clone)]
pub struct Model {
    state: Arc<Mutex<State>>,
    clock: SimClock,
}

impl Model {
    pub fn new(clock: SimClock, defect: Defect) -> Self {
        let state = State {
            defect,
            // As firmware leaves it: both interrupts on, translation on, second port running.
            config: 0b0100_0011,
            slowness_ticks: 0,
            busy_until: 0,
            answers: VecDeque::new(),
            waiting_for_config: false,
            keyboard_scans: false,
            level: false,
            pending: 0,
            unacked: false,
            waker: None,
            gone: false,
            script: VecDeque::new(),
            accesses: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            clock,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics with the model locked")
    }

    /// A byte from a device; `flags` are further status bits.
    pub fn arrive(&self, byte: u8, flags: u8) {
        let now = self.clock.now_ticks();
        let mut state = self.state();
        state.answers.push_back((now, byte, flags));
        state.update_line(now);
    }
}

impl State {
    fn absent(&self) -> bool {
        self.gone || self.defect == Defect::NoController
    }

    fn step(&mut self, now: u64) {
        self.accesses += 1;
        while self
            .script
            .front()
            .is_some_and(|(at, _)| *at <= self.accesses)
        {
            if let Some((_, byte)) = self.script.pop_front() {
                self.answers.push_back((now, byte, 0));
            }
        }
    }

    fn ready(&self, now: u64) -> Option<(u8, u8)> {
        if self.defect == Defect::AlwaysFull {
            return Some((0x77, 0));
        }
        self.answers
            .front()
            .filter(|(at, ..)| *at <= now)
            .map(|(_, byte, flags)| (*byte, *flags))
    }

    fn update_line(&mut self, now: u64) {
        let enabled = self.config & 1 != 0;
        let level = enabled && self.ready(now).is_some_and(|(_, flags)| flags & 0x20 == 0);
        if level && !self.level && !self.unacked {
            self.pending += 1;
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
        self.level = level;
    }

    fn answer(&mut self, now: u64, byte: u8) {
        if self.defect != Defect::NeverAnswers {
            self.answers.push_back((now + self.slowness_ticks, byte, 0));
        }
    }

    fn command(&mut self, now: u64, command: u8) {
        match command {
            0x20 => self.answer(now, self.config),
            0x60 => self.waiting_for_config = true,
            0xa7 => self.config |= 0x20,
            0xad => self.config |= 0x10,
            0xae => self.config &= !0x10,
            0xaa => {
                if self.defect == Defect::ForgetsConfigInSelfTest {
                    self.config = 0b0011_0000;
                }
                self.answer(
                    now,
                    if self.defect == Defect::FailsSelfTest {
                        0xfc
                    } else {
                        0x55
                    },
                );
            }
            0xab => self.answer(now, u8::from(self.defect == Defect::FailsPortTest)),
            other => panic!("the driver sent command {other:#x}"),
        }
    }

    fn data(&mut self, now: u64, byte: u8) {
        if std::mem::take(&mut self.waiting_for_config) {
            self.config = byte;
        } else if byte == 0xf4 && self.defect != Defect::NoKeyboard {
            assert_eq!(self.config & 0x10, 0, "the keyboard's clock is held");
            self.keyboard_scans = true;
            self.answer(now, 0xfa);
        }
    }
}

impl IoPorts for Model {
    fn read_u8(&self, offset: u16) -> u8 {
        let now = self.clock.now_ticks();
        let mut state = self.state();
        if state.absent() {
            return 0xff;
        }
        state.step(now);
        let value = match offset {
            0 => {
                let byte = state.ready(now).map_or(0, |(byte, _)| byte);
                if state.ready(now).is_some() {
                    state.answers.pop_front();
                    // The output buffer is empty for a moment between two bytes.
                    state.level = false;
                }
                byte
            }
            4 => {
                let busy = now < state.busy_until || state.defect == Defect::NeverAccepts;
                let flags = state.ready(now).map_or(0, |(_, flags)| flags | 1);
                flags | if busy { 2 } else { 0 }
            }
            _ => 0xff,
        };
        state.update_line(now);
        value
    }

    fn write_u8(&self, offset: u16, value: u8) {
        let now = self.clock.now_ticks();
        let mut state = self.state();
        if state.absent() {
            return;
        }
        state.step(now);
        assert!(
            now >= state.busy_until,
            "the driver writes while the controller is busy"
        );
        state.busy_until = now + state.slowness_ticks;
        match offset {
            0 => state.data(now, value),
            4 => state.command(now, value),
            _ => panic!("the driver writes to offset {offset}"),
        }
        state.update_line(now);
    }
}

impl Interrupt for Model {
    fn wait(&self) -> impl Future<Output = IrqEvent> + Send {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.unacked || state.pending == 0 {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            state.unacked = true;
            let count = std::mem::take(&mut state.pending);
            Poll::Ready(IrqEvent {
                stamp_ticks: 0,
                count,
            })
        })
    }

    fn ack(&self) {
        let now = self.clock.now_ticks();
        let mut state = self.state();
        state.step(now);
        state.update_line(now);
        state.unacked = false;
        if state.pending > 0
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        }
    }
}
