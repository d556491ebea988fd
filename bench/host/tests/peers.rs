//! Every executor does every workload, and those that claim deadline order keep it. Run it with
//! `--features embassy-deadline` too: embassy's order is chosen when it is compiled.

use bench_host::child::{Amount, Job};
use bench_host::meter::Reading;
use bench_host::peer::{Order, Peer, Visit};
use bench_host::peers;
use bench_host::work::{Kind, Workload};
use std::sync::Mutex;

/// Allocations and virtual time are counted for the whole process: whoever measures is alone.
static ALONE: Mutex<()> = Mutex::new(());

/// A short run.
fn measure(executor: &str, workload: Workload, size: usize) -> Option<Reading> {
    let amount = match workload.kind() {
        Kind::Exact => Amount::Millis(1),
        // On a busy machine each wake of another thread may cost a time slice.
        Kind::Latency => Amount::Ops(10),
        Kind::Timed => Amount::Ops(100),
    };
    let job = Job {
        workload,
        size,
        amount,
    };
    peers::visit(executor, job).unwrap_or_else(|| panic!("{executor} is registered"))
}

struct OrderOf;

impl Visit for OrderOf {
    type Output = Order;

    fn visit<P: Peer>(self) -> Order {
        P::ORDER
    }
}

fn order_of(executor: &str) -> Order {
    peers::visit(executor, OrderOf).unwrap_or_else(|| panic!("{executor} is registered"))
}

#[test]
fn every_executor_does_every_workload() {
    let _alone = ALONE.lock().unwrap_or_else(|poison| poison.into_inner());
    for executor in peers::NAMES {
        for workload in Workload::ALL {
            let Some(reading) = measure(executor, workload, 20) else {
                continue;
            };
            if let Some(ns) = reading.ns_per_op {
                assert!(
                    ns.is_finite() && ns >= 0.0,
                    "{} on {executor}: {ns} ns",
                    workload.name()
                );
            }
            if matches!(
                workload,
                Workload::EdfHold | Workload::EdfBurst | Workload::Order
            ) {
                let late = reading.extra["late_percent"];
                match order_of(executor) {
                    Order::Deadline => assert_eq!(late, 0.0, "{} on {executor}", workload.name()),
                    // The check itself must be able to fail.
                    Order::Other => assert!(
                        late > 10.0,
                        "{} on {executor}: only {late} % late",
                        workload.name()
                    ),
                }
            }
            if workload == Workload::Order {
                assert!(reading.extra["arrivals"] > 50.0, "{executor}: {reading:?}");
                if order_of(executor) == Order::Deadline {
                    assert_eq!(reading.extra["overtaken_percent"], 0.0, "{executor}");
                }
            }
            if workload == Workload::TaskBytes {
                let bytes = reading.extra["bytes_per_task"];
                assert!((0.0..1000.0).contains(&bytes), "{executor}: {bytes} bytes");
            }
        }
    }
}

#[test]
fn ours_spawns_without_allocating() {
    let _alone = ALONE.lock().unwrap_or_else(|poison| poison.into_inner());
    for executor in ["raede", "raede-off"] {
        let reading = measure(executor, Workload::SpawnFinish, 20);
        let allocations = reading.map(|reading| reading.extra["allocs_per_op"]);
        // The test harness allocates a little beside us; an allocation per task would give one.
        assert!(
            allocations.is_some_and(|each| each < 0.5),
            "{executor}: {allocations:?}"
        );
    }
}

#[test]
fn unknown_names_are_refused() {
    assert!(peers::visit("nobody", OrderOf).is_none());
    assert_eq!(Workload::named("nothing"), None);
    for workload in Workload::ALL {
        assert_eq!(Workload::named(workload.name()), Some(workload));
    }
}
