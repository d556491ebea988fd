//! The driver's task.

use rt::{ByteSink, Interrupt, IoPorts, yield_now};

use crate::Controller;
use crate::registers::{DATA, STATUS_COMMAND, status};

/// Bytes served before other tasks get their turn.
const BYTES_PER_POLL: u32 = 32;

/// Why [`Controller::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The stream was closed by the other side.
    StreamClosed,
    /// The controller reads as all ones: it is gone.
    Vanished,
}

impl<P: IoPorts, I: Interrupt> Controller<P, I> {
    /// Passes the keyboard's bytes (scan code set 1) on to `scancodes`, until that is closed or the
    /// controller vanishes. To be run by one task at a time.
    pub async fn run<S: ByteSink>(&self, scancodes: &S) -> RunEnd {
        let mut interrupted = false;
        let mut acknowledged = false;
        let mut served = 0;
        loop {
            let bits = self.ports.read_u8(STATUS_COMMAND);
            if bits == u8::MAX {
                return RunEnd::Vanished;
            }
            if bits & status::OUTPUT_FULL == 0 {
                // Empty once before the acknowledgement, so that the bytes of one burst cost one
                // delivery, and once after it, so that no edge is lost.
                if !acknowledged {
                    self.irq.ack();
                    acknowledged = true;
                    continue;
                }
                if interrupted && served == 0 {
                    self.counters.spurious.add(1);
                }
                let event = self.irq.wait().await;
                self.counters.interrupts.add(u64::from(event.count));
                interrupted = true;
                acknowledged = false;
                served = 0;
                continue;
            }
            if let Some(byte) = self.take(bits) {
                if scancodes.try_write(&[byte]) == 0 {
                    self.counters.stalls.add(1);
                    if scancodes.write_all(&[byte]).await.is_err() {
                        return RunEnd::StreamClosed;
                    }
                }
                self.counters.bytes.add(1);
            }
            served += 1;
            if served % BYTES_PER_POLL == 0 {
                yield_now().await;
            }
        }
    }

    /// Takes the waiting byte off the controller, if it is the keyboard's and whole.
    fn take(&self, bits: u8) -> Option<u8> {
        let byte = self.ports.read_u8(DATA);
        if bits & status::SECOND_PORT != 0 {
            self.counters.second_port_bytes.add(1);
            return None;
        }
        if bits & (status::TIMEOUT | status::PARITY) != 0 {
            self.counters.errors.add(1);
            return None;
        }
        Some(byte)
    }
}
