//! Memory objects on a modelled machine: frames with counted holders, page tables, and cores with translation caches that forget
//! nothing by themselves.
//!
//! * `machine`: the model. Reaching a freed frame, writable and executable pages and wrong counts are panics there.
//! * `map`: the usual mapping. `run`: an executor that picks the next task at random, by a seed; a lost wake is a panic.
//! * `sequences`: operations (`ops`) one after another, against a byte-level reference.
//! * `races`: operations interleaved at their awaits. `threads`: the same on threads of the host.
//! * `cases`, `places`: single properties, `halfway`: operations that were dropped or are not over, `paging`: pagers.

extern crate std;

mod cases;
mod halfway;
pub(super) mod machine;
mod map;
mod ops;
mod paging;
mod places;
mod races;
pub(super) mod run;
mod sequences;
mod threads;
