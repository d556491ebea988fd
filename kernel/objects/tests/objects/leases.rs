//! Taking handles back.

use std::{pin::pin, sync::Arc, task::Poll};

use abi::{Error, Rights, Signals};
use objects::lease::{Lease, MAX_DEPTH};

use crate::common::{Wakes, assert_unused, capability, job, notification, poll_once};

#[test]
fn an_outer_lease_revokes_the_inner_ones() {
    let job = job();
    let outer = Lease::new(&job, None).unwrap();
    let inner = Lease::new(&job, Some(&outer)).unwrap();
    let sibling = Lease::new(&job, Some(&outer)).unwrap();
    assert!(outer.covers(&inner) && !inner.covers(&outer) && !inner.covers(&sibling));
    inner.revoke();
    assert!(inner.is_revoked() && !outer.is_revoked() && !sibling.is_revoked());
    outer.revoke();
    assert!(sibling.is_revoked());
    assert!(
        !sibling.signals().get().contains(Signals::REVOKED),
        "not itself"
    );
    assert!(outer.signals().get().contains(Signals::REVOKED));
    assert_eq!(Lease::new(&job, Some(&outer)).unwrap_err(), Error::Revoked);
    drop((outer, inner, sibling));
    assert_unused(&job);
}

#[test]
fn leases_are_only_so_deep() {
    let job = job();
    let mut lease = Lease::new(&job, None).unwrap();
    for _ in 1..MAX_DEPTH {
        lease = Lease::new(&job, Some(&lease)).unwrap();
    }
    assert_eq!(
        Lease::new(&job, Some(&lease)).unwrap_err(),
        Error::LimitReached
    );
}

#[test]
fn waiting_through_it_ends_with_revoked() {
    let job = job();
    let object = notification(&job);
    let outer = Lease::new(&job, None).unwrap();
    let inner = Lease::new(&job, Some(&outer)).unwrap();
    let sibling = Lease::new(&job, Some(&outer)).unwrap();
    let wakes = Arc::new(Wakes::default());
    let kernel = objects::KernelObject::signals(&object).unwrap();
    let mut wait = pin!(kernel.wait(Signals::READABLE, Some(&inner)));
    let mut free = pin!(kernel.wait(Signals::READABLE, None));
    let mut revoked = pin!(inner.revoked());
    assert!(poll_once(wait.as_mut(), &wakes).is_pending());
    assert!(poll_once(free.as_mut(), &wakes).is_pending());
    assert!(poll_once(revoked.as_mut(), &wakes).is_pending());
    sibling.revoke();
    assert!(poll_once(wait.as_mut(), &wakes).is_pending(), "not its own");
    let before = wakes.count();
    outer.revoke();
    assert!(wakes.count() > before);
    assert_eq!(
        poll_once(wait.as_mut(), &wakes),
        Poll::Ready(Err(Error::Revoked))
    );
    assert!(poll_once(revoked.as_mut(), &wakes).is_ready());
    assert!(poll_once(free.as_mut(), &wakes).is_pending());
    kernel.set(Signals::READABLE);
    let mut late = pin!(kernel.wait(Signals::READABLE, Some(&inner)));
    assert_eq!(
        poll_once(late.as_mut(), &wakes),
        Poll::Ready(Err(Error::Revoked)),
        "even if it is set"
    );
}

#[test]
fn whatever_is_made_from_a_leased_handle_is_leased() {
    let job = job();
    let original = capability(notification(&job));
    let lease = Lease::new(&job, None).unwrap();
    let leased = original
        .entry()
        .lease_out(Rights::READ | Rights::DUPLICATE | Rights::TRANSFER, &lease)
        .unwrap();
    let copy = leased
        .entry()
        .duplicate(Rights::READ | Rights::DUPLICATE)
        .unwrap();
    // Not out of the lease by another one that has nothing to do with it.
    let stranger = Lease::new(&job, None).unwrap();
    assert_eq!(
        copy.entry().lease_out(Rights::READ, &stranger).unwrap_err(),
        Error::BadArgument
    );
    let inner = Lease::new(&job, copy.entry().lease()).unwrap();
    let again = copy.entry().lease_out(Rights::READ, &inner).unwrap();
    lease.revoke();
    for revoked in [&leased, &copy, &again] {
        assert_eq!(revoked.entry().require(Rights::READ), Err(Error::Revoked));
    }
    assert_eq!(
        copy.entry().duplicate(Rights::READ).unwrap_err(),
        Error::Revoked
    );
    assert_eq!(original.entry().require(Rights::READ), Ok(()));
    drop((original, leased, copy, again, lease, inner, stranger));
    assert_unused(&job);
}
