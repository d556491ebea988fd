//! Thousands of sleepers in virtual time.

use super::Random;
use crate::meter::{Gate, Meter, Reading};
use crate::peer::{Peer, Room, Waits};

/// Sleeps last up to 2^this ms. Whole milliseconds, because some peers know no finer ones.
const SPAN_BITS: u32 = 13;

pub(super) fn timers<P: Peer>(size: usize, ops: u64) -> Reading {
    let (meter, gate) = (Meter::leak(size as u64, ops), Gate::leak());
    let random: &'static Random = Box::leak(Box::new(Random::new(0xa076_1d64_78bd_642f)));
    P::run(
        Room {
            tasks: size + 1,
            timers: size,
            waits: Waits::Virtual,
        },
        |peer| async move {
            let mut storage = peer.storage(size);
            gate.enter(size);
            for _ in 0..size {
                let sleeper = peer.clone();
                peer.spawn(&mut storage, None, async move {
                    loop {
                        sleeper.sleep(1 + random.bits(SPAN_BITS)).await;
                        if !meter.tick() {
                            break;
                        }
                    }
                    gate.leave();
                });
            }
            gate.wait().await;
        },
    );
    meter.reading()
}
