//! A model of the controller with a keyboard and a mouse, on edge-triggered lines masked until acknowledged.

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
    NoMouse,
    NoSecondPort,
    DeafMouse,
    OldMouse,
    WheelMouse,
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
    for_mouse: bool,
    pub keyboard_scans: bool,
    pub mouse_reports: bool,
    /// A mouse command whose argument comes next.
    mouse_command: Option<u8>,
    pub mouse_rates: Vec<u8>,
    wires: [Wire; 2],
    pub gone: bool,
    /// Bytes that arrive right before the access with this count.
    pub script: VecDeque<(usize, u8)>,
    pub accesses: usize,
}

#[derive(Default)]
struct Wire {
    level: bool,
    pending: u32,
    stamp_ticks: u64,
    unacked: bool,
    waker: Option<Waker>,
}

/// One of the two interrupt lines.
#[derive(Clone)]
pub struct Line {
    model: Model,
    index: usize,
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
            for_mouse: false,
            keyboard_scans: false,
            mouse_reports: false,
            mouse_command: None,
            mouse_rates: Vec::new(),
            wires: Default::default(),
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

    /// Its interrupt lines: the keyboard's and the mouse's.
    pub fn lines(&self) -> [Line; 2] {
        [0, 1].map(|index| Line {
            model: self.clone(),
            index,
        })
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
        let ready = self.ready(now);
        let config = self.config;
        for (index, wire) in self.wires.iter_mut().enumerate() {
            let enabled = config & (1 << index) != 0;
            let level =
                enabled && ready.is_some_and(|(_, flags)| flags & 0x20 == (index as u8) << 5);
            if level && !wire.level && !wire.unacked {
                wire.pending += 1;
                wire.stamp_ticks = now;
                if let Some(waker) = wire.waker.take() {
                    waker.wake();
                }
            }
            wire.level = level;
        }
    }

    fn mouse_answer(&mut self, now: u64, byte: u8) {
        self.answers
            .push_back((now + self.slowness_ticks, byte, 0x20));
    }

    /// A byte to the mouse: one with five buttons unless the defect says otherwise.
    fn mouse(&mut self, now: u64, byte: u8) {
        assert_eq!(self.config & 0x20, 0, "the mouse's clock is held");
        match self.defect {
            Defect::NoMouse | Defect::NoSecondPort => return,
            Defect::DeafMouse => return self.mouse_answer(now, 0xfe),
            _ => self.mouse_answer(now, 0xfa),
        }
        match (self.mouse_command.take(), byte) {
            (Some(0xf3), rate) => self.mouse_rates.push(rate),
            (Some(_), _) => {}
            (None, 0xff) => {
                self.mouse_answer(now, 0xaa);
                self.mouse_answer(now, 0);
            }
            (None, 0xf2) => {
                let asked = |rates: &[u8]| self.mouse_rates.ends_with(rates);
                let id = match self.defect {
                    Defect::OldMouse => 0,
                    _ if asked(&[200, 100, 80]) => 3,
                    Defect::WheelMouse => 3,
                    _ if asked(&[200, 100, 80, 200, 200, 80]) => 4,
                    _ => 0,
                };
                self.mouse_answer(now, id);
            }
            (None, 0xf4) => self.mouse_reports = true,
            (None, 0xe6) => {}
            (None, 0xe8 | 0xf3) => self.mouse_command = Some(byte),
            (None, other) => panic!("the driver sent the mouse {other:#x}"),
        }
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
            0xa8 => self.config &= !0x20,
            0xa9 if self.defect == Defect::NoSecondPort => {}
            0xa9 => self.answer(now, 0),
            0xd4 => self.for_mouse = true,
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
        } else if std::mem::take(&mut self.for_mouse) {
            self.mouse(now, byte);
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
                    for wire in &mut state.wires {
                        wire.level = false;
                    }
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

impl Interrupt for Line {
    fn wait(&self) -> impl Future<Output = IrqEvent> + Send {
        poll_fn(|cx| {
            let mut state = self.model.state();
            let wire = &mut state.wires[self.index];
            if wire.unacked || wire.pending == 0 {
                wire.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            wire.unacked = true;
            let count = std::mem::take(&mut wire.pending);
            Poll::Ready(IrqEvent {
                stamp_ticks: wire.stamp_ticks,
                count,
            })
        })
    }

    fn ack(&self) {
        let now = self.model.clock.now_ticks();
        let mut state = self.model.state();
        state.step(now);
        state.update_line(now);
        let wire = &mut state.wires[self.index];
        wire.unacked = false;
        if wire.pending > 0
            && let Some(waker) = wire.waker.take()
        {
            waker.wake();
        }
    }
}
