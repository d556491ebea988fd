//! Raede's tools: build it, boot it, check it, measure it.
//!
//! `scripts/run`, `test`, `bench` and `image` are a few lines of shell that build this crate and
//! call its program with their own name as first word; `kernel/tests` uses the library to boot
//! scenarios. From the bottom up:
//!
//! - [`error`], [`host`], [`packages`]: failures that say what to do, running programs with a
//!   clean environment, installing what is missing.
//! - [`build`]: the kernel with its symbol table, the flat file, the hybrid image.
//! - [`qemu`]: a machine described, started and spoken to.
//! - [`suite`]: the checks of `scripts/test`.
//! - [`bench`]: figures collected.
//! - [`cli`]: what a person types.
//!
//! Messages for people go to standard error; standard output carries only what was asked for.

mod say;

pub mod bench;
pub mod build;
pub mod cli;
pub mod error;
pub mod host;
pub mod packages;
pub mod qemu;
pub mod suite;

pub use say::write_out;
