//! The supervisor in a simulated world under virtual time.

mod chaos;
mod sim;

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use proto::{Action, UnitState};

use super::{ActError, Connection, FIRST_DELAY_NS, MOST_DELAY_NS, Progress, SETTLED_NS};
use crate::manifest::{Health, Manifest, Readiness, Restart};
use sim::{Behaviour, MS, Sim};

const SECOND: u64 = 1000 * MS;

fn unit(name: &str, after: &[&str]) -> Manifest {
    Manifest {
        after: after.iter().map(|name| (*name).to_owned()).collect(),
        ..Manifest::new(name)
    }
}

/// disk <- files <- shell, and log by itself.
fn chain() -> Vec<Manifest> {
    vec![
        Manifest {
            offers: vec!["blocks".into()],
            ..unit("disk", &[])
        },
        Manifest {
            uses: vec!["blocks".into()],
            offers: vec!["tree".into()],
            ..unit("files", &[])
        },
        Manifest {
            uses: vec!["tree".into()],
            ..unit("shell", &["log"])
        },
        unit("log", &[]),
    ]
}

#[test]
fn units_start_in_order_each_when_its_needs_are_ready() {
    let mut sim = Sim::new(chain());
    assert_eq!(sim.started(), ["disk", "log"]);
    assert_eq!(
        sim.row("shell").reason.as_str(),
        "waits for files, which is waiting"
    );
    sim.run(SECOND);
    assert_eq!(sim.started(), ["disk", "log", "files", "shell"]);
    for name in ["disk", "log", "files", "shell"] {
        assert_eq!(sim.row(name).state, UnitState::Ready, "{name}");
    }
}

#[test]
fn death_after_readiness_restarts_at_once_however_often() {
    let mut sim = Sim::new(chain());
    sim.run(SECOND);
    for count in 1..=200 {
        let before = sim.now();
        sim.crash("disk", -2);
        assert_eq!(sim.row("disk").state, UnitState::Starting);
        assert_eq!(sim.row("disk").since_ns, before);
        sim.run(20 * MS);
        assert_eq!(sim.row("disk").generation, count + 1);
        assert_eq!(sim.row("disk").restarts, count);
    }
    // Nobody else noticed.
    assert_eq!(sim.row("files").generation, 1);
}

#[test]
fn death_before_readiness_backs_off_up_to_a_limit_and_never_for_good() {
    let dies = ("sick", Behaviour::DiesAfter(MS));
    let mut sim = Sim::with_behaviours(vec![unit("sick", &[])], &[dies]);
    let mut expected = FIRST_DELAY_NS;
    for failures in 1_u32..=12 {
        sim.run(MS);
        let row = sim.row("sick");
        assert_eq!(row.state, UnitState::BackOff, "{row:?}");
        assert!(
            row.reason
                .starts_with("died before it was ready (exit code 1)")
        );
        sim.run(expected - 1);
        assert_eq!(sim.row("sick").generation, failures);
        sim.run(1);
        assert_eq!(sim.row("sick").generation, failures + 1);
        expected = (expected * 2).min(MOST_DELAY_NS);
    }
    sim.behave("sick", Behaviour::ReadyAfter(MS));
    sim.run(MOST_DELAY_NS + SECOND);
    assert_eq!(sim.row("sick").state, UnitState::Ready);
    // Readiness forgives.
    sim.behave("sick", Behaviour::DiesAfter(MS));
    sim.crash("sick", 1);
    sim.run(MS + FIRST_DELAY_NS - 1);
    assert_eq!(sim.row("sick").generation, 15);
    sim.run(1);
    assert_eq!(sim.row("sick").generation, 16);
}

#[test]
fn a_kill_that_was_asked_for_counts_as_nothing() {
    let slow = ("slow", Behaviour::ReadyAfter(4 * SECOND));
    let mut sim = Sim::with_behaviours(vec![unit("slow", &[])], &[slow]);
    for count in 1..=20 {
        sim.run(MS);
        let ticket = sim.act("slow", Action::Kill).expect("it runs");
        sim.run(5 * MS);
        assert_eq!(sim.supervisor.progress(&ticket), Progress::Done);
        let row = sim.row("slow");
        assert_eq!(
            (row.state, row.generation, row.restarts),
            (UnitState::Starting, count + 1, 0)
        );
    }
}

#[test]
fn who_is_not_ready_in_time_or_not_well_is_killed() {
    let health = Health {
        every_ns: 10 * MS,
        misses: 3,
    };
    let well = Manifest {
        health: Some(health),
        ..unit("well", &[])
    };
    let mute = ("mute", Behaviour::Mute);
    let mut sim = Sim::with_behaviours(vec![unit("mute", &[]), well], &[mute]);
    sim.run(5 * SECOND - 1);
    assert_eq!(sim.row("mute").state, UnitState::Starting);
    sim.run(50 * MS);
    assert_eq!(
        (sim.row("mute").state, sim.row("mute").generation),
        (UnitState::BackOff, 1)
    );
    assert_eq!(sim.row("well").generation, 1, "it says so all the time");
    sim.behave("well", Behaviour::Hangs);
    sim.run(24 * MS);
    assert_eq!(sim.row("well").generation, 1);
    sim.behave("well", Behaviour::ReadyAfter(MS));
    sim.run(30 * MS);
    assert_eq!(
        (sim.row("well").generation, sim.row("well").state),
        (2, UnitState::Ready)
    );
}

#[test]
fn nobody_is_blamed_for_a_machine_that_stood_still() {
    let health = Some(Health {
        every_ns: 100 * MS,
        misses: 3,
    });
    let well = Manifest {
        health,
        ..unit("well", &[])
    };
    let slow = ("slow", Behaviour::ReadyAfter(SECOND));
    let mut sim = Sim::with_behaviours(vec![well, unit("slow", &[])], &[slow]);
    sim.run(500 * MS);
    sim.stall(20 * SECOND);
    sim.run(5 * SECOND);
    for name in ["well", "slow"] {
        let row = sim.row(name);
        assert_eq!((row.generation, row.state), (1, UnitState::Ready), "{name}");
    }
    // Once: who then still says nothing is killed after all.
    sim.behave("well", Behaviour::Hangs);
    sim.crash("well", 1);
    sim.run(MS);
    let generation = sim.row("well").generation;
    sim.stall(SECOND);
    assert_eq!(sim.row("well").generation, generation);
    sim.run(SECOND);
    assert!(sim.row("well").generation > generation);
}

#[test]
fn policies_say_who_is_started_again() {
    let policy = |name: &str, restart| Manifest {
        restart,
        readiness: Readiness::Start,
        ..unit(name, &[])
    };
    let mut sim = Sim::new(vec![
        policy("once", Restart::Never),
        policy("fail", Restart::OnFailure),
    ]);
    sim.run(SETTLED_NS);
    sim.crash("once", 3);
    sim.crash("fail", 3);
    assert_eq!(
        (sim.row("once").state, sim.row("once").exit_code),
        (UnitState::Ended, Some(3))
    );
    assert_eq!(sim.row("once").reason.as_str(), "exit code 3");
    assert_eq!(sim.row("fail").generation, 2);
    sim.crash("fail", 0);
    assert_eq!(sim.row("fail").state, UnitState::Ended);
    let ticket = sim.act("once", Action::Start).expect("it is enabled");
    assert_eq!(sim.supervisor.progress(&ticket), Progress::Done);
}

#[test]
fn who_cannot_say_that_it_is_ready_shows_it_by_living_on() {
    let silent = Manifest {
        readiness: Readiness::Start,
        ..unit("silent", &[])
    };
    let mut sim = Sim::new(vec![silent]);
    for failures in 0..5 {
        sim.crash("silent", -2);
        assert_eq!(sim.row("silent").state, UnitState::BackOff);
        sim.run((FIRST_DELAY_NS << failures) - 1);
        assert_eq!(sim.row("silent").state, UnitState::BackOff);
        sim.run(1);
        assert_eq!(sim.row("silent").state, UnitState::Ready);
    }
    sim.run(SETTLED_NS);
    sim.crash("silent", -2);
    assert_eq!(sim.row("silent").state, UnitState::Ready);
    sim.crash("silent", -2);
    sim.run(FIRST_DELAY_NS);
    assert_eq!(sim.row("silent").generation, 8, "the count began anew");
}

#[test]
fn stopping_asks_first_and_starting_brings_the_needs() {
    let mut manifests = chain();
    manifests[1].stop_within_ns = Some(50 * MS);
    let mut sim = Sim::new(manifests);
    sim.run(SECOND);
    let files = sim.act("files", Action::Stop).expect("it can be stopped");
    assert_eq!(sim.row("files").state, UnitState::Stopping);
    assert_eq!(sim.supervisor.progress(&files), Progress::Pending);
    sim.run(10 * MS);
    assert_eq!(sim.row("files").exit_code, Some(0), "it ended by itself");
    assert_eq!(sim.supervisor.progress(&files), Progress::Done);
    sim.act("disk", Action::Stop).expect("it can be stopped");
    sim.run(SECOND);
    assert_eq!(sim.row("shell").state, UnitState::Ready, "it was not asked");
    assert!(matches!(
        sim.connection("shell", "tree"),
        Connection::Refused(_)
    ));
    let start = sim.act("files", Action::Start).expect("it is enabled");
    assert_eq!(sim.row("disk").state, UnitState::Starting);
    sim.run(SECOND);
    assert_eq!(sim.supervisor.progress(&start), Progress::Done);
    // One that ignores being asked.
    sim.behave("files", Behaviour::Stubborn);
    let restart = sim.act("files", Action::Restart).expect("it runs");
    sim.run(49 * MS);
    assert_eq!(sim.row("files").generation, 2);
    sim.run(50 * MS);
    assert_eq!(
        (sim.row("files").generation, sim.row("files").exit_code),
        (3, Some(abi::process::KILLED))
    );
    assert_eq!(sim.supervisor.progress(&restart), Progress::Done);
}

#[test]
fn who_is_disabled_runs_for_nobody() {
    let mut sim = Sim::new(chain());
    sim.run(SECOND);
    sim.act("disk", Action::Disable)
        .expect("anything can be disabled");
    sim.run(SECOND);
    assert_eq!(
        sim.act("files", Action::Start),
        Err(ActError::Disabled("disk".into()))
    );
    assert_eq!(sim.row("disk").state, UnitState::Stopped);
    sim.crash("files", 1);
    sim.run(SECOND);
    assert_eq!(
        sim.row("files").reason.as_str(),
        "waits for disk, which is disabled"
    );
    sim.act("disk", Action::Enable).expect("it is there");
    sim.run(SECOND);
    assert_eq!(sim.row("files").state, UnitState::Ready);
    assert!(sim.act("log", Action::Kill).is_ok());
    sim.act("log", Action::Stop).expect("it can be stopped");
    sim.run(SECOND);
    assert_eq!(sim.act("log", Action::Kill), Err(ActError::NotRunning));
}

#[test]
fn connections_wait_for_the_next_instance() {
    let mut sim = Sim::new(chain());
    assert_eq!(sim.connection("shell", "tree"), Connection::Wait);
    assert!(matches!(
        sim.connection("shell", "blocks"),
        Connection::Refused(_)
    ));
    sim.run(SECOND);
    let generation = |connection| match connection {
        Connection::Ready(instance) => instance.generation,
        other => panic!("{other:?}"),
    };
    assert_eq!(generation(sim.connection("shell", "tree")), 1);
    sim.crash("files", 1);
    assert_eq!(sim.connection("shell", "tree"), Connection::Wait);
    sim.run(SECOND);
    assert_eq!(generation(sim.connection("shell", "tree")), 2);
}

#[test]
fn an_exclusive_handle_is_waited_for() {
    let needs = |name: &str| Manifest {
        needs: vec!["screen".into()],
        ..unit(name, &[])
    };
    let mut sim = Sim::new(vec![needs("a"), needs("b")]);
    assert_eq!(sim.started(), [""; 0]);
    sim.give("screen", true);
    assert_eq!(sim.started(), ["a"]);
    assert!(
        sim.row("b")
            .reason
            .starts_with("waits for screen, which this machine does not have")
    );
    sim.run(SECOND);
    // The kernel gives another one when the holder is gone.
    sim.crash("a", 1);
    assert_eq!(sim.row("a").state, UnitState::Waiting);
    sim.give("screen", true);
    assert_eq!(sim.row("a").generation, 2);
}

#[test]
fn going_down_stops_who_needs_before_who_is_needed() {
    let mut sim = Sim::new(chain());
    sim.run(SECOND);
    sim.shut_down();
    sim.run(SECOND);
    assert!(sim.supervisor.all_at_rest());
    let ended = sim.ended();
    let place = |name: &str| ended.iter().position(|other| other == name);
    assert!(place("shell") < place("files") && place("files") < place("disk"));
    assert_eq!(sim.act("disk", Action::Start), Err(ActError::ShuttingDown));
}

#[test]
fn stale_events_change_nothing() {
    let mut sim = Sim::new(chain());
    sim.run(SECOND);
    let stale = sim.instance("disk");
    sim.crash("disk", 1);
    let before = sim.supervisor.snapshot();
    for event in [
        super::Event::Ready,
        super::Event::Alive,
        super::Event::Ended { exit_code: 0 },
        super::Event::Started { process: 9 },
    ] {
        let mut commands = Vec::new();
        assert!(!sim.supervisor.event(stale, event, 0, &mut commands));
        assert!(commands.is_empty());
    }
    assert_eq!(sim.supervisor.snapshot(), before);
    assert_eq!(sim.supervisor.by_badge(0), None);
}

/// A unit that drives these devices.
fn driver(name: &str, devices: &[&str]) -> Manifest {
    let entry = |text: &&str| crate::manifest::DeviceName {
        text: (*text).to_owned(),
        device: crate::manifest::Device::parse(text).expect("a device"),
    };
    Manifest {
        devices: devices.iter().map(entry).collect(),
        ..Manifest::new(name)
    }
}

#[test]
fn a_unit_with_devices_starts_once_they_are_open_each_time() {
    let after = Manifest {
        after: vec!["net".to_owned()],
        ..driver("echo", &["i8042"])
    };
    let mut sim = Sim::new(vec![driver("net", &["virtio-net"]), after]);
    let (net, echo) = (0, 1);
    sim.run(10 * MS);
    for round in 1..4 {
        assert_eq!(sim.started().len(), round - 1, "not without its devices");
        assert!(sim.supervisor.wants_devices(net));
        // Nothing is opened for who waits for others as well.
        assert!(round > 1 || !sim.supervisor.wants_devices(echo));
        assert!(sim.row("net").reason.contains("its devices"));
        sim.open_devices("net");
        sim.run(50 * MS);
        assert_eq!(sim.row("net").state, UnitState::Ready);
        assert!(!sim.supervisor.has_devices(net), "they were given to it");
        sim.crash("net", 1);
    }
    // What the next manager finds open is nobody's: it opens them anew.
    sim.supervisor.offer_devices(net);
    sim.kill_manager(false);
    assert!(sim.supervisor.wants_devices(net) && !sim.supervisor.has_devices(net));
    sim.shut_down();
    assert!(!sim.supervisor.wants_devices(net));
}

#[test]
fn a_device_has_one_driver_the_one_that_names_it_best() {
    let row = |device, at| proto::PciRow {
        address: proto::PciAddress {
            device: at,
            ..proto::PciAddress::default()
        },
        vendor: 0x1af4,
        device,
        ..proto::PciRow::default()
    };
    let spare = Manifest {
        enabled: false,
        ..driver("a", &["0000:00:02.0"])
    };
    let sim = Sim::new(vec![
        spare,
        driver("b", &["virtio-net", "1af4:1041"]),
        driver("c", &["virtio-net", "0000:00:03.0"]),
        driver("d", &["virtio-net"]),
    ]);
    let drivers = |device, at| -> Vec<_> {
        let row = row(device, at);
        (0..4)
            .map(|unit| sim.supervisor.device(unit, &row).map(ToOwned::to_owned))
            .collect()
    };
    let some = |text: &str| Some(text.to_owned());
    // The first of those that name it as exactly; by its numbers rather than by its kind; by its place rather than by those.
    assert_eq!(drivers(0x1000, 1), [None, some("virtio-net"), None, None]);
    assert_eq!(drivers(0x1041, 1), [None, some("1af4:1041"), None, None]);
    assert_eq!(drivers(0x1041, 3), [None, None, some("0000:00:03.0"), None]);
    // One that is not enabled has it only if it is started all the same.
    let both = [some("0000:00:02.0"), some("1af4:1041"), None, None];
    assert_eq!(drivers(0x1041, 2), both);
    assert_eq!(drivers(0x1042, 1), [None, None, None, None]);
}
