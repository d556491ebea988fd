//! One measurement, in a process of its own.

use crate::meter::Reading;
use crate::peer::{Peer, Visit};
use crate::work::{Kind, Workload};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The workload.
    pub workload: Workload,
    /// With how many tasks.
    pub size: usize,
    /// How much of it.
    pub amount: Amount,
}

/// How long a measurement is.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    /// About this many ms of CPU time.
    Millis(u64),
    /// This many operations: for instruction counts.
    Ops(u64),
}

/// How many wakes are sampled for each ms asked for.
const WAKES_PER_MS: u64 = 60;

impl Visit for Job {
    type Output = Option<Reading>;

    fn visit<P: Peer>(self) -> Option<Reading> {
        if !self.workload.suits::<P>() {
            return None;
        }
        let run = |ops| self.workload.run::<P>(self.size, ops);
        let millis = match self.amount {
            Amount::Ops(ops) => return Some(run(ops)),
            Amount::Millis(millis) => millis,
        };
        Some(match self.workload.kind() {
            Kind::Exact => run(0),
            Kind::Latency => run(millis * WAKES_PER_MS),
            Kind::Timed => {
                // A short run tells how long the real one has to be.
                let trial_ops = trial_ops(self.size);
                let trial = run(trial_ops);
                let wanted = millis as f64 * 1e6 / trial.ns_per_op.unwrap_or(1.0).max(0.1);
                if wanted <= trial_ops as f64 {
                    trial
                } else {
                    run(wanted as u64)
                }
            }
        })
    }
}

/// The fewest operations worth running.
pub fn trial_ops(size: usize) -> u64 {
    (size as u64).max(5_000)
}
