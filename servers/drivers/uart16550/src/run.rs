//! The driver's task.

use rt::race::only_if;
use rt::{ByteSink, ByteSource, Either3, Interrupt, IoPorts, first_of_3, yield_now};

use crate::registers::{DATA, IIR_FCR, LSR, MSR, iir, lsr};
use crate::{FIFO_BYTES, Uart};

/// Rounds of the chip's FIFO served before other tasks get their turn.
pub const PASSES_PER_POLL: usize = 8;

/// Why [`Uart::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Both streams were closed by the other side.
    StreamsClosed,
    /// The chip reads as all ones: it is gone.
    Vanished,
    /// Another task runs this port already.
    AlreadyRunning,
}

/// What is between the chip and the streams.
struct Transfer {
    /// Received, not yet taken by the reader.
    held: [u8; FIFO_BYTES],
    held_bytes: usize,
    /// The receive interrupt is off, as `held` could not be passed on.
    stalled: bool,
    /// The transmitter is empty and so was the writer's stream.
    transmit_idle: bool,
    /// A look at the line status said that the byte at the front of the receiver is a break.
    front_is_break: bool,
    receive_closed: bool,
    transmit_closed: bool,
}

struct Vanished;

/// Whether a round found anything to do.
enum Progress {
    Some,
    None,
}

/// Turns the chip's interrupts off when the task ends or is dropped.
struct Claim<'a, P: IoPorts, I: Interrupt>(&'a Uart<P, I>);

impl<P: IoPorts, I: Interrupt> Drop for Claim<'_, P, I> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl<P: IoPorts, I: Interrupt> Uart<P, I> {
    /// Moves bytes: from the chip into `received`, from `to_send` into the chip. Runs until both
    /// streams are closed or the chip vanishes. Dropping it switches the chip's interrupts off.
    pub async fn run<R: ByteSink, T: ByteSource>(&self, received: &R, to_send: &T) -> RunEnd {
        if !self.claim() {
            return RunEnd::AlreadyRunning;
        }
        let _claim = Claim(self);
        self.enable_interrupts(true);
        let mut transfer = Transfer {
            held: [0; FIFO_BYTES],
            held_bytes: 0,
            stalled: false,
            transmit_idle: true,
            front_is_break: false,
            receive_closed: false,
            transmit_closed: false,
        };
        let mut interrupted = false;
        loop {
            let mut passes = 0;
            loop {
                match self.serve(&mut transfer, received, to_send) {
                    Err(Vanished) => return RunEnd::Vanished,
                    Ok(Progress::None) if interrupted => self.counters.spurious.add(1),
                    Ok(_) => {}
                }
                interrupted = false;
                // The acknowledgement comes before the look that decides to wait: an edge in
                // between is either remembered by the host or seen by this look.
                self.irq.ack();
                if self.ports.read_u8(IIR_FCR) & iir::NONE_PENDING != 0 {
                    break;
                }
                passes += 1;
                if passes == PASSES_PER_POLL {
                    passes = 0;
                    yield_now().await;
                }
            }
            if transfer.receive_closed && transfer.transmit_closed {
                return RunEnd::StreamsClosed;
            }
            let event = first_of_3(
                self.irq.wait(),
                only_if(transfer.stalled, received.writable()),
                only_if(
                    transfer.transmit_idle && !transfer.transmit_closed,
                    to_send.readable(),
                ),
            )
            .await;
            match event {
                Either3::A(event) => {
                    self.counters.interrupts.add(u64::from(event.count));
                    interrupted = true;
                }
                Either3::B(room) => transfer.receive_closed |= room.is_err(),
                Either3::C(bytes) => transfer.transmit_closed |= bytes.is_err(),
            }
        }
    }

    /// One round: whatever the chip has and wants, up to its FIFOs' size.
    fn serve<R: ByteSink, T: ByteSource>(
        &self,
        transfer: &mut Transfer,
        received: &R,
        to_send: &T,
    ) -> Result<Progress, Vanished> {
        let receiving = self.receive(transfer, received)?;
        let sending = self.transmit(transfer, to_send)?;
        // Clears a modem status cause; it is not enabled, but some firmware leaves it latched.
        self.ports.read_u8(MSR);
        Ok(if receiving || sending {
            Progress::Some
        } else {
            Progress::None
        })
    }

    /// Whether a byte came off the chip.
    fn receive<R: ByteSink>(
        &self,
        transfer: &mut Transfer,
        received: &R,
    ) -> Result<bool, Vanished> {
        let mut progressed = false;
        if transfer.held_bytes == 0 {
            while transfer.held_bytes < FIFO_BYTES {
                if self.line_status(transfer)? & lsr::DATA_READY == 0 {
                    break;
                }
                progressed = true;
                let byte = self.ports.read_u8(DATA);
                if !core::mem::take(&mut transfer.front_is_break) {
                    transfer.held[transfer.held_bytes] = byte;
                    transfer.held_bytes += 1;
                }
            }
        }
        self.pass_on(transfer, received);
        let stalled = transfer.held_bytes > 0;
        if stalled != transfer.stalled {
            transfer.stalled = stalled;
            self.enable_interrupts(!stalled);
            if stalled {
                self.counters.stalls.add(1);
            }
        }
        Ok(progressed)
    }

    fn pass_on<R: ByteSink>(&self, transfer: &mut Transfer, received: &R) {
        if transfer.receive_closed {
            // Nobody will read: the bytes are taken off the chip, so that its cause goes away.
            transfer.held_bytes = 0;
            return;
        }
        let taken = received.try_write(&transfer.held[..transfer.held_bytes]);
        transfer.held.copy_within(taken..transfer.held_bytes, 0);
        transfer.held_bytes -= taken;
        self.counters.received.add(taken as u64);
    }

    /// Whether bytes went to the chip, or it has become idle.
    fn transmit<T: ByteSource>(
        &self,
        transfer: &mut Transfer,
        to_send: &T,
    ) -> Result<bool, Vanished> {
        let was_idle = transfer.transmit_idle;
        if self.line_status(transfer)? & lsr::TRANSMIT_EMPTY == 0 {
            transfer.transmit_idle = false;
            return Ok(false);
        }
        let mut bytes = [0; FIFO_BYTES];
        let count = to_send.try_read(&mut bytes[..self.fifo_bytes]);
        for byte in &bytes[..count] {
            self.ports.write_u8(DATA, *byte);
        }
        self.counters.sent.add(count as u64);
        transfer.transmit_idle = count == 0;
        Ok(count > 0 || !was_idle)
    }

    /// Reads the line status, which clears its error bits: they are counted here, and a break is
    /// kept in mind for the byte it belongs to.
    fn line_status(&self, transfer: &mut Transfer) -> Result<u8, Vanished> {
        let status = self.ports.read_u8(LSR);
        if status == u8::MAX {
            return Err(Vanished);
        }
        for (bit, counter) in [
            (lsr::OVERRUN, &self.counters.overruns),
            (lsr::PARITY, &self.counters.parity_errors),
            (lsr::FRAMING, &self.counters.framing_errors),
            (lsr::BREAK, &self.counters.breaks),
        ] {
            if status & bit != 0 {
                counter.add(1);
            }
        }
        transfer.front_is_break |= status & lsr::BREAK != 0;
        Ok(status)
    }
}
