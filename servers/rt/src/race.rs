//! Waiting for the first of several futures, and yielding once.
//!
//! All are biased: the earlier argument wins when several are ready, which keeps a server's
//! behaviour the same from run to run.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// Which of two futures was ready first, with its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first argument.
    A(A),
    /// The second argument.
    B(B),
}

/// Which of three futures was ready first, with its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either3<A, B, C> {
    /// The first argument.
    A(A),
    /// The second argument.
    B(B),
    /// The third argument.
    C(C),
}

/// Waits for the first of two futures; the other one is dropped.
pub async fn first<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    poll_fn(|cx| {
        if let Poll::Ready(output) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::A(output));
        }
        b.as_mut().poll(cx).map(Either::B)
    })
    .await
}

/// Waits for the first of three futures; the others are dropped.
pub async fn first_of_3<A: Future, B: Future, C: Future>(
    a: A,
    b: B,
    c: C,
) -> Either3<A::Output, B::Output, C::Output> {
    match first(a, first(b, c)).await {
        Either::A(a) => Either3::A(a),
        Either::B(Either::A(b)) => Either3::B(b),
        Either::B(Either::B(c)) => Either3::C(c),
    }
}

/// Waits for `future` if `condition` holds, else for ever: an arm of a race that is switched off.
pub async fn only_if<F: Future>(condition: bool, future: F) -> F::Output {
    if condition {
        future.await
    } else {
        core::future::pending().await
    }
}

/// Lets every task that is due run before the caller goes on: the way to keep a long loop's polls
/// short.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
