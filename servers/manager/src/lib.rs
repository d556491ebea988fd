//! The manager: starts the units that manifests describe, and keeps them running.
//!
//! # Tour
//! * [`manifest`]: what a unit is, as TOML. [`plan`]: which units there are, in an order in which they can start.
//! * [`supervisor`]: what each unit is doing and what to do next, without doing it. Tested in a simulated world under virtual time.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod log_ring;
pub mod manifest;
pub mod plan;
pub mod saved;
pub mod supervisor;
