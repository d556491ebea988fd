//! Requests to one core to flush translations: any core posts, the core itself serves.
//!
//! A request is a ticket number and one word in a small ring. The word names itself by its ticket, so the reader knows whether
//! it is the one it looks for; if it is not (overwritten by a later one, or not written yet) the reader flushes everything
//! instead. So posting never waits, and nothing is ever lost.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{Flush, MOST_PAGES};

/// Requests that keep their ranges.
const RING: usize = 16;
/// The word: 35 bits of page number, 6 of page count (0: all), 23 of ticket.
const COUNT_SHIFT: u32 = 35;
const TICKET_SHIFT: u32 = 41;
const PAGE_MASK: u64 = (1 << COUNT_SHIFT) - 1;
const COUNT_MASK: u64 = (1 << (TICKET_SHIFT - COUNT_SHIFT)) - 1;

/// One core's requests.
#[derive(Debug)]
pub struct Mailbox {
    /// Requests ever posted.
    posted: AtomicU64,
    /// Requests ever served.
    served: AtomicU64,
    ring: [AtomicU64; RING],
}

/// Requests being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    first: u64,
    end: u64,
}

impl Mailbox {
    /// Nothing posted.
    pub const fn new() -> Self {
        Self {
            posted: AtomicU64::new(0),
            served: AtomicU64::new(0),
            ring: [const { AtomicU64::new(0) }; RING],
        }
    }

    /// Posts a request. `true`: interrupt the core; else somebody who posted before is about to, or it is serving and will look again.
    #[must_use = "a request that nobody announces is served with the next one"]
    pub fn post(&self, flush: Flush) -> bool {
        let ticket = self.posted.fetch_add(1, Ordering::SeqCst);
        if let Some(slot) = self.ring.get(ticket as usize % RING) {
            slot.store(encode(ticket, flush), Ordering::SeqCst);
        }
        self.served.load(Ordering::SeqCst) == ticket
    }

    /// Requests posted so far. When [`Self::has_served`] them, all who posted them are answered.
    pub fn posted(&self) -> u64 {
        self.posted.load(Ordering::SeqCst)
    }

    /// Whether the first `posted` requests have been served.
    pub fn has_served(&self, posted: u64) -> bool {
        self.served.load(Ordering::SeqCst) >= posted
    }

    /// The requests to serve now. Only the core itself, interrupts off.
    pub fn pending(&self) -> Option<Pending> {
        let first = self.served.load(Ordering::SeqCst);
        let end = self.posted.load(Ordering::SeqCst);
        (first != end).then_some(Pending { first, end })
    }

    /// Calls `visit` with each range to flush, or says `false` if there is no telling: then everything must be flushed (as
    /// also when `visit` has been called for some).
    pub fn ranges(&self, pending: Pending, mut visit: impl FnMut(u64, u64)) -> bool {
        let tickets = pending.end - pending.first;
        if tickets > RING as u64 {
            return false;
        }
        let mut pages = 0;
        for ticket in pending.first..pending.end {
            let word = self
                .ring
                .get(ticket as usize % RING)
                .map_or(0, |slot| slot.load(Ordering::SeqCst));
            let Some(Flush::Pages { start, count }) = decode(ticket, word) else {
                return false;
            };
            pages += count;
            if pages > MOST_PAGES {
                return false;
            }
            visit(start, count);
        }
        true
    }

    /// The requests are served: what they were about has been flushed. Then look for [`Self::pending`] again.
    pub fn done(&self, pending: Pending) {
        self.served.store(pending.end, Ordering::SeqCst);
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Tickets are named by their low 23 bits: one that is late by a multiple of eight million, at the right place of the ring,
/// would be taken for another. Between number and word a poster runs three instructions.
const fn name(ticket: u64) -> u64 {
    ticket.wrapping_add(1) << TICKET_SHIFT
}

const fn encode(ticket: u64, flush: Flush) -> u64 {
    match flush {
        Flush::Pages { start, count } if count != 0 && count <= COUNT_MASK => {
            name(ticket) | count << COUNT_SHIFT | start >> 12 & PAGE_MASK
        }
        _ => name(ticket),
    }
}

const fn decode(ticket: u64, word: u64) -> Option<Flush> {
    if word >> TICKET_SHIFT != name(ticket) >> TICKET_SHIFT {
        return None;
    }
    Some(match word >> COUNT_SHIFT & COUNT_MASK {
        0 => Flush::All,
        count => Flush::Pages {
            start: (word & PAGE_MASK) << 12,
            count,
        },
    })
}
