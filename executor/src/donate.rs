//! Lending one's deadline to whom one waits for.

use core::{future::Future, marker::PhantomData, pin::pin, task::Poll};

use crate::{CoreId, Platform, TaskId, sched::loans::LoanId};

/// Awaits `future`; while it is pending, the running task lends its deadline (and the budget behind it) to `to`.
///
/// For calls: the caller awaits the reply of a server task. The loan reaches whom `to` itself waits for, and ends when the
/// reply comes, the future is dropped, or either task dies. A task on another core keeps to its own reservation or
/// share: if it has a relative deadline and no reservation, the job in hand takes on the caller's deadline if that is earlier.
pub async fn lend<P: Platform, F: Future>(to: TaskId, future: F) -> F::Output {
    let mut future = pin!(future);
    let key = core::ptr::from_ref(&*future).cast::<u8>().addr();
    lending::<P, _>(key, || Some(to), future.as_mut()).await
}

/// As [`lend`], to whoever holds what `key` names at the time.
pub(crate) async fn lending<P: Platform, F: Future>(
    key: usize,
    holder: impl Fn() -> Option<TaskId>,
    future: F,
) -> F::Output {
    let mut future = pin!(future);
    let mut loan = OutLoan::<P> {
        loan: None,
        platform: PhantomData,
    };
    core::future::poll_fn(|context| {
        let result = future.as_mut().poll(context);
        if result.is_pending() && loan.loan.is_none() {
            loan.begin(key, holder());
        } else if result.is_ready() {
            loan.end();
        }
        match result {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

struct OutLoan<P: Platform> {
    loan: Option<(CoreId, LoanId)>,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> OutLoan<P> {
    fn begin(&mut self, key: usize, to: Option<TaskId>) {
        let Some(here) = P::fleet().here() else {
            return;
        };
        match to {
            Some(to) if to.core() != here.id => {
                if let (Some(deadline), Some(there)) =
                    (here.current_deadline(), P::fleet().core(to.core()))
                {
                    there.lend_from_elsewhere(to, deadline);
                }
            }
            _ => self.loan = here.lend(to, key).map(|loan| (here.id, loan)),
        }
    }

    fn end(&mut self) {
        if let Some((core, loan)) = self.loan.take()
            && let Some(core) = P::fleet().core(core)
        {
            core.take_back(loan);
        }
    }
}

impl<P: Platform> Drop for OutLoan<P> {
    fn drop(&mut self) {
        self.end();
    }
}
