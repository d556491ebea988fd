//! Memory: every allocation may fail and then nothing has happened, no byte is allocated that is not charged, and nothing is left.
//!
//! One test, so that nobody else allocates or counts objects.
#![cfg(not(loom))]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use abi::{
    Error, Rights, Signals,
    message::{Lengths, WORDS},
};
use common::{Caller, Object, Process, Receiver, assert_unused, capability, dig, job};
use objects::{
    KernelObject,
    capability::Capability,
    channel::{Channel, Message},
    endpoint::{Endpoint, Receive},
    handle::HandleTable,
    job::{Group, Job, Resource},
    lease::Lease,
    notification::Notification,
    object::counts,
    port::{Packet, Port},
    refs::Ref,
    timer::Timer,
};

thread_local! {
    /// How many allocations succeed before one fails.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

struct Failing;

/// `false` for the allocation that is to fail.
fn allowed() -> bool {
    LEFT.try_with(|left| match left.get() {
        Some(0) => {
            left.set(None);
            false
        }
        Some(more) => {
            left.set(Some(more - 1));
            true
        }
        None => true,
    })
    .unwrap_or(true)
}

fn count(bytes: i64) {
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: the system's allocator does the work; refusing is allowed.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !allowed() {
            return core::ptr::null_mut();
        }
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !allowed() {
            return core::ptr::null_mut();
        }
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// What is there before anything is charged.
struct Base {
    job: Ref<Job>,
    live: i64,
    receiver: Receiver,
    callers: Vec<Caller>,
}

impl Base {
    /// No byte is allocated that is not charged.
    fn check(&self, after: &str) {
        let live = LIVE.get() - self.live;
        let charged = self.job.used(Resource::Kernel) as i64;
        if live > charged {
            LEFT.set(None);
            panic!("{after}: {live} bytes, {charged} charged");
        }
    }
}

const ANY: Lengths = Lengths {
    bytes: u32::MAX,
    handles: u32::MAX,
};

fn everything(base: &Base) -> Result<(), Error> {
    let job = &base.job;
    let process = Process::create(job)?;
    let _process = Capability::new(Object::Process(process.clone()))?;
    let table = &process.handles;
    base.check("a process");
    let bits = Notification::create(job)?;
    let first = table.insert(capability(Object::Notification(bits.clone())))?;
    base.check("a handle");
    for _ in 0..100 {
        table.duplicate(first, Rights::READ | Rights::TRANSFER)?;
    }
    base.check("a hundred");
    let lease = Lease::new(job, None)?;
    let entry = table.get(first, Rights::DUPLICATE)?;
    let leased = table.insert(entry.lease_out(
        Rights::READ | Rights::WAIT | Rights::DUPLICATE | Rights::TRANSFER,
        &lease,
    )?)?;
    let timer = table.insert(capability(Object::Timer(Timer::create(job)?)))?;
    base.check("leases and timers");

    let (near, far) = Channel::create(job)?;
    let near_handle = table.insert(capability(Object::Channel(near.clone())))?;
    let far_handle = table.insert(capability(Object::Channel(far.clone())))?;
    for bytes in 0..20 {
        let message = Message::new(job, bytes * 50, 0)?;
        near.write(message, table.take(&[])?)?;
    }
    base.check("messages");
    let message = Message::new(job, 100, 2)?;
    near.write(message, table.take(&[first, timer])?)?;
    base.check("handles in messages");

    let port = Port::create(job)?;
    let _port = Capability::new(Object::Port(port.clone()))?;
    port.bind(
        job,
        &table.get(far_handle, Rights::WAIT)?,
        Signals::READABLE,
        1,
    )?;
    port.bind(job, &table.get(leased, Rights::WAIT)?, Signals::READABLE, 2)?;
    base.check("bindings");
    let more: Vec<_> = {
        let limit = LEFT.take();
        let more = (0..20).map(|_| capability(common::notification(job)));
        let more = more.collect();
        LEFT.set(limit);
        more
    };
    let spare = (more.capacity() * size_of::<Capability<Object>>()) as i64;
    count(-spare);
    let bound = more.iter().try_for_each(|more: &Capability<Object>| {
        port.bind(job, more.entry(), Signals::READABLE, 3)
    });
    base.check("more bindings");
    count(spare);
    bound?;
    drop(more);
    bits.signal(1);
    for key in 0..10 {
        port.post(job, key, [0; WORDS])?;
    }
    base.check("packets");
    while let Ok(packet) = port.try_take(&base.receiver.replies) {
        assert!(!matches!(packet, Packet::Call(_)));
    }
    // Many ports for one object.
    for _ in 0..10 {
        let other = Port::create(job)?;
        let handle = Capability::new(Object::Port(other.clone()))?;
        other.bind(job, &table.get(leased, Rights::WAIT)?, Signals::READABLE, 2)?;
        drop((other, handle));
        // Bindings keep a port's memory, until they are dug out.
        dig();
        base.check("ports");
    }

    let endpoint = Endpoint::create(job)?;
    let server = Capability::new(Object::Endpoint(endpoint.clone()))?;
    port.bind(job, server.entry(), Signals::READABLE, 5)?;
    let calls = base
        .callers
        .iter()
        .try_for_each(|caller| endpoint.call(caller, 0, 0, 0).map(drop));
    base.check("calls");
    calls?;
    let call = endpoint.call(&base.callers[0], 0, 0, 0)?;
    match port.try_take(&base.receiver.replies)? {
        Packet::Call(arrival) => {
            drop(base.receiver.replies.take(arrival.delivery.token)?);
        }
        packet => panic!("{packet:?}"),
    }
    drop(call);
    if let Receive::Parked(ticket) = endpoint.receive(base.receiver.clone(), None)? {
        base.check("receivers");
        endpoint.unpark(ticket);
    }

    // And reading it all again.
    let target = HandleTable::new(job)?;
    while let Ok(lengths) = far.peek() {
        let mut room = target.reserve(lengths.handles as usize)?;
        let received = far.read(ANY).map_err(|_| Error::WouldWait)?;
        if let Some(mut message) = received.accept() {
            message.install_handles(&mut room, drop);
        }
    }
    assert_eq!(target.len(), 2);
    base.check("reading");
    let group: Ref<Group<u32>> = Group::root(&common::LIMITS)?;
    for _ in 0..10 {
        drop(group.child(&common::LIMITS)?);
    }
    lease.revoke();
    table.give(near_handle, Rights::READ, &target)?;
    base.check("giving");
    Ok(())
}

/// One try, with the allocation of this number failing; `true` if it came to that.
fn attempt(fail_at: u64) -> bool {
    common::graveyard();
    let receiver_job = job();
    let base = Base {
        job: job(),
        receiver: Receiver::new(&receiver_job, 0),
        callers: (0..20).map(|_| Caller::new()).collect(),
        live: 0,
    };
    // A table of replies grows at somebody else's cost; let it have grown.
    let (endpoint, caller) = (
        Endpoint::<Object>::create(&receiver_job).unwrap(),
        Caller::new(),
    );
    let call = endpoint.call(&caller, 0, 0, 0).unwrap();
    drop(endpoint.try_receive(&base.receiver.replies).unwrap());
    drop(call);
    let base = Base {
        live: LIVE.get(),
        ..base
    };
    LEFT.set(Some(fail_at));
    let result = everything(&base);
    let failed = LEFT.take().is_none();
    dig();
    base.check("the end");
    assert_unused(&base.job);
    if failed {
        // A binding that could not be made, or a packet for it that was not needed, is the only failure that can be survived.
        assert_eq!(result, Err(Error::NoMemory), "allocation {fail_at}");
    } else {
        assert_eq!(result, Ok(()));
    }
    failed
}

#[test]
fn every_allocation_may_fail() {
    let objects = || counts().map(|(_, count)| count).sum::<usize>();
    let before = objects();
    let mut fail_at = 0;
    while attempt(fail_at) {
        fail_at += 1;
        assert_eq!(objects(), before, "after failing at {fail_at}");
    }
    assert!(fail_at > 100, "that many allocations");
    assert_eq!(objects(), before);
    // What the test itself keeps.
    let object = common::notification(&job());
    assert_eq!(objects(), before + 1);
    assert_eq!(object.header().handles(), 0);
}
