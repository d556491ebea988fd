//! The workloads, each written once against [`Peer`].
//!
//! | workload | one operation is |
//! |---|---|
//! | `yield_ping` | a lone task wakes itself and is polled |
//! | `round_robin` | one of N tasks does |
//! | `wake_chain` | one of N tasks wakes the next, and that one is polled |
//! | `cross_wake_spin`, `cross_wake_park` | a wake from another thread until the task is polled; the executor spins or halts meanwhile |
//! | `edf_hold` | one of N ready tasks is dispatched, takes a later random deadline and yields |
//! | `edf_burst` | one of N blocked tasks with random deadlines is woken and dispatched |
//! | `order` | not timed: how many dispatches are out of deadline order, how many urgent arrivals are overtaken |
//! | `timers` | one of N sleepers is woken by its timer and arms the next, in virtual time |
//! | `spawn_finish` | one of a batch of N tasks is spawned, polled once and ends |
//! | `task_bytes` | not timed: memory for one more task, beyond its future |
//! | `queue_worst` | the worst single wake or dispatch among N ready tasks |

mod cross;
mod deadline;
mod order;
mod ring;
mod spawn;
mod timers;
mod worst;

use crate::meter::Reading;
use crate::peer::Peer;

/// What is measured. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table in the module says what each is")]
pub enum Workload {
    YieldPing,
    RoundRobin,
    WakeChain,
    CrossWakeSpin,
    CrossWakePark,
    EdfHold,
    EdfBurst,
    Order,
    Timers,
    SpawnFinish,
    TaskBytes,
    QueueWorst,
}

/// How a workload is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CPU time of a number of operations that can be chosen freely; instructions can be counted.
    Timed,
    /// Single latencies between two threads.
    Latency,
    /// The same at each run: once is enough.
    Exact,
}

impl Workload {
    /// All, in the order of the table.
    pub const ALL: [Workload; 12] = [
        Workload::YieldPing,
        Workload::RoundRobin,
        Workload::WakeChain,
        Workload::CrossWakeSpin,
        Workload::CrossWakePark,
        Workload::EdfHold,
        Workload::EdfBurst,
        Workload::Order,
        Workload::Timers,
        Workload::SpawnFinish,
        Workload::TaskBytes,
        Workload::QueueWorst,
    ];

    /// Its name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Workload::YieldPing => "yield_ping",
            Workload::RoundRobin => "round_robin",
            Workload::WakeChain => "wake_chain",
            Workload::CrossWakeSpin => "cross_wake_spin",
            Workload::CrossWakePark => "cross_wake_park",
            Workload::EdfHold => "edf_hold",
            Workload::EdfBurst => "edf_burst",
            Workload::Order => "order",
            Workload::Timers => "timers",
            Workload::SpawnFinish => "spawn_finish",
            Workload::TaskBytes => "task_bytes",
            Workload::QueueWorst => "queue_worst",
        }
    }

    /// The workload of that name.
    pub fn named(name: &str) -> Option<Workload> {
        Workload::ALL
            .into_iter()
            .find(|workload| workload.name() == name)
    }

    /// The numbers of tasks it is measured with.
    pub fn sizes(self) -> &'static [usize] {
        match self {
            Workload::YieldPing | Workload::CrossWakeSpin | Workload::CrossWakePark => &[1],
            Workload::RoundRobin => &[1, 10, 100, 1_000, 10_000],
            Workload::WakeChain | Workload::EdfBurst | Workload::Order => &[1_000],
            Workload::EdfHold => &[10, 100, 1_000, 10_000],
            Workload::SpawnFinish => &[100, 1_000],
            Workload::Timers | Workload::TaskBytes | Workload::QueueWorst => &[10_000],
        }
    }

    /// How it is measured.
    pub fn kind(self) -> Kind {
        match self {
            Workload::CrossWakeSpin | Workload::CrossWakePark => Kind::Latency,
            Workload::Order | Workload::TaskBytes | Workload::QueueWorst => Kind::Exact,
            _ => Kind::Timed,
        }
    }

    /// Whether it makes sense for an executor.
    pub fn suits<P: Peer>(self) -> bool {
        match self {
            Workload::CrossWakePark => P::PARKS,
            Workload::Timers => P::TIMERS,
            // The floor has no queue and no memory of its own to speak of.
            Workload::TaskBytes | Workload::QueueWorst => P::PARKS,
            _ => true,
        }
    }

    /// Runs about `ops` operations with `size` tasks. `Exact` workloads choose their number themselves.
    pub fn run<P: Peer>(self, size: usize, ops: u64) -> Reading {
        match self {
            Workload::YieldPing | Workload::RoundRobin => ring::round_robin::<P>(size, ops),
            Workload::WakeChain => ring::wake_chain::<P>(size, ops),
            Workload::CrossWakeSpin => cross::wakes::<P>(crate::peer::Waits::Spin, ops),
            Workload::CrossWakePark => cross::wakes::<P>(crate::peer::Waits::Park, ops),
            Workload::EdfHold => deadline::hold::<P>(size, ops),
            Workload::EdfBurst => deadline::burst::<P>(size, ops),
            Workload::Order => order::order::<P>(size),
            Workload::Timers => timers::timers::<P>(size, ops),
            Workload::SpawnFinish => spawn::spawn_finish::<P>(size, ops),
            Workload::TaskBytes => spawn::task_bytes::<P>(size),
            Workload::QueueWorst => worst::queue_worst::<P>(size),
        }
    }
}

/// A moment in the far future from which deadlines are counted, so that none is missed: a miss is work for an
/// executor that keeps account of them.
fn far_future() -> u64 {
    crate::clock::tsc() + (1 << 45)
}

/// Marsaglia's xorshift64: the same numbers in each run, for 1 ns.
#[derive(Debug)]
struct Random(std::cell::Cell<u64>);

impl Random {
    fn new(seed: u64) -> Random {
        Random(std::cell::Cell::new(seed | 1))
    }

    /// A number below 2^bits.
    #[inline(always)]
    fn bits(&self, bits: u32) -> u64 {
        let mut word = self.0.get();
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        self.0.set(word);
        word >> (64 - bits)
    }
}
