//! What a task costs: to make and end, and in memory.

use crate::alloc_count::live_bytes;
use crate::meter::{Gate, Meter, Reading};
use crate::peer::{Peer, Room};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

struct Ends {
    gate: &'static Gate,
}

impl Future for Ends {
    type Output = ();

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        self.gate.leave();
        Poll::Ready(())
    }
}

/// Batches of `size` tasks, each batch spawned at once and waited for.
pub(super) fn spawn_finish<P: Peer>(size: usize, ops: u64) -> Reading {
    let batches = ops.div_ceil(size as u64);
    let meter = Meter::leak(4, batches);
    let gate = Gate::leak();
    P::run(Room::busy(size), |peer| async move {
        let mut storage = peer.storage(size);
        while meter.tick() {
            gate.enter(size);
            for _ in 0..size {
                peer.spawn(&mut storage, None, Ends { gate });
            }
            gate.wait().await;
        }
    });
    let mut reading = meter.reading();
    reading.ns_per_op = reading.ns_per_op.map(|ns| ns / size as f64);
    if let Some(allocations) = reading.extra.get_mut("allocs_per_op") {
        *allocations /= size as f64;
    }
    reading
}

/// Blocks for ever once it was polled; as big as a small task. It keeps its waker, as whoever waits does: some executors
/// free tasks that nobody can wake.
struct Blocked {
    gate: &'static Gate,
    waker: Option<Waker>,
    _content: [u64; 5],
}

impl Future for Blocked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.waker.is_none() {
            self.waker = Some(context.waker().clone());
            self.gate.leave();
        }
        Poll::Pending
    }
}

/// Bytes held when `size` tasks live and block, the executor included.
fn held<P: Peer>(size: usize) -> u64 {
    let gate = Gate::leak();
    let bytes: &'static Cell<u64> = Box::leak(Box::default());
    let before = live_bytes();
    P::run(Room::busy(size), |peer| async move {
        let mut storage = peer.storage(size);
        gate.enter(size);
        for _ in 0..size {
            peer.spawn(
                &mut storage,
                None,
                Blocked {
                    gate,
                    waker: None,
                    _content: [0; 5],
                },
            );
        }
        gate.wait().await;
        bytes.set(live_bytes() - before);
    });
    bytes.get()
}

/// The slope between `size` and twice as many tasks, so that what an executor needs once is not in it.
pub(super) fn task_bytes<P: Peer>(size: usize) -> Reading {
    let slope = (held::<P>(2 * size) as f64 - held::<P>(size) as f64) / size as f64;
    Reading::default().with("bytes_per_task", slope - size_of::<Blocked>() as f64)
}
