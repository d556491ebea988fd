//! The driver's task.

use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;

use rt::{ByteSink, Closed, Interrupt, IoPorts, IrqEvent, yield_now};

use crate::registers::{DATA, STATUS_COMMAND, status};
use crate::{Controller, Port};

/// Bytes served before other tasks get their turn.
const BYTES_PER_POLL: u32 = 32;

/// Why [`Controller::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The receiver takes no more.
    StreamClosed,
    /// The controller reads as all ones: it is gone.
    Vanished,
}

/// Who takes the bytes.
pub trait Receiver: Send + Sync {
    /// Takes a byte; false, and nothing happens, if there is no room for one. `stamp_ticks` is the tick of its interrupt.
    fn try_take(&self, port: Port, byte: u8, stamp_ticks: u64) -> bool;
    /// Ready when there is room; [`Closed`] when there will never be.
    fn room(&self) -> impl Future<Output = Result<(), Closed>> + Send;
}

/// The keyboard's bytes as a stream.
#[derive(Debug)]
pub struct KeyboardStream<S>(pub S);

impl<S: ByteSink> Receiver for KeyboardStream<S> {
    fn try_take(&self, port: Port, byte: u8, _stamp_ticks: u64) -> bool {
        port == Port::Second || self.0.try_write(&[byte]) == 1
    }

    fn room(&self) -> impl Future<Output = Result<(), Closed>> + Send {
        self.0.writable()
    }
}

/// Interrupts, by port.
type Delivered = [Option<IrqEvent>; 2];

/// What the task knows of the interrupts.
#[derive(Default)]
struct Round {
    /// Delivered since the last acknowledgement.
    delivered: Delivered,
    acknowledged: bool,
    /// The last wait was ended by an interrupt.
    interrupted: bool,
    /// When the last one came.
    last_ticks: u64,
}

impl Round {
    fn add(&mut self, delivered: Delivered) {
        for (place, event) in self.delivered.iter_mut().zip(delivered) {
            if let Some(event) = event {
                self.last_ticks = self.last_ticks.max(event.stamp_ticks);
                self.acknowledged = false;
                *place = Some(event);
            }
        }
    }

    fn of(&self, port: Port) -> Option<IrqEvent> {
        let [keyboard, mouse] = self.delivered;
        match port {
            Port::First => keyboard,
            Port::Second => mouse,
        }
    }
}

impl<P: IoPorts, I: Interrupt> Controller<P, I> {
    /// Gives each byte to `receiver`, until that is closed or the controller vanishes. To be run by one task at a time.
    pub async fn run<R: Receiver>(&self, receiver: &R) -> RunEnd {
        let mut round = Round::default();
        let mut served = 0;
        loop {
            let bits = self.ports.read_u8(STATUS_COMMAND);
            if bits == u8::MAX {
                return RunEnd::Vanished;
            }
            if bits & status::OUTPUT_FULL == 0 {
                // Empty once before the acknowledgement, so that the bytes of one burst cost one
                // delivery, and once after it, so that no edge is lost.
                if !round.acknowledged {
                    self.acknowledge();
                    round.acknowledged = true;
                    round.delivered = Delivered::default();
                    continue;
                }
                if round.interrupted && served == 0 {
                    self.counters.spurious.add(1);
                }
                round.add(self.wait().await);
                round.interrupted = true;
                served = 0;
                continue;
            }
            if let Some((port, byte)) = self.take(bits) {
                let stamp_ticks = self.stamp(&mut round, port).await;
                while !receiver.try_take(port, byte, stamp_ticks) {
                    self.counters.stalls.add(1);
                    if receiver.room().await.is_err() {
                        return RunEnd::StreamClosed;
                    }
                }
                match port {
                    Port::First => self.counters.bytes.add(1),
                    Port::Second => self.counters.mouse_bytes.add(1),
                }
            }
            served += 1;
            if served % BYTES_PER_POLL == 0 {
                yield_now().await;
            }
        }
    }

    fn acknowledge(&self) {
        self.lines.keyboard.ack();
        if let Some(line) = self.mouse_line() {
            line.ack();
        }
    }

    fn mouse_line(&self) -> Option<&I> {
        self.lines.mouse.as_ref().filter(|_| self.mouse().is_some())
    }

    /// What is delivered now, or as soon as something is.
    async fn wait(&self) -> Delivered {
        let mut keyboard = pin!(self.lines.keyboard.wait());
        let mut mouse = pin!(async {
            match self.mouse_line() {
                Some(line) => line.wait().await,
                None => pending().await,
            }
        });
        let delivered = poll_fn(|cx| {
            let of_keyboard = ready(keyboard.as_mut().poll(cx));
            match [of_keyboard, ready(mouse.as_mut().poll(cx))] {
                [None, None] => Poll::Pending,
                delivered => Poll::Ready(delivered),
            }
        })
        .await;
        for event in delivered.iter().flatten() {
            self.counters.interrupts.add(u64::from(event.count));
        }
        delivered
    }

    /// When the interrupt of this port's byte came. The byte may be found before its interrupt was waited for.
    async fn stamp(&self, round: &mut Round, port: Port) -> u64 {
        if round.of(port).is_none() {
            let mut wait = pin!(self.wait());
            if let Some(more) = poll_fn(|cx| Poll::Ready(ready(wait.as_mut().poll(cx)))).await {
                round.add(more);
            }
        }
        round
            .of(port)
            .map_or(round.last_ticks, |event| event.stamp_ticks)
    }

    /// Takes the waiting byte off the controller, if it is one of a device that is driven, and whole.
    fn take(&self, bits: u8) -> Option<(Port, u8)> {
        let byte = self.ports.read_u8(DATA);
        let port = if bits & status::SECOND_PORT == 0 {
            Port::First
        } else if self.mouse().is_some() {
            Port::Second
        } else {
            self.counters.second_port_bytes.add(1);
            return None;
        };
        if bits & (status::TIMEOUT | status::PARITY) != 0 {
            self.counters.errors.add(1);
            return None;
        }
        Some((port, byte))
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
