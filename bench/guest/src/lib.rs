//! Probes inside the guest: how long the kernel's own mechanisms take, core by core.
//!
//! The kernel spawns [`run`] when `bench.phases=` is on its command line, and hands it a [`Host`]: what a probe needs
//! besides the executor. Results go to COM2 as the bench protocol's lines ([`protocol`]); a harness turns them into
//! tables and compares them. Under QEMU's `-icount` a nanosecond is an instruction, so the same lines then hold
//! instruction counts.
//!
//! - [`samples`]: raw samples and their percentiles.
//! - [`protocol`]: the lines.
//! - `exec`: the executor's probes (`exec.*`): yield, wake on the same and on another core, spawn, interrupt to task.
#![no_std]
#![forbid(unsafe_code)]

mod exec;
pub mod protocol;
pub mod samples;

use core::future::Future;

use executor::Platform;
use rt::{ByteSink, Closed};

use protocol::{Line, send};

/// What probes need from the kernel around them.
pub trait Host: Send + Sync {
    /// Ticks of the platform's clock in nanoseconds.
    fn ns(&self, ticks: u64) -> u64;
    /// Cores in use.
    fn cores(&self) -> u32;
    /// Raises the probe's interrupt on the calling core, as a device would.
    fn raise_interrupt(&self);
    /// Waits for that interrupt and re-arms it; gives the ticks at which its top half began.
    fn interrupt(&self) -> impl Future<Output = u64> + Send;
    /// Raises the interrupt of the second core, if there is one.
    fn raise_interrupt_there(&self);
    /// As [`interrupt`](Self::interrupt), for that core's; never ends where there is one core.
    fn interrupt_there(&self) -> impl Future<Output = u64> + Send;
    /// Bytes of memory that the kernel has given to tasks and everybody else.
    fn memory_in_use(&self) -> u64;
}

/// Samples taken of each metric, unless it says otherwise.
pub const SAMPLES: usize = 2000;

/// Runs all probes and writes their results to `out`. `memory` holds the samples of one metric at a time.
///
/// # Errors
/// [`Closed`] when nobody reads `out` any more.
pub async fn run<P: Platform>(
    host: &'static impl Host,
    kernel: &str,
    out: &impl ByteSink,
    memory: &mut [u64; SAMPLES],
) -> Result<(), Closed> {
    send(
        out,
        Line::Meta {
            kernel,
            cpus: host.cores(),
        },
    )
    .await?;
    exec::probe::<P>(host, out, memory).await?;
    send(out, Line::Done).await
}
