//! The executor beside its peers, on the host: `scripts/bench --host`.
//!
//! One child process measures one workload on one executor; the parent interleaves them, so that a
//! change in the machine's mood hits all alike, and divides within one repetition.
//!
//! - [`peer`]: what an executor must offer to be measured; [`peers`]: one file for each. Registering one is a line there.
//! - [`work`]: the workloads, written once against [`peer::Peer`].
//! - [`clock`], [`alloc_count`], [`meter`]: what is measured with: thread CPU time, the time stamp counter,
//!   a counting allocator, and the countdown that starts and stops them from inside the tasks.
//! - [`child`]: one measurement; [`runner`]: many, interleaved; [`callgrind`]: instructions per operation.
//! - [`report`]: table, JSON, plot and verdicts on the goals.
//!
//! Nothing here is part of the kernel, and the peers are dependencies of this crate alone.

pub mod alloc_count;
pub mod callgrind;
pub mod child;
pub mod cli;
pub mod clock;
pub mod meter;
pub mod peer;
pub mod peers;
pub mod report;
pub mod runner;
pub mod work;
