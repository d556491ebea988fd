#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod body;
pub mod campaign;
pub mod oracle;
#[allow(unsafe_code)]
pub mod platform;
pub mod rng;
pub mod run;
pub mod taskset;
pub mod trace;
pub mod world;
