//! The desk with programs that behave and programs that do not.

mod bench;
mod limits;
mod random;
mod told;
mod windows;
