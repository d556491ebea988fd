//! Reservations that are not ready, but whose bandwidth is in use until their 0-lag time.
//!
//! Only who reclaims wants to know when that has passed, and only when it is charged: no timer is armed for it and no poll
//! interrupted; while nobody reclaims they are not even noted. Those of reservations that were given up are events, as somebody may
//! be waiting for the bandwidth.

use super::{Due, FIRST_RESERVED, Phase, Scheduler};

impl Scheduler {
    /// Whether `server` reclaims from now on.
    pub(super) fn count_reclaiming(&mut self, server: u32, reclaims: bool) {
        let entry = &mut self.servers[server as usize];
        let before = core::mem::replace(&mut entry.reclaims, reclaims);
        self.reclaiming = self.reclaiming + u32::from(reclaims) - u32::from(before);
        if !before && reclaims && self.reclaiming == 1 {
            // Nobody kept 0-lag times until now.
            for server in FIRST_RESERVED..self.servers.len() as u32 {
                if self.servers[server as usize].phase == Phase::Lingering {
                    self.linger(server);
                }
            }
        }
    }

    /// Notes the 0-lag time of a reservation that lingers, where somebody wants to know it.
    pub(super) fn linger(&mut self, server: u32) {
        let entry = &self.servers[server as usize];
        if entry.leaving {
            self.lags.remove(server);
            self.events
                .set(server, entry.account.zero_lag(&entry.params));
        } else if self.reclaiming > 0 {
            self.lags.set(server, entry.account.zero_lag(&entry.params));
        }
    }

    pub(super) fn end_lingering_if_due(&mut self, server: u32, now: u64) {
        let entry = &self.servers[server as usize];
        if entry.phase == Phase::Lingering
            && !entry.leaving
            && entry.account.zero_lag(&entry.params) <= now
        {
            self.lags.remove(server);
            self.end_lingering(server);
        }
    }

    /// Takes note of the 0-lag times up to `now`.
    pub(super) fn end_lingering_until(&mut self, now: u64) {
        while self.lags.first_time() <= now {
            let Some(server) = self.lags.pop() else {
                return;
            };
            if self.servers[server as usize].phase == Phase::Lingering {
                self.end_lingering(server);
            }
        }
    }

    pub(super) fn end_lingering(&mut self, server: u32) -> Option<Due> {
        let entry = &mut self.servers[server as usize];
        self.active -= entry.density;
        if entry.leaving {
            entry.phase = Phase::Vacant;
            return Some(Due::Released(server));
        }
        entry.phase = Phase::Inactive;
        None
    }
}
