//! A task id as a `Waker`: cloning and dropping do nothing, and a stale one is harmless.

use core::{
    marker::PhantomData,
    task::{RawWaker, RawWakerVTable, Waker},
};

use crate::{ident::TaskId, platform::Platform};

struct Of<P>(PhantomData<P>);

impl<P: Platform> Of<P> {
    const VTABLE: RawWakerVTable =
        RawWakerVTable::new(clone::<P>, wake::<P>, wake::<P>, drop_nothing);
    const VTABLE_REF: &'static RawWakerVTable = &Self::VTABLE;
}

fn raw<P: Platform>(data: *const ()) -> RawWaker {
    RawWaker::new(data, Of::<P>::VTABLE_REF)
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
    core::ptr::eq(waker.vtable(), Of::<P>::VTABLE_REF)
        .then(|| TaskId::from_bits(waker.data().addr() as u64))
}

/// The waker of a task. Its data is the id: nothing is borrowed, nothing is counted.
#[inline(always)]
pub(crate) fn of_task<P: Platform>(id: TaskId) -> Waker {
    let data = core::ptr::without_provenance(id.to_bits() as usize);
    // SAFETY: the functions uphold the contract of `RawWakerVTable`: the data is a plain number, any
    // number is accepted by `Fleet::wake`, and that may be called from any thread.
    unsafe { Waker::from_raw(raw::<P>(data)) }
}
