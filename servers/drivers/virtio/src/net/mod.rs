//! Network cards (§5.1), as [`nic::Card`]s.
//!
//! [`start`] agrees with the device and makes its pairs of queues; each [`Net`] is one pair, so that several cores can drive a device,
//! each of them its own queues. One slot of memory holds a header and a frame; nothing is copied and nothing allocated after the start.
//! Queues interrupt only while somebody sleeps: the receiving one for the next frame, the sending one for room after it was full.
//!
//! Frames never span buffers, so neither mergeable buffers nor segmentation are agreed on: they serve frames longer than the MTU.

mod control;
mod receive;
mod slots;
mod transmit;
pub mod wire;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::pending;
use core::sync::atomic::{AtomicBool, Ordering};

use nic::{About, Checksums, Counters, HEADER_BYTES, Mac, STANDARD_MTU_BYTES, Sums};
use rt::{Clock, Either, Interrupt, first};

pub use receive::{Frame, Receiver};
pub use transmit::Transmitter;

use self::control::Control;
use self::wire::{command, config, feature};
use crate::hardware::Function;
use crate::{Device, Fault};

/// Messages: changes of configuration, then two for each pair, then the queue of commands.
const CONFIG_MESSAGE: u16 = 0;
const FIRST_MESSAGE: u16 = 1;
/// Least that an IPv4 host must take (RFC 791 §3.2).
const LEAST_MTU_BYTES: u16 = 68;
/// Most pairs of queues that are made.
pub const MOST_PAIRS: u16 = 16;

/// What all pairs share.
struct Common<F: Function> {
    device: Device<F>,
    link_is_up: AtomicBool,
}

/// A pair of queues of a device.
pub struct Net<F: Function> {
    // Dropped first: the queues, then the device.
    receiver: Receiver<F>,
    transmitter: Transmitter<F>,
    /// Changes of configuration: told to the first pair.
    news: Option<News<F>>,
    about: About,
    common: Arc<Common<F>>,
}

struct News<F: Function> {
    line: F::Line,
    interrupts: u64,
}

/// Waits for a change of configuration; for ever, if another pair is told.
async fn news<F: Function>(news: Option<&News<F>>) {
    match news {
        Some(news) => {
            news.line.wait().await;
        }
        None => pending().await,
    }
}

fn word<F: Function>(device: &Device<F>, offset: usize) -> Result<u16, Fault> {
    let mut bytes = [0; 2];
    device.own().read(offset, &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}

/// Starts a device with at most `most_pairs` pairs of queues, and one at least. The first one is told of the link.
///
/// # Errors
/// [`Fault`].
pub async fn start<F: Function, C: Clock>(
    function: F,
    most_pairs: u16,
    clock: &C,
) -> Result<Vec<Net<F>>, Fault> {
    let several = if most_pairs > 1 { feature::MQ } else { 0 };
    let wanted = feature::CSUM
        | feature::GUEST_CSUM
        | feature::MTU
        | feature::MAC
        | feature::STATUS
        | feature::CTRL_VQ
        | feature::CTRL_RX
        | several
        | crate::feature::EVENT_INDEX;
    let device = Device::start(function, wanted, clock).await?;
    let has = |feature| device.features() & feature != 0;
    let about = about(&device)?;
    // With several pairs the commands' queue follows the last one there is, used or not (§5.1.2).
    let pairs_there = if has(feature::MQ) {
        word(&device, config::MAX_PAIRS)?
    } else {
        1
    };
    let pairs = most_pairs.clamp(1, MOST_PAIRS).min(pairs_there);
    if pairs == 0 || pairs_there > 0x8000 {
        return Err(Fault::Nonsense("it has no pair of queues, or too many"));
    }
    let config_line = device.config_interrupt(CONFIG_MESSAGE)?;
    let adds_checksums = has(feature::CSUM);
    let mut halves = Vec::new();
    halves
        .try_reserve_exact(pairs.into())
        .map_err(|_| Fault::NoMemory)?;
    for pair in 0..pairs {
        let (index, message) = (2 * pair, FIRST_MESSAGE + 2 * pair);
        let mtu_bytes = about.mtu_bytes;
        halves.push((
            Receiver::new(&device, index, message, mtu_bytes)?,
            Transmitter::new(&device, index + 1, message + 1, mtu_bytes, adds_checksums)?,
        ));
    }
    let mut control = if has(feature::CTRL_VQ) && (pairs > 1 || has(feature::CTRL_RX)) {
        let message = FIRST_MESSAGE + 2 * pairs;
        Some(Control::new(&device, 2 * pairs_there, message)?)
    } else {
        None
    };
    device.go();
    if let Some(control) = &mut control {
        if has(feature::CTRL_RX) {
            // A device that does not do so passes more frames up, which is allowed.
            control.command(command::ALL_GROUPS, &[1]).await?;
            control.command(command::PROMISCUOUS, &[0]).await?;
        }
        if pairs > 1
            && !control
                .command(command::PAIRS, &pairs.to_le_bytes())
                .await?
        {
            return Err(Fault::Nonsense("it does not use as many queues as it has"));
        }
    }
    let common = Arc::new(Common {
        link_is_up: AtomicBool::new(true),
        device,
    });
    common.look_at_link()?;
    let mut news = Some(News {
        line: config_line,
        interrupts: 0,
    });
    let mut cards = Vec::new();
    cards
        .try_reserve_exact(pairs.into())
        .map_err(|_| Fault::NoMemory)?;
    cards.extend(halves.into_iter().map(|(mut receiver, transmitter)| {
        receiver.queue.notify();
        Net {
            receiver,
            transmitter,
            news: news.take(),
            about,
            common: Arc::clone(&common),
        }
    }));
    Ok(cards)
}

fn about<F: Function>(device: &Device<F>) -> Result<About, Fault> {
    let has = |feature| device.features() & feature != 0;
    let mut mac = [0; 6];
    if has(feature::MAC) {
        device.own().read(config::MAC, &mut mac)?;
    }
    let mac = Mac(mac);
    if !mac.is_station() {
        return Err(Fault::Nonsense("it has no address of its own"));
    }
    let mtu_bytes = if has(feature::MTU) {
        word(device, config::MTU)?
    } else {
        STANDARD_MTU_BYTES
    };
    // The length of a frame fits into 16 bits.
    if !(LEAST_MTU_BYTES..=u16::MAX - HEADER_BYTES as u16).contains(&mtu_bytes) {
        return Err(Fault::Nonsense("its MTU is none"));
    }
    let sums = |is_done| Sums {
        ipv4: false,
        tcp: is_done,
        udp: is_done,
    };
    Ok(About {
        mac,
        mtu_bytes,
        driver: "virtio-net",
        checksums: Checksums {
            transmit: sums(has(feature::CSUM)),
            receive: sums(has(feature::GUEST_CSUM)),
        },
    })
}

impl<F: Function> Common<F> {
    /// Whether the link changed.
    fn look_at_link(&self) -> Result<bool, Fault> {
        if self.device.features() & feature::STATUS == 0 {
            return Ok(false);
        }
        let is_up = word(&self.device, config::STATUS)? & config::LINK_UP != 0;
        Ok(self.link_is_up.swap(is_up, Ordering::Relaxed) != is_up)
    }
}

impl<F: Function> Net<F> {
    fn fault(&self) -> Result<(), Fault> {
        match self.receiver.broken.or(self.transmitter.broken) {
            Some(broken) => Err(Fault::Broken(broken)),
            None => Ok(()),
        }
    }

    /// The configuration has changed; whether the link has.
    fn take_news(&mut self) -> Result<bool, Fault> {
        if let Some(news) = &mut self.news {
            // Before it is read: what changes later interrupts anew.
            news.line.ack();
            news.interrupts += 1;
        }
        if self.common.device.needs_reset() {
            return Err(Fault::GaveUp);
        }
        self.common.look_at_link()
    }

    /// Whether there is what is waited for: room, once it was said that there is none, else a frame.
    fn has_work(&mut self) -> bool {
        if !self.transmitter.is_awaited {
            return self.receiver.queue.has_next();
        }
        let is_met = self.transmitter.may_have_room();
        self.transmitter.is_awaited &= !is_met;
        is_met
    }

    /// Has what is waited for interrupt, and nothing else.
    fn arm(&mut self) {
        let (awaited, other) = if self.transmitter.is_awaited {
            (&mut self.transmitter.queue, &mut self.receiver.queue)
        } else {
            (&mut self.receiver.queue, &mut self.transmitter.queue)
        };
        other.silence();
        awaited.arm();
    }
}

impl<F: Function> nic::Card for Net<F> {
    type Receiver = Receiver<F>;
    type Transmitter = Transmitter<F>;
    type Fault = Fault;

    fn about(&self) -> &About {
        &self.about
    }

    fn link_is_up(&self) -> bool {
        self.common.link_is_up.load(Ordering::Relaxed)
    }

    fn halves(&mut self) -> (&mut Receiver<F>, &mut Transmitter<F>) {
        (&mut self.receiver, &mut self.transmitter)
    }

    fn flush(&mut self) {
        self.transmitter.queue.notify();
        self.receiver.queue.notify();
    }

    async fn ready(&mut self) -> Result<(), Fault> {
        loop {
            self.fault()?;
            if self.has_work() {
                break;
            }
            // What comes from here on interrupts; what came before is seen by looking once more.
            self.arm();
            if self.has_work() {
                break;
            }
            let queue = if self.transmitter.is_awaited {
                &mut self.transmitter.queue
            } else {
                &mut self.receiver.queue
            };
            let woken = first(news(self.news.as_ref()), queue.interrupted()).await;
            if woken == Either::A(()) && self.take_news()? {
                break;
            }
        }
        // Until they are armed again: who is awake looks by itself.
        self.receiver.queue.silence();
        self.transmitter.queue.silence();
        Ok(())
    }

    fn counters(&self) -> Counters {
        let news = self.news.as_ref().map_or(0, |news| news.interrupts);
        let (received, sent) = (&self.receiver, &self.transmitter);
        Counters {
            sent_frames: sent.counters.sent_frames,
            sent_bytes: sent.counters.sent_bytes,
            refused_full: sent.counters.refused_full,
            interrupts: received.queue.interrupts() + sent.queue.interrupts() + news,
            ..received.counters
        }
    }
}
