//! A register-level model of the PC16550D on an ISA interrupt line, for the driver's tests.
//!
//! Causes, their priorities and what clears them follow the data sheet (§8.6 "Interrupt
//! identification register"). The line is edge-triggered: only a rise of the chip's output is seen,
//! and with [`Masking::UntilAck`] not even that while a delivery is unacknowledged, as on an I/O
//! APIC pin masked by the host.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use rt::{Interrupt, IoPorts, IrqEvent};

const FIFO_BYTES: usize = 16;

/// What the host does with the line between a delivery and its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Remembers one edge.
    Remember,
    /// Loses it.
    UntilAck,
}

/// Something that happens on the wire when the driver has made so many register accesses.
#[derive(Clone, Copy, Debug)]
pub enum Wire {
    /// A byte comes in.
    Byte(u8),
    /// A byte comes in with these line status error bits.
    Bad(u8, u8),
    /// The transmitter sends all it has.
    Sent,
}

pub struct Chip {
    pub present: bool,
    pub fifo_works: bool,
    masking: Masking,
    received: VecDeque<(u8, u8)>,
    transmit: VecDeque<u8>,
    pub sent: Vec<u8>,
    pub lost_edges: u32,
    pub overran: u32,
    pub fifo_enabled: bool,
    ier: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    pub divisor: [u8; 2],
    overrun: bool,
    front_errors_read: bool,
    transmit_empty_cause: bool,
    output: bool,
    pending: u32,
    unacked: bool,
    waker: Option<Waker>,
    pub accesses: usize,
    /// Events by access count.
    pub script: VecDeque<(usize, Wire)>,
    /// Sends each byte as soon as it is written.
    pub instant_transmit: bool,
}

impl Chip {
    fn line_status(&mut self) -> u8 {
        let mut status = 0;
        if let Some((_, errors)) = self.received.front() {
            status |= 1;
            if !self.front_errors_read {
                status |= errors;
            }
        }
        if self.overrun {
            status |= 2;
        }
        if self.transmit.is_empty() {
            status |= 0x60;
        }
        status
    }

    /// The highest cause that is pending and enabled, as in IIR bits 3 to 1.
    fn cause(&mut self) -> Option<u8> {
        let status = self.line_status();
        if self.ier & 4 != 0 && status & 0x1e != 0 {
            return Some(0b110);
        }
        if self.ier & 1 != 0 && status & 1 != 0 {
            return Some(0b100);
        }
        (self.ier & 2 != 0 && self.transmit_empty_cause).then_some(0b010)
    }

    fn update_line(&mut self) {
        let output = self.cause().is_some() && self.mcr & 8 != 0;
        if output && !self.output {
            if self.unacked && self.masking == Masking::UntilAck {
                self.lost_edges += 1;
            } else {
                self.pending += 1;
                if let Some(waker) = self.waker.take() {
                    waker.wake();
                }
            }
        }
        self.output = output;
    }

    pub fn happen(&mut self, event: Wire) {
        match event {
            Wire::Byte(byte) => self.arrive(byte, 0),
            Wire::Bad(byte, errors) => self.arrive(byte, errors),
            Wire::Sent => {
                if !self.transmit.is_empty() {
                    self.sent.extend(self.transmit.drain(..));
                    self.transmit_empty_cause = true;
                }
            }
        }
        self.update_line();
    }

    fn arrive(&mut self, byte: u8, errors: u8) {
        let depth = if self.fifo_enabled { FIFO_BYTES } else { 1 };
        if self.received.len() == depth {
            self.overrun = true;
            self.overran += 1;
        } else {
            self.received.push_back((byte, errors));
        }
    }

    pub fn can_receive(&self) -> bool {
        self.received.len() < FIFO_BYTES
    }

    pub fn transmitting(&self) -> bool {
        !self.transmit.is_empty()
    }

    fn before_access(&mut self) {
        self.accesses += 1;
        while self
            .script
            .front()
            .is_some_and(|(at, _)| *at <= self.accesses)
        {
            if let Some((_, event)) = self.script.pop_front() {
                self.happen(event);
            }
        }
    }

    fn read(&mut self, offset: u16) -> u8 {
        let dlab = self.lcr & 0x80 != 0;
        match offset {
            0 if dlab => self.divisor[0],
            1 if dlab => self.divisor[1],
            0 => {
                self.front_errors_read = false;
                self.received.pop_front().map_or(0, |(byte, _)| byte)
            }
            1 => self.ier,
            2 => {
                let fifo = if self.fifo_enabled { 0xc0 } else { 0 };
                match self.cause() {
                    None => fifo | 1,
                    Some(cause) => {
                        if cause == 0b010 {
                            self.transmit_empty_cause = false;
                        }
                        fifo | cause
                    }
                }
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => {
                let status = self.line_status();
                self.overrun = false;
                self.front_errors_read = !self.received.is_empty();
                status
            }
            6 => 0xb0,
            7 => self.scr,
            _ => 0xff,
        }
    }

    fn write(&mut self, offset: u16, value: u8) {
        let dlab = self.lcr & 0x80 != 0;
        match offset {
            0 if dlab => self.divisor[0] = value,
            1 if dlab => self.divisor[1] = value,
            0 => {
                let depth = if self.fifo_enabled { FIFO_BYTES } else { 1 };
                assert!(
                    self.transmit.len() < depth,
                    "the driver overfills the transmitter"
                );
                self.transmit_empty_cause = false;
                self.transmit.push_back(value);
                if self.instant_transmit {
                    self.happen(Wire::Sent);
                }
            }
            1 => {
                if value & 2 != 0 && self.ier & 2 == 0 && self.transmit.is_empty() {
                    self.transmit_empty_cause = true;
                }
                self.ier = value & 0x0f;
            }
            2 => {
                let enable = value & 1 != 0;
                if enable != self.fifo_enabled || value & 2 != 0 {
                    self.received.clear();
                }
                self.fifo_enabled = enable && self.fifo_works;
            }
            3 => self.lcr = value,
            4 => self.mcr = value,
            7 => self.scr = value,
            _ => {}
        }
    }
}

#[derive(Clone)]
pub struct Model(Arc<Mutex<Chip>>);

impl Model {
    pub fn new(masking: Masking) -> Self {
        Self(Arc::new(Mutex::new(Chip {
            present: true,
            fifo_works: true,
            masking,
            received: VecDeque::new(),
            transmit: VecDeque::new(),
            sent: Vec::new(),
            lost_edges: 0,
            overran: 0,
            fifo_enabled: false,
            ier: 0,
            lcr: 0,
            mcr: 0,
            scr: 0,
            divisor: [0; 2],
            overrun: false,
            front_errors_read: false,
            transmit_empty_cause: false,
            output: false,
            pending: 0,
            unacked: false,
            waker: None,
            accesses: 0,
            script: VecDeque::new(),
            instant_transmit: false,
        })))
    }

    pub fn chip(&self) -> MutexGuard<'_, Chip> {
        self.0.lock().expect("no test panics with the chip locked")
    }
}

impl IoPorts for Model {
    fn read_u8(&self, offset: u16) -> u8 {
        let mut chip = self.chip();
        if !chip.present {
            return 0xff;
        }
        chip.before_access();
        let value = chip.read(offset);
        chip.update_line();
        value
    }

    fn write_u8(&self, offset: u16, value: u8) {
        let mut chip = self.chip();
        if chip.present {
            chip.before_access();
            chip.write(offset, value);
            chip.update_line();
        }
    }
}

impl Interrupt for Model {
    fn wait(&self) -> impl Future<Output = IrqEvent> + Send {
        poll_fn(|cx| {
            let mut chip = self.chip();
            if chip.unacked || chip.pending == 0 {
                chip.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            chip.unacked = true;
            let count = std::mem::take(&mut chip.pending);
            Poll::Ready(IrqEvent {
                stamp_ticks: 0,
                count,
            })
        })
    }

    fn ack(&self) {
        let mut chip = self.chip();
        // The moment right before an acknowledgement is one for the wire, too.
        chip.before_access();
        chip.unacked = false;
        if chip.pending > 0
            && let Some(waker) = chip.waker.take()
        {
            waker.wake();
        }
    }
}
