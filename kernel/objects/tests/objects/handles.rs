//! Handle tables.

use std::{collections::HashMap, sync::Arc, thread};

use abi::{Error, Handle, ObjectType, Rights, message::MAX_HANDLES};
use objects::{
    KernelObject,
    capability::Capability,
    graveyard::Progress,
    handle::HandleTable,
    job::{Job, Resource},
    lease::Lease,
    refs::Ref,
};
use proptest::prelude::*;

use crate::common::{
    LIMITS, Object, Process, assert_unused, capability, channel, dig, graveyard, job, notification,
    use_graveyard,
};

fn table(job: &Ref<Job>) -> HandleTable<Object> {
    HandleTable::new(job).unwrap()
}

#[test]
fn a_closed_number_never_comes_back() {
    let job = job();
    let table = table(&job);
    let mut old = Vec::new();
    for _ in 0..100 {
        let handle = table.insert(capability(notification(&job))).unwrap();
        assert!((handle.0 as i64) > 0, "not an error");
        assert!(!old.contains(&handle));
        assert_eq!(table.close(handle), Ok(()));
        assert_eq!(table.close(handle), Err(Error::BadHandle));
        old.push(handle);
    }
    for forged in [Handle::NONE, Handle(1), Handle(u64::MAX), Handle::new(0, 0)] {
        assert_eq!(
            table.get(forged, Rights::empty()).unwrap_err(),
            Error::BadHandle
        );
    }
    drop(table);
    assert_unused(&job);
}

#[test]
fn what_was_found_out_about_a_handle_holds_while_nothing_leaves() {
    let job = job();
    let (table, next) = (table(&job), table(&job));
    let [kept, other] = [(); 2].map(|()| table.insert(capability(notification(&job))).unwrap());
    let before = table.changes();
    table.duplicate(kept, Rights::WAIT).unwrap();
    assert_eq!(table.close(Handle(77)), Err(Error::BadHandle));
    assert_eq!(table.changes(), before);
    table.close(other).unwrap();
    let closed = table.changes();
    assert_ne!(closed, before);
    // While it is away it is no handle, whether it comes back or not.
    let taken = table.take(&[kept]).unwrap();
    let away = table.changes();
    assert_ne!(away, closed);
    drop(taken);
    next.take_over(&table);
    assert_ne!(table.changes(), away);
}

#[test]
fn a_table_taken_over_keeps_its_numbers_old_and_new() {
    let job = job();
    let (last, next) = (table(&job), table(&job));
    let closed = last.insert(capability(notification(&job))).unwrap();
    last.close(closed).unwrap();
    let kept: Vec<_> = (0..70)
        .map(|_| last.insert(capability(notification(&job))).unwrap())
        .collect();
    let mut promised = last.reserve(2).unwrap();
    let ids = |table: &HandleTable<Object>| {
        let id = |&handle| {
            Some(
                table
                    .get(handle, Rights::empty())
                    .ok()?
                    .object()
                    .header()
                    .id(),
            )
        };
        kept.iter().map(id).collect::<Option<Vec<u64>>>()
    };
    let before = ids(&last);
    assert!(before.is_some());
    next.take_over(&last);
    assert_eq!(ids(&next), before);
    assert_eq!((next.len(), last.len()), (70, 0));
    assert_eq!(job.used(Resource::Handles), 72, "and two are promised");
    // Who was about to give the last one something finds it closed.
    assert_eq!(
        promised.install(capability(notification(&job))),
        Handle::NONE
    );
    drop(promised);
    assert_eq!(last.reserve(1).unwrap_err(), Error::Dying);
    assert_eq!(
        next.get(closed, Rights::empty()).unwrap_err(),
        Error::BadHandle
    );
    let new: Vec<_> = (0..40)
        .map(|_| next.insert(capability(notification(&job))).unwrap())
        .collect();
    assert!(!new.contains(&closed) && new.iter().all(|handle| !kept.contains(handle)));
    assert_eq!(next.close_some(1000), Progress::Done);
    drop((last, next));
    dig();
    assert_unused(&job);
}

#[test]
fn type_comes_before_rights() {
    let job = job();
    let table = table(&job);
    let object = Capability::with_rights(notification(&job), Rights::READ).unwrap();
    let handle = table.insert(object).unwrap();
    let get = |object, rights| {
        table
            .get_typed(handle, object, rights)
            .map(|entry| entry.rights())
    };
    assert_eq!(
        get(ObjectType::Timer, Rights::SIGNAL),
        Err(Error::WrongType)
    );
    assert_eq!(
        get(ObjectType::Notification, Rights::SIGNAL),
        Err(Error::NoRight)
    );
    assert_eq!(
        get(ObjectType::Notification, Rights::READ),
        Ok(Rights::READ)
    );
}

#[test]
fn the_jobs_limit_holds_and_failed_inserts_cost_nothing() {
    let root = job();
    let job = root
        .child(&abi::process::JobLimits {
            handles: 40,
            ..LIMITS
        })
        .unwrap();
    let table = table(&job);
    let object = notification(&root);
    let first = table.insert(capability(object.clone())).unwrap();
    for _ in 1..40 {
        table.duplicate(first, Rights::READ).unwrap();
    }
    assert_eq!(
        table.duplicate(first, Rights::READ),
        Err(Error::LimitReached)
    );
    assert_eq!(object.header().handles(), 40);
    assert_eq!(table.reserve(1).unwrap_err(), Error::LimitReached);
    table.close(first).unwrap();
    let room = table.reserve(1).unwrap();
    assert_eq!(job.used(Resource::Handles), 40);
    drop(room);
    assert_eq!(job.used(Resource::Handles), 39);
    drop(table);
    dig();
    drop(object);
    drop(job);
    assert_unused(&root);
}

#[test]
fn taking_is_all_or_nothing() {
    let job = job();
    let table = table(&job);
    let one = table.insert(capability(notification(&job))).unwrap();
    let two = table.insert(capability(notification(&job))).unwrap();
    let stuck = table
        .insert(Capability::with_rights(notification(&job), Rights::READ).unwrap())
        .unwrap();
    for (handles, error) in [
        (&[one, two, stuck][..], Error::NoRight),
        (&[one, one], Error::BadHandle),
        (&[one, Handle::NONE], Error::BadHandle),
        (&[one; MAX_HANDLES + 1], Error::BadArgument),
    ] {
        assert_eq!(table.take(handles).unwrap_err(), error);
        assert_eq!(table.len(), 3);
        assert!(table.get(one, Rights::READ).is_ok(), "it was put back");
    }
    let taken = table.take(&[two, one]).unwrap();
    assert_eq!(
        table.get(one, Rights::empty()).unwrap_err(),
        Error::BadHandle
    );
    assert_eq!(table.close(one), Err(Error::BadHandle), "not while away");
    let mut small = Vec::with_capacity(1);
    assert_eq!(taken.commit(&mut small).unwrap_err(), Error::NoMemory);
    assert!(table.get(one, Rights::READ).is_ok() && table.get(two, Rights::READ).is_ok());
    let mut large = Vec::with_capacity(2);
    let charge = table.take(&[two, one]).unwrap().commit(&mut large).unwrap();
    assert_eq!((charge.amount(), large.len(), table.len()), (2, 2, 1));
    assert_eq!(job.used(Resource::Handles), 3, "the charge goes along");
    drop((charge, large));
    assert_eq!(job.used(Resource::Handles), 1);
}

#[test]
fn a_table_that_closes_takes_nothing_in() {
    let job = job();
    let table = table(&job);
    let object = notification(&job);
    let away = table.insert(capability(object.clone())).unwrap();
    for _ in 0..99 {
        table.insert(capability(object.clone())).unwrap();
    }
    let taken = table.take(&[away]).unwrap();
    let mut room = table.reserve(1).unwrap();
    let mut steps = 0;
    while table.close_some(10) == Progress::More {
        steps += 1;
    }
    assert!(steps >= 9, "in steps");
    assert_eq!(object.header().handles(), 1, "the one that is away");
    drop(taken);
    assert!(object.header().is_closed());
    assert_eq!(room.install(capability(notification(&job))), Handle::NONE);
    drop(room);
    assert_eq!(table.reserve(1).unwrap_err(), Error::Dying);
    assert!(table.is_empty());
    assert_eq!(job.used(Resource::Handles), 0);
    drop((table, object));
    assert_unused(&job);
}

#[test]
fn listing_finds_every_handle() {
    let job = job();
    let table = table(&job);
    let handles: Vec<_> = (0..100)
        .map(|_| table.insert(capability(notification(&job))).unwrap())
        .collect();
    for handle in handles.iter().step_by(3) {
        table.close(*handle).unwrap();
    }
    let mut listed = Vec::new();
    let mut from = 0;
    while let Some((next, row)) = table.list(from) {
        assert!(next > from);
        from = next;
        listed.extend(row);
    }
    assert_eq!(listed.len(), table.len());
    for row in listed {
        let entry = table.get(row.handle, Rights::empty()).unwrap();
        assert_eq!(entry.object().header().id(), row.object_id);
        assert_eq!(
            (entry.rights(), entry.object_type(), row.leased),
            (row.rights, row.object_type, false)
        );
    }
}

#[test]
fn giving_takes_rights_away() {
    let job = job();
    let (from, to) = (table(&job), table(&job));
    let handle = from.insert(capability(notification(&job))).unwrap();
    assert_eq!(
        from.give(handle, Rights::READ | Rights::KILL, &to),
        Err(Error::NoRight)
    );
    let there = from.give(handle, Rights::READ, &to).unwrap();
    assert_eq!(
        to.get(there, Rights::empty()).unwrap().rights(),
        Rights::READ
    );
    assert!(from.is_empty());
    assert_eq!(to.give(there, Rights::READ, &from), Err(Error::NoRight));
    assert_eq!(job.used(Resource::Handles), 1);
}

#[test]
fn what_is_closed_stays_closed() {
    let job = job();
    let table = table(&job);
    let handle = table.insert(capability(notification(&job))).unwrap();
    let entry = table.get(handle, Rights::DUPLICATE).unwrap();
    table.close(handle).unwrap();
    assert_eq!(
        entry.duplicate(Rights::READ).unwrap_err(),
        Error::BadHandle,
        "a call that was under way brings it back"
    );
}

/// Tables whose only handle is in another table ...: no recursion, however deep.
#[test]
fn nested_tables_are_buried() {
    let job = job();
    let mut inner = capability(notification(&job));
    for _ in 0..20_000 {
        let process = Process::create(&job).unwrap();
        process.handles.insert(inner).unwrap();
        inner = capability(Object::Process(process));
    }
    thread::Builder::new()
        .stack_size(64 << 10)
        .spawn({
            let graveyard = graveyard();
            move || {
                use_graveyard(graveyard);
                drop(inner);
                dig();
            }
        })
        .unwrap()
        .join()
        .unwrap();
    assert_unused(&job);
}

#[test]
fn cores_race_for_the_same_handles() {
    let job = job();
    let table = Arc::new(table(&job));
    let object = notification(&job);
    let _kept = capability(object.clone());
    for _ in 0..300 {
        let handle = table.insert(capability(object.clone())).unwrap();
        let closed: usize = thread::scope(|scope| {
            let racers = [0, 1].map(|racer| {
                let table = &table;
                scope.spawn(move || {
                    if racer == 0 {
                        let _ = table.duplicate(handle, Rights::READ);
                    } else if let Ok(taken) = table.take(&[handle]) {
                        drop(taken);
                    }
                    usize::from(table.close(handle).is_ok())
                })
            });
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        // A close may find the handle away; then it is still there.
        assert!(closed + usize::from(table.close(handle).is_ok()) == 1);
    }
    assert_eq!(object.header().handles(), table.len() + 1);
    assert_eq!(job.used(Resource::Handles), table.len() as u64);
}

#[derive(Clone, Debug)]
enum Step {
    New,
    Duplicate(usize, u32),
    Lease(usize, u32),
    Revoke(usize),
    Close(usize),
    Send(Vec<usize>, bool),
    Give(usize, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = any::<usize>;
    let rights = || any::<u32>().prop_map(|rights| rights & Rights::all().bits());
    let step = prop_oneof![
        Just(Step::New),
        (some(), rights()).prop_map(|(which, rights)| Step::Duplicate(which, rights)),
        (some(), rights()).prop_map(|(which, rights)| Step::Lease(which, rights)),
        some().prop_map(Step::Revoke),
        some().prop_map(Step::Close),
        (prop::collection::vec(some(), 0..4), any::<bool>())
            .prop_map(|(which, commit)| Step::Send(which, commit)),
        (some(), rights()).prop_map(|(which, rights)| Step::Give(which, rights)),
    ];
    prop::collection::vec(step, 0..80)
}

/// What the model knows of a handle: the object, what it allows, and the leases it hangs on.
#[derive(Clone, Debug)]
struct Known {
    object: u64,
    rights: Rights,
    leases: Vec<usize>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn tables_match_a_map(steps in steps()) {
        let job = job();
        let tables = [table(&job), table(&job)];
        let mut model: HashMap<(usize, u64), Known> = HashMap::new();
        let mut order: Vec<(usize, Handle)> = Vec::new();
        let mut leases: Vec<Ref<Lease>> = Vec::new();
        let mut revoked: Vec<usize> = Vec::new();
        for step in steps {
            let pick = |which: usize| which.checked_rem(order.len()).map(|place| order[place]);
            let is_revoked = |known: &Known, revoked: &[usize]| known.leases.iter().any(|lease| revoked.contains(lease));
            match step {
                Step::New => {
                    let object = notification(&job);
                    let known = Known {
                        object: object.header().id(),
                        // Rights at will, so that there are some to ask for in vain.
                        rights: Rights::of_new(ObjectType::Notification),
                        leases: Vec::new(),
                    };
                    let handle = tables[0].insert(capability(object)).unwrap();
                    prop_assert!(model.insert((0, handle.0), known).is_none());
                    order.push((0, handle));
                }
                Step::Duplicate(which, rights) => if let Some((at, handle)) = pick(which) {
                    let rights = Rights::from_bits_truncate(rights) & Rights::of_new(ObjectType::Notification);
                    let made = tables[at].duplicate(handle, rights);
                    match model.get(&(at, handle.0)).cloned() {
                        None => prop_assert_eq!(made, Err(Error::BadHandle)),
                        Some(known) if is_revoked(&known, &revoked) => prop_assert_eq!(made, Err(Error::Revoked)),
                        Some(known) if !known.rights.contains(rights | Rights::DUPLICATE) => prop_assert_eq!(made, Err(Error::NoRight)),
                        Some(known) => {
                            let made = made.unwrap();
                            let before = model.insert((at, made.0), Known { rights, ..known });
                            prop_assert!(before.is_none());
                            order.push((at, made));
                        }
                    }
                },
                Step::Lease(which, rights) => if let Some((at, handle)) = pick(which) {
                    let rights = Rights::from_bits_truncate(rights) & Rights::of_new(ObjectType::Notification);
                    let made = tables[at].get(handle, Rights::DUPLICATE).and_then(|entry| {
                        let lease = Lease::new(&job, entry.lease())?;
                        let leased = entry.lease_out(rights, &lease)?;
                        Ok((tables[at].insert(leased)?, lease))
                    });
                    if let Ok((handle_made, lease)) = made {
                        let known = model.get(&(at, handle.0)).cloned().unwrap();
                        prop_assert!(known.rights.contains(rights | Rights::DUPLICATE) && !is_revoked(&known, &revoked));
                        let mut on = known.leases.clone();
                        on.push(leases.len());
                        leases.push(lease);
                        model.insert((at, handle_made.0), Known { rights, leases: on, ..known });
                        order.push((at, handle_made));
                    }
                },
                Step::Revoke(which) => if let Some(place) = which.checked_rem(leases.len()) {
                    leases[place].revoke();
                    revoked.push(place);
                },
                Step::Close(which) => if let Some((at, handle)) = pick(which) {
                    let known = model.remove(&(at, handle.0));
                    prop_assert_eq!(tables[at].close(handle).is_ok(), known.is_some());
                },
                Step::Send(which, commit) => {
                    let handles: Vec<Handle> = which.iter().filter_map(|&which| pick(which)).filter(|(at, _)| *at == 0).map(|(_, handle)| handle).collect();
                    let mut unique = handles.clone();
                    unique.sort_unstable_by_key(|handle| handle.0);
                    unique.dedup();
                    let good = unique.len() == handles.len() && handles.iter().all(|handle| model.get(&(0, handle.0)).is_some_and(|known| {
                        known.rights.contains(Rights::TRANSFER) && !is_revoked(known, &revoked)
                    }));
                    match tables[0].take(&handles) {
                        Err(_) => prop_assert!(!good),
                        Ok(taken) => {
                            prop_assert!(good);
                            if commit {
                                let mut room = tables[1].reserve(handles.len()).unwrap();
                                let mut sent = Vec::with_capacity(handles.len());
                                let charge = taken.commit(&mut sent).unwrap();
                                for (handle, capability) in handles.iter().zip(sent) {
                                    let there = room.install(capability);
                                    let known = model.remove(&(0, handle.0)).unwrap();
                                    prop_assert!(model.insert((1, there.0), known).is_none());
                                    order.push((1, there));
                                }
                                drop(charge);
                            }
                        }
                    }
                }
                Step::Give(which, rights) => if let Some((at, handle)) = pick(which) {
                    let rights = Rights::from_bits_truncate(rights) & Rights::of_new(ObjectType::Notification);
                    if let Ok(there) = tables[at].give(handle, rights, &tables[1 - at]) {
                        let known = model.remove(&(at, handle.0)).unwrap();
                        prop_assert!(known.rights.contains(rights | Rights::TRANSFER) && !is_revoked(&known, &revoked));
                        model.insert((1 - at, there.0), Known { rights, ..known });
                        order.push((1 - at, there));
                    }
                },
            }
            // Every number that ever was: it means what the model says, or nothing.
            for (at, handle) in &order {
                let found = tables[*at].get(*handle, Rights::empty());
                match model.get(&(*at, handle.0)) {
                    None => prop_assert_eq!(found.unwrap_err(), Error::BadHandle),
                    Some(known) if is_revoked(known, &revoked) => prop_assert_eq!(found.unwrap_err(), Error::Revoked),
                    Some(known) => {
                        let entry = found.unwrap();
                        prop_assert_eq!(entry.rights(), known.rights);
                        prop_assert_eq!(entry.object().header().id(), known.object);
                        prop_assert_eq!(entry.lease().is_some(), !known.leases.is_empty());
                    }
                }
            }
            prop_assert_eq!(job.used(Resource::Handles), model.len() as u64);
        }
        drop((tables, leases));
        dig();
        assert_unused(&job);
    }
}

#[test]
fn an_end_of_a_channel_has_one_holder() {
    let job = job();
    let table = table(&job);
    let (one, _other) = channel(&job);
    let handle = table.insert(capability(one)).unwrap();
    assert_eq!(table.duplicate(handle, Rights::READ), Err(Error::NoRight));
    let entry = table.get(handle, Rights::READ).unwrap();
    let lease = Lease::new(&job, None).unwrap();
    assert_eq!(
        entry.lease_out(Rights::READ, &lease).unwrap_err(),
        Error::NoRight
    );
}
