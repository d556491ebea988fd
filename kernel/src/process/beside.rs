//! Futures in memory of their own, beside the task that awaits them.
//!
//! A thread's task is as large as the largest thing it can wait in, and mostly it waits in a small one: what is large and rare lies here.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use abi::Error;
use objects::job::{Charge, Job};
use objects::refs::{Ref, try_box};

/// A future in memory of its own, paid for by a job: one that is large, and not what threads sleep in.
pub struct Beside<F> {
    future: Pin<Box<F>>,
    _charge: Charge,
}

impl<F: Future> Future for Beside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.future.as_mut().poll(context)
    }
}

/// Puts a future that was not polled yet into memory of its own.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn beside<F: Future>(account: &Ref<Job>, future: F) -> Result<Beside<F>, Error> {
    let charge = account.charge_kernel(size_of::<F>() as u64)?;
    Ok(Beside {
        future: Box::into_pin(try_box(future)?),
        _charge: charge,
    })
}
