//! What a resident server maps: regions of its process's [space](crate::process::memory), as a process of ring 3 has them, but for ring 0 alone.
//!
//! The pages lie in the user half of the process's own page tables, without the bit that lets ring 3 use them. So all that holds for vmos
//! that ring 3 maps holds here: a page has one frame in every mapping; what is decommitted, cut off, copied or revoked is gone from all cores
//! before its frame is used for anything else; and neither another server nor a wild pointer of the kernel's reaches it but by chance.
//!
//! What must hold: while code of the server runs, its page tables are the active ones if it maps anything. They are loaded before each poll
//! and after each system call, which may have loaded others. A page that is missing then is brought by [`bring`], in the poll that touches it.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use hal::mem::user_tables;
use hal::time;
use objects::memory::{Outcome, Touch};

use super::{Resident, running};
use crate::process::memory::AddressSpace;

/// A page that is held up is waited for so long, on the spot: for cores to forget how it was. Nobody who has to run on this core first is.
const LONGEST_NS: u64 = 20_000_000;

impl Resident {
    /// Whether it has ever mapped a page.
    #[inline]
    pub fn has_maps(&self) -> bool {
        self.tables.has_maps()
    }

    /// Makes what it maps reachable on this core, until other page tables are loaded.
    #[inline]
    pub fn activate(&self) {
        if self.has_maps() {
            user_tables::activate(self.tables.hardware());
        }
    }
}

/// Asked when the server with this number touches an address of the user half that cannot be reached: whether it can now.
pub(super) fn bring(owner: u64, address: u64, write: bool) -> bool {
    let Some(thread) = running::owner(owner) else {
        return false;
    };
    let process = &thread.process;
    let Some(resident) = process.resident() else {
        return false;
    };
    let touch = if write { Touch::Write } else { Touch::Read };
    let brought = bring_page(&process.space, address, touch);
    if brought {
        resident.activate();
    }
    brought
}

fn bring_page(space: &AddressSpace, address: u64, touch: Touch) -> bool {
    let until_ticks = time::now_ticks().saturating_add(time::ns_to_ticks(LONGEST_NS));
    loop {
        let blocked = match space.fault(address, touch) {
            Outcome::Mapped => return true,
            Outcome::Violation(_) => return false,
            Outcome::Blocked(blocked) => blocked,
        };
        let mut resolved = pin!(blocked.resolve());
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match resolved.as_mut().poll(&mut context) {
                Poll::Ready(Ok(())) => break,
                Poll::Ready(Err(_)) => return false,
                Poll::Pending if time::now_ticks() >= until_ticks => return false,
                Poll::Pending => core::hint::spin_loop(),
            }
        }
    }
}
