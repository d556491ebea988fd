//! The driver's task.

use rt::race::only_if;
use rt::{ByteSink, ByteSource, Either3, Interrupt, IoPorts, first_of_3, yield_now};

use crate::registers::{DATA, IER, IIR_FCR, LSR, MSR, ier, iir, lsr};
use crate::{FIFO_BYTES, Uart};

/// Rounds of the chip's FIFO served before other tasks get their turn.
pub const PASSES_PER_POLL: usize = 2;

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
    /// `held` could not be passed on.
    stalled: bool,
    transmit: Transmit,
    /// What the interrupt enable register holds.
    enabled: u8,
    /// A look at the line status said that the byte at the front of the receiver is a break.
    front_is_break: bool,
    receive_closed: bool,
    transmit_closed: bool,
}

struct Vanished;

/// What the transmitter waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transmit {
    /// The writer's stream was empty.
    Bytes,
    /// The chip has bytes to send: for its interrupt.
    Chip,
    /// Nothing: both could go on, but the round was over.
    Turn,
}

/// Whether a round found anything to do.
enum Progress {
    Some,
    None,
}

/// FIFOs filled in one round, by a chip that sends faster than it is filled: an emulated one, where
/// each byte can take a tenth of a millisecond.
const FILLS_PER_ROUND: usize = 1;

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
        let mut transfer = Transfer {
            held: [0; FIFO_BYTES],
            held_bytes: 0,
            stalled: false,
            transmit: Transmit::Bytes,
            enabled: 0,
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
                let nothing_pending = self.ports.read_u8(IIR_FCR) & iir::NONE_PENDING != 0;
                if nothing_pending && transfer.transmit != Transmit::Turn {
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
                    transfer.transmit == Transmit::Bytes && !transfer.transmit_closed,
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
        self.enable_interrupts(transfer);
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
        if stalled && !transfer.stalled {
            self.counters.stalls.add(1);
        }
        transfer.stalled = stalled;
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
        let before = transfer.transmit;
        let mut progressed = false;
        for _ in 0..FILLS_PER_ROUND {
            if self.line_status(transfer)? & lsr::TRANSMIT_EMPTY == 0 {
                transfer.transmit = Transmit::Chip;
                return Ok(progressed);
            }
            let mut bytes = [0; FIFO_BYTES];
            let count = to_send.try_read(&mut bytes[..self.fifo_bytes]);
            if count == 0 {
                transfer.transmit = Transmit::Bytes;
                return Ok(progressed || before != Transmit::Bytes);
            }
            progressed = true;
            for byte in &bytes[..count] {
                self.ports.write_u8(DATA, *byte);
            }
            self.counters.sent.add(count as u64);
        }
        transfer.transmit = Transmit::Turn;
        Ok(true)
    }

    /// Enables the interrupts that are waited for, and no others: reception unless it is held back,
    /// the empty transmitter only while it has something to send. Emulated chips send each byte at
    /// once and would raise the line for every one.
    fn enable_interrupts(&self, transfer: &mut Transfer) {
        let receive = if transfer.stalled {
            0
        } else {
            ier::RECEIVED | ier::LINE_STATUS
        };
        let transmit = if transfer.transmit == Transmit::Chip {
            ier::TRANSMIT_EMPTY
        } else {
            0
        };
        let wanted = receive | transmit;
        if wanted != transfer.enabled {
            self.ports.write_u8(IER, wanted);
            transfer.enabled = wanted;
        }
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
