//! The two clocks: the CPU time of the calling thread, and the time stamp counter.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// CPU time of the calling thread in ns: what others do on the machine meanwhile does not count.
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local of the right type. The call cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The time stamp counter, synchronised across cores on any machine with an invariant one.
#[inline(always)]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 has it, and it is allowed in ring 3.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Ticks of [`tsc`] a second, measured once.
pub fn tsc_hz() -> u64 {
    static HZ: OnceLock<u64> = OnceLock::new();
    *HZ.get_or_init(|| {
        let (start, from) = (Instant::now(), tsc());
        // Not a loop: how often it went round would be counted among the instructions.
        std::thread::sleep(Duration::from_millis(10));
        let (ticks, time) = (tsc() - from, start.elapsed());
        (ticks as u128 * 1_000_000_000 / time.as_nanos()) as u64
    })
}

/// Ticks of [`tsc`] as ns.
pub fn ticks_to_ns(ticks: u64) -> f64 {
    ticks as f64 * 1e9 / tsc_hz() as f64
}

/// What two things cost that bound any executor: accounting reads the clock at each poll, and a wake that may come
/// from another thread takes locked instructions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// One read of the time stamp counter, in ns.
    pub clock_ns: f64,
    /// One locked read-modify-write of a line in the first-level cache, in ns.
    pub locked_ns: f64,
}

impl Machine {
    /// Measures this one.
    pub fn measure() -> Machine {
        const TIMES: u32 = 200_000;
        let word = AtomicU64::new(0);
        let best = |operation: &dyn Fn()| {
            let runs = (0..5).map(|_| {
                let start = thread_cpu_ns();
                operation();
                (thread_cpu_ns() - start) as f64 / TIMES as f64
            });
            runs.fold(f64::INFINITY, f64::min)
        };
        Machine {
            clock_ns: best(&|| {
                (0..TIMES).for_each(|_| {
                    std::hint::black_box(tsc());
                })
            }),
            locked_ns: best(&|| {
                (0..TIMES).for_each(|_| {
                    word.fetch_add(1, Ordering::SeqCst);
                })
            }),
        }
    }
}
