//! The executors measured. To register one: a module and its line in the list.

mod async_executor;
mod embassy;
mod futures_local_pool;
mod futures_unordered;
mod poll_loop;
mod raede;
mod tokio;

use crate::peer::{Peer, Visit};

macro_rules! peers {
    ($($peer:ty,)*) => {
        /// The names of all.
        pub const NAMES: &[&str] = &[$(<$peer as Peer>::NAME),*];

        /// Does something with the peer of this name, if there is one.
        pub fn visit<V: Visit>(name: &str, visitor: V) -> Option<V::Output> {
            $(if name == <$peer as Peer>::NAME {
                return Some(visitor.visit::<$peer>());
            })*
            None
        }
    };
}

peers! {
    raede::Raede<true>,
    raede::Raede<false>,
    embassy::Embassy,
    tokio::Tokio,
    tokio::TokioLocal,
    async_executor::AsyncExecutor,
    futures_local_pool::FuturesLocalPool,
    futures_unordered::Unordered,
    poll_loop::PollLoop,
}
