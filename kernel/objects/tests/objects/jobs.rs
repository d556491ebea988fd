//! Charges and limits.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use abi::{Error, Signals, process::JobLimits};
use objects::{
    job::{Charge, Group, Job, MAX_DEPTH, Members, Resource},
    refs::Ref,
};
use proptest::prelude::*;

use crate::common::{LIMITS, assert_unused, job};

fn kernel_limit(bytes: u64) -> JobLimits {
    JobLimits {
        kernel_bytes: bytes,
        ..JobLimits::NONE
    }
}

#[test]
fn a_charge_counts_in_all_jobs_above_or_in_none() {
    let root = Job::root(&kernel_limit(100)).unwrap();
    let child = root.child(&kernel_limit(1000)).unwrap();
    let grandchild = child.child(&JobLimits::NONE).unwrap();
    let charge = grandchild.charge_kernel(60).unwrap();
    assert_eq!(
        grandchild.charge_kernel(41).unwrap_err(),
        Error::NoMemory,
        "the root has no more"
    );
    for job in [&root, &child, &grandchild] {
        assert_eq!(job.used(Resource::Kernel), 60);
    }
    drop(charge);
    for job in [&root, &child, &grandchild] {
        assert_unused(job);
    }
    assert_eq!(
        root.child(&JobLimits {
            weight: 0,
            ..LIMITS
        })
        .unwrap_err(),
        Error::BadArgument
    );
}

#[test]
fn amounts_near_the_end_of_the_numbers_do_not_wrap() {
    let root = Job::root(&JobLimits::NONE).unwrap();
    let _most = root.charge_kernel(u64::MAX).unwrap();
    assert_eq!(root.charge_kernel(1).unwrap_err(), Error::NoMemory);
    assert_eq!(root.charge_handles(1).map(drop), Ok(()));
}

#[test]
fn the_tree_is_only_so_deep() {
    let mut job = job();
    for _ in 1..MAX_DEPTH {
        job = job.child(&LIMITS).unwrap();
    }
    assert_eq!(job.child(&LIMITS).unwrap_err(), Error::LimitReached);
}

#[test]
fn lower_limits_take_nothing_away() {
    let job = job();
    let charge = job.charge_threads(10).unwrap();
    let limits = JobLimits {
        threads: 5,
        ..LIMITS
    };
    job.set_limits(&limits).unwrap();
    assert_eq!(job.info().used.threads, 10);
    assert_eq!(job.info().limits, limits);
    assert_eq!(job.charge_threads(1).unwrap_err(), Error::LimitReached);
    drop(charge);
    assert_eq!(job.charge_threads(5).unwrap().amount(), 5);
}

#[test]
fn racing_cores_never_overrun() {
    let root = Job::root(&kernel_limit(1000)).unwrap();
    let jobs = [700, 600].map(|bytes| root.child(&kernel_limit(bytes)).unwrap());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (jobs, root, over) = (&jobs, &root, &over);
            scope.spawn(move || {
                for round in 0..3000_u64 {
                    let amount = 1 + (round * 37 + worker * 101) % 450;
                    let charge = jobs[(worker % 2) as usize].charge_kernel(amount);
                    // Seen at any moment, also in the middle of another core's charge.
                    if root.used(Resource::Kernel) > 1000 || jobs[0].used(Resource::Kernel) > 700 {
                        over.store(true, Ordering::Relaxed);
                    }
                    drop(charge);
                }
            });
        }
    });
    assert!(!over.load(Ordering::Relaxed));
    assert_unused(&root);
}

#[derive(Clone, Debug)]
enum Step {
    Charge(usize, u64),
    Grow(usize, u64),
    Shrink(usize, u64),
    Split(usize, u64),
    Merge(usize, usize),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_usize, 0..60_u64).prop_map(|(job, amount)| Step::Charge(job, amount)),
        (any::<usize>(), 0..60_u64).prop_map(|(which, amount)| Step::Grow(which, amount)),
        (any::<usize>(), 0..60_u64).prop_map(|(which, amount)| Step::Shrink(which, amount)),
        (any::<usize>(), 0..60_u64).prop_map(|(which, amount)| Step::Split(which, amount)),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Step::Merge(one, other)),
        any::<usize>().prop_map(Step::Drop),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn charges_match_their_sums(steps in steps()) {
        let root = Job::root(&kernel_limit(200)).unwrap();
        let left = root.child(&kernel_limit(150)).unwrap();
        let below = left.child(&kernel_limit(100)).unwrap();
        let jobs = [&root, &left, &below];
        let limits = [200, 150, 100];
        let mut charges: Vec<(usize, Charge)> = Vec::new();
        // A charge in job n counts in all jobs up to n.
        let sum = |charges: &[(usize, Charge)], job: usize| -> u64 {
            charges.iter().filter(|(of, _)| *of >= job).map(|(_, charge)| charge.amount()).sum()
        };
        let fits = |charges: &[(usize, Charge)], of: usize, amount: u64| {
            (0..=of).all(|job| sum(charges, job) + amount <= limits[job])
        };
        for step in steps {
            let place = |which: usize| which.checked_rem(charges.len());
            match step {
                Step::Charge(of, amount) => {
                    let expected = fits(&charges, of, amount);
                    match jobs[of].charge_kernel(amount) {
                        Ok(charge) => {
                            prop_assert!(expected);
                            charges.push((of, charge));
                        }
                        Err(error) => prop_assert!(!expected && error == Error::NoMemory),
                    }
                }
                Step::Grow(which, amount) => if let Some(place) = place(which) {
                    let expected = fits(&charges, charges[place].0, amount);
                    prop_assert_eq!(charges[place].1.grow(amount).is_ok(), expected);
                },
                Step::Shrink(which, amount) => if let Some(place) = place(which) {
                    let before = charges[place].1.amount();
                    charges[place].1.shrink(amount);
                    prop_assert_eq!(charges[place].1.amount(), before.saturating_sub(amount));
                },
                Step::Split(which, amount) => if let Some(place) = place(which) {
                    let part = charges[place].1.split(amount);
                    charges.push((charges[place].0, part));
                },
                Step::Merge(one, other) => if let (Some(one), Some(other)) = (place(one), place(other)) && one != other {
                    let (of, charge) = charges.swap_remove(other);
                    let one = if one == charges.len() { other } else { one };
                    let same = charges[one].0 == of;
                    match charges[one].1.merge(charge) {
                        Ok(()) => prop_assert!(same),
                        Err(back) => {
                            prop_assert!(!same);
                            charges.push((of, back));
                        }
                    }
                },
                Step::Drop(which) => if let Some(place) = place(which) {
                    drop(charges.swap_remove(place));
                },
            }
            for (job, at) in jobs.iter().enumerate().map(|(at, job)| (job, at)) {
                prop_assert_eq!(job.used(Resource::Kernel), sum(&charges, at));
            }
        }
        charges.clear();
        assert_unused(&root);
    }
}

#[test]
fn ending_a_job_visits_everything_below_it() {
    let root: Ref<Group<u32>> = Group::root(&LIMITS).unwrap();
    let left = root.child(&LIMITS).unwrap();
    let below = left.child(&LIMITS).unwrap();
    let right = root.child(&LIMITS).unwrap();
    let groups = [&root, &left, &below, &right];
    let mut processes = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        for number in 0..5 {
            let number = 10 * at as u32 + number;
            let process = Ref::try_new(number).unwrap();
            let place = u64::from(number);
            group.processes().join(place, &process).unwrap();
            processes.push((at, process, place));
        }
    }
    // One has ended before, another has gone without a word.
    let (at, _, place) = processes.remove(0);
    groups[at].leave(place);
    let (_, gone, silent) = processes.remove(0);
    drop(gone);
    let mut ended: Vec<u32> = left.end().map(|process| *process).collect();
    ended.sort_unstable();
    assert_eq!(ended, [10, 11, 12, 13, 14, 20, 21, 22, 23, 24]);
    assert_eq!(
        left.processes()
            .join(99, &Ref::try_new(99).unwrap())
            .unwrap_err(),
        Error::Dying
    );
    assert_eq!(below.child(&LIMITS).unwrap_err(), Error::Dying);
    assert!(root.child(&LIMITS).is_ok());
    let ended = |group: &Ref<Group<u32>>| group.signals().get().contains(Signals::ENDED);
    assert!(!ended(&left) && !ended(&below));
    for (at, _, place) in &processes {
        if *at == 2 {
            groups[2].leave(*place);
        }
    }
    assert!(ended(&below) && !ended(&left), "its processes have not");
    for (at, _, place) in &processes {
        if *at == 1 {
            groups[1].leave(*place);
        }
    }
    assert!(ended(&left) && !ended(&root));
    assert_eq!(root.jobs().len(), 1, "the right one");
    // Now everything.
    let mut rest: Vec<u32> = root.end().map(|process| *process).collect();
    rest.sort_unstable();
    assert_eq!(rest, [2, 3, 4, 30, 31, 32, 33, 34]);
    groups[0].leave(silent);
    for (at, _, place) in processes {
        groups[at].leave(place);
    }
    assert!(ended(&root) && ended(&right));
}

#[test]
fn members_are_found_by_their_numbers() {
    let root = job();
    let members = Members::new(&root).unwrap();
    let some: Vec<Ref<u64>> = [5, 2, 9, 7]
        .map(|number| Ref::try_new(number).unwrap())
        .into();
    for member in &some {
        members.join(**member, member).unwrap();
    }
    let walk = || {
        let mut from = 0;
        core::iter::from_fn(|| {
            let (next, member) = members.visit(from)?;
            from = next;
            Some(*member)
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(walk(), [2, 5, 7, 9]);
    assert_eq!(members.get(7).map(|member| *member), Some(7));
    assert!(members.get(8).is_none());
    members.leave(5);
    members.leave(5);
    assert_eq!(walk(), [2, 7, 9]);
    drop(some);
    assert_eq!((walk(), members.len()), (vec![], 3), "known, but not kept");
    assert!(root.used(Resource::Kernel) > 0);
    drop(members);
    assert_unused(&root);
}

#[test]
fn an_empty_job_ends_at_once_and_gives_everything_back() {
    let root: Ref<Group<u32>> = Group::root(&LIMITS).unwrap();
    let base = root.job().used(Resource::Kernel);
    let child = root.child(&LIMITS).unwrap();
    assert!(
        root.job().used(Resource::Kernel) > base,
        "the child is charged here"
    );
    assert_eq!(child.end().count(), 0);
    assert_eq!(child.signals().get(), Signals::ENDED);
    drop(child);
    let kept = root.child(&LIMITS).unwrap();
    assert_eq!(root.end().count(), 0);
    assert_eq!(root.signals().get(), Signals::ENDED);
    drop(kept);
    assert_eq!(root.jobs().len(), 0);
}
