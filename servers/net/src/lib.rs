//! The network stack as logic: interfaces over cards, sockets over rings, names. smoltcp does the protocols; what is here decides who may
//! have which socket, through which interface it goes, and how its bytes get into its program's memory.
//!
//! # Tour
//! * [`stack`]: [`Stack`], which has all of it. [`sockets`]: opening and closing sockets, who has how many. [`listen`]: ports that are
//!   listened to. [`rows`]: tables.
//! * [`interface`]: a card or the way to ourselves, with its addresses. [`routers`]: what IPv6 routers say. [`neighbours`]: who is there.
//! * [`pump`]: moves bytes between sockets and the rings of their programs; whatever is in those.
//! * [`names`]: a resolver with its cache. [`message`]: its messages as bytes.
//! * [`sequence`]: connections' sequence numbers.
//! * [`driver`]: cards of any kind as one. [`wire`]: a card as smoltcp sees it. [`inspect`]: a look at each frame before that. [`random`]: numbers nobody can guess. [`slab`]: numbered things.
//!
//! # Who calls
//! The net server calls [`Stack::turn`] when a card or a timer woke it, and the pumps when a program or the stack woke a socket's
//! task; each of these does at once all that can be done. Nothing here waits, and nothing here is polled: [`Turn::at`] says when the next
//! turn is due, and wakers are called when there is something for a socket.
//!
//! # What must hold
//! * Frames, rings and requests are hostile: the worst that they can do is to lose their own connection.
//! * Memory that others decide about is limited for each of them, and its allocation may fail.
//! * Ports and identifiers of names come from a generator that nobody can guess ([`random`]). smoltcp's first sequence numbers come from one that can
//!   be guessed: what nobody can guess is added to them on the wire ([`sequence`]).
//! * Bytes are copied once on each way between a card's buffer and the stack's, where they are put in order or kept until they are
//!   acknowledged, and once between that and the ring.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod driver;
pub mod inspect;
pub mod interface;
pub mod listen;
pub mod message;
pub mod names;
pub mod neighbours;
pub mod pump;
pub mod random;
pub mod routers;
pub mod rows;
pub mod sequence;
pub mod slab;
pub mod sockets;
pub mod stack;
pub mod wire;

pub use interface::{Interface, Turn};
pub use slab::Key;
pub use smoltcp::time::Instant;
pub use stack::Stack;

/// A buffer of zeroes, if there is memory.
pub(crate) fn zeroes(len: usize) -> Result<alloc::vec::Vec<u8>, proto::net::NetError> {
    let mut bytes = alloc::vec::Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| proto::net::NetError::NoMemory)?;
    bytes.resize(len, 0);
    Ok(bytes)
}
