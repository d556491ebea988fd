//! Anything dies at any moment, the manager included.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use proto::{Action, UnitState};

use super::SECOND;
use super::sim::{Behaviour, MS, Sim};
use crate::manifest::{Health, Manifest, Restart};

#[derive(Clone, Debug)]
enum Blow {
    Crash(usize, i32),
    Act(usize, usize),
    Pass(u64),
    Manager(bool),
    Behave(usize, Behaviour),
    Give,
}

fn blow() -> impl Strategy<Value = Blow> {
    let behaviour = prop_oneof![
        (1_u64..50).prop_map(|ms| Behaviour::ReadyAfter(ms * MS)),
        (1_u64..50).prop_map(|ms| Behaviour::DiesAfter(ms * MS)),
        Just(Behaviour::Mute),
        Just(Behaviour::Hangs),
        Just(Behaviour::Stubborn),
        Just(Behaviour::CannotStart),
    ];
    prop_oneof![
        4 => (any::<usize>(), -2_i32..2).prop_map(|(unit, code)| Blow::Crash(unit, code)),
        3 => (any::<usize>(), 0_usize..6).prop_map(|(unit, action)| Blow::Act(unit, action)),
        4 => prop_oneof![0_u64..5 * MS, 0..20 * SECOND].prop_map(Blow::Pass),
        2 => any::<bool>().prop_map(Blow::Manager),
        2 => (any::<usize>(), behaviour).prop_map(|(unit, behaviour)| Blow::Behave(unit, behaviour)),
        1 => Just(Blow::Give),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is killed whenever, the manager included: in the end all that is enabled runs. `Sim` checks at each start that
    /// the needs are ready, that there is no other instance, and that numbers are new.
    #[test]
    fn everything_enabled_runs_in_the_end(
        needs in prop::collection::vec((0_u32..64, any::<bool>(), any::<bool>(), 0_usize..4), 1..7),
        blows in prop::collection::vec(blow(), 0..40),
    ) {
        let manifests: Vec<Manifest> = needs.iter().enumerate().map(|(index, (mask, asks, health, restart))| Manifest {
            after: (0..index).filter(|other| mask >> other & 1 == 1).map(|other| alloc::format!("u{other}")).collect(),
            needs: if *mask >= 56 { vec!["screen".into()] } else { Vec::new() },
            stop_within_ns: asks.then_some(30 * MS),
            health: health.then_some(Health { every_ns: SECOND, misses: 3 }),
            restart: if *restart == 0 { Restart::OnFailure } else { Restart::Always },
            ..Manifest::new(&alloc::format!("u{index}"))
        }).collect();
        let names: Vec<_> = manifests.iter().map(|unit| unit.name.clone()).collect();
        let name = |index: usize| names[index % names.len()].as_str();
        let mut sim = Sim::new(manifests);
        for blow in blows {
            match blow {
                Blow::Crash(unit, code) => sim.crash(name(unit), code),
                Blow::Act(unit, action) => drop(sim.act(name(unit), Action::ALL[action])),
                Blow::Pass(ns) => sim.run(ns),
                Blow::Manager(in_between) => sim.kill_manager(in_between),
                Blow::Behave(unit, behaviour) => sim.behave(name(unit), behaviour),
                Blow::Give => sim.give("screen", false),
            }
        }
        sim.give("screen", false);
        for name in &names {
            sim.behave(name, Behaviour::ReadyAfter(MS));
            // Also who was stopped, disabled, or has ended.
            drop(sim.act(name, Action::Enable));
        }
        sim.run(30 * SECOND);
        for name in &names {
            let row = sim.row(name);
            prop_assert!(row.enabled && row.state == UnitState::Ready, "{row:?}");
        }
    }
}
