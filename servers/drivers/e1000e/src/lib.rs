//! Intel 82574L and its like, as a [`nic::Card`]: what QEMU has as `e1000e`, and many PCs on their boards.
//!
//! [`start`] resets the card, gives it its two rings ([`ring`]) and three messages: for received frames, for sent ones, for the link.
//! A message is masked by the card itself when it is sent, and armed again only by who is about to sleep; so a busy driver is not
//! interrupted, and no time between interrupts has to be prescribed: the first frame interrupts at once. [`receive`] and [`transmit`]
//! are the halves; both use legacy descriptors, which say all that is needed.
//!
//! What must hold: of what the card writes, only a status is believed that the driver waits for, and lengths are compared with the room
//! there was. Dropped, the card is stopped; the kernel resets it before it frees its memory.
#![no_std]
#![forbid(unsafe_code)]

mod error;
mod receive;
pub mod registers;
mod ring;
mod transmit;

use nic::{About, Checksums, Counters, Mac, STANDARD_MTU_BYTES, Sums};
use pci::{Function, Space};
use rt::{Clock, Either, Interrupt, first};

pub use error::Fault;
pub use receive::{Frame, Receiver};
pub use transmit::Transmitter;

use registers::{cause, ctrl, ctrl_ext, rctl, register, rxcsum, status, tctl};
use ring::Ring;

/// Cards that are driven: vendor and device.
pub const CARDS: [(u16, u16); 2] = [
    (0x8086, 0x10d3), // 82574L
    (0x8086, 0x10f6), // 82574LA
];

/// The window with the registers, and messages: received, sent, the link.
const WINDOW: u8 = 0;
const RECEIVED: u16 = 0;
const SENT: u16 = 1;
const NEWS: u16 = 2;
const MESSAGES: u32 = 3;
/// How long a reset takes at least (§4.6.2), and how often it is looked after that.
const LOOK_EVERY_NS: u64 = 1_000_000;
const LOOKS: u32 = 200;

/// A card that is being driven.
pub struct E1000e<F: Function> {
    registers: Stopped<F>,
    receiver: Receiver<F>,
    transmitter: Transmitter<F>,
    news: F::Line,
    about: About,
    link_is_up: bool,
    interrupts: u64,
    /// Counters that the card clears when they are read.
    lost: Counters,
    /// Kept for as long as the card is driven.
    _function: F,
}

/// Registers of a card that is stopped when they are dropped.
struct Stopped<F: Function>(F::Space);

impl<F: Function> Drop for Stopped<F> {
    fn drop(&mut self) {
        stop(&self.0);
    }
}

/// No interrupts, no receiving, no sending.
fn stop(registers: &impl Space) {
    registers.store_u32(register::IMC, u32::MAX);
    registers.store_u32(register::RCTL, 0);
    registers.store_u32(register::TCTL, tctl::PAD);
}

/// Resets a card and starts it.
///
/// # Errors
/// [`Fault`].
pub async fn start<F: Function, C: Clock>(function: F, clock: &C) -> Result<E1000e<F>, Fault> {
    let registers = function.registers(WINDOW)?;
    if registers.len() < register::BYTES {
        return Err(Fault::Window);
    }
    let messages = function.messages();
    if messages < MESSAGES {
        return Err(Fault::Messages(messages));
    }
    reset(&registers, clock).await?;
    let registers = Stopped(registers);
    let about = About {
        mac: address(&registers.0)?,
        mtu_bytes: STANDARD_MTU_BYTES,
        driver: "e1000e",
        checksums: Checksums {
            transmit: Sums::default(),
            receive: Sums {
                ipv4: true,
                tcp: true,
                udp: true,
            },
        },
    };
    let receiver = Receiver::new(Ring::new(&function, RECEIVED, cause::RECEIVED)?);
    let transmitter = Transmitter::new(Ring::new(&function, SENT, cause::SENT)?);
    let news = function.interrupt(NEWS)?;
    let mut card = E1000e {
        registers,
        receiver,
        transmitter,
        news,
        about,
        link_is_up: false,
        interrupts: 0,
        lost: Counters::default(),
        _function: function,
    };
    card.begin();
    card.look_at_link()?;
    Ok(card)
}

async fn reset(registers: &impl Space, clock: &impl Clock) -> Result<(), Fault> {
    stop(registers);
    // Accesses to memory end first (§5.2.5.3.2); a card that does not say so is reset all the same.
    let control = registers.load_u32(register::CTRL);
    registers.store_u32(register::CTRL, control | ctrl::MASTER_DISABLE);
    for _ in 0..LOOKS {
        if registers.load_u32(register::STATUS) & status::MASTER_ENABLED == 0 {
            break;
        }
        clock.sleep(LOOK_EVERY_NS).await;
    }
    let control = registers.load_u32(register::CTRL);
    registers.store_u32(register::CTRL, control | ctrl::RESET);
    for _ in 0..LOOKS {
        // At least once: until then it may not be read.
        clock.sleep(LOOK_EVERY_NS).await;
        let control = registers.load_u32(register::CTRL);
        if control & ctrl::RESET == 0 {
            // Its reset let interrupts be as they are without a driver.
            stop(registers);
            return Ok(());
        }
    }
    Err(if registers.load_u32(register::STATUS) == status::GONE {
        Fault::Gone
    } else {
        Fault::NoReset
    })
}

/// The address that the reset has loaded.
fn address(registers: &impl Space) -> Result<Mac, Fault> {
    let [a, b, c, d] = registers.load_u32(register::RAL).to_le_bytes();
    let high = registers.load_u32(register::RAH);
    let [e, f, ..] = high.to_le_bytes();
    let mac = Mac([a, b, c, d, e, f]);
    if !mac.is_station() {
        return Err(Fault::NoAddress);
    }
    registers.store_u32(register::RAH, high | registers::ADDRESS_VALID);
    Ok(mac)
}

impl<F: Function> E1000e<F> {
    /// Sets it up (§4.6) and lets it go.
    fn begin(&mut self) {
        let Stopped(registers) = &self.registers;
        let set = |offset, value| registers.store_u32(offset, value);
        for word in 0..register::MTA_WORDS {
            set(register::MTA + 4 * word, 0);
        }
        for message in 0..MESSAGES as usize {
            set(register::EITR + 4 * message, 0);
        }
        set(register::RDTR, 0);
        set(register::TIDV, 0);
        set(register::IVAR, registers::IVAR);
        set(register::EIAC, cause::RECEIVED | cause::SENT);
        let extended = registers.load_u32(register::CTRL_EXT);
        set(
            register::CTRL_EXT,
            extended | ctrl_ext::DRIVER_LOADED | ctrl_ext::PBA_CLEAR,
        );
        for (ring, [low, high, bytes, head, tail]) in [
            (
                self.receiver.ring.address(),
                [
                    register::RDBAL,
                    register::RDBAH,
                    register::RDLEN,
                    register::RDH,
                    register::RDT,
                ],
            ),
            (
                self.transmitter.ring.address(),
                [
                    register::TDBAL,
                    register::TDBAH,
                    register::TDLEN,
                    register::TDH,
                    register::TDT,
                ],
            ),
        ] {
            set(low, ring as u32);
            set(high, (ring >> 32) as u32);
            set(bytes, Ring::<F>::BYTES);
            set(head, 0);
            set(tail, 0);
        }
        set(register::RXCSUM, rxcsum::IPV4 | rxcsum::PAYLOAD);
        set(
            register::RCTL,
            rctl::ENABLE | rctl::ALL_GROUPS | rctl::BROADCAST | rctl::STRIP_CRC,
        );
        set(register::TIPG, registers::TIPG);
        set(
            register::TCTL,
            tctl::ENABLE | tctl::PAD | tctl::COLLISIONS | tctl::SEVERAL_READS,
        );
        let control = registers.load_u32(register::CTRL);
        set(
            register::CTRL,
            control & !ctrl::FORCED | ctrl::SET_LINK_UP | ctrl::AUTO_SPEED,
        );
        self.receiver.begin(registers);
        set(register::IMS, cause::LINK | cause::OTHER);
    }

    /// Whether the link came or went.
    fn look_at_link(&mut self) -> Result<bool, Fault> {
        let status = self.registers.0.load_u32(register::STATUS);
        if status == status::GONE {
            return Err(Fault::Gone);
        }
        let is_up = status & status::LINK_UP != 0;
        Ok(core::mem::replace(&mut self.link_is_up, is_up) != is_up)
    }

    /// The card has news.
    fn take_news(&mut self) -> Result<bool, Fault> {
        let Stopped(registers) = &self.registers;
        self.news.ack();
        self.interrupts += 1;
        // Before it is read: what changes later interrupts anew.
        registers.store_u32(register::ICR, cause::LINK | cause::OTHER);
        registers.store_u32(register::IMS, cause::LINK | cause::OTHER);
        let count = |offset| u64::from(registers.load_u32(offset));
        self.lost.dropped_no_buffer += count(register::MPC);
        self.lost.dropped_bad +=
            count(register::CRCERRS) + count(register::RUC) + count(register::ROC);
        self.look_at_link()
    }

    /// Whether there is what is waited for: room, once it was said that there is none, else a frame.
    fn has_work(&mut self) -> bool {
        if !self.transmitter.is_awaited {
            return self.receiver.has_next();
        }
        self.transmitter.is_awaited = !self.transmitter.reclaim();
        !self.transmitter.is_awaited
    }
}

impl<F: Function> nic::Card for E1000e<F> {
    type Receiver = Receiver<F>;
    type Transmitter = Transmitter<F>;
    type Fault = Fault;

    fn about(&self) -> &About {
        &self.about
    }

    fn link_is_up(&self) -> bool {
        self.link_is_up
    }

    fn halves(&mut self) -> (&mut Receiver<F>, &mut Transmitter<F>) {
        (&mut self.receiver, &mut self.transmitter)
    }

    fn flush(&mut self) {
        let Stopped(registers) = &self.registers;
        self.transmitter.flush(registers);
        self.receiver.flush(registers);
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        loop {
            if let Some(fault) = self.receiver.fault {
                return Err(fault);
            }
            if self.has_work() {
                return Ok(());
            }
            let ring = awaited(&mut self.receiver, &mut self.transmitter);
            ring.arm(&self.registers.0);
            if self.has_work() {
                return Ok(());
            }
            let ring = awaited(&mut self.receiver, &mut self.transmitter);
            let woken = first(self.news.wait(), ring.interrupted()).await;
            if matches!(woken, Either::A(_)) && self.take_news()? {
                return Ok(());
            }
        }
    }

    fn counters(&self) -> Counters {
        let (received, sent) = (&self.receiver, &self.transmitter);
        Counters {
            sent_frames: sent.counters.sent_frames,
            sent_bytes: sent.counters.sent_bytes,
            refused_full: sent.counters.refused_full,
            dropped_no_buffer: self.lost.dropped_no_buffer,
            dropped_bad: received.counters.dropped_bad + self.lost.dropped_bad,
            interrupts: received.ring.interrupts + sent.ring.interrupts + self.interrupts,
            ..received.counters
        }
    }
}

/// The ring whose interrupt ends the wait.
fn awaited<'a, F: Function>(
    receiver: &'a mut Receiver<F>,
    transmitter: &'a mut Transmitter<F>,
) -> &'a mut Ring<F> {
    if transmitter.is_awaited {
        &mut transmitter.ring
    } else {
        &mut receiver.ring
    }
}
