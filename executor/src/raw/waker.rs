//! A task id as a `Waker`: cloning and dropping do nothing, and a stale one is harmless.

use core::{
    marker::PhantomData,
    task::{RawWaker, RawWakerVTable, Waker},
};

use crate::{ident::TaskId, platform::Platform};

/// How the tasks of a fleet are woken. It lies in the fleet, so that there is one: of a constant the compiler may make several, and
/// wakers of the same task would not know each other.
#[derive(Debug)]
pub(crate) struct Vtable<P> {
    table: RawWakerVTable,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> Vtable<P> {
    pub(crate) const fn new() -> Vtable<P> {
        Vtable {
            table: RawWakerVTable::new(clone::<P>, wake::<P>, wake::<P>, drop_nothing),
            platform: PhantomData,
        }
    }
}

#[inline(always)]
fn raw<P: Platform>(data: *const ()) -> RawWaker {
    RawWaker::new(data, &P::fleet().wakers.table)
}

unsafe fn clone<P: Platform>(data: *const ()) -> RawWaker {
    raw::<P>(data)
}

unsafe fn wake<P: Platform>(data: *const ()) {
    P::fleet().wake(TaskId::from_bits(data.addr() as u64));
}

unsafe fn drop_nothing(_: *const ()) {}

/// The task that a waker is of, if it is one of this platform's.
#[inline(always)]
pub(crate) fn task_of<P: Platform>(waker: &Waker) -> Option<TaskId> {
    core::ptr::eq(waker.vtable(), &P::fleet().wakers.table)
        .then(|| TaskId::from_bits(waker.data().addr() as u64))
}

/// A clone of a waker, at no cost if it is of a task.
#[inline(always)]
pub(crate) fn copy<P: Platform>(waker: &Waker) -> Waker {
    match task_of::<P>(waker) {
        Some(task) => of_task::<P>(task),
        None => waker.clone(),
    }
}

/// The waker of a task. Its data is the id: nothing is borrowed, nothing is counted.
#[inline(always)]
pub(crate) fn of_task<P: Platform>(id: TaskId) -> Waker {
    let data = core::ptr::without_provenance(id.to_bits() as usize);
    // SAFETY: the functions uphold the contract of `RawWakerVTable`: the data is a plain number, any
    // number is accepted by `Fleet::wake`, and that may be called from any thread.
    unsafe { Waker::from_raw(raw::<P>(data)) }
}
