//! Between the ledger, which anyone may ask, and the scheduler, which only the core may touch.

use super::{CONTROL, Core, Local};
use crate::{
    admission::{AdmissionError, Change, Claim},
    platform::Platform,
    sched::{OPEN, Terms},
};

impl<P: Platform> Core<P> {
    pub(crate) fn admit(&self, claim: Claim) -> Result<u32, AdmissionError> {
        let server = self.ledger.lock().admit(claim)?;
        self.ledger_changed();
        Ok(server)
    }

    pub(crate) fn change_claim(&self, server: u32, claim: Claim) -> Result<(), AdmissionError> {
        self.ledger.lock().change(server, claim)?;
        self.ledger_changed();
        Ok(())
    }

    pub(crate) fn retain_claim(&self, server: u32) -> Result<u64, AdmissionError> {
        self.ledger.lock().retain(server)
    }

    pub(crate) fn release_claim(&self, server: u32) {
        let last = self.ledger.lock().release(server);
        if last {
            self.ledger_changed();
        }
    }

    /// The ledger changed: the core itself must know, now if this is it, else as soon as it drains its inbox.
    pub(super) fn ledger_changed(&self) {
        if self.is_here() {
            self.apply_changes(P::now());
        } else {
            self.wake_from_elsewhere(CONTROL, self.slot(CONTROL));
        }
    }

    /// Passes on what changed in the ledger.
    #[cold]
    pub(super) fn apply_changes(&self, now: u64) {
        self.with(|local| {
            let mut ledger = self.ledger.lock();
            while let Some(change) = ledger.next_change() {
                match change {
                    Change::Install(server, claim) => {
                        local.allowed[server as usize] = claim.longest_poll;
                        let terms = Terms {
                            params: claim.params,
                            hard: claim.hard,
                            reclaims: claim.reclaims,
                        };
                        local.sched.install(server, terms, now);
                    }
                    Change::Retire(server) => {
                        if local.sched.retire(server, now) {
                            ledger.vacate(server);
                        }
                    }
                }
            }
            let open = Terms {
                params: ledger.open_params(),
                hard: false,
                reclaims: false,
            };
            local.sched.install(OPEN, open, now);
        });
    }

    /// The bandwidth of a server that was given up is free.
    #[cold]
    pub(super) fn vacate(&self, local: &mut Local, server: u32) {
        let mut ledger = self.ledger.lock();
        ledger.vacate(server);
        let open = Terms {
            params: ledger.open_params(),
            hard: false,
            reclaims: false,
        };
        drop(ledger);
        let now = local.now;
        local.sched.install(OPEN, open, now);
    }
}
